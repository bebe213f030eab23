/* key_dependants: which resources still need a version of a customer key, and
 * so whether it may be disabled or deleted. What needs it is
 * every resource whose stored key is under a generation that this version
 * wraps; copies that clients keep do not count.
 */
#pragma once

#include "server/service/customer_key_view.h"
#include "server/service/resources.h"

struct key_dependant {
    char resource[RESOURCE_NAME_BYTES]; /* tenants/{tenant}/mailboxes/... */
    struct dep_ref under;
};

struct key_dependants_request {
    char tenant[HF_NAME_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1];
    uint32_t version; /* 0: current */
    struct page_request page;
};

struct key_dependant_list {
    struct key_dependant *items;
    size_t cap;
    size_t count;
    uint64_t total; /* on all pages, when it was counted */
    char next[PAGE_TOKEN_BYTES];
};

/* customer_keys_dependants: HF_OK, else *problem: NOT_FOUND, FIELD_INVALID for
 * a token of another version's list. */
HF_STATUS customer_keys_dependants(struct service *service,
                                   const struct caller *caller,
                                   const struct key_dependants_request *request,
                                   struct key_dependant_list *out,
                                   struct problem *problem);

/* key_count_dependants: of one version. */
HF_STATUS key_count_dependants(struct service *service,
                               const struct key_entry *key,
                               const struct key_version_entry *version,
                               uint64_t *out_total);
/* key_check_unused: HF_OK, or KEY_IN_USE naming some of what needs it. The
 * record_lock is held. Withdrawing grants is always possible. */
HF_STATUS key_check_unused(const struct admin *admin,
                           const struct key_entry *key,
                           const struct key_version_entry *version);
