/* ak_carry: what was there before a mirror is carried over to it (ak_enrol.h).
 */
#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "server/service/ak_copies.h"
#include "server/service/ak_enrol.h"
#include "server/service/ak_objects.h"
#include "server/service/attempt.h"
#include "server/service/availability_key.h"
#include "server/service/operations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS 2000

bool ak_copy_is_carried(const struct generation_entry *generation)
{
    const struct dep_entry *dep = generation->dep;
    return generation->record.copies[ROOT_AK].wrapped_len > 0 && !dep->closed &&
           dep->record.ak_state != AK_DESTROYED &&
           dep->record.state != DEP_PURGING && dep->record.state != DEP_PURGED;
}

static HF_STATUS audit_carried(struct service *service,
                               const struct dep_entry *dep,
                               const struct ak_token_ref *to,
                               uint32_t generation, struct change *change)
{
    char object[HF_NAME_MAX_BYTES + HF_ID_TEXT + 32];
    char id[HF_ID_TEXT];
    char details[HF_NAME_MAX_BYTES + 96];
    id_format(&dep->record.id, id);
    snprintf(object, sizeof object, "tenants/%s/deps/%s",
             dep->tenant->record.name, id);
    snprintf(details, sizeof details,
             "{\"generation\":%u,\"token\":\"%s\",\"serial\":\"%s\"}",
             generation, to->name, to->serial);
    const struct audit_entry entry = {
        .activity = "AvailabilityKeyCopyCarried",
        .tenant = dep->record.tenant,
        .object = object,
        .details = details,
    };
    return audit_change(service, change, &entry);
}

/* It may have been retired since the set was taken. */
static bool is_enrolling(struct service *service, const struct ak_token_ref *to)
{
    return ak_token_record_of(service, to->entry).state == AK_TOKEN_ENROLLING;
}

/* record_lock is held. A purge, a roll or another's record may have come
 * between: then what was made is of no use. */
static HF_STATUS record_carried(struct service *service,
                                struct generation_entry *generation,
                                const struct stamp *made_from,
                                const struct ak_token_ref *to,
                                const struct generation_record *next)
{
    struct stamp stamp;
    HF_OWNED(change_freep) struct change *change = NULL;
    if (!is_enrolling(service, to)) {
        return HF_E_CONFLICT;
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool stands = ak_copy_is_carried(generation);
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (!stands || generation->stamp.version != made_from->version) {
        return HF_E_CONFLICT;
    }
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = generation_encode(next, record);
    }
    if (status == HF_OK) {
        status = change_put(change, record, &generation->stamp, &stamp);
    }
    free(record);
    if (status == HF_OK) {
        status = audit_carried(service, generation->dep, to, next->generation,
                               change);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (admin_is_stored(status)) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        ak_copies_take(&generation->record, next);
        generation->stamp = stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    return status;
}

/* The one version that a copy which serves is under. */
static uint32_t version_of(const struct generation_record *generation,
                           const struct ak_token_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct wrapped_copy *copy = ak_copy_of(generation, &set->at[i]);
        if (copy != NULL) {
            return copy->key_version;
        }
    }
    return 0;
}

/* It opens in the mirror, to the key that sealed the commitment. */
static HF_STATUS try_carried(struct service *service, struct dep_entry *dep,
                             const struct ak_token_ref *to,
                             const struct generation_record *next)
{
    struct generation_entry *trial = generation_entry_new();
    struct lease *lease = NULL;
    if (trial == NULL) {
        return HF_E_NO_MEMORY;
    }
    trial->dep = dep;
    trial->record = *next;
    enum hf_status status = attempt_root_in(service, trial, to, 0, &lease);
    if (status == HF_OK) {
        lease_release(lease);
    }
    generation_entry_free(trial);
    return status;
}

/* No copy is under it in the mirror, and none will be: since the roll began new
 * ones are under the next. */
