/* peer: holdfastd, as the parent sees it: the one who started it, or whoever
 * has connected to where it listens. One at a time; of a user that may. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/tokend/children.h"
#include "hsm/tokend/options.h"
#include "hsm/worker/control.h"

struct peer {
    const struct tokend_options *options;
    int listener;                 /* -1: started by holdfastd */
    int control;                  /* -1: nobody is there */
    struct control_message state; /* the newest */
    bool told;                    /* it has been sent */
};

enum peer_news { PEER_NOTHING, PEER_LOOK, PEER_KILL, PEER_GONE };

/* peer_open: HF_OK; HF_E_IO, HF_E_DENIED with a line on standard error. */
HF_STATUS peer_open(struct peer *peer, const struct tokend_options *options);
void peer_close(struct peer *peer);

/* peer_accept: somebody is at the door. */
void peer_accept(struct peer *peer);
/* peer_read: one message; *out_worker: of KILL. */
enum peer_news peer_read(struct peer *peer, uint32_t *out_worker);
/* peer_tell: this state from now on. peer_flush: gives away what can be: the
 * link of the worker that serves, and the state. Neither blocks. */
void peer_tell(struct peer *peer, const struct control_message *state);
void peer_flush(struct peer *peer, struct children *children);
