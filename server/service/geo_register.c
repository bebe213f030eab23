/* geo_register: a geo gets a DEP: S1, and S8 after a loss. The DEP's key is the
 * TIK; the operation that begins with it brings the site keys under it. */
#include "server/service/ak_copies.h"
#include "server/service/ak_tokens.h"
#include "server/service/dep_generation.h"
#include "server/service/dep_view.h"
#include "server/service/geo_inside.h"
#include "server/service/key_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything a new DEP of a geo is made of. */
struct making {
    struct geo_entry *geo; /* NULL: nobody named it before */
    struct dep_entry *dep;
    struct generation_entry *generation;
    struct operation_entry *operation;
    struct geo_record next;
    struct stamp from; /* the geo's */
    struct stamp stamp;
    uint8_t ak_fingerprint[HF_SHA256_BYTES];
    bool stored; /* its availability key must stay, whatever comes after */
};

static void making_free(struct making *making)
{
    free(making->dep);
    generation_entry_free(making->generation);
    if (making->operation != NULL) {
        operation_drop(making->operation);
    }
}

static enum geo_event event_of(const struct admin *admin)
{
    return admin->verb == VERB_RESTORE_GEO ? GEO_EV_RESTORE : GEO_EV_REGISTER;
}

/* --- looking ------------------------------------------------------------ */

/* The geo as it is now; for a registration it may be one nobody named. */
static HF_STATUS look(const struct admin *admin,
                      const struct geo_register *request, struct making *making)
{
    struct geo_step step;
    making->geo = geo_find(admin->service, admin->tenant, request->geo);
    making->from = (struct stamp){.version = 0};
    if (making->geo != NULL) {
        making->next = geo_copy(admin->service, making->geo, &making->from);
    } else if (event_of(admin) == GEO_EV_REGISTER) {
        HF_TRY(geo_new(admin, request->geo, &making->next));
    } else {
        return problem_set(admin->problem, REASON_NOT_FOUND, "no such geo");
    }
    HF_TRY(etag_check(request->mutation.etag, &making->from, admin->problem));
    HF_TRY(geo_decide(admin, &making->next, event_of(admin), &step));
    making->next.state = step.next;
    making->next.recovery = step.recovery;
    return HF_OK;
}

/* exact versions, and the whole validation on them. */
static HF_STATUS validate(const struct admin *admin,
                          const struct geo_register *request,
                          struct facts_request *keys)
{
    *keys = (struct facts_request){
        .tenant = admin->tenant,
        .identity = request->workload_identity,
        .residency = request->residency,
        .dep_type = DEP_TYPE_SHAREPOINT_GEO,
    };
    if (request->workload_identity[0] == '\0') {
        return problem_field(admin->problem, "workload_identity",
                             "must be the SPIFFE URI of the workload whose "
                             "get, wrap and unwrap are checked");
    }
    if (admin->service->settings.sharepoint_ak_token == NULL) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "this service has no token for SharePoint's "
                           "availability keys (sharepoint_ak_token)");
    }
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        HF_TRY(geo_find_version(admin, &request->keys[slot], &keys->keys[slot],
                                &keys->versions[slot]));
        keys->exact[slot] = request->keys[slot].version;
    }
    HF_TRY(dep_validate(admin, keys));
    return ak_tokens_check(admin->service, DEP_TYPE_SHAREPOINT_GEO,
                           admin->problem);
}

/* --- making ------------------------------------------------------------- */

static HF_STATUS make_keys(const struct admin *admin,
                           const struct geo_register *request,
                           const struct facts_request *keys,
                           struct making *making)
{
    struct service *service = admin->service;
    making->dep = calloc(1, sizeof *making->dep);
    making->generation = generation_entry_new();
    if (making->dep == NULL || making->generation == NULL) {
        return HF_E_NO_MEMORY;
    }
    struct dep_record *dep = &making->dep->record;
    HF_TRY(rng_id(service->settings.rng, &dep->id));
    dep->tenant = admin->tenant->record.id;
    dep->type = DEP_TYPE_SHAREPOINT_GEO;
    memcpy(dep->name, making->next.name, sizeof dep->name);
    dep->state = DEP_ENABLED;
    dep->residency = request->residency;
    dep->created_ms = service_wall_ms(service);
    dep->updated_ms = dep->created_ms;
    struct dep_key_plan plan = {
        .dep = dep,
        .generation = &making->generation->record,
    };
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        plan.keys[slot] = keys->keys[slot];
        plan.versions[slot] = keys->versions[slot];
    }
    HF_TRY(dep_make_keys(service, &plan));
    memcpy(making->ak_fingerprint, plan.ak_fingerprint,
           sizeof making->ak_fingerprint);
    return HF_OK;
}

static HF_STATUS put_dep(struct making *making, struct change *change)
{
    const struct stamp none = {.version = 0};
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = dep_encode(&making->dep->record, record);
    if (status == HF_OK) {
        status = change_put(change, record, &none, &making->dep->stamp);
    }
    if (status == HF_OK) {
        status = generation_encode(&making->generation->record, record);
    }
    if (status == HF_OK) {
        status = change_put(change, record, &none, &making->generation->stamp);
    }
    free(record);
    return status;
}

/* One change: the DEP, its first generation, what the geo is from now on, and
 * the operation that brings the sites along. */
