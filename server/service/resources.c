#include "server/service/resources.h"

#include "hsm/base/check.h"

#include "server/service/encrypted.h"
#include "server/service/geo_entries.h"
#include "server/service/move_queue.h"
#include "server/service/purges.h"
#include "server/service/wrapped.h"

#include <stdio.h>
#include <stdlib.h>

/* One row per type: how it is called, and what its wraps are bound to. */
struct type_row {
    const char *noun;
    const char *collection;
    uint16_t workload; /* 0: each has its own */
};

static const struct type_row *row_of(enum resource_type type)
{
    static const struct type_row rows[] = {
        {"mailbox",  "mailboxes", WORKLOAD_EXCHANGE  },
        {"workload", "workloads", 0                  },
        {"site",     "sites",     WORKLOAD_SHAREPOINT},
    };
    CHECK(type >= RESOURCE_MAILBOX && type <= RESOURCE_SITE);
    return &rows[type - RESOURCE_MAILBOX];
}

void resource_name(const char *tenant, enum resource_type type, const char *id,
                   char out[RESOURCE_NAME_BYTES])
{
    snprintf(out, RESOURCE_NAME_BYTES, "tenants/%s/%s/%s", tenant,
             row_of(type)->collection, id);
}

const char *resource_noun(enum resource_type type)
{
    return row_of(type)->noun;
}

uint16_t resource_workload(enum resource_type type, const char *id)
{
    if (type != RESOURCE_WORKLOAD) {
        return row_of(type)->workload;
    }
    const struct workload_row *row = workload_by_word(id);
    return row == NULL ? 0 : row->number;
}

const struct workload_row *resource_row(const struct resource_record *record)
{
    return record->type == RESOURCE_WORKLOAD ? workload_by_word(record->id)
                                             : NULL;
}

bool resource_is_covered(const struct resource_record *record)
{
    const struct workload_row *row = resource_row(record);
    return record->type == RESOURCE_MAILBOX ||
           (row != NULL && workload_is_under(row, record->switched_on));
}

enum wrap_purpose resource_purpose(enum resource_type type)
{
    return type == RESOURCE_SITE ? PURPOSE_SITE_KEY : PURPOSE_RESOURCE_KEY;
}

struct dep_entry *resource_wanted_dep(struct service *service,
                                      const struct tenant_entry *tenant,
                                      const struct resource_place *place)
{
    switch (home_of(place->type, place->assigned != NULL,
                    place->covered && tenant->multi_workload != NULL)) {
    case HOME_ASSIGNED:
        return place->assigned;
    case HOME_MULTI_WORKLOAD:
        return tenant->multi_workload;
    case HOME_SERVICE_MANAGED:
        break;
    }
    return catalogue_dep_by_id(&service->catalogue,
                               &tenant->record.service_managed);
}

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

static struct dep_entry *wanted_of(struct service *service,
                                   const struct resource_view *view)
{
    const struct resource_place place = {
        .type = view->record.type,
        .assigned = view->geo != NULL ? view->geo->dep : view->assigned,
        .covered = resource_is_covered(&view->record),
    };
    return resource_wanted_dep(service, view->tenant, &place);
}

bool resource_is_settled(struct service *service,
                         const struct resource_view *view)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool settled = newest(wanted_of(service, view)) == view->wanted;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return settled;
}

bool resource_renews(const struct resource_view *view)
{
    const struct workload_row *row = resource_row(&view->record);
    const struct hf_id *root = &view->facts.service_managed;
    return row != NULL && workload_renews(row) &&
           view->record.earlier_count < RESOURCE_EARLIER_MAX &&
           mailbox_needs_rewrap(&view->facts) &&
           id_equal(&view->facts.effective.dep, root) &&
           !id_equal(&view->facts.wanted.dep, root);
}

/* A site is assigned to its geo, and so to what that is registered with. */
static HF_STATUS look_up_geo(struct service *service,
                             struct resource_view *view)
{
    view->geo =
        catalogue_geo_by_id(&service->catalogue, &view->record.assigned);
    if (view->geo == NULL) {
        return HF_E_CORRUPT;
    }
    view->assigned = view->geo->dep;
    return HF_OK;
}

