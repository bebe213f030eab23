#include "server/service/dep_view.h"
#include "server/service/geo_inside.h"
#include "server/service/leases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct geo_entry *geo_find(struct service *service,
                           const struct tenant_entry *tenant, const char *name)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct geo_entry *geo = catalogue_geo(&service->catalogue, tenant, name);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return geo;
}

/* The catalogue's lock is held.: by itself, a window that is over closes.
 */
static struct geo_record record_now(struct service *service,
                                    const struct geo_entry *geo)
{
    struct geo_record record = geo->record;
    enum geo_recovery recovery =
        geo_recovery_now(record.recovery, record.requested_ms, record.until_ms,
                         service_wall_ms(service));
    if (recovery != record.recovery) {
        geo_clear_recovery(&record);
    }
    return record;
}

struct geo_record geo_copy(struct service *service, const struct geo_entry *geo,
                           struct stamp *out_stamp)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct geo_record record = record_now(service, geo);
    *out_stamp = geo->stamp;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return record;
}

void geo_object_name(const struct admin *admin, const char *geo,
                     char out[GEO_NAME_BYTES])
{
    snprintf(out, GEO_NAME_BYTES, "tenants/%s/geos/%s",
             admin->tenant->record.name, geo);
}

HF_STATUS geo_count_sites(struct service *service, const struct hf_id *geo,
                          uint64_t *out_count)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(ledger_store(service->ledger), STORE_READ, &txn));
    return store_count(txn, RECORD_ASSIGNED, BYTES_OF(geo->bytes), out_count);
}

/* --- the view ----------------------------------------------------------- */

static void fill_tik(struct service *service,
                     struct generation_entry *generation, struct geo_view *out)
{
    int64_t now_ms = service_monotonic_ms(service);
    pthread_mutex_lock(&generation->lock);
    const struct lease *lease = generation->lease;
    out->tik_cached = lease != NULL && now_ms < lease->expires_ms;
    out->tik_refresh_failing = out->tik_cached && generation->tik.alerted;
    if (out->tik_cached) {
        out->tik_expires_ms =
            service_wall_ms(service) + lease->expires_ms - now_ms;
    }
    pthread_mutex_unlock(&generation->lock);
}

/* The catalogue's lock is held. */
static void fill(struct service *service, const struct geo_entry *geo,
                 struct geo_view *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->tenant, geo->tenant->record.name, sizeof out->tenant);
    out->record = record_now(service, geo);
    etag_write(&geo->stamp, out->etag);
    if (geo->dep == NULL) {
        return;
    }
    struct dep_view dep;
    dep_fill_view(service, geo->dep, &dep);
    out->dep = dep.record;
    memcpy(out->keys, dep.keys, sizeof out->keys);
    fill_tik(service,
             catalogue_generation(geo->dep, geo->dep->record.generation), out);
}

static HF_STATUS percent_of(struct service *service, struct geo_view *view)
{
    struct stamp stamp;
    if (view->record.state == GEO_UNREGISTERED ||
        view->record.state == GEO_REGISTERED) {
        view->percent = view->record.state == GEO_REGISTERED ? 100 : 0;
        return HF_OK;
    }
    struct record_key key =
        key_of_pair(&view->record.tenant, &view->record.operation);
    struct operation_record operation = {.percent = 0};
    struct record *record = malloc(sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = ledger_get(service->ledger, RECORD_OPERATION,
                                       record_key_view(&key), record, &stamp);
    if (status == HF_OK) {
        status = operation_decode(record, &operation);
    }
    free(record);
    /* 100 is said by the geo's own state, when that is recorded */
    view->percent = operation.percent < 100 ? operation.percent : 99;
    return status;
}

/* What the store knows of it. */
static HF_STATUS fill_counts(struct service *service, struct geo_view *view)
{
    HF_TRY(geo_count_sites(service, &view->record.id, &view->site_count));
    return percent_of(service, view);
}

HF_STATUS geo_show(const struct admin *admin, const char *name,
                   struct geo_view *out)
{
    struct service *service = admin->service;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct geo_entry *geo =
        catalogue_geo(&service->catalogue, admin->tenant, name);
    if (geo != NULL) {
        fill(service, geo, out);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (geo == NULL) {
        return problem_set(admin->problem, REASON_NOT_FOUND, "no such geo");
    }
    return problem_of_status(admin->problem, fill_counts(service, out));
}

HF_STATUS geos_get(struct service *service, const struct caller *caller,
                   const char *tenant, const char *geo, struct geo_view *out,
                   struct problem *problem)
{
    struct admin admin = {.service = service, .problem = problem};
    HF_TRY(service_admit(service, caller, VERB_GET_GEO, tenant, &admin.tenant,
                         problem));
    return geo_show(&admin, geo, out);
}

HF_STATUS geos_list(struct service *service, const struct caller *caller,
                    const char *tenant, const struct page_request *page,
                    struct geo_list *out, struct problem *problem)
{
    struct tenant_entry *owner = NULL;
    struct page_walk walk;
    HF_TRY(service_admit(service, caller, VERB_LIST_GEOS, tenant, &owner,
                         problem));
    HF_TRY(page_begin(page, out->cap, &walk, problem));
    bool showing = walk.from_start;
    out->count = 0;
    out->next[0] = '\0';
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct geo_entry *geo = service->catalogue.geos; geo != NULL;
         geo = geo->next) {
        if (geo->tenant != owner) {
            continue;
        }
        if (showing && out->count == walk.size) {
            id_format(&out->views[out->count - 1].record.id, out->next);
            break;
        }
        if (showing) {
            fill(service, geo, &out->views[out->count++]);
        } else {
            showing = id_equal(&geo->record.id, &walk.after);
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    enum hf_status status = HF_OK;
    for (size_t i = 0; i < out->count && status == HF_OK; i++) {
        status = fill_counts(service, &out->views[i]);
    }
    return problem_of_status(problem, status);
}
