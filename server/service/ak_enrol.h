/* ak_enrol: a mirror of the tokens of availability keys joins.
 *
 *   EnrollAkMirror --> record ENROLLING --> each DEP key is carried over
 *                                             --> record ACTIVE
 *
 * The record comes first: whatever is made from then on is written to the
 * mirror too. What was there before is carried over in the background: opened
 * by the availability key inside a token that has it, wrapped there under the
 * mirror's pinned transport pair, and brought under the mirror's own key inside
 * the mirror. How far that is stands in the records of the generations
 * themselves: it may be cut anywhere and goes on where it was, also after a
 * restart; what cannot be carried now comes again.
 */
#pragma once

#include "server/service/ak_capacity.h"

#define AK_TRANSPORT_BITS 3072

struct ak_enroll {
    struct mutation mutation;
    char name[HF_NAME_MAX_BYTES + 1]; /* of ak_mirrors in the configuration */
};
/* ak_tokens_enroll: NOT_FOUND it is not configured; STATE_CONFLICT it is
 * enrolled, was retired, has no transport pair (holdfast-hsm ak init), or there
 * are AK_TOKENS_MAX; SERVICE_UNAVAILABLE it does not answer. */
HF_STATUS ak_tokens_enroll(struct service *service, const struct caller *caller,
                           const struct ak_enroll *request,
                           struct ak_token_view *out, struct problem *problem);

/* ak_enrol_round: of the scheduler. */
void ak_enrol_round(struct service *service, int64_t now_ms);

/* ak_copy_is_carried: a generation whose copies a mirror is to hold: it has
 * one, and its DEP is not about to end. The catalogue's lock is held. */
bool ak_copy_is_carried(const struct generation_entry *generation);

/* ak_carry_undo: after a copy was not carried. A roll that came between may
 * have destroyed the version before the mirror's key was made: that key is
 * destroyed too, unless copies are under it. */
void ak_carry_undo(struct service *service, const struct dep_entry *dep,
                   uint32_t version, const struct ak_token_ref *to);

/* ak_token_audit: one record about a token of availability keys. */
struct ak_token_fact {
    const char *activity;
    const struct ak_token_record *token;
    const char *details; /* JSON object; NULL: none */
};
HF_STATUS ak_token_audit(struct service *service, struct change *change,
                         const struct ak_token_fact *fact);
/* ak_token_put: the record as a part of a change, in place of current. */
HF_STATUS ak_token_put(const struct ak_token_record *token,
                       const struct stamp *current, struct change *change,
                       struct stamp *out_next);
/* ak_token_object: its name in the audit chain. */
#define AK_TOKEN_OBJECT_BYTES (HF_NAME_MAX_BYTES + 32)
void ak_token_object(const struct ak_token_record *token,
                     char out[AK_TOKEN_OBJECT_BYTES]);
