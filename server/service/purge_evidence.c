#include "server/service/purge_evidence.h"

#include "server/service/attempt.h"

/* wrap and unwrap are gone for everybody, or the version is disabled or
 * deleted: the catalogue says so, and the token need not be asked. */
static bool is_withdrawn(struct service *service,
                         const struct generation_entry *generation, size_t slot)
{
    const struct key_entry *key = generation->keys[slot];
    const struct key_version_entry *version = generation->versions[slot];
    int64_t wall_ms = service_wall_ms(service);
    bool held = false;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (size_t i = 0; i < key->grant_count && !held; i++) {
        const char *identity = key->grants[i]->record.identity;
        held = key_verdict(key, version, identity, KEY_USE_WRAP, wall_ms)
                   .allowed ||
               key_verdict(key, version, identity, KEY_USE_UNWRAP, wall_ms)
                   .allowed;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return !held;
}

static void gather_one(struct service *service,
                       struct generation_entry *generation, size_t slot,
                       struct purge_evidence *out)
{
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    if (is_withdrawn(service, generation, slot)) {
        out->denied++;
        return;
    }
    switch (attempt_of(
        attempt_customer_key(service, generation, slot, 0, &lease))) {
    case ATTEMPT_OK:
    case ATTEMPT_BAD_BLOB: /* the key answered: its vault is there */
        out->usable++;
        break;
    case ATTEMPT_DENIED:
        out->denied++;
        break;
    case ATTEMPT_TRANSIENT:
    case ATTEMPT_MISSING: /* not found is no proof */
        out->uncertain++;
        break;
    case ATTEMPT_OURS:
        out->unasked++;
        break;
    }
}

static bool was_asked(const struct dep_entry *dep, uint32_t before, size_t slot,
                      const struct key_version_entry *version)
{
    for (uint32_t i = 0; i < before; i++) {
        const struct generation_entry *generation = dep->generations[i];
        if (generation != NULL && generation->versions[slot] == version) {
            return true;
        }
    }
    return false;
}

static void gather(struct service *service, const struct dep_entry *dep,
                   struct purge_evidence *out)
{
    for (uint32_t i = 0; i < dep->record.generation; i++) {
        struct generation_entry *generation = dep->generations[i];
        for (size_t slot = 0;
             generation != NULL && slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
            if (!was_asked(dep, i, slot, generation->versions[slot])) {
                gather_one(service, generation, slot, out);
            }
        }
    }
}

HF_STATUS purge_evidence_check(const struct admin *admin,
                               const struct dep_entry *dep, bool force)
{
    struct purge_evidence evidence = {.force = force};
    gather(admin->service, dep, &evidence);
    enum reason reason = purge_evidence_decide(&evidence);
    if (reason == REASON_KEYS_STILL_USABLE) {
        return problem_set(admin->problem, reason,
                           "%u of the customer keys still answer for this DEP: "
                           "revoke wrap and unwrap from every identity, or "
                           "disable the keys, first",
                           evidence.usable);
    }
    if (reason == REASON_KEY_UNAVAILABLE) {
        return problem_set(admin->problem, reason,
                           "%u of the customer keys could not be asked just "
                           "now, and no answer is no refusal: repeat later, or "
                           "with force if the token is gone for ever",
                           evidence.uncertain + evidence.unasked);
    }
    return HF_OK;
}
