/* beat: what a worker tells its parent, one packet each on a socket of its own
 * (AF_UNIX, SOCK_SEQPACKET). The end of the socket ends the worker. */
#pragma once

#include "hsm/token/token.h"

#include <stdint.h>

#define BEAT_EVERY_MS 100

enum beat_kind {
    BEAT_ALIVE = 1,
    BEAT_OPENED = 2,
    BEAT_REFUSED = 3, /* the token cannot be opened; the worker ends */
    BEAT_LANE = 4,    /* every thread of a lane is lost in the module */
    BEAT_OFFERED = 5, /* the token is about to be given its PIN */
    BEAT_DECIDED = 6, /* and has answered */
};

struct beat {
    uint32_t kind;
    uint32_t status;      /* REFUSED: enum hf_status */
    uint32_t pin_refused; /* REFUSED: by the token, for its PIN */
    uint32_t lost;        /* ALIVE: threads whose call does not return */
    char why[TOKEN_WHY_BYTES];
};

/* Descriptors of a worker at its start. */
#define CHILD_FD_PIN  3
#define CHILD_FD_BEAT 4
#define CHILD_FD_LINK 5
/* of the parent that holdfastd starts */
#define PARENT_FD_CONTROL 3
