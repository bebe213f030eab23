#include "server/service/deps.h"

#include "server/domain/lease.h"

#include "server/service/customer_key_view.h"
#include "server/service/dep_view.h"
#include "server/service/key_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- create ------------------------------------------------------------- */

struct making {
    struct dep_entry *dep;
    struct generation_entry *generation;
};

static void making_free(struct making *making)
{
    free(making->dep);
    generation_entry_free(making->generation);
}

static HF_STATUS check_request(const struct admin *admin,
                               const struct dep_create *request)
{
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
    return HF_OK;
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

/* every check, live, with the workload identity; the whole list. */
static HF_STATUS validate(const struct admin *admin,
                          struct facts_request *request)
{
    struct validation_facts facts;
    struct validation_report report;
    key_facts_collect(admin->service, request, &facts);
    validation_run(&facts, &report);
    if (report.passed) {
        return HF_OK;
    }
    enum hf_status status = problem_set(
        admin->problem, REASON_VALIDATION_FAILED,
        "the customer keys do not pass validation; the report says why");
    if (admin->problem->report != NULL) {
        *admin->problem->report = report;
        admin->problem->has_report = true;
    }
    return status;
}

/* record_lock is held for the decision that counts. */
static HF_STATUS decide(const struct admin *admin, enum dep_event event,
                        const struct dep_entry *dep, struct dep_step *step)
{
    enum reason reason = REASON_NONE;
    const struct dep_facts facts = {
        .type = dep == NULL ? DEP_TYPE_EXCHANGE_MAILBOX : dep->record.type,
        .state = dep == NULL ? DEP_NONE : dep->record.state,
        .assigned_count = dep == NULL ? 0 : atomic_load(&dep->assigned_count),
        .active_count = dep_count_active(admin->service, admin->tenant),
    };
    if (dep_next(&facts, event, step, &reason) == HF_OK) {
        return HF_OK;
    }
    if (reason == REASON_DEP_LIMIT) {
        return problem_set(admin->problem, reason,
                           "a tenant has at most %d active mailbox DEPs; "
                           "disable one that is not used",
                           HF_ACTIVE_MAILBOX_DEPS_MAX);
    }
    if (reason == REASON_DEP_IN_USE) {
        return problem_set(admin->problem, reason,
                           "%u mailboxes are assigned to this DEP; assign them "
                           "elsewhere first",
                           facts.assigned_count);
    }
    return problem_set(admin->problem, reason,
                       "a DEP that is %s cannot do this",
                       dep_state_text(facts.state));
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
    dep->tenant = admin->tenant->record.id;
    dep->type = DEP_TYPE_EXCHANGE_MAILBOX;
    memcpy(dep->name, request->name, sizeof dep->name);
    memcpy(dep->description, request->description, sizeof dep->description);
    dep->residency = request->residency;
    dep->key_lease_ms = request->key_lease_ms == -1
                            ? HF_KEY_LEASE_DEFAULT_MS
                            : (uint32_t)request->key_lease_ms;
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
    return put_name(change, NAME_DEP, &making->dep->record.tenant,
                    making->dep->record.name, &making->dep->record.id);
}

static HF_STATUS take_over(struct service *service, struct making *making)
{
    HF_TRY(catalogue_add_dep(service, making->dep));
    making->dep = NULL;
    HF_TRY(catalogue_add_generation(service, making->generation));
    making->generation = NULL;
    return HF_OK;
}

/* record_lock is held. */
static HF_STATUS record_locked(const struct admin *admin,
                               const struct dep_create *request,
                               struct making *making)
{
    struct service *service = admin->service;
    struct dep_step step;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(decide(admin,
                  request->disabled ? DEP_EV_CREATE_DISABLED : DEP_EV_CREATE,
                  NULL, &step));
    making->dep->record.state = step.next;
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = put_parts(making, change);
    }
    if (status == HF_OK) {
        status = dep_finish_change(admin, change, &making->dep->record, NULL);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (status == HF_E_EXISTS) {
        return problem_set(admin->problem, REASON_NAME_TAKEN, "DEP %s exists",
                           request->name);
    }
    if (admin_is_stored(status)) {
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
    status = dep_make_keys(service, &plan);
    if (status != HF_OK) {
        return problem_set(admin->problem, REASON_KEY_UNAVAILABLE,
                           "the keys of the DEP could not be made: %s; nothing "
                           "was recorded",
                           hf_status_text(status));
    }
    struct dep_record made = making->dep->record;
    pthread_mutex_lock(&service->record_lock);
    status = record_locked(admin, request, making);
    pthread_mutex_unlock(&service->record_lock);
    if (making->dep != NULL) {
        dep_unmake_keys(service, &made); /* it was not recorded */
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
        .dep_type = DEP_TYPE_EXCHANGE_MAILBOX,
    };
    struct making making = {.dep = NULL};
    struct dep_step step;
    HF_TRY(admin_begin(&admin, request->tenant));
    HF_TRY(check_request(&admin, request));
    if (admin.seen) {
        return dep_show_by_id(&admin, &admin.object, out);
    }
    if (dep_find(service, admin.tenant, request->name) != NULL) {
        return problem_set(problem, REASON_NAME_TAKEN, "DEP %s exists",
                           request->name);
    }
    keys.tenant = admin.tenant;
    HF_TRY(find_keys(&admin, request, keys.keys));
    HF_TRY(decide(&admin,
                  request->disabled ? DEP_EV_CREATE_DISABLED : DEP_EV_CREATE,
                  NULL, &step));
    HF_TRY(validate(&admin, &keys));
    if (request->mutation.validate_only) {
        dep_preview(&admin, request, step.next, out);
        return HF_OK;
    }
    enum hf_status status = make_and_record(&admin, request, &keys, &making);
    making_free(&making);
    HF_TRY(status);
    health_refresh(service);
    return dep_show_named(&admin, request->name, out);
}

/* --- look at ------------------------------------------------------------ */

HF_STATUS deps_get(struct service *service, const struct caller *caller,
                   const char *tenant, const char *dep, struct dep_view *out,
                   struct problem *problem)
{
    struct admin admin = {.service = service, .problem = problem};
    HF_TRY(service_admit(service, caller, VERB_GET_DEP, tenant, &admin.tenant,
                         problem));
    return dep_show_named(&admin, dep, out);
}

HF_STATUS deps_list(struct service *service, const struct caller *caller,
                    const char *tenant, const struct page_request *page,
                    struct dep_list *out, struct problem *problem)
{
    struct tenant_entry *owner = NULL;
    struct page_walk walk;
    HF_TRY(service_admit(service, caller, VERB_LIST_DEPS, tenant, &owner,
                         problem));
    HF_TRY(page_begin(page, out->cap, &walk, problem));
    bool showing = walk.from_start;
    out->count = 0;
    out->next[0] = '\0';
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (struct dep_entry *dep = service->catalogue.deps; dep != NULL;
         dep = dep->next) {
        if (dep->tenant != owner ||
            dep->record.type == DEP_TYPE_SERVICE_MANAGED) {
            continue;
        }
        if (showing && out->count == walk.size) {
            id_format(&out->views[out->count - 1].record.id, out->next);
            break;
        }
        if (showing) {
            dep_fill_view(service, dep, &out->views[out->count++]);
        } else {
            showing = id_equal(&dep->record.id, &walk.after);
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return HF_OK;
}

/* --- change ------------------------------------------------------------- */

/* only to a residency that both keys allow. */
static HF_STATUS check_residency(const struct admin *admin,
                                 const struct dep_entry *dep,
                                 enum residency residency)
{
    const struct generation_entry *generation =
        catalogue_generation(dep, dep->record.generation);
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        const struct key_version_record *version =
            &generation->versions[slot]->record;
        bool allowed = residency == RESIDENCY_MEMORY ? version->allows_memory
                                                     : version->allows_token;
        if (!allowed) {
            return problem_set(admin->problem, REASON_KEY_OPS,
                               "customer key %s was not generated for this "
                               "residency",
                               generation->keys[slot]->record.name);
        }
    }
    return HF_OK;
}

static HF_STATUS next_record(const struct admin *admin,
                             const struct dep_update *request,
                             const struct dep_entry *dep,
                             struct dep_record *next)
{
    struct dep_step step;
    if (request->set_enabled) {
        HF_TRY(decide(admin, request->enabled ? DEP_EV_ENABLE : DEP_EV_DISABLE,
                      dep, &step));
        next->state = step.next;
    }
    if (request->set_name) {
        HF_TRY(name_check("dep.dep_id", request->name, admin->problem));
        memcpy(next->name, request->name, sizeof next->name);
    }
    if (request->set_description) {
        memcpy(next->description, request->description,
               sizeof next->description);
    }
    if (request->set_residency) {
        HF_TRY(check_residency(admin, dep, request->residency));
        next->residency = request->residency;
    }
    if (request->set_key_lease) {
        if (!key_lease_is_valid(request->key_lease_ms)) {
            return problem_field(admin->problem, "dep.key_lease",
                                 "must be 0 to %d seconds",
                                 HF_KEY_LEASE_MAX_MS / 1000);
        }
        next->key_lease_ms = (uint32_t)request->key_lease_ms;
    }
    next->updated_ms = service_wall_ms(admin->service);
    return HF_OK;
}

static HF_STATUS put_update(const struct dep_entry *dep,
                            const struct dep_record *next,
                            struct change *change, struct stamp *out_next)
{
    char before[HF_NAME_MAX_BYTES + 1];
    char after[HF_NAME_MAX_BYTES + 1];
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = dep_encode(next, record);
    if (status == HF_OK) {
        status = change_put(change, record, &dep->stamp, out_next);
    }
    free(record);
    HF_TRY(status);
    name_fold(dep->record.name, before);
    name_fold(next->name, after);
    if (strcmp(before, after) == 0) {
        return HF_OK;
    }
    struct record_key old_name = key_of_name(NAME_DEP, &next->tenant, before);
    HF_TRY(change_remove(change, RECORD_NAME, record_key_view(&old_name), 1));
    return put_name(change, NAME_DEP, &next->tenant, next->name, &next->id);
}

/* record_lock is held. */
static HF_STATUS update_locked(const struct admin *admin,
                               const struct dep_update *request,
                               struct dep_entry *dep)
{
    struct service *service = admin->service;
    struct dep_record next = dep->record;
    struct stamp stamp = {0};
    char details[128];
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(etag_check(request->mutation.etag, &dep->stamp, admin->problem));
    HF_TRY(next_record(admin, request, dep, &next));
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    snprintf(details, sizeof details, "{\"before\":\"%s\",\"after\":\"%s\"}",
             dep_state_text(dep->record.state), dep_state_text(next.state));
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = put_update(dep, &next, change, &stamp);
    }
    if (status == HF_OK) {
        status = dep_finish_change(admin, change, &next, details);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (status == HF_E_EXISTS) {
        return problem_set(admin->problem, REASON_NAME_TAKEN, "DEP %s exists",
                           next.name);
    }
    if (admin_is_stored(status)) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        dep->record = next;
        dep->stamp = stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    return admin_answer(admin, status);
}

/* What a DEP is validated with, at one moment: its keys, its residency, and an
 * identity that may unwrap with them. Gives its newest generation. */
static struct generation_entry *
dep_fill_facts(struct service *service, const struct dep_entry *dep,
               char identity[HF_URI_MAX_BYTES + 1],
               struct facts_request *request)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct generation_entry *generation =
        catalogue_generation(dep, dep->record.generation);
    request->keys[0] = generation->keys[0];
    request->keys[1] = generation->keys[1];
    request->residency = dep->record.residency;
    request->dep_type = dep->record.type;
    request->except = dep;
    pthread_rwlock_unlock(&service->catalogue.lock);
    dep_find_workload(service, generation, identity);
    return generation;
}

/* T4: the keys are validated again; the identities that hold unwrap now are
 * those it is for. */
static HF_STATUS revalidate(const struct admin *admin,
                            const struct dep_entry *dep)
{
    char identity[HF_URI_MAX_BYTES + 1] = "";
    struct facts_request request = {.tenant = admin->tenant,
                                    .identity = identity};
    dep_fill_facts(admin->service, dep, identity, &request);
    return validate(admin, &request);
}

HF_STATUS deps_update(struct service *service, const struct caller *caller,
                      const struct dep_update *request, struct dep_view *out,
                      struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_UPDATE_DEP,
        .mutation = &request->mutation,
        .problem = problem,
    };
    HF_TRY(admin_begin(&admin, request->tenant));
    struct dep_entry *dep = dep_find(service, admin.tenant, request->dep);
    if (dep == NULL) {
        return problem_set(problem, REASON_NOT_FOUND, "no such DEP");
    }
    if (!admin.seen) {
        if (request->set_enabled && request->enabled) {
            HF_TRY(revalidate(&admin, dep));
        }
        pthread_mutex_lock(&service->record_lock);
        enum hf_status status = update_locked(&admin, request, dep);
        pthread_mutex_unlock(&service->record_lock);
        /* every state change ends the leases */
        leases_end_for_dep(service, dep);
        HF_TRY(status);
    }
    return dep_show_by_id(&admin, &dep->record.id, out);
}

/* --- test (R-11.10) ----------------------------------------------------- */

static void add_copy_check(struct service *service,
                           struct generation_entry *generation,
                           enum root_slot slot, struct validation_report *out)
{
    if (out->count == CHECK_RESULTS_MAX) {
        return;
    }
    struct check_result *result = &out->results[out->count++];
    enum hf_status status = generation_test(service, generation, slot);
    *result = (struct check_result){
        .code = CHECK_ROUND_TRIP,
        .key = (int)slot,
        .status = status == HF_OK ? CHECK_PASS : CHECK_FAIL,
        .evidence = EVIDENCE_MEASURED,
    };
    snprintf(result->text, sizeof result->text,
             "stored copy of the DEP key: %s",
             status == HF_OK ? "opens, and its commitment verifies"
                             : hf_status_text(status));
    if (status != HF_OK) {
        out->passed = false;
    }
}

HF_STATUS deps_test(struct service *service, const struct caller *caller,
                    const char *tenant, const char *name,
                    struct validation_report *out, struct problem *problem)
{
    struct tenant_entry *owner = NULL;
    struct validation_facts facts;
    char identity[HF_URI_MAX_BYTES + 1] = "";
    HF_TRY(
        service_admit(service, caller, VERB_TEST_DEP, tenant, &owner, problem));
    struct dep_entry *dep = dep_find(service, owner, name);
    if (dep == NULL) {
        return problem_set(problem, REASON_NOT_FOUND, "no such DEP");
    }
    struct facts_request request = {.tenant = owner, .identity = identity};
    struct generation_entry *generation =
        dep_fill_facts(service, dep, identity, &request);
    key_facts_collect(service, &request, &facts);
    validation_run(&facts, out);
    add_copy_check(service, generation, ROOT_CK1, out);
    add_copy_check(service, generation, ROOT_CK2, out);
    return HF_OK;
}
