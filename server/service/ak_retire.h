/* ak_retire: a token of availability keys that is dead, or was disposed of, is
 * waited for no longer. Three people agree to its serial and to what
 * became of it (ak_token.h); each says the same words with RetireAkMirror. A
 * certificate of a purge then says of it "retired", and these words.
 */
#pragma once

#include "server/service/ak_capacity.h"

struct ak_retire {
    struct mutation mutation;
    char name[HF_NAME_MAX_BYTES + 1];
    char serial[17];
    char disposal[DISPOSAL_MAX_BYTES + 1];
};
/* ak_tokens_retire: NOT_FOUND; FIELD_INVALID: another serial, no disposal;
 * STATE_CONFLICT: no other token holds every key; SECOND_PERSON_REQUIRED. */
HF_STATUS ak_tokens_retire(struct service *service, const struct caller *caller,
                           const struct ak_retire *request,
                           struct ak_token_view *out, struct problem *problem);