static bool is_overtaken(const struct dep_entry *dep, uint32_t version,
                         const struct ak_token_ref *to)
{
    for (uint32_t i = 1; i <= DEP_GENERATIONS_MAX; i++) {
        const struct generation_entry *generation =
            catalogue_generation(dep, i);
        const struct wrapped_copy *copy =
            generation == NULL ? NULL : ak_copy_of(&generation->record, to);
        if (copy != NULL && copy->key_version == version) {
            return false;
        }
    }
    return dep->record.ak_version > version ||
           dep->record.ak_state == AK_ROLLING;
}

void ak_carry_undo(struct service *service, const struct dep_entry *dep,
                   uint32_t version, const struct ak_token_ref *to)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct dep_record record = dep->record;
    bool overtaken = is_overtaken(dep, version, to);
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (version > 0 && overtaken && !ak_is_shared(&record)) {
        HF_IGNORE(ak_destroy_in(to, &record, version),
                  "a purge destroys whatever it finds of the DEP");
    }
}

static HF_STATUS carry_one(struct service *service,
                           struct generation_entry *generation,
                           const struct ak_token_set *set,
                           const struct ak_token_ref *to)
{
    struct generation_record *next = malloc(sizeof *next);
    if (next == NULL) {
        return HF_E_NO_MEMORY;
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    *next = generation->record;
    const struct stamp made_from = generation->stamp;
    const struct dep_record dep = generation->dep->record;
    pthread_rwlock_unlock(&service->catalogue.lock);
    const struct ak_carry carry = {
        .dep = &dep,
        .version = version_of(next, set),
        .generation = next,
        .set = set,
    };
    enum hf_status status =
        carry.version == 0 ? HF_E_NOT_FOUND : ak_token_open(to);
    if (status == HF_OK) {
        status = ak_generate_in(to->token, &dep, carry.version);
    }
    if (status == HF_OK) {
        status = ak_carry_from_any(service, &carry, to);
    }
    if (status == HF_OK) {
        status = try_carried(service, generation->dep, to, next);
    }
    if (status == HF_OK) {
        pthread_mutex_lock(&service->record_lock);
        status = record_carried(service, generation, &made_from, to, next);
        pthread_mutex_unlock(&service->record_lock);
    }
    if (status != HF_OK) {
        ak_carry_undo(service, generation->dep, carry.version, to);
    }
    free(next);
    return status;
}

/* A purge that ended meanwhile had looked before the mirror's key was made. */
static void undo_if_ended(struct service *service, struct dep_entry *dep)
{
    struct ak_destroyed destroyed;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool ended = dep->closed || dep->record.ak_state == AK_DESTROYED;
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (ended) {
        HF_IGNORE(ak_objects_destroy(service, dep, &destroyed),
                  "the daily look finds what is left");
    }
}

static bool lacks_copy(struct service *service, const struct dep_entry *dep,
                       uint32_t number, const struct ak_token_ref *to)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct generation_entry *generation =
        catalogue_generation(dep, number);
    bool lacks = generation != NULL && ak_copy_is_carried(generation) &&
                 ak_copy_of(&generation->record, to) == NULL;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return lacks;
}

/* Every one that lacks it; *out_left when some still do. */
static void carry_all(struct service *service, const struct ak_token_set *set,
                      const struct ak_token_ref *to, bool sharepoint,
                      bool *out_left)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_entry *dep = service->catalogue.deps;
    pthread_rwlock_unlock(&service->catalogue.lock);
    while (dep != NULL && !atomic_load(&service->stopping) &&
           is_enrolling(service, to)) {
        for (uint32_t i = 1; i <= DEP_GENERATIONS_MAX; i++) {
            if (ak_type_is_sharepoint(dep->record.type) != sharepoint ||
                !lacks_copy(service, dep, i, to)) {
                continue;
            }
            enum hf_status status =
                carry_one(service, catalogue_generation(dep, i), set, to);
            ak_token_met(service, to->entry, status);
            if (status != HF_OK) {
                *out_left = true;
                undo_if_ended(service, dep);
            }
        }
        pthread_rwlock_rdlock(&service->catalogue.lock);
        dep = dep->next;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    *out_left = *out_left || dep != NULL;
}

