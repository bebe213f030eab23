/* geo_change: what every change of a geo is made of, and those that touch
 * nothing but its record: the steps of a recovery, and the flush. */
#include "server/service/customer_key_view.h"
#include "server/service/geo_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void geo_clear_recovery(struct geo_record *geo)
{
    geo->recovery = GEO_RECOVERY_NONE;
    memset(geo->requested_by, 0, sizeof geo->requested_by);
    memset(geo->enabled_by, 0, sizeof geo->enabled_by);
    memset(geo->confirmed_by, 0, sizeof geo->confirmed_by);
    memset(geo->ticket, 0, sizeof geo->ticket);
    geo->requested_ms = 0;
    geo->window_ms = 0;
    geo->until_ms = 0;
}

/* --- deciding ----------------------------------------------------------- */

static HF_STATUS explain(const struct admin *admin,
                         const struct geo_record *geo, enum reason reason)
{
    static const struct {
        enum reason reason;
        const char *text;
    } texts[] = {
        {REASON_ALREADY_REGISTERED,
         "this geo is registered; RollGeoKey changes "
         "one of its keys"                                                                                   },
        {REASON_GEO_NOT_REGISTERED,     "this geo has no customer keys; "
                                    "RegisterGeo gives it two"            },
        {REASON_ROLL_IN_PROGRESS,       "one of its keys is being rolled; wait for "
                                  "that to end"                             },
        {REASON_RECOVERY_NOT_ENABLED,   "a restore needs a recovery that was "
                                      "requested, enabled and confirmed"},
        {REASON_SECOND_PERSON_REQUIRED, "this takes another person than those "
                                        "who took the steps before"   },
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].reason == reason) {
            return problem_set(admin->problem, reason, "%s", texts[i].text);
        }
    }
    return problem_set(admin->problem, reason,
                       "a geo that is %s, with recovery %s, cannot do this",
                       geo_state_text(geo->state),
                       geo_recovery_text(geo->recovery));
}

static bool took_part(const struct admin *admin, const struct geo_record *geo)
{
    const char *who = admin->caller->identity;
    return strcmp(who, geo->requested_by) == 0 ||
           strcmp(who, geo->enabled_by) == 0;
}

/* */
static bool is_to_be_purged(struct service *service,
                            const struct geo_record *geo)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct dep_entry *dep =
        catalogue_dep_by_id(&service->catalogue, &geo->dep);
    bool purge = dep != NULL && dep->record.state != DEP_ENABLED;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return purge;
}

HF_STATUS geo_decide(const struct admin *admin, const struct geo_record *geo,
                     enum geo_event event, struct geo_step *step)
{
    enum reason reason = REASON_NONE;
    const struct geo_facts facts = {
        .state = geo->state,
        .recovery = geo->recovery,
        .purge_requested = is_to_be_purged(admin->service, geo),
        .took_part = took_part(admin, geo),
    };
    return geo_next(&facts, event, step, &reason) == HF_OK
               ? HF_OK
               : explain(admin, geo, reason);
}

/* --- records ------------------------------------------------------------ */

static size_t count_geos(struct service *service,
                         const struct tenant_entry *tenant)
{
    size_t count = 0;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct geo_entry *geo = service->catalogue.geos; geo != NULL;
         geo = geo->next) {
        count += geo->tenant == tenant;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return count;
}

HF_STATUS geo_new(const struct admin *admin, const char *name,
                  struct geo_record *out)
{
    struct service *service = admin->service;
    *out = (struct geo_record){.state = GEO_UNREGISTERED};
    HF_TRY(name_check("geo_id", name, admin->problem));
    if (count_geos(service, admin->tenant) >= GEOS_MAX) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "a tenant has at most %d geos", GEOS_MAX);
    }
    enum hf_status status = rng_id(service->settings.rng, &out->id);
    out->tenant = admin->tenant->record.id;
    size_t len = strnlen(name, sizeof out->name - 1);
    memcpy(out->name, name, len);
    out->created_ms = service_wall_ms(service);
    out->updated_ms = out->created_ms;
    return problem_of_status(admin->problem, status);
}

HF_STATUS geo_put(struct change *change, const struct geo_record *geo,
                  const struct stamp *current, struct stamp *out_next)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = geo_encode(geo, record);
    if (status == HF_OK) {
        status = change_put(change, record, current, out_next);
    }
    free(record);
    HF_TRY(status);
    return current->version > 0
               ? HF_OK
               : put_name(change, NAME_GEO, &geo->tenant, geo->name, &geo->id);
}

