#include "server/service/opening_facts.h"

#include "server/service/leases.h"

#define SERVICE_MANAGED_LEASE_MS HF_KEY_LEASE_DEFAULT_MS

/* What the caller may do with one of the keys. The service itself works for
 * whoever holds a grant (renewal, rewrap), and is never a stranger. */
static struct customer_key_verdict
verdict_of(struct service *service, const struct generation_entry *generation,
           size_t slot, const struct caller *caller)
{
    const struct key_entry *key = generation->keys[slot];
    const struct key_version_entry *version = generation->versions[slot];
    int64_t wall_ms = service_wall_ms(service);
    if (caller == &service_itself) {
        return (struct customer_key_verdict){
            .allowed = key_serves_anyone(key, version, wall_ms)};
    }
    return key_verdict(key, version, caller->identity, KEY_USE_UNWRAP, wall_ms);
}

void opening_facts_locked(struct service *service,
                          struct generation_entry *generation,
                          const struct caller *caller,
                          struct opening_facts *facts)
{
    const struct dep_record *dep = &generation->dep->record;
    facts->type = dep->type;
    /* beyond its hold a purge serves nobody */
    facts->state = generation->dep->closed ? DEP_PURGED : dep->state;
    facts->ak_state = dep->ak_state;
    facts->key_lease_ms = dep->key_lease_ms;
    facts->limit_ms = dep->fallback_limit_ms;
    facts->mask = 0;
    facts->retired = dep->type == DEP_TYPE_SERVICE_MANAGED &&
                     generation->record.copies[ROOT_AK].wrapped_len == 0;
    if (dep->type == DEP_TYPE_SERVICE_MANAGED) {
        facts->gate = GATE_OPEN;
        facts->key_lease_ms = SERVICE_MANAGED_LEASE_MS;
        return;
    }
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        facts->verdicts[slot] = verdict_of(service, generation, slot, caller);
        if (facts->verdicts[slot].allowed) {
            facts->mask |= 1u << slot;
        }
    }
    facts->gate = caller_gate_of(facts->verdicts);
}

void opening_facts(struct service *service, struct generation_entry *generation,
                   const struct caller *caller, struct opening_facts *facts)
{
    facts->revision = generation_revision(generation);
    pthread_rwlock_rdlock(&service->catalogue.lock);
    opening_facts_locked(service, generation, caller, facts);
    pthread_rwlock_unlock(&service->catalogue.lock);
}
