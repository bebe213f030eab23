/* dep_create: T1 and T2: a DEP comes into being, or nothing does. */
#include "server/domain/lease.h"

#include "server/service/ak_capacity.h"
#include "server/service/ak_copies.h"
#include "server/service/customer_key_view.h"
#include "server/service/dep_generation.h"
#include "server/service/dep_view.h"
#include "server/service/deps.h"
#include "server/service/key_facts.h"
#include "server/service/onboardings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- create ------------------------------------------------------------- */

struct making {
    struct dep_entry *dep;
    struct generation_entry *generation;
    struct hf_id id;
    bool stored; /* its availability key must stay, whatever comes after */
};

static void making_free(struct making *making)
{
    free(making->dep);
    generation_entry_free(making->generation);
}

static HF_STATUS check_request(const struct admin *admin,
                               const struct dep_create *request)
{
    HF_TRY(dep_admit(admin, request->type));
    HF_TRY(name_check("dep_id", request->name, admin->problem));
    if (request->workload_identity[0] == '\0') {
        return problem_field(admin->problem, "workload_identity",
                             "must be the SPIFFE URI of the workload whose "
                             "get, wrap and unwrap are checked");
    }
    if (request->key_lease_ms != -1 &&
        !key_lease_is_valid(request->key_lease_ms)) {
        return problem_field(admin->problem, "key_lease",
                             "must be 0 to %d seconds",
                             HF_KEY_LEASE_MAX_MS / 1000);
    }
    return dep_check_fallback_limit("fallback_limit",
                                    request->fallback_limit_ms, admin->problem);
}

static HF_STATUS find_keys(const struct admin *admin,
                           const struct dep_create *request,
                           struct key_entry *keys[HF_CUSTOMER_KEYS_PER_DEP])
{
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        keys[slot] = customer_key_find(admin->service, admin->tenant,
                                       request->keys[slot]);
        if (keys[slot] == NULL) {
            return problem_set(admin->problem, REASON_NOT_FOUND,
                               "no such customer key");
        }
    }
    return HF_OK;
}

static HF_STATUS making_new(const struct admin *admin,
                            const struct dep_create *request,
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
    making->id = dep->id;
    dep->tenant = admin->tenant->record.id;
    dep->type = request->type;
    memcpy(dep->name, request->name, sizeof dep->name);
    memcpy(dep->description, request->description, sizeof dep->description);
    dep->residency = request->residency;
    dep->key_lease_ms = request->key_lease_ms == -1
                            ? HF_KEY_LEASE_DEFAULT_MS
                            : (uint32_t)request->key_lease_ms;
    dep->fallback_limit_ms = request->fallback_limit_ms;
    dep->created_ms = service_wall_ms(service);
    dep->updated_ms = dep->created_ms;
    return HF_OK;
}

static HF_STATUS put_parts(struct making *making, struct change *change)
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
    HF_TRY(status);
    return dep_put_name(change, &making->dep->record);
}

static HF_STATUS describe(const struct dep_create *request,
                          const struct making *making,
                          struct details **out_details)
{
    const struct dep_record no_dep = {.type = making->dep->record.type};
    const struct generation_record no_generation = {.generation = 0};
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(details_new(DETAILS_OF_NEW, &details));
    dep_note(details, &no_dep, &making->dep->record);
    dep_note_keys(details, &no_generation, &making->generation->record);
    details_text(details, "customerKey1", "", request->keys[0]);
    details_text(details, "customerKey2", "", request->keys[1]);
    details_text(details, "workloadIdentity", "", request->workload_identity);
    *out_details = HF_GIVE(details);
    return HF_OK;
}

static HF_STATUS take_over(struct service *service, struct making *making)
{
    HF_TRY(catalogue_add_dep(service, making->dep, making->generation));
    making->dep = NULL;
    making->generation = NULL;
    return HF_OK;
}

static enum dep_event event_of(const struct dep_create *request)
{
    return request->disabled ? DEP_EV_CREATE_DISABLED : DEP_EV_CREATE;
}

