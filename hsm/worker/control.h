/* control: what holdfastd and the parent of a token's workers say to each
 * other, over one socket (AF_UNIX, SOCK_SEQPACKET).
 *
 *   parent -> holdfastd   STATE   how it stands with the token
 *                         WORKER  a worker that is open: its number, and with
 *                                 it the near end of its link (link.h)
 *   holdfastd -> parent   LOOK    look at the PIN file now
 *                         KILL    a worker, by its number, that holdfastd
 *                                 cannot work with, or whose link is closed
 *                                 and which may not have ended by that
 *
 * The newest WORKER is for new work; those before it end when holdfastd closes
 * their links. The end of the socket ends the parent, or, when it listens, the
 * workers that it had given away. Nothing here is secret.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/token/token.h"

#include <stdint.h>

enum control_kind {
    CONTROL_STATE = 1,
    CONTROL_WORKER = 2,
    CONTROL_LOOK = 3,
    CONTROL_KILL = 4,
};

struct control_message {
    enum control_kind kind;
    struct token_state state; /* of WORKER and KILL only the number */
    enum hf_status status;    /* STATE: why it cannot be opened; HF_OK: it is,
                                 or it was not tried */
    uint64_t refused_pin;     /* STATE: which PIN file was refused (pins.h), so
                                 that the next parent does not try it again */
};

/* control_send: with a descriptor, or -1; it stays the caller's.
 * Returns   HF_OK; HF_E_OVERLOAD: not now; HF_E_UNREACHABLE: the other end is
 *           closed.
 * Blocks    never. */
HF_STATUS control_send(int socket, const struct control_message *message,
                       int descriptor);

/* control_receive: one message, if there is one.
 * Gives     *out; *out_descriptor, the caller's to close, or -1.
 * Returns   HF_OK; HF_E_OVERLOAD: there is none now; HF_E_UNREACHABLE: the
 *           other end is closed; HF_E_CORRUPT: one that cannot be, or of
 *           another version.
 * Blocks    never. */
HF_STATUS control_receive(int socket, struct control_message *out,
                          int *out_descriptor);
