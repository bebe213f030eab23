#include "server/service/resources.h"

#include <stdlib.h>

static struct generation_entry *entry_of(struct service *service,
                                         const struct dep_ref *ref)
{
    struct dep_entry *dep = catalogue_dep_by_id(&service->catalogue, &ref->dep);
    return dep == NULL ? NULL : catalogue_generation(dep, ref->generation);
}

static struct generation_entry *newest(const struct dep_entry *dep)
{
    return dep == NULL ? NULL
                       : catalogue_generation(dep, dep->record.generation);
}

static struct dep_ref ref_of(const struct generation_entry *generation)
{
    struct dep_ref ref = {.generation = 0};
    if (generation != NULL) {
        ref.dep = generation->record.dep;
        ref.generation = generation->record.generation;
    }
    return ref;
}

static HF_STATUS look_up(struct service *service, struct resource_view *view)
{
    const struct resource_record *record = &view->record;
    struct dep_entry *service_managed = catalogue_dep_by_id(
        &service->catalogue, &view->tenant->record.service_managed);
    const struct dep_ref no_multi_workload = {.generation = 0};
    if (!id_is_nil(&record->assigned)) {
        view->assigned =
            catalogue_dep_by_id(&service->catalogue, &record->assigned);
        if (view->assigned == NULL) {
            return HF_E_CORRUPT;
        }
    }
    if (record->envelope_len > 0) {
        view->effective = entry_of(service, &record->effective);
        if (view->effective == NULL) {
            return HF_E_CORRUPT;
        }
    }
    struct dep_ref assigned = ref_of(newest(view->assigned));
    struct dep_ref managed = ref_of(newest(service_managed));
    struct dep_ref wanted =
        mailbox_wanted(&assigned, &no_multi_workload, &managed);
    view->wanted = entry_of(service, &wanted);
    view->facts = (struct mailbox_facts){
        .has_key = record->envelope_len > 0,
        .effective = record->effective,
        .service_managed = view->tenant->record.service_managed,
        .wanted = wanted,
    };
    return view->wanted == NULL ? HF_E_CORRUPT : HF_OK;
}

HF_STATUS resource_look_up(struct service *service, struct resource_view *view)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    enum hf_status status = look_up(service, view);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

HF_STATUS resource_load(struct service *service, struct tenant_entry *tenant,
                        const char *resource_id, struct resource_view *out)
{
    struct record_key key =
        key_of_resource(&tenant->record.id, RESOURCE_MAILBOX, resource_id);
    struct record *record = malloc(sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    *out = (struct resource_view){.tenant = tenant};
    enum hf_status status =
        ledger_get(service->ledger, RECORD_RESOURCE, record_key_view(&key),
                   record, &out->stamp);
    if (status == HF_OK) {
        status = resource_decode(record, &out->record);
    }
    free(record);
    HF_TRY(status);
    return resource_look_up(service, out);
}

struct generation_entry *resource_generation(struct service *service,
                                             const struct resource_view *view,
                                             const struct hf_id *dep,
                                             uint32_t generation)
{
    const struct resource_record *record = &view->record;
    struct generation_entry *entry = NULL;
    for (size_t i = 0; i < record->wrap_count; i++) {
        if (record->wraps[i].generation == generation &&
            id_equal(&record->wraps[i].dep, dep)) {
            pthread_rwlock_rdlock(&service->catalogue.lock);
            entry = entry_of(service, &record->wraps[i]);
            pthread_rwlock_unlock(&service->catalogue.lock);
        }
    }
    return entry;
}

HF_STATUS resource_note_wrap(struct resource_record *record,
                             const struct generation_entry *generation)
{
    struct dep_ref ref = ref_of(generation);
    for (size_t i = 0; i < record->wrap_count; i++) {
        if (record->wraps[i].generation == ref.generation &&
            id_equal(&record->wraps[i].dep, &ref.dep)) {
            return HF_OK;
        }
    }
    if (record->wrap_count == RESOURCE_WRAPS_MAX) {
        return HF_E_LIMIT;
    }
    record->wraps[record->wrap_count++] = ref;
    return HF_OK;
}

HF_STATUS resource_put(const struct resource_view *view, struct change *change,
                       struct stamp *out_next)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = resource_encode(&view->record, record);
    if (status == HF_OK) {
        status = change_put(change, record, &view->stamp, out_next);
    }
    free(record);
    return status;
}
