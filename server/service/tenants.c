#include "server/service/tenants.h"

#include "server/service/admin.h"
#include "server/service/ak_copies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void object_name(const char *tenant, char *out, size_t cap)
{
    snprintf(out, cap, "tenants/%s", tenant);
}
#define OBJECT_NAME_BYTES (HF_NAME_MAX_BYTES + 16)

/* The catalogue's lock is held. */
static void fill_view(const struct tenant_entry *tenant,
                      struct tenant_view *out)
{
    *out = (struct tenant_view){
        .id = tenant->record.id,
        .production = tenant->record.production,
        .licensed = tenant->record.licensed,
        .deleted = tenant->ended,
        .created_ms = tenant->record.created_ms,
    };
    memcpy(out->name, tenant->record.name, sizeof out->name);
    etag_write(&tenant->stamp, out->etag);
}

static void show(struct service *service, const struct tenant_entry *tenant,
                 struct tenant_view *out)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    fill_view(tenant, out);
    pthread_rwlock_unlock(&service->catalogue.lock);
}

/* --- create ------------------------------------------------------------- */

/* Everything a new tenant is made of. */
struct making {
    struct tenant_entry *tenant;
    struct dep_entry *dep;
    struct generation_entry *generation;
    bool stored; /* its root must stay, whatever comes after */
};

static void making_free(struct making *making)
{
    free(making->tenant);
    free(making->dep);
    generation_entry_free(making->generation);
}

static HF_STATUS making_new(struct service *service,
                            const struct tenant_create *request,
                            struct making *making)
{
    struct rng const *rng = service->settings.rng;
    int64_t now_ms = service_wall_ms(service);
    making->tenant = calloc(1, sizeof *making->tenant);
    making->dep = calloc(1, sizeof *making->dep);
    making->generation = generation_entry_new();
    if (making->tenant == NULL || making->dep == NULL ||
        making->generation == NULL) {
        return HF_E_NO_MEMORY;
    }
    struct tenant_record *tenant = &making->tenant->record;
    struct dep_record *dep = &making->dep->record;
    HF_TRY(rng_id(rng, &tenant->id));
    HF_TRY(rng_id(rng, &dep->id));
    memcpy(tenant->name, request->name, sizeof tenant->name);
    tenant->production = request->production;
    tenant->licensed = request->licensed;
    tenant->service_managed = dep->id;
    tenant->created_ms = now_ms;
    dep->tenant = tenant->id;
    dep->type = DEP_TYPE_SERVICE_MANAGED;
    snprintf(dep->name, sizeof dep->name, "service-managed");
    dep->state = DEP_ENABLED;
    dep->residency = RESIDENCY_TOKEN;
    dep->key_lease_ms = HF_KEY_LEASE_DEFAULT_MS;
    dep->created_ms = now_ms;
    dep->updated_ms = now_ms;
    return HF_OK;
}

static HF_STATUS put_parts(struct making *making, struct record *record,
                           struct change *change)
{
    const struct stamp none = {.version = 0};
    HF_TRY(tenant_encode(&making->tenant->record, record));
    HF_TRY(change_put(change, record, &none, &making->tenant->stamp));
    HF_TRY(dep_encode(&making->dep->record, record));
    HF_TRY(change_put(change, record, &none, &making->dep->stamp));
    HF_TRY(generation_encode(&making->generation->record, record));
    HF_TRY(change_put(change, record, &none, &making->generation->stamp));
    const struct hf_id nobody = {{0}};
    return put_name(change, NAME_TENANT, &nobody, making->tenant->record.name,
                    &making->tenant->record.id);
}

static void note(struct details *details, const struct tenant_record *before,
                 const struct tenant_record *after)
{
    details_flag(details, "production", before->production, after->production);
    details_flag(details, "licensed", before->licensed, after->licensed);
}

static HF_STATUS make_change(const struct admin *admin, struct making *making,
                             struct change *change)
{
    const struct tenant_record none = {.production = false};
    char object[OBJECT_NAME_BYTES];
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(details_new(DETAILS_OF_NEW, &details));
    note(details, &none, &making->tenant->record);
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = put_parts(making, record, change);
    free(record);
    HF_TRY(status);
    object_name(making->tenant->record.name, object, sizeof object);
    return admin_finish_change(admin, change, object, details,
                               &making->tenant->record.id);
}

/* What the catalogue takes over is no longer the maker's. */
static HF_STATUS take_over(struct service *service, struct making *making)
{
    HF_TRY(catalogue_add_tenant(service, making->tenant));
    making->tenant = NULL;
    HF_TRY(catalogue_add_dep(service, making->dep, making->generation));
    making->dep = NULL;
    making->generation = NULL;
    return HF_OK;
}