static HF_STATUS make_change(const struct admin *admin,
                             const struct geo_register *request,
                             struct making *making, struct change *change)
{
    struct geo_record *next = &making->next;
    char object[GEO_NAME_BYTES];
    static const struct generation_record nothing;
    const struct geo_entry *geo = making->geo;
    HF_OWNED(details_freep) struct details *details = NULL;
    struct operation_order order = {
        .kind = admin->verb == VERB_RESTORE_GEO ? OPERATION_RESTORE_GEO
                                                : OPERATION_REGISTER_GEO,
        .object = next->id,
        .number = 1,
    };
    HF_TRY(geo_count_sites(admin->service, &next->id, &order.total));
    HF_TRY(operation_begin(admin, &order, change, &making->operation));
    const struct hf_id *operation = operation_entry_id(making->operation);
    next->dep = making->dep->record.id;
    next->operation = *operation;
    memcpy(next->ak_fingerprint, making->ak_fingerprint,
           sizeof next->ak_fingerprint);
    if (admin->verb == VERB_REGISTER_GEO) {
        next->evict_on_denied = request->evict_on_denied;
    }
    next->updated_ms = service_wall_ms(admin->service);
    HF_TRY(put_dep(making, change));
    HF_TRY(geo_put(change, next, &making->from, &making->stamp));
    geo_object_name(admin, next->name, object);
    HF_TRY(geo_details(geo == NULL ? NULL : &geo->record, next, &details));
    const struct dep_entry *former = geo == NULL ? NULL : geo->dep;
    dep_note_keys(
        details,
        former == NULL
            ? &nothing
            : &catalogue_generation(former, former->record.generation)->record,
        &making->generation->record);
    return admin_finish_change(admin, change, object, details, operation);
}

/* The catalogue follows: what it takes over is no longer the maker's. */
static HF_STATUS take_over(struct service *service, struct making *making)
{
    HF_TRY(catalogue_add_dep(service, making->dep, making->generation));
    making->dep = NULL;
    making->generation = NULL;
    HF_TRY(geo_adopt(service, making->geo, &making->next, &making->stamp));
    operations_adopt(service, making->operation);
    making->operation = NULL;
    return HF_OK;
}

/* record_lock is held. */
static HF_STATUS record_locked(const struct admin *admin,
                               const struct geo_register *request,
                               const struct facts_request *keys,
                               struct making *making, struct hf_id *out_id)
{
    struct service *service = admin->service;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(look(admin, request, making)); /* decided anew, on what is now */
    enum hf_status status =
        customer_keys_still_serve(keys->keys, keys->versions);
    if (status == HF_OK) {
        status = ak_copies_may_record(service, making->dep->record.type,
                                      &making->generation->record);
    }
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = make_change(admin, request, making, change);
    }
    if (status == HF_OK) {
        *out_id = *operation_entry_id(making->operation);
        status = ledger_commit(service->ledger, change);
    }
    making->stored = admin_is_stored(status);
    if (making->stored) {
        enum hf_status taken = take_over(service, making);
        status = taken == HF_OK ? status : taken;
    }
    return admin_answer(admin, status);
}

static HF_STATUS make_and_record(const struct admin *admin,
                                 const struct geo_register *request,
                                 const struct facts_request *keys,
                                 struct making *making, struct hf_id *out_id)
{
    struct service *service = admin->service;
    if (admin_is_cancelled(admin)) {
        return admin_answer(admin, HF_E_CANCELLED);
    }
    enum hf_status status = make_keys(admin, request, keys, making);
    if (status != HF_OK) {
        return problem_set(admin->problem, REASON_KEY_UNAVAILABLE,
                           "the keys of the geo could not be made: %s; nothing "
                           "was recorded",
                           hf_status_text(status));
    }
    const struct dep_record made = making->dep->record;
    pthread_mutex_lock(&service->record_lock);
    status = record_locked(admin, request, keys, making, out_id);
    pthread_mutex_unlock(&service->record_lock);
    if (!making->stored) {
        dep_unmake_keys(service, &made);
    }
    return status;
}

static HF_STATUS give_a_dep(struct admin *admin,
                            const struct geo_register *request,
                            struct operation_view *out)
{
    struct facts_request keys;
    struct making making = {.geo = NULL};
    struct hf_id id = {{0}};
    HF_TRY(admin_begin(admin, request->tenant));
    if (admin->seen) {
        return operation_show(admin, &admin->object, out);
    }
    HF_TRY(look(admin, request, &making));
    HF_TRY(validate(admin, request, &keys));
    if (request->mutation.validate_only) {
        const struct operation_order order = {
            .kind = admin->verb == VERB_RESTORE_GEO ? OPERATION_RESTORE_GEO
                                                    : OPERATION_REGISTER_GEO,
            .object = making.next.id,
        };
        operation_preview(admin, &order, out);
        return HF_OK;
    }
    enum hf_status status =
        make_and_record(admin, request, &keys, &making, &id);
    making_free(&making);
    HF_TRY(status);
    health_refresh(admin->service);
    return operation_show(admin, &id, out);
}

HF_STATUS geos_register(struct service *service, const struct caller *caller,
                        const struct geo_register *request,
                        struct operation_view *out, struct problem *problem)
{
    struct admin admin = {.service = service,
                          .caller = caller,
                          .verb = VERB_REGISTER_GEO,
                          .mutation = &request->mutation,
                          .problem = problem};
    return give_a_dep(&admin, request, out);
}

HF_STATUS geos_restore(struct service *service, const struct caller *caller,
                       const struct geo_register *request,
                       struct operation_view *out, struct problem *problem)
{
    struct admin admin = {.service = service,
                          .caller = caller,
                          .verb = VERB_RESTORE_GEO,
                          .mutation = &request->mutation,
                          .problem = problem};
    return give_a_dep(&admin, request, out);
}
