/* key_facts: what the checks of are held against, measured now. */
#pragma once

#include "server/service/core.h"

struct facts_request {
    struct key_entry *keys[HF_CUSTOMER_KEYS_PER_DEP];
    struct tenant_entry *tenant;
    const char *identity; /* whose permissions are checked */
    enum residency residency;
    enum dep_type dep_type;
    const char *domains[HF_CUSTOMER_KEYS_PER_DEP]; /* stated; NULL: none */
    uint32_t exact[HF_CUSTOMER_KEYS_PER_DEP]; /* version; 0: the current one */
    const struct dep_entry *except; /* not counted as sharing; NULL: none */
    /* result: the version of each key that was looked at */
    struct key_version_entry *versions[HF_CUSTOMER_KEYS_PER_DEP];
};

/* key_facts_collect: asks both tokens (attributes, a live round trip) and the
 * catalogue. What a token does not tell is left unknown, and its checks fail or
 * are skipped. Blocks for up to four attempts. */
void key_facts_collect(struct service *service, struct facts_request *request,
                       struct validation_facts *out);
