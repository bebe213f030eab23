/* key_force: a customer key that stored keys still need is disabled or deleted
 * all the same, when two officers of the tenant say so.
 *
 * They sign one document: verb, tenant, object, the key's revision, nonce, end,
 * and how many stored keys need it. It is drafted here and kept by nobody.
 * Every change of the key moves its revision on, the forced one too: so a
 * document serves once, and for nothing but what its signers saw.
 */
#pragma once

#include "server/service/customer_key_view.h"

#define KEY_FORCE_DOCUMENT_BYTES 2048

enum key_force_change {
    KEY_FORCE_DISABLE = 1,     /* of UpdateCustomerKey */
    KEY_FORCE_SOFT_DELETE = 2, /* of SoftDeleteCustomerKey */
};

struct key_force_draft {
    char tenant[HF_NAME_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1];
    enum key_force_change change;
    uint32_t version; /* 0: current; a soft delete takes them all */
};
struct key_force_document {
    uint8_t text[KEY_FORCE_DOCUMENT_BYTES];
    size_t len;
    int64_t expires_ms;
    uint64_t dependants;
};
/* customer_keys_draft_force: APPROVERS_MISSING; STATE_CONFLICT when the change
 * needs no force, or is there already. */
HF_STATUS customer_keys_draft_force(struct service *service,
                                    const struct caller *caller,
                                    const struct key_force_draft *request,
                                    struct key_force_document *out,
                                    struct problem *problem);

/* key_may_go: may the admin's verb take away this version of the key (0: every
 * one)? HF_OK when no stored key needs it, or *force holds; else KEY_IN_USE,
 * APPROVER_REFUSED, APPROVAL_INVALID. *out_forced: it was needed. record_lock
 * is held. */
HF_STATUS key_may_go(const struct admin *admin, const struct key_entry *key,
                     uint32_t version, const struct customer_key_force *force,
                     bool *out_forced);
/* key_force_note: who approved what, for the audit record. */
void key_force_note(struct details *details,
                    const struct customer_key_force *force);