static bool is_whole(struct service *service, const struct ak_token_ref *to,
                     bool sharepoint)
{
    bool whole = true;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct dep_entry *dep = service->catalogue.deps;
         dep != NULL && whole; dep = dep->next) {
        for (uint32_t i = 0; i < DEP_GENERATIONS_MAX && whole; i++) {
            const struct generation_entry *generation = dep->generations[i];
            whole = generation == NULL ||
                    ak_type_is_sharepoint(dep->record.type) != sharepoint ||
                    !ak_copy_is_carried(generation) ||
                    ak_copy_of(&generation->record, to) != NULL;
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return whole;
}

/* record_lock is held: nothing is made meanwhile that would lack it. */
static HF_STATUS activate_locked(struct service *service,
                                 struct ak_token_entry *entry)
{
    struct ak_token_record next = ak_token_record_of(service, entry);
    struct stamp stamp;
    enum reason reason = REASON_NONE;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(
        ak_token_next(next.state, AK_TOKEN_EV_CARRIED, &next.state, &reason));
    next.active_ms = service_wall_ms(service);
    /* that was about one that did not hold every key */
    memset(next.requested_by, 0, sizeof next.requested_by);
    memset(next.approved_by, 0, sizeof next.approved_by);
    const struct ak_token_fact fact = {
        .activity = "AvailabilityTokenActive",
        .token = &next,
    };
    HF_TRY(change_new(&change));
    HF_TRY(ak_token_put(&next, &entry->stamp, change, &stamp));
    HF_TRY(ak_token_audit(service, change, &fact));
    enum hf_status status = ledger_commit(service->ledger, change);
    if (admin_is_stored(status)) {
        ak_token_set_record(service, entry, &next, &stamp);
        log_event(LOG_INFO, "ak_token.active", LOG_TEXT("token", next.name),
                  LOG_TEXT("serial", next.serial));
    }
    return status;
}

static void carry_to(struct service *service, bool sharepoint,
                     const struct ak_token_set *set,
                     const struct ak_token_ref *to)
{
    bool left = false;
    carry_all(service, set, to, sharepoint, &left);
    if (left) {
        return; /* it comes again */
    }
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = is_whole(service, to, sharepoint)
                                ? activate_locked(service, to->entry)
                                : HF_OK;
    pthread_mutex_unlock(&service->record_lock);
    ak_token_met(service, to->entry, status);
}

static void carry(void *argument)
{
    static const enum dep_type kinds[] = {DEP_TYPE_EXCHANGE_MAILBOX,
                                          DEP_TYPE_SHAREPOINT_GEO};
    struct service *service = argument;
    struct ak_token_set set;
    for (size_t kind = 0; kind < HF_COUNT(kinds); kind++) {
        ak_tokens_of(service, kinds[kind], &set);
        for (size_t i = 0; i < set.count; i++) {
            if (set.at[i].enrolling) {
                carry_to(service, ak_type_is_sharepoint(kinds[kind]), &set,
                         &set.at[i]);
            }
        }
    }
    atomic_store(&service->carrying, false);
}

static bool is_any_enrolling(struct service *service)
{
    struct ak_token_entry *entry = NULL;
    while ((entry = ak_token_visit(service, entry)) != NULL) {
        if (ak_token_record_of(service, entry).state == AK_TOKEN_ENROLLING) {
            return true;
        }
    }
    return false;
}

void ak_enrol_round(struct service *service, int64_t now_ms)
{
    const struct pool_job job = {
        .tenant = "",
        .rank = POOL_BACKGROUND,
        .work = carry,
        .argument = service,
    };
    if (now_ms < service->carry_due_ms || !is_any_enrolling(service) ||
        atomic_exchange(&service->carrying, true)) {
        return;
    }
    service->carry_due_ms = now_ms + RETRY_MS;
    if (pool_run(service->pool, &job) != HF_OK) {
        atomic_store(&service->carrying, false);
    }
}
