/* opening_facts: what decides whether and how a call may open a generation,
 * read at one moment.
 */
#pragma once

#include "server/domain/fallback.h"

#include "server/service/core.h"

struct opening_facts {
    struct customer_key_verdict verdicts[HF_CUSTOMER_KEYS_PER_DEP];
    enum caller_gate gate;
    unsigned mask; /* the keys the caller may use */
    enum dep_type type;
    enum dep_state state;
    enum ak_state ak_state;
    bool retired; /* its root is gone */
    int64_t key_lease_ms;
    int64_t limit_ms; /* */
    uint64_t revision;
};

/* opening_facts: for a call of this caller; of &service_itself for what the
 * service does on its own account, such as renewal. opening_facts_locked: the
 * catalogue's lock is held; the revision is not read. */
void opening_facts(struct service *service, struct generation_entry *generation,
                   const struct caller *caller, struct opening_facts *facts);
void opening_facts_locked(struct service *service,
                          struct generation_entry *generation,
                          const struct caller *caller,
                          struct opening_facts *facts);
