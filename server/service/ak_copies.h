/* ak_copies: the copies of one DEP key under the availability keys of a kind's
 * tokens, in the generation's record: copies[ROOT_AK] is that of the token it
 * was born in, mirrors[] are the others'. Whose one is says its token; nil is
 * the token that was there before there were records.
 */
#pragma once

#include "server/service/ak_tokens.h"

/* ak_copy_of: the token's copy; NULL: it has none. */
const struct wrapped_copy *
ak_copy_of(const struct generation_record *generation,
           const struct ak_token_ref *ref);
/* ak_copy_is_of: is this copy the token's? */
bool ak_copy_is_of(const struct wrapped_copy *copy,
                   const struct ak_token_ref *ref);
/* ak_copies_whole: does every token of the set have a copy under this version?
 * version 0: under any. */
bool ak_copies_whole(const struct generation_record *generation,
                     const struct ak_token_set *set, uint32_t version);
/* ak_copies_version: of those that serve: that of a retired token stays at the
 * version it had. */
uint32_t ak_copies_version(const struct generation_record *generation);
/* ak_copies_may_record: HF_OK; HF_E_CONFLICT: a mirror was enrolled since the
 * record was made, and has no copy. record_lock is held. */
HF_STATUS ak_copies_may_record(struct service *service, enum dep_type type,
                               const struct generation_record *generation);
/* ak_copies_take: the availability keys' copies of another record.
 * ak_copies_clear: none at all. */
void ak_copies_take(struct generation_record *to,
                    const struct generation_record *from);
void ak_copies_clear(struct generation_record *generation);

/* A DEP key that goes from token to token. version: of the availability key
 * that it comes under. generation is changed when it has come. */
struct ak_carry {
    const struct dep_record *dep;
    uint32_t version;
    struct generation_record *generation;
    const struct ak_token_set *set;
};
/* ak_transport_suite: how the one wraps for the other's transport pair;
 * TOKEN_SUITE_NONE: no way that both know. */
enum token_suite ak_transport_suite(const struct ak_token_ref *from,
                                    const struct ak_token_ref *to);
/* ak_carry_in: what is wrapped under its transport pair comes under its own
 * availability key, whose object is there, inside the token.
 *
 * Returns   HF_OK; HF_E_BAD_BLOB it is another key than the one that sealed
 *           the commitment; HF_E_LIMIT no room in the record; the token's.
 */
struct ak_carried {
    enum token_suite suite;
    struct bytes wrapped;
};
HF_STATUS ak_carry_in(struct service *service, const struct ak_carry *carry,
                      const struct ak_token_ref *to,
                      const struct ak_carried *carried);
/* ak_carry_from_any: opened by the availability key of any token that has a
 * copy and answers, and from there to this one. */
HF_STATUS ak_carry_from_any(struct service *service,
                            const struct ak_carry *carry,
                            const struct ak_token_ref *to);
/* ak_copies_bring: every token's copy comes under carry->version: by its own
 * older version, or where that is lost, from another token. */
HF_STATUS ak_copies_bring(struct service *service,
                          const struct ak_carry *carry);
