/* health: what is known of each customer key, and of the DEPs that rest on it
 * (R-6.26 to R-6.29). */
#include "hsm/sys/log.h"

#include "server/service/core.h"
#include "server/service/deps.h"

bool key_serves_anyone(const struct key_entry *key,
                       const struct key_version_entry *version, int64_t wall_ms)
{
    for (size_t i = 0; i < key->grant_count; i++) {
        struct customer_key_verdict verdict =
            key_verdict(key, version, key->grants[i]->record.identity,
                        KEY_USE_UNWRAP, wall_ms);
        if (verdict.allowed) {
            return true;
        }
    }
    return false;
}

/* The catalogue's lock is held. */
enum attempt key_attempt_known(const struct key_entry *key,
                               struct key_version_entry *version,
                               int64_t wall_ms)
{
    bool may_be_used = key_serves_anyone(key, version, wall_ms);
    pthread_mutex_lock(&version->health_lock);
    enum attempt attempt = key_health_attempt(&version->health, may_be_used);
    pthread_mutex_unlock(&version->health_lock);
    return attempt;
}

enum dep_health dep_health_locked(struct service *service,
                                  const struct dep_entry *dep)
{
    const struct generation_entry *generation =
        catalogue_generation(dep, dep->record.generation);
    int64_t wall_ms = service_wall_ms(service);
    if (generation == NULL || generation->keys[0] == NULL) {
        return HEALTH_HEALTHY; /* SERVICE_MANAGED rests on no customer key */
    }
    return dep_health_of(key_attempt_known(generation->keys[0],
                                           generation->versions[0], wall_ms),
                         key_attempt_known(generation->keys[1],
                                           generation->versions[1], wall_ms),
                         dep->record.ak_state);
}

#define CHANGES_MAX 64

struct health_change {
    struct hf_id dep;
    enum dep_health health;
};

/* Collected under the lock, told without it. More than fit are told the next
 * time round. */
static size_t collect(struct service *service,
                      struct health_change changes[CHANGES_MAX])
{
    size_t count = 0;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (struct dep_entry *dep = service->catalogue.deps;
         dep != NULL && count < CHANGES_MAX; dep = dep->next) {
        enum dep_health health = dep_health_locked(service, dep);
        if (dep->record.type != DEP_TYPE_SERVICE_MANAGED &&
            atomic_exchange(&dep->health, (int)health) != (int)health) {
            changes[count].dep = dep->record.id;
            changes[count].health = health;
            count++;
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return count;
}

void health_refresh(struct service *service)
{
    struct health_change changes[CHANGES_MAX];
    size_t count = CHANGES_MAX;
    while (count == CHANGES_MAX) {
        count = collect(service, changes);
        for (size_t i = 0; i < count && service->health_changed != NULL; i++) {
            service->health_changed(service->health_context, &changes[i].dep,
                                    changes[i].health);
        }
    }
}

/* Under version->health_lock. What is said of it being there; HF_E_INTERNAL:
 * nothing new. Whoever was not asked, or did not answer, has said nothing. */
static enum hf_status note_missing(struct key_version_entry *version,
                                   enum hf_status status)
{
    bool missing = hf_status_class(status) == HF_CLASS_MISSING;
    bool seen = status == HF_OK || status == HF_E_BAD_BLOB;
    enum hf_status now = seen ? HF_OK : status;
    if ((!missing && !seen) || version->missing == now) {
        return HF_E_INTERNAL;
    }
    version->missing = now;
    return now;
}

static void tell_missing(const struct key_version_entry *version,
                         enum hf_status said)
{
    char key[HF_ID_TEXT];
    id_format(&version->record.key, key);
    if (said == HF_OK) {
        log_event(LOG_WARN, "key.found", LOG_TEXT("key", key),
                  LOG_TEXT("label", version->record.label),
                  LOG_NUMBER("version", version->record.version));
        return;
    }
    log_event(LOG_ERROR, "key.missing", LOG_TEXT("key", key),
              LOG_TEXT("label", version->record.label),
              LOG_NUMBER("version", version->record.version),
              LOG_TEXT("confirmed", said == HF_E_NOT_FOUND ? "yes" : "no"),
              LOG_TEXT("what", "its token does not show it; users are refused "
                               "by it, nothing is deleted, and it is looked "
                               "for again by every probe"));
}

void health_note(struct service *service, struct key_version_entry *version,
                 enum hf_status status)
{
    enum attempt attempt = attempt_of(status);
    pthread_mutex_lock(&version->health_lock);
    int64_t now_ms = service_monotonic_ms(service);
    bool changed =
        key_health_note(&version->health, attempt, service_wall_ms(service));
    breaker_note(&version->breaker, attempt, status == HF_E_TIMEOUT, now_ms);
    enum hf_status said = note_missing(version, status);
    if (attempt != ATTEMPT_OURS) { /* the token was asked */
        /* a bad copy is its generation's; the key answered */
        version->known = attempt == ATTEMPT_BAD_BLOB ? ATTEMPT_OK : attempt;
        version->known_ms = now_ms;
    }
    pthread_mutex_unlock(&version->health_lock);
    if (said != HF_E_INTERNAL) {
        tell_missing(version, said);
    }
    if (changed) {
        health_refresh(service);
    }
}

void deps_health_watch(struct service *service, dep_health_fn *changed,
                       void *context)
{
    service->health_context = context;
    service->health_changed = changed;
}

HF_STATUS deps_health_get(struct service *service, const char *tenant,
                          const struct hf_id *dep, enum dep_health *out_health)
{
    enum hf_status status = HF_E_NOT_FOUND;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct tenant_entry *owner =
        catalogue_tenant(&service->catalogue, tenant);
    const struct dep_entry *entry =
        catalogue_dep_by_id(&service->catalogue, dep);
    if (owner != NULL && entry != NULL && entry->tenant == owner &&
        entry->record.type != DEP_TYPE_SERVICE_MANAGED) {
        *out_health = dep_health_locked(service, entry);
        status = HF_OK;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}
