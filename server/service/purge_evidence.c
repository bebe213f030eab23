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
                       struct purge_evidence *out, bool *withdrawn)
{
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    *withdrawn = is_withdrawn(service, generation, slot);
    if (*withdrawn) {
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
                   struct purge_evidence *out, struct purge_ground *ground)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    uint32_t generations = dep->record.generation;
    ground->dep = dep->stamp;
    pthread_rwlock_unlock(&service->catalogue.lock);
    for (uint32_t i = 0; i < generations; i++) {
        struct generation_entry *generation = dep->generations[i];
        for (size_t slot = 0;
             generation != NULL && slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
            if (!was_asked(dep, i, slot, generation->versions[slot])) {
                gather_one(service, generation, slot, out,
                           &ground->withdrawn[i][slot]);
            }
        }
    }
}

HF_STATUS purge_evidence_check(const struct admin *admin,
                               const struct dep_entry *dep, bool force,
                               struct purge_ground *out_ground)
{
    struct purge_evidence evidence = {.force = force};
    *out_ground = (struct purge_ground){.dep = {.version = 0}};
    gather(admin->service, dep, &evidence, out_ground);
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

bool purge_evidence_stands(struct service *service, const struct dep_entry *dep,
                           const struct purge_ground *ground)
{
    bool stands = dep->stamp.version == ground->dep.version;
    for (uint32_t i = 0; stands && i < dep->record.generation; i++) {
        for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
            stands &= !ground->withdrawn[i][slot] ||
                      is_withdrawn(service, dep->generations[i], slot);
        }
    }
    return stands;
}