static HF_STATUS record_tenant(const struct admin *admin, struct making *making,
                               struct tenant_view *out)
{
    struct service *service = admin->service;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    pthread_mutex_lock(&service->record_lock);
    struct tenant_entry *entry = making->tenant;
    enum hf_status status = ak_copies_may_record(
        service, making->dep->record.type, &making->generation->record);
    if (status == HF_OK) {
        status = make_change(admin, making, change);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    making->stored = admin_is_stored(status);
    if (making->stored) {
        enum hf_status taken = take_over(service, making);
        if (taken == HF_OK) {
            show(service, entry, out);
        } else {
            status = taken;
        }
    }
    pthread_mutex_unlock(&service->record_lock);
    return status;
}

static HF_STATUS create(const struct admin *admin,
                        const struct tenant_create *request,
                        struct making *making, struct tenant_view *out)
{
    struct service *service = admin->service;
    enum hf_status status = making_new(service, request, making);
    if (status != HF_OK) {
        return admin_answer(admin, status);
    }
    struct dep_key_plan plan = {
        .dep = &making->dep->record,
        .generation = &making->generation->record,
    };
    struct dep_record made;
    status = dep_make_keys(service, &plan);
    if (status != HF_OK) {
        return problem_set(admin->problem, REASON_SERVICE_UNAVAILABLE,
                           "the tenant's service-managed root could not be "
                           "made: %s",
                           hf_status_text(status));
    }
    made = making->dep->record;
    status = record_tenant(admin, making, out);
    if (!making->stored) {
        dep_unmake_keys(service, &made);
    }
    if (status == HF_E_EXISTS) {
        return problem_set(admin->problem, REASON_NAME_TAKEN,
                           "tenant %s exists", request->name);
    }
    return admin_answer(admin, status);
}

HF_STATUS tenants_create(struct service *service, const struct caller *caller,
                         const struct tenant_create *request,
                         struct tenant_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_CREATE_TENANT,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct making making = {.tenant = NULL};
    HF_TRY(name_check("tenant_id", request->name, problem));
    HF_TRY(admin_begin(&admin, ""));
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct tenant_entry *existing =
        catalogue_tenant(&service->catalogue, request->name);
    if (existing != NULL) {
        fill_view(existing, out);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (existing != NULL) {
        return admin.seen ? HF_OK
                          : problem_set(problem, REASON_NAME_TAKEN,
                                        "tenant %s exists", request->name);
    }
    if (request->mutation.validate_only) {
        *out = (struct tenant_view){.production = request->production,
                                    .licensed = request->licensed};
        memcpy(out->name, request->name, sizeof out->name);
        return HF_OK;
    }
    enum hf_status status = create(&admin, request, &making, out);
    making_free(&making);
    return status;
}

/* --- look at ------------------------------------------------------------ */

HF_STATUS tenants_get(struct service *service, const struct caller *caller,
                      const char *tenant, struct tenant_view *out,
                      struct problem *problem)
{
    struct tenant_entry *entry = NULL;
    HF_TRY(service_admit(service, caller, VERB_GET_TENANT, tenant, &entry,
                         problem));
    show(service, entry, out);
    return HF_OK;
}

HF_STATUS tenants_list(struct service *service, const struct caller *caller,
                       const struct page_request *page, struct tenant_list *out,
                       struct problem *problem)
{
    struct page_walk walk;
    HF_TRY(
        service_admit(service, caller, VERB_LIST_TENANTS, "", NULL, problem));
    HF_TRY(page_begin(page, out->cap, &walk, problem));
    bool showing = walk.from_start;
    out->count = 0;
    out->next[0] = '\0';
    /* so that no change is recorded and not yet in the catalogue */
    pthread_mutex_lock(&service->record_lock);
    out->epoch = ledger_epoch(service->ledger);
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct tenant_entry *tenant = service->catalogue.tenants;
         tenant != NULL; tenant = tenant->next) {
        if (showing && out->count == walk.size) {
            id_format(&out->views[out->count - 1].id, out->next);
            break;
        }
        if (showing) {
            fill_view(tenant, &out->views[out->count++]);
        } else {
            showing = id_equal(&tenant->record.id, &walk.after);
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    pthread_mutex_unlock(&service->record_lock);
    return HF_OK;
}

/* --- change ------------------------------------------------------------- */

static HF_STATUS put_tenant(const struct tenant_record *tenant,
                            const struct stamp *stamp, struct change *change,
                            struct stamp *out_next)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = tenant_encode(tenant, record);
    if (status == HF_OK) {
        status = change_put(change, record, stamp, out_next);
    }
    free(record);
    return status;
}

/* record_lock is held: nobody else writes this record. */
static HF_STATUS update_locked(const struct admin *admin,
                               const struct tenant_update *request)
{
    struct service *service = admin->service;
    struct tenant_entry *entry = admin->tenant;
    struct tenant_record next = entry->record;
    struct stamp stamp = {.version = 0};
    char object[OBJECT_NAME_BYTES];
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(etag_check(request->mutation.etag, &entry->stamp, admin->problem));
    if (request->set_production) {
        next.production = request->production;
    }
    if (request->set_licensed) {
        next.licensed = request->licensed;
    }
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    object_name(next.name, object, sizeof object);
    enum hf_status status = details_new(DETAILS_OF_CHANGE, &details);
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = put_tenant(&next, &entry->stamp, change, &stamp);
    }
    if (status == HF_OK) {
        note(details, &entry->record, &next);
        status = admin_finish_change(admin, change, object, details, &next.id);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (admin_is_stored(status)) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        entry->record = next;
        entry->stamp = stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    return admin_answer(admin, status);
}

HF_STATUS tenants_update(struct service *service, const struct caller *caller,
                         const struct tenant_update *request,
                         struct tenant_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_UPDATE_TENANT,
        .mutation = &request->mutation,
        .problem = problem,
    };
    HF_TRY(admin_begin(&admin, request->name));
    if (!admin.seen) {
        pthread_mutex_lock(&service->record_lock);
        enum hf_status status = update_locked(&admin, request);
        pthread_mutex_unlock(&service->record_lock);
        HF_TRY(status);
    }
    show(service, admin.tenant, out);
    return HF_OK;
}