/* record_lock is held. */
static HF_STATUS record_locked(const struct admin *admin,
                               const struct dep_create *request,
                               const struct facts_request *keys,
                               struct making *making)
{
    struct service *service = admin->service;
    struct dep_step step;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(dep_decide_new(admin, event_of(request), request->type, &step));
    making->dep->record.state = step.next;
    enum hf_status status =
        customer_keys_still_serve(keys->keys, keys->versions);
    if (status == HF_OK) {
        status = ak_copies_may_record(service, making->dep->record.type,
                                      &making->generation->record);
    }
    if (status == HF_OK) {
        status = describe(request, making, &details);
    }
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = put_parts(making, change);
    }
    if (status == HF_OK) {
        status =
            dep_finish_change(admin, change, &making->dep->record, details);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (status == HF_E_EXISTS) {
        return problem_set(admin->problem, REASON_NAME_TAKEN, "DEP %s exists",
                           request->name);
    }
    making->stored = admin_is_stored(status);
    if (making->stored) {
        enum hf_status taken = take_over(service, making);
        status = taken == HF_OK ? status : taken;
    }
    return admin_answer(admin, status);
}

static HF_STATUS make_and_record(const struct admin *admin,
                                 const struct dep_create *request,
                                 const struct facts_request *keys,
                                 struct making *making)
{
    struct service *service = admin->service;
    enum hf_status status = making_new(admin, request, making);
    if (status != HF_OK) {
        return admin_answer(admin, status);
    }
    struct dep_key_plan plan = {
        .dep = &making->dep->record,
        .generation = &making->generation->record,
    };
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        plan.keys[slot] = keys->keys[slot];
        plan.versions[slot] = keys->versions[slot];
    }
    if (admin_is_cancelled(admin)) {
        return admin_answer(admin, HF_E_CANCELLED);
    }
    status = dep_make_keys(service, &plan);
    if (status != HF_OK) {
        return problem_set(admin->problem, REASON_KEY_UNAVAILABLE,
                           "the keys of the DEP could not be made: %s; nothing "
                           "was recorded",
                           hf_status_text(status));
    }
    struct dep_record made = making->dep->record;
    pthread_mutex_lock(&service->record_lock);
    status = record_locked(admin, request, keys, making);
    pthread_mutex_unlock(&service->record_lock);
    if (!making->stored) {
        dep_unmake_keys(service, &made);
    }
    return status;
}

HF_STATUS deps_create(struct service *service, const struct caller *caller,
                      const struct dep_create *request, struct dep_view *out,
                      struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_CREATE_DEP,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct facts_request keys = {
        .identity = request->workload_identity,
        .residency = request->residency,
        .dep_type = request->type,
    };
    struct making making = {.dep = NULL};
    struct dep_step step;
    HF_TRY(admin_begin(&admin, request->tenant));
    HF_TRY(check_request(&admin, request));
    if (admin.seen) {
        return dep_show_recorded(&admin, &admin.object, out);
    }
    if (dep_find_typed(service, admin.tenant, request->name, request->type) !=
        NULL) {
        return problem_set(problem, REASON_NAME_TAKEN, "DEP %s exists",
                           request->name);
    }
    HF_TRY(onboarding_check_scenario(&admin, request->type));
    keys.tenant = admin.tenant;
    HF_TRY(find_keys(&admin, request, keys.keys));
    HF_TRY(dep_decide_new(&admin, event_of(request), request->type, &step));
    HF_TRY(dep_validate(&admin, &keys));
    HF_TRY(ak_capacity_check(service, problem));
    HF_TRY(ak_tokens_check(service, request->type, problem));
    if (request->mutation.validate_only) {
        dep_preview(&admin, request, step.next, out);
        return HF_OK;
    }
    enum hf_status status = make_and_record(&admin, request, &keys, &making);
    making_free(&making);
    HF_TRY(status);
    health_refresh(service);
    return dep_show_recorded(&admin, &making.id, out);
}