HF_STATUS geo_adopt(struct service *service, struct geo_entry *geo,
                    const struct geo_record *next, const struct stamp *stamp)
{
    if (geo != NULL) {
        catalogue_set_geo(service, geo, next, stamp);
        return HF_OK;
    }
    struct geo_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return HF_E_NO_MEMORY;
    }
    entry->record = *next;
    entry->stamp = *stamp;
    enum hf_status status = catalogue_add_geo(service, entry);
    if (status != HF_OK) {
        free(entry);
    }
    return status;
}

HF_STATUS geo_find_version(const struct admin *admin,
                           const struct geo_key_ref *ref,
                           struct key_entry **out_key,
                           struct key_version_entry **out_version)
{
    struct service *service = admin->service;
    struct key_entry *key =
        customer_key_find(service, admin->tenant, ref->name);
    struct key_version_entry *version = NULL;
    if (key != NULL && ref->version > 0 && ref->version <= KEY_VERSIONS_MAX) {
        pthread_rwlock_rdlock(&service->catalogue.lock);
        version = key->versions[ref->version - 1];
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    if (version == NULL) {
        return problem_set(admin->problem, REASON_NOT_FOUND,
                           "no such customer key, or no such version of it");
    }
    *out_key = key;
    *out_version = version;
    return HF_OK;
}

/* --- recovery ----------------------------------------------------------- */

static void take_step(const struct admin *admin,
                      const struct geo_recovery_request *request,
                      enum geo_event event, struct geo_record *next)
{
    int64_t now_ms = service_wall_ms(admin->service);
    const char *who = admin->caller->identity;
    if (event == GEO_EV_REQUEST_RECOVERY) {
        memcpy(next->requested_by, who, sizeof next->requested_by);
        next->requested_ms = now_ms;
    } else if (event == GEO_EV_ENABLE_RECOVERY) {
        memcpy(next->enabled_by, who, sizeof next->enabled_by);
        memcpy(next->ticket, request->ticket, sizeof next->ticket);
        next->window_ms = request->window_ms == 0 ? GEO_RECOVERY_WINDOW_MS
                                                  : request->window_ms;
    } else {
        memcpy(next->confirmed_by, who, sizeof next->confirmed_by);
        next->until_ms = now_ms + next->window_ms;
    }
    next->updated_ms = now_ms;
}

static HF_STATUS record_step(const struct admin *admin, struct geo_entry *geo,
                             const struct geo_record *next,
                             const struct stamp *current)
{
    struct service *service = admin->service;
    char object[GEO_NAME_BYTES];
    struct stamp stamp;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    geo_object_name(admin, next->name, object);
    HF_TRY(geo_details(&geo->record, next, &details));
    HF_TRY(change_new(&change));
    HF_TRY(geo_put(change, next, current, &stamp));
    HF_TRY(admin_finish_change(admin, change, object, details, &next->id));
    enum hf_status status = ledger_commit(service->ledger, change);
    if (admin_is_stored(status)) {
        HF_IGNORE(geo_adopt(service, geo, next, &stamp), "it is there");
    }
    return status;
}

/* record_lock is held. */
static HF_STATUS step_locked(const struct admin *admin,
                             const struct geo_recovery_request *request,
                             struct geo_entry *geo, enum geo_event event)
{
    struct stamp stamp;
    struct geo_step step;
    struct geo_record next = geo_copy(admin->service, geo, &stamp);
    HF_TRY(etag_check(request->mutation.etag, &stamp, admin->problem));
    HF_TRY(geo_decide(admin, &next, event, &step));
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    next.state = step.next;
    next.recovery = step.recovery;
    take_step(admin, request, event, &next);
    return admin_answer(admin, record_step(admin, geo, &next, &stamp));
}

static HF_STATUS recovery_step(struct admin *admin,
                               const struct geo_recovery_request *request,
                               enum geo_event event, struct geo_view *out)
{
    HF_TRY(admin_begin(admin, request->tenant));
    struct geo_entry *geo =
        geo_find(admin->service, admin->tenant, request->geo);
    if (geo == NULL) {
        return problem_set(admin->problem, REASON_NOT_FOUND, "no such geo");
    }
    if (!admin->seen) {
        pthread_mutex_lock(&admin->service->record_lock);
        enum hf_status status = step_locked(admin, request, geo, event);
        pthread_mutex_unlock(&admin->service->record_lock);
        HF_TRY(status);
    }
    return geo_show(admin, request->geo, out);
}

HF_STATUS geos_request_recovery(struct service *service,
                                const struct caller *caller,
                                const struct geo_recovery_request *request,
                                struct geo_view *out, struct problem *problem)
{
    struct admin admin = {.service = service,
                          .caller = caller,
                          .verb = VERB_REQUEST_RECOVERY,
                          .mutation = &request->mutation,
                          .problem = problem};
    return recovery_step(&admin, request, GEO_EV_REQUEST_RECOVERY, out);
}

HF_STATUS geos_enable_recovery(struct service *service,
                               const struct caller *caller,
                               const struct geo_recovery_request *request,
                               struct geo_view *out, struct problem *problem)
{
    struct admin admin = {.service = service,
                          .caller = caller,
                          .verb = VERB_ENABLE_RECOVERY,
                          .mutation = &request->mutation,
                          .problem = problem};
    if (request->ticket[0] == '\0') {
        return problem_field(problem, "ticket",
                             "must say on whose order, in 1 to %d bytes",
                             TICKET_MAX_BYTES);
    }
    if (request->window_ms < 0 ||
        request->window_ms > GEO_RECOVERY_WINDOW_MAX_MS) {
        return problem_field(problem, "window", "must be 0 to %lld hours",
                             GEO_RECOVERY_WINDOW_MAX_MS / 3600000);
    }
    return recovery_step(&admin, request, GEO_EV_ENABLE_RECOVERY, out);
}

HF_STATUS geos_confirm_recovery(struct service *service,
                                const struct caller *caller,
                                const struct geo_recovery_request *request,
                                struct geo_view *out, struct problem *problem)
{
    struct admin admin = {.service = service,
                          .caller = caller,
                          .verb = VERB_CONFIRM_RECOVERY,
                          .mutation = &request->mutation,
                          .problem = problem};
    return recovery_step(&admin, request, GEO_EV_CONFIRM_RECOVERY, out);
}

/* --- flush -------------------------------------------------------------- */

static HF_STATUS record_flush(const struct admin *admin,
                              const struct geo_record *geo)
{
    char object[GEO_NAME_BYTES];
    HF_OWNED(change_freep) struct change *change = NULL;
    geo_object_name(admin, geo->name, object);
    HF_TRY(change_new(&change));
    HF_TRY(admin_finish_change(admin, change, object, NULL, &geo->id));
    return ledger_commit(admin->service->ledger, change);
}

/* Every DEP the geo had: those of before a restore may be cached as well. */
static void end_entries(struct service *service, const struct geo_entry *geo)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_entry *dep = service->catalogue.deps;
    pthread_rwlock_unlock(&service->catalogue.lock);
    while (dep != NULL) {
        if (dep->geo == geo) {
            leases_narrow_for_dep(service, dep);
            leases_settle_for_dep(service, dep);
        }
        pthread_rwlock_rdlock(&service->catalogue.lock);
        dep = dep->next;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
}

HF_STATUS geos_flush(struct service *service, const struct caller *caller,
                     const struct geo_flush *request, struct geo_view *out,
                     struct problem *problem)
{
    struct admin admin = {.service = service,
                          .caller = caller,
                          .verb = VERB_FLUSH_TIK,
                          .mutation = &request->mutation,
                          .problem = problem};
    struct stamp stamp;
    struct geo_step step;
    HF_TRY(admin_begin(&admin, request->tenant));
    struct geo_entry *geo = geo_find(service, admin.tenant, request->geo);
    if (geo == NULL) {
        return problem_set(problem, REASON_NOT_FOUND, "no such geo");
    }
    struct geo_record record = geo_copy(service, geo, &stamp);
    if (record.state == GEO_UNREGISTERED) {
        return geo_decide(&admin, &record, GEO_EV_ROLL, &step);
    }
    if (!request->mutation.validate_only) {
        end_entries(service, geo);
    }
    if (!admin.seen && !request->mutation.validate_only) {
        HF_TRY(admin_answer(&admin, record_flush(&admin, &record)));
    }
    return geo_show(&admin, request->geo, out);
}
