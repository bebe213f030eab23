/* mirror_view: which tokens hold all that was acknowledged. A data object in
 * each of them, made anew with every change; the highest number counts.
 *
 * Never change its format: it stands in tokens.
 */
#pragma once

#include "hsm/token/token.h"

#define MIRRORS_MAX       4
#define MIRROR_VIEW_LABEL "hf-mirrors"

struct mirror_name {
    char label[33];
    char serial[17];
};

struct mirror_view {
    uint64_t number; /* from 1; 0: there is none */
    struct mirror_name members[MIRRORS_MAX];
    size_t count;
};

/* mirror_view_encode: as a data object. */
void mirror_view_encode(const struct mirror_view *view, struct token_data *out);
/* mirror_view_decode: HF_OK; HF_E_CORRUPT. */
HF_STATUS mirror_view_decode(const struct token_data *data,
                             struct mirror_view *out);
/* mirror_view_has: a member with this serial. */
bool mirror_view_has(const struct mirror_view *view, const char *serial);
bool mirror_view_equal(const struct mirror_view *a,
                       const struct mirror_view *b);

/* mirror_view_read: the newest of a token; number 0: none.
 * Returns   HF_OK; HF_E_CORRUPT for one that nobody can read; the token's. */
HF_STATUS mirror_view_read(const struct token *token, int64_t attempt_ms,
                           struct mirror_view *out);
/* mirror_view_write: durable in the token; then those before it are taken away,
 * as far as that works. */
HF_STATUS mirror_view_write(const struct token *token, int64_t attempt_ms,
                            const struct mirror_view *view);

/* mirror_view_check_alone: a token that is used without mirrors must be one
 * that never had any, or that is known to hold all there is.
 * Gives     *out_missing, the first other member, on HF_E_PRECONDITION.
 * Returns   HF_OK; HF_E_PRECONDITION; as mirror_view_read. */
HF_STATUS mirror_view_check_alone(const struct token *token, int64_t attempt_ms,
                                  struct mirror_name *out_missing);
