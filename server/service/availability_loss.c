#include "server/service/availability_loss.h"

#include "hsm/sys/log.h"

#include "server/service/ak_copies.h"
#include "server/service/attempt.h"
#include "server/service/dep_generation.h"
#include "server/service/operations.h"

#include <stdio.h>

/* not found only when it is sure. */
static bool is_certain(enum hf_status status)
{
    return status == HF_E_BAD_BLOB || status == HF_E_NOT_FOUND;
}

bool ak_copy_is_lost(struct service *service,
                     struct generation_entry *generation, enum hf_status met)
{
    struct lease *lease = NULL;
    if (!is_certain(met)) {
        return false;
    }
    enum hf_status status =
        attempt_service_root(service, generation, 0, NULL, &lease);
    if (status == HF_OK) {
        lease_release(lease);
    }
    return is_certain(status);
}

/* --- the next generation ------------------------------------------------ */

static HF_STATUS audit_loss(struct service *service,
                            const struct dep_entry *dep, struct change *change)
{
    char object[HF_NAME_MAX_BYTES + HF_ID_TEXT + 32];
    char id[HF_ID_TEXT];
    char details[96];
    id_format(&dep->record.id, id);
    snprintf(object, sizeof object, "tenants/%s/deps/%s",
             dep->tenant->record.name, id);
    snprintf(details, sizeof details,
             "{\"version\":%u,\"generation\":%u,\"next\":%u}",
             dep->record.ak_version, dep->record.generation,
             dep->record.generation + 1);
    const struct audit_entry entry = {
        .activity = "AvailabilityKeyCopyLost",
        .tenant = dep->record.tenant,
        .object = object,
        .details = details,
    };
    log_event(LOG_WARN, "availability_key.copy_lost", LOG_TEXT("dep", id));
    return audit_change(service, change, &entry);
}

static HF_STATUS put_all(const struct admin *admin,
                         struct generation_making *making,
                         struct change *change, struct operation_entry **entry)
{
    const struct operation_order order = {
        .kind = OPERATION_REFRESH,
        .object = making->next.id,
        .number = making->next.generation,
    };
    HF_TRY(generation_put(making, change));
    HF_TRY(operation_begin(admin, &order, change, entry));
    return audit_loss(admin->service, making->dep, change);
}

/* T5, without the guard of: what is new is not a customer key's version.
 */
static HF_STATUS decide(const struct dep_record *dep, struct dep_step *step)
{
    enum reason reason = REASON_NONE;
    const struct dep_facts facts = {
        .type = dep->type,
        .state = dep->state,
        .key_update = dep->key_update,
        .generation = dep->generation,
        .newer_version = true,
    };
    return dep_next(&facts, DEP_EV_REFRESH, step, &reason);
}

/* record_lock is held. */
static HF_STATUS record_locked(const struct admin *admin,
                               struct generation_making *making)
{
    struct service *service = admin->service;
    struct operation_entry *entry = NULL;
    struct dep_step step;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(decide(&making->dep->record, &step));
    making->next.state = step.next;
    making->next.key_update = step.key_update;
    making->next.updated_ms = service_wall_ms(service);
    if (making->dep->stamp.version != making->made_from.version) {
        return HF_E_CONFLICT;
    }
    HF_TRY(ak_copies_may_record(service, making->next.type,
                                &making->fresh->record));
    HF_TRY(customer_keys_still_serve(making->fresh->keys,
                                     making->fresh->versions));
    HF_TRY(change_new(&change));
    enum hf_status status = put_all(admin, making, change, &entry);
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (!admin_is_stored(status)) {
        operation_drop(entry);
        return status;
    }
    enum hf_status adopted = generation_adopt(service, making);
    operations_adopt(service, entry);
    return adopted == HF_OK ? status : adopted;
}

/* As a refresh: the current versions of the keys it has. */
static HF_STATUS make(struct service *service, struct dep_entry *dep,
                      struct generation_making *making)
{
    struct key_entry *keys[HF_CUSTOMER_KEYS_PER_DEP];
    struct key_version_entry *versions[HF_CUSTOMER_KEYS_PER_DEP];
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct generation_entry *newest =
        catalogue_generation(dep, dep->record.generation);
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        keys[slot] = newest->keys[slot];
        versions[slot] =
            keys[slot]->versions[keys[slot]->record.current_version - 1];
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return generation_make(service, dep, keys, versions, making);
}

HF_STATUS ak_loss_mend(struct service *service, struct dep_entry *dep)
{
    const struct admin admin = {
        .service = service,
        .caller = &service_itself,
        .tenant = dep->tenant,
    };
    struct generation_making making = {.dep = dep};
    struct dep_step step;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct dep_record now = dep->record;
    pthread_rwlock_unlock(&service->catalogue.lock);
    HF_TRY(decide(&now, &step));
    enum hf_status status = make(service, dep, &making);
    if (status == HF_OK) {
        pthread_mutex_lock(&service->record_lock);
        status = record_locked(&admin, &making);
        pthread_mutex_unlock(&service->record_lock);
    }
    generation_drop(&making);
    HF_TRY(status);
    health_refresh(service);
    return HF_OK;
}