static HF_STATUS look_up(struct service *service, struct resource_view *view)
{
    const struct resource_record *record = &view->record;
    if (record->type == RESOURCE_SITE) {
        HF_TRY(look_up_geo(service, view));
    } else if (!id_is_nil(&record->assigned)) {
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
    view->wanted = newest(wanted_of(service, view));
    view->facts = (struct mailbox_facts){
        .purged = purges_is_tombstoned_locked(service, &record->tenant,
                                              record->type, record->id),
        .has_key = record->envelope_len > 0,
        .effective = record->effective,
        .service_managed = view->tenant->record.service_managed,
        .wanted = ref_of(view->wanted),
        .move = record->move,
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

HF_STATUS resource_load_by_key(struct service *service,
                               struct tenant_entry *tenant, struct bytes key,
                               struct resource_view *out)
{
    struct record *record = malloc(sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    *out = (struct resource_view){.tenant = tenant};
    enum hf_status status =
        ledger_get(service->ledger, RECORD_RESOURCE, key, record, &out->stamp);
    if (status == HF_OK) {
        status = resource_decode(record, &out->record);
    }
    free(record);
    HF_TRY(status);
    out->line = move_line_of(&out->record);
    out->counted = encrypted_under(&out->record);
    return resource_look_up(service, out);
}

HF_STATUS resource_load(struct service *service, struct tenant_entry *tenant,
                        enum resource_type type, const char *resource_id,
                        struct resource_view *out)
{
    struct record_key key =
        key_of_resource(&tenant->record.id, type, resource_id);
    return resource_load_by_key(service, tenant, record_key_view(&key), out);
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

/* While a roll of the root runs, a retired generation's may be there yet. */
bool resource_wrap_is_gone(struct service *service, const struct dep_ref *ref)
{
    const struct dep_entry *dep =
        catalogue_dep_by_id(&service->catalogue, &ref->dep);
    const struct generation_entry *generation =
        dep == NULL ? NULL : catalogue_generation(dep, ref->generation);
    if (generation == NULL) {
        return false; /* it leads nowhere: somebody else says so */
    }
    if (dep->record.type != DEP_TYPE_SERVICE_MANAGED) {
        return dep->record.state == DEP_PURGED;
    }
    return generation->record.copies[ROOT_AK].wrapped_len == 0 &&
           (dep->record.ak_state == AK_ACTIVE ||
            atomic_load(&generation->root_gone));
}

static bool is_same(const struct dep_ref *a, const struct dep_ref *b)
{
    return a->generation == b->generation && id_equal(&a->dep, &b->dep);
}

/* The stored key or an earlier one is under it. */
static bool is_of_a_key(const struct resource_record *record,
                        const struct dep_ref *ref)
{
    bool found = is_same(&record->effective, ref);
    for (size_t i = 0; i < record->earlier_count && !found; i++) {
        found = is_same(&record->earlier[i].by, ref);
    }
    return found;
}

static void forget_gone(struct service *service, struct resource_record *record)
{
    size_t kept = 0;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (size_t i = 0; i < record->wrap_count; i++) {
        if (is_of_a_key(record, &record->wraps[i]) ||
            !resource_wrap_is_gone(service, &record->wraps[i])) {
            record->wraps[kept++] = record->wraps[i];
        }
    }
    record->wrap_count = kept;
    pthread_rwlock_unlock(&service->catalogue.lock);
}

HF_STATUS resource_note_wrap(struct service *service,
                             struct resource_record *record,
                             const struct generation_entry *generation)
{
    struct dep_ref ref = ref_of(generation);
    for (size_t i = 0; i < record->wrap_count; i++) {
        if (is_same(&record->wraps[i], &ref)) {
            return HF_OK;
        }
    }
    if (record->wrap_count == RESOURCE_WRAPS_MAX) {
        forget_gone(service, record);
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
    HF_TRY(status);
    HF_TRY(move_queue_put(change, &view->record, &view->line));
    HF_TRY(encrypted_move(change, &view->record, &view->counted));
    const struct dep_ref none = {.generation = 0};
    return wrapped_move(change, &view->record,
                        view->facts.has_key ? &view->facts.effective : &none);
}
