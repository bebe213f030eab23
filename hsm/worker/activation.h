/* activation: a person brings a token's PIN to its supervisor, over a Unix
 * socket of its owner's (door.h): one packet there, one back.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include "hsm/token/token.h"

/* What became of it. HF_OK: the token is open; HF_E_EXISTS: it was already, by
 * this PIN; HF_E_DENIED: the token refuses this PIN, now or before;
 * HF_E_CONFLICT: another one is being tried just now; else why the token cannot
 * be opened: the PIN is kept, and tried again. */
struct activation_answer {
    enum hf_status status;
    char why[TOKEN_WHY_BYTES];
};

/* activation_bring: as the one who has the PIN.
 *
 * Returns   HF_OK with *out; HF_E_UNREACHABLE: nobody listens at path, or the
 *           other end closed: this user may not; HF_E_DENIED: who listens is
 *           neither root nor this user, nor, where this is root, the owner of a
 *           folder that nobody else can write; HF_E_INVALID: path or PIN is too
 *           long; HF_E_TIMEOUT; HF_E_CORRUPT.
 * Blocks    as long as the token takes to open, at most a minute.
 */
HF_STATUS activation_bring(const char *path, const struct secret *pin,
                           struct activation_answer *out);

/* The other end, one packet each.
 * activation_take:   HF_OK with *out_pin; HF_E_OVERLOAD: nothing came yet;
 *                    HF_E_UNREACHABLE; HF_E_CORRUPT; HF_E_NO_MEMORY.
 * activation_reply:  a peer that does not listen misses it. Neither blocks. */
HF_STATUS activation_take(int socket, struct secret **out_pin);
void activation_reply(int socket, const struct activation_answer *answer);
