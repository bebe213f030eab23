/* purge_census: which resources a purge is about, and by what their keys were
 * ever wrapped (M8, R-15.15). */
#include "server/service/ak_objects.h"
#include "server/service/purge_book.h"
#include "server/service/resources.h"

#include <stdlib.h>
#include <string.h>

struct walk {
    struct service *service;
    struct tenant_entry *tenant;
    const struct dep_entry *dep;
    bool whole; /* every resource of the tenant, with every root of it */
    struct purge_census *out;
    struct resource_record resource;
};

/* A root that is destroyed opens nothing any more. */
static bool is_gone(struct service *service, const struct hf_id *dep)
{
    const struct dep_entry *entry =
        catalogue_dep_by_id(&service->catalogue, dep);
    return entry != NULL && entry->record.state == DEP_PURGED;
}

static void note_earlier(struct purge_census *census, const struct dep_ref *ref)
{
    for (size_t i = 0; i < census->earlier_count; i++) {
        struct purge_earlier *known = &census->earlier[i];
        if (known->ref.generation == ref->generation &&
            id_equal(&known->ref.dep, &ref->dep)) {
            known->resources++;
            return;
        }
    }
    if (census->earlier_count == PURGE_EARLIER_MAX) {
        census->too_many = true;
        return;
    }
    census->earlier[census->earlier_count++] = (struct purge_earlier){*ref, 1};
}

/* The catalogue's lock is held. */
static void note_marked(struct walk *walk, const struct record *record)
{
    const struct resource_record *resource = &walk->resource;
    struct record_key key = {.len = record->key_len};
    memcpy(key.bytes, record->key, record->key_len);
    walk->out->marked++;
    if (!purges_is_tombstoned(walk->service, &key)) {
        walk->out->unmarked++;
    }
    for (size_t i = 0; i < resource->wrap_count && !walk->whole; i++) {
        const struct dep_ref *ref = &resource->wraps[i];
        /* every generation of the DEP itself goes with it */
        if (!id_equal(&ref->dep, &walk->dep->record.id) &&
            !is_gone(walk->service, &ref->dep)) {
            note_earlier(walk->out, ref);
        }
    }
}

static enum hf_status look(void *context, const struct record *record,
                           const struct stamp *stamp)
{
    struct walk *walk = context;
    const struct hf_id *dep = &walk->dep->record.id;
    (void)stamp;
    HF_TRY(resource_decode(record, &walk->resource));
    const struct purge_resource what = {
        .assigned = walk->whole || id_equal(&walk->resource.assigned, dep),
        .effective = walk->resource.envelope_len > 0 &&
                     id_equal(&walk->resource.effective.dep, dep),
    };
    enum purge_part part = purge_part_of(&what);
    if (part == PURGE_MARKED) {
        pthread_rwlock_rdlock(&walk->service->catalogue.lock);
        note_marked(walk, record);
        pthread_rwlock_unlock(&walk->service->catalogue.lock);
    } else if (part == PURGE_STRAY) {
        walk->out->strays++;
        memcpy(walk->out->stray, walk->resource.id, sizeof walk->out->stray);
    }
    return HF_OK;
}

/* --- retired generations of the tenant's own DEP (R-15.10) -----------------
 */

/* Those of the list whose copy is gone from the store; the version of the root
 * in use comes last. */
struct retired {
    struct dep_record dep;
    uint32_t version[PURGE_EARLIER_MAX + 1];
    struct ak_shown shown[PURGE_EARLIER_MAX + 1];
    size_t count;
};

static void find_retired(struct service *service,
                         const struct tenant_entry *tenant,
                         const struct purge_census *census, struct retired *out)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct dep_entry *dep = catalogue_dep_by_id(
        &service->catalogue, &tenant->record.service_managed);
    for (size_t i = 0; dep != NULL && i < census->earlier_count; i++) {
        const struct dep_ref *ref = &census->earlier[i].ref;
        const struct generation_entry *generation =
            id_equal(&ref->dep, &dep->record.id)
                ? catalogue_generation(dep, ref->generation)
                : NULL;
        if (generation != NULL &&
            generation->record.copies[ROOT_AK].wrapped_len == 0) {
            out->version[out->count++] = ref->generation; /* one root each */
        }
    }
    if (out->count > 0) {
        out->dep = dep->record;
        out->version[out->count] = dep->record.ak_version;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
}

static void drop_earlier(struct purge_census *census, const struct hf_id *dep,
                         uint32_t generation)
{
    size_t kept = 0;
    for (size_t i = 0; i < census->earlier_count; i++) {
        const struct dep_ref *ref = &census->earlier[i].ref;
        if (ref->generation != generation || !id_equal(&ref->dep, dep)) {
            census->earlier[kept++] = census->earlier[i];
        }
    }
    census->earlier_count = kept;
}

/* retired with its root destroyed. The copy is forgotten first, so the
 * token is asked; and "not found" counts only in an enumeration that shows the
 * root in use. What cannot be seen to be gone stays in the list. */
static void drop_retired(struct service *service,
                         const struct tenant_entry *tenant,
                         struct purge_census *census)
{
    struct retired retired = {.count = 0};
    find_retired(service, tenant, census, &retired);
    if (retired.count == 0 ||
        ak_objects_show(service, &retired.dep, retired.version,
                        retired.count + 1, retired.shown) != HF_OK ||
        !retired.shown[retired.count].every) {
        return;
    }
    for (size_t i = 0; i < retired.count; i++) {
        if (!retired.shown[i].any) {
            drop_earlier(census, &retired.dep.id, retired.version[i]);
        }
    }
}

HF_STATUS purge_census_take(struct service *service,
                            struct tenant_entry *tenant,
                            const struct dep_entry *dep,
                            struct purge_census *out)
{
    const struct store_page page = {
        .prefix = BYTES_OF(tenant->record.id.bytes),
        .max = SIZE_MAX,
    };
    struct walk *walk = calloc(1, sizeof *walk);
    if (walk == NULL) {
        return HF_E_NO_MEMORY;
    }
    *out = (struct purge_census){.marked = 0};
    walk->service = service;
    walk->tenant = tenant;
    walk->dep = dep;
    walk->whole = dep->record.type == DEP_TYPE_SERVICE_MANAGED;
    walk->out = out;
    enum hf_status status =
        ledger_each(service->ledger, RECORD_RESOURCE, &page, look, walk);
    free(walk);
    if (status == HF_OK) {
        drop_retired(service, tenant, out);
    }
    return status;
}
