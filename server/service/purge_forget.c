/* purge_forget: when the availability keys are gone, the wrapped copies are
 * taken out of the live records; which keys they were under stays, for
 * the record. Of a tenant that is deleted its DEPs' records say so (3.6).
 */
#include "server/domain/availability.h"

#include "server/service/purge_book.h"

#include <stdlib.h>
#include <string.h>

#define FORGET_MAX 8 /* generations, or DEPs, in one transaction */

static bool holds_copies(const struct generation_entry *generation)
{
    const struct generation_record *record = &generation->record;
    for (size_t slot = 0; slot < ROOT_SLOTS; slot++) {
        if (record->copies[slot].wrapped_len > 0) {
            return true;
        }
    }
    for (size_t i = 0; i < AK_TOKENS_MAX; i++) {
        if (record->mirrors[i].wrapped_len > 0) {
            return true;
        }
    }
    return false;
}

static void forget_copy(struct wrapped_copy *copy)
{
    memset(copy->wrapped, 0, sizeof copy->wrapped);
    copy->wrapped_len = 0;
    copy->suite = 0;
}

/* the copies go; which keys they were under stays, for the record. */
static void forget_copies(struct generation_record *generation)
{
    for (size_t slot = 0; slot < ROOT_SLOTS; slot++) {
        forget_copy(&generation->copies[slot]);
    }
    for (size_t i = 0; i < AK_TOKENS_MAX; i++) {
        forget_copy(&generation->mirrors[i]);
    }
}

struct forgetting {
    struct generation_entry *entries[FORGET_MAX];
    struct generation_record next[FORGET_MAX];
    struct stamp stamps[FORGET_MAX];
    size_t count;
    /* of a tenant: DEPs whose availability key is not said to be gone (3.6) */
    struct dep_entry *deps[FORGET_MAX];
    struct dep_record deps_next[FORGET_MAX];
    struct stamp dep_stamps[FORGET_MAX];
    size_t dep_count;
};

static void find_copies(const struct dep_entry *dep,
                        struct forgetting *forgetting)
{
    for (size_t i = 0;
         i < DEP_GENERATIONS_MAX && forgetting->count < FORGET_MAX; i++) {
        struct generation_entry *generation = dep->generations[i];
        if (generation == NULL || !holds_copies(generation)) {
            continue;
        }
        struct generation_record *next = &forgetting->next[forgetting->count];
        *next = generation->record;
        forget_copies(next);
        forgetting->entries[forgetting->count++] = generation;
    }
}

/* As many as fit: the copies first. */
static void find_all(struct service *service, const struct purge_entry *purge,
                     struct forgetting *forgetting)
{
    struct dep_entry *dep = NULL;
    while ((dep = purge_next_dep(service, purge, dep)) != NULL) {
        find_copies(dep, forgetting);
    }
    while (purge_is_of_tenant(purge) && forgetting->count == 0 &&
           forgetting->dep_count < FORGET_MAX &&
           (dep = purge_next_dep(service, purge, dep)) != NULL) {
        struct dep_record *next = &forgetting->deps_next[forgetting->dep_count];
        enum reason reason = REASON_NONE;
        *next = dep->record;
        if (ak_next(next->ak_state, AK_EV_DESTROY, &next->ak_state, &reason) ==
            HF_OK) {
            forgetting->deps[forgetting->dep_count++] = dep;
        }
    }
}

static HF_STATUS put_deps(struct forgetting *forgetting, struct record *record,
                          struct change *change)
{
    for (size_t i = 0; i < forgetting->dep_count; i++) {
        HF_TRY(dep_encode(&forgetting->deps_next[i], record));
        HF_TRY(change_put(change, record, &forgetting->deps[i]->stamp,
                          &forgetting->dep_stamps[i]));
    }
    return HF_OK;
}

static HF_STATUS put_forgotten(struct service *service,
                               const struct purge_entry *purge,
                               struct forgetting *forgetting,
                               struct change *change)
{
    char object[PURGE_NAME_BYTES];
    struct record *record = calloc(1, sizeof *record);
    enum hf_status status = record == NULL ? HF_E_NO_MEMORY : HF_OK;
    for (size_t i = 0; i < forgetting->count && status == HF_OK; i++) {
        status = generation_encode(&forgetting->next[i], record);
        if (status == HF_OK) {
            status = change_put(change, record, &forgetting->entries[i]->stamp,
                                &forgetting->stamps[i]);
        }
    }
    if (status == HF_OK) {
        status = put_deps(forgetting, record, change);
    }
    free(record);
    HF_TRY(status);
    purge_name(purge, object);
    const struct audit_entry entry = {
        .activity = "PurgeStep",
        .tenant = purge->record.tenant,
        .object = object,
        .details = "{\"forgotten\":\"wrapped copies\"}",
    };
    return audit_change(service, change, &entry);
}

static HF_STATUS forget_some(struct service *service,
                             const struct purge_entry *purge,
                             struct forgetting *forgetting)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    HF_TRY(put_forgotten(service, purge, forgetting, change));
    enum hf_status status = ledger_commit(service->ledger, change);
    if (!admin_is_stored(status)) {
        return status;
    }
    pthread_rwlock_wrlock(&service->catalogue.lock);
    for (size_t i = 0; i < forgetting->count; i++) {
        forgetting->entries[i]->record = forgetting->next[i];
        forgetting->entries[i]->stamp = forgetting->stamps[i];
    }
    for (size_t i = 0; i < forgetting->dep_count; i++) {
        forgetting->deps[i]->record = forgetting->deps_next[i];
        forgetting->deps[i]->stamp = forgetting->dep_stamps[i];
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

HF_STATUS purge_forget_copies(struct service *service,
                              const struct purge_entry *purge, bool *out_none)
{
    enum hf_status status = HF_OK;
    struct forgetting *forgetting = calloc(1, sizeof *forgetting);
    *out_none = false;
    if (forgetting == NULL) {
        return HF_E_NO_MEMORY;
    }
    pthread_mutex_lock(&service->record_lock);
    find_all(service, purge, forgetting);
    *out_none = forgetting->count == 0 && forgetting->dep_count == 0;
    if (!*out_none) {
        status = forget_some(service, purge, forgetting);
    }
    pthread_mutex_unlock(&service->record_lock);
    free(forgetting);
    return status;
}
