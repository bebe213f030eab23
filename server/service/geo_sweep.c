#include "server/service/geo_sweep.h"

#include "server/service/geo_inside.h"
#include "server/service/sweep.h"
#include "server/service/wrapped.h"

#include <stdio.h>
#include <stdlib.h>

#define WAIT_MS 5000

static bool is_of_geo(const struct resource_view *view,
                      const struct operation_record *operation)
{
    return id_equal(&view->record.assigned, &operation->object);
}

static bool is_to_move(const struct resource_view *view,
                       const struct operation_record *operation)
{
    return is_of_geo(view, operation) && mailbox_needs_rewrap(&view->facts);
}

/* The geo, if this operation is still the one it waits for. */
static struct geo_entry *geo_of(const struct operation_step *step)
{
    struct catalogue *catalogue = &step->service->catalogue;
    pthread_rwlock_rdlock(&catalogue->lock);
    struct geo_entry *geo =
        catalogue_geo_by_id(catalogue, &step->record.object);
    bool current =
        geo != NULL && id_equal(&geo->record.operation, &step->record.id);
    pthread_rwlock_unlock(&catalogue->lock);
    return current ? geo : NULL;
}

static void give_up(struct operation_step *step)
{
    snprintf(step->record.error, sizeof step->record.error,
             "overtaken by a later restore of this geo");
    step->finished = false;
    step->gave_up = true;
}

/* S2, S4, S9, with its record. */
static HF_STATUS record_done(struct operation_step *step, struct geo_entry *geo,
                             struct geo_record *next,
                             const struct stamp *current)
{
    struct service *service = step->service;
    char object[GEO_NAME_BYTES];
    char *text = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    struct stamp stamp;
    HF_OWNED(change_freep) struct change *change = NULL;
    snprintf(object, sizeof object, "tenants/%s/geos/%s",
             step->tenant->record.name, next->name);
    HF_TRY(change_new(&change));
    HF_TRY(geo_details(&geo->record, next, &details));
    HF_TRY(geo_put(change, next, current, &stamp));
    HF_TRY(details_text_of(details, &text));
    const struct audit_entry entry = {
        .activity = "GeoSitesDone",
        .tenant = next->tenant,
        .object = object,
        .details = text,
    };
    enum hf_status status = audit_change(service, change, &entry);
    free(text);
    HF_TRY(status);
    status = ledger_commit(service->ledger, change);
    if (admin_is_stored(status)) {
        catalogue_set_geo(service, geo, next, &stamp);
    }
    return status;
}

/* record_lock is held. May run twice: what is REGISTERED stays so. A restore
 * may have begun since the sweep did: that one's sites are not counted here. */
static HF_STATUS finish_locked(struct operation_step *step,
                               struct geo_entry *geo)
{
    struct stamp stamp;
    struct geo_step next_step;
    enum reason reason = REASON_NONE;
    struct geo_record next = geo_copy(step->service, geo, &stamp);
    if (!id_equal(&next.operation, &step->record.id)) {
        give_up(step);
        return HF_OK;
    }
    const struct geo_facts facts = {
        .state = next.state,
        .recovery = next.recovery,
    };
    if (next.state == GEO_REGISTERED ||
        geo_next(&facts, GEO_EV_SITES_DONE, &next_step, &reason) != HF_OK) {
        return HF_OK;
    }
    next.state = next_step.next;
    next.recovery = next_step.recovery;
    if (facts.state == GEO_RECOVERING) {
        geo_clear_recovery(&next);
    }
    next.updated_ms = service_wall_ms(step->service);
    return record_done(step, geo, &next, &stamp);
}

/* 100 only when complete. A walk may pass by before a key that was
 * sealed under an earlier TIK is stored; the index of what wraps what knows
 * better. Of the DEP the geo has, and those it had before. */
static HF_STATUS is_left_behind(struct service *service, struct geo_entry *geo,
                                bool *out_left)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct dep_entry *newest = geo->dep;
    const struct dep_entry *dep = service->catalogue.deps;
    uint32_t generation = newest->record.generation;
    pthread_rwlock_unlock(&service->catalogue.lock);
    *out_left = false;
    while (dep != NULL && !*out_left) {
        pthread_rwlock_rdlock(&service->catalogue.lock);
        const struct dep_entry *next = dep->next;
        bool is_its = dep->geo == geo;
        pthread_rwlock_unlock(&service->catalogue.lock);
        if (is_its) {
            HF_TRY(wrapped_is_left(service, &dep->record.id,
                                   dep == newest ? generation : UINT32_MAX,
                                   out_left));
        }
        dep = next;
    }
    return HF_OK;
}

static void look_again(struct operation_step *step, const char *why)
{
    snprintf(step->record.error, sizeof step->record.error, "%s", why);
    step->finished = false;
    step->record.cursor_len = 0;
    step->wait_ms = WAIT_MS;
}

void geo_sweep_step(struct operation_step *step)
{
    struct geo_entry *geo = geo_of(step);
    if (geo == NULL) {
        give_up(step);
        return;
    }
    sweep_resources_of(step, RESOURCE_SITE, is_of_geo, is_to_move);
    if (!step->finished) {
        return;
    }
    bool left = false;
    enum hf_status status = is_left_behind(step->service, geo, &left);
    if (left) {
        look_again(step, "site keys are still under an earlier TIK");
        return;
    }
    if (status == HF_OK) {
        pthread_mutex_lock(&step->service->record_lock);
        status = finish_locked(step, geo);
        pthread_mutex_unlock(&step->service->record_lock);
    }
    if (!admin_is_stored(status)) {
        look_again(step, hf_status_text(status));
    }
}
