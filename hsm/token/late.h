/* late: a token that may not be there yet.
 *
 *   opening --(failed)--> shut --(after a pause)--> opening --> open
 *
 * It is opened on a thread of its own, again and again until that works, with
 * pauses that double. Until then every request is answered at once with what
 * the failure means for its caller (table 6-A): HF_E_DENIED for a log-in that
 * is refused, the status itself where the trouble is our own, else
 * HF_E_UNREACHABLE. Once open it is the token that was opened. So one token
 * that is away keeps nobody from those that are there.
 *
 * Its profile is all zero, the label empty, until it is open: which token it is
 * is not known before (token_profile_is_known).
 */
#pragma once

#include "hsm/token/token.h"

/* One attempt: gives an open token, or says why not; may block. On the late
 * token's thread. */
typedef enum hf_status late_open_fn(void *context, struct token *out_token);

struct late_settings {
    late_open_fn *open;
    void *context; /* outlives the token */
    int64_t pause_ms;
    int64_t pause_max_ms;
};

/* late_token_new: HF_OK; HF_E_NO_MEMORY; HF_E_RESOURCES without a thread.
 * token_close ends the attempts, for as long as one may last, and closes the
 * token if there is one. */
HF_STATUS late_token_new(const struct late_settings *settings,
                         struct token *out_token);

/* late_token_wait: until the first attempt is over, at most wait_ms; whether
 * the token is open. Only for tokens of late_token_new. */
bool late_token_wait(const struct token *token, int64_t wait_ms);
