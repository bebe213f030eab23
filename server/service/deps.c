#include "server/service/deps.h"

#include "hsm/token/ability.h"

#include "server/domain/lease.h"

#include "server/service/customer_key_view.h"
#include "server/service/dep_view.h"
#include "server/service/key_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- look at ------------------------------------------------------------ */

HF_STATUS deps_get_typed(struct service *service, const struct caller *caller,
                         const struct dep_get *request, struct dep_view *out,
                         struct problem *problem)
{
    struct admin admin = {.service = service, .problem = problem};
    HF_TRY(service_admit(service, caller, VERB_GET_DEP, request->tenant,
                         &admin.tenant, problem));
    return dep_show_named(&admin, request->dep, request->type, out);
}

HF_STATUS deps_get(struct service *service, const struct caller *caller,
                   const char *tenant, const char *dep, struct dep_view *out,
                   struct problem *problem)
{
    struct dep_get request = {.tenant = ""};
    snprintf(request.tenant, sizeof request.tenant, "%s", tenant);
    snprintf(request.dep, sizeof request.dep, "%s", dep);
    return deps_get_typed(service, caller, &request, out, problem);
}

static bool is_listed(const struct dep_entry *dep,
                      const struct tenant_entry *owner, enum dep_type type)
{
    return dep->tenant == owner &&
           dep->record.type != DEP_TYPE_SERVICE_MANAGED &&
           ((int)type == 0 || dep->record.type == type);
}

HF_STATUS deps_list(struct service *service, const struct caller *caller,
                    const struct dep_list_request *request,
                    struct dep_list *out, struct problem *problem)
{
    struct tenant_entry *owner = NULL;
    struct page_walk walk;
    HF_TRY(service_admit(service, caller, VERB_LIST_DEPS, request->tenant,
                         &owner, problem));
    HF_TRY(page_begin(&request->page, out->cap, &walk, problem));
    bool showing = walk.from_start;
    out->count = 0;
    out->next[0] = '\0';
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (struct dep_entry *dep = service->catalogue.deps; dep != NULL;
         dep = dep->next) {
        if (!is_listed(dep, owner, request->type)) {
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
    for (size_t i = 0; i < out->count; i++) {
        enum hf_status status = dep_count(service, &out->views[i]);
        if (status != HF_OK) {
            return problem_of_status(problem, status);
        }
    }
    return HF_OK;
}

/* --- change ------------------------------------------------------------- */

/* It is the key, or the token it is in. */
static HF_STATUS residency_refused(const struct admin *admin,
                                   const struct key_entry *key,
                                   enum residency residency)
{
    char lacks[128] = "";
    const struct configured_token *configured =
        token_entry_configured(key->token);
    if (residency == RESIDENCY_TOKEN && configured != NULL) {
        struct token_profile profile;
        token_profile_get(configured->token, &profile);
        if (token_profile_is_known(&profile)) {
            token_profile_lacks(&profile, TOKEN_ROLE_CUSTOMER_TOKEN, lacks,
                                sizeof lacks);
        }
    }
    return lacks[0] != '\0'
               ? problem_set(admin->problem, REASON_KEY_OPS,
                             "customer key %s is in a token that cannot serve "
                             "residency TOKEN; it lacks: %s",
                             key->record.name, lacks)
               : problem_set(admin->problem, REASON_KEY_OPS,
                             "customer key %s was not generated for this "
                             "residency",
                             key->record.name);
}

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
            return residency_refused(admin, generation->keys[slot], residency);
        }
    }
    return HF_OK;
}

HF_STATUS dep_check_fallback_limit(const char *field, int64_t limit_ms,
                                   struct problem *problem)
{
    if (fallback_limit_is_valid(limit_ms)) {
        return HF_OK;
    }
    return problem_field(problem, field,
                         "must be %lld seconds to %lld days; unset: no limit",
                         FALLBACK_LIMIT_MIN_MS / 1000,
                         FALLBACK_LIMIT_MAX_MS / (24LL * 3600 * 1000));
}

static HF_STATUS next_record(const struct admin *admin,
                             const struct dep_update *request,
                             const struct dep_entry *dep,
                             struct dep_record *next)
{
    struct dep_step step;
    if (request->set_enabled) {
        HF_TRY(dep_decide(admin,
                          request->enabled ? DEP_EV_ENABLE : DEP_EV_DISABLE,
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
    if (request->set_fallback_limit) {
        HF_TRY(dep_check_fallback_limit(
            "dep.fallback_limit", request->fallback_limit_ms, admin->problem));
        next->fallback_limit_ms = request->fallback_limit_ms;
    }
    next->updated_ms = service_wall_ms(admin->service);
    return HF_OK;
}

static HF_STATUS put_update(const struct dep_entry *dep,
                            const struct dep_record *next,
                            struct change *change, struct stamp *out_next)
{
    struct record_key before = dep_name_key(&dep->record);
    struct record_key after = dep_name_key(next);
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
    if (bytes_equal(record_key_view(&before), record_key_view(&after))) {
        return HF_OK;
    }
    HF_TRY(change_remove(change, RECORD_NAME, record_key_view(&before), 1));
    return dep_put_name(change, next);
}

/* record_lock is held. */
static HF_STATUS update_locked(struct admin *admin,
                               const struct dep_update *request,
                               struct dep_entry *dep)
{
    struct service *service = admin->service;
    struct dep_record next = dep->record;
    struct stamp stamp = {0};
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(etag_check(request->mutation.etag, &dep->stamp, admin->problem));
    HF_TRY(next_record(admin, request, dep, &next));
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    enum hf_status status = details_new(DETAILS_OF_CHANGE, &details);
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = put_update(dep, &next, change, &stamp);
    }
    if (status == HF_OK) {
        dep_note(details, &dep->record, &next);
        status = dep_finish_change(admin, change, &next, details);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (status == HF_E_EXISTS) {
        return problem_set(admin->problem, REASON_NAME_TAKEN, "DEP %s exists",
                           next.name);
    }
    admin->changed = admin_is_stored(status);
    if (admin->changed) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        dep->record = next;
        dep->stamp = stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
        leases_narrow_for_dep(service, dep); /* */
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
    return dep_validate(admin, &request);
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
    HF_TRY(dep_admit(&admin, dep->record.type));
    if (dep->record.type == DEP_TYPE_SHAREPOINT_GEO) {
        return problem_set(problem, REASON_STATE_CONFLICT,
                           "the DEP of a geo is changed by the verbs of "
                           "GeoService");
    }
    enum hf_status status = HF_OK;
    if (!admin.seen && request->set_enabled && request->enabled) {
        HF_TRY(revalidate(&admin, dep));
    }
    pthread_mutex_lock(&service->record_lock);
    if (!admin.seen) {
        status = update_locked(&admin, request, dep);
    }
    pthread_mutex_unlock(&service->record_lock);
    /* of a repeat too: what the first one ended may still be in use */
    leases_settle_for_dep(service, dep);
    HF_TRY(status);
    return dep_show_recorded(&admin, &dep->record.id, out);
}

/* --- test (R-11.10) ----------------------------------------------------- */

static void add_copy_check(struct service *service,
                           struct generation_entry *generation,
                           enum root_slot slot, struct validation_report *out)
{
    struct check_result *result = &out->results[out->count++];
    enum hf_status status = generation_test(service, generation, slot);
    *result = (struct check_result){
        .code = CHECK_COPY_OPENS,
        .key = (int)slot,
        .status = status == HF_OK ? CHECK_PASS : CHECK_FAIL,
        .evidence = EVIDENCE_MEASURED,
        .time_ms = service_wall_ms(service),
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
    const struct admin admin = {
        .service = service,
        .tenant = owner,
        .caller = caller,
        .verb = VERB_TEST_DEP,
        .problem = problem,
    };
    HF_TRY(dep_admit(&admin, dep->record.type));
    struct facts_request request = {.tenant = owner, .identity = identity};
    struct generation_entry *generation =
        dep_fill_facts(service, dep, identity, &request);
    key_facts_collect(service, &request, &facts);
    validation_run(&facts, out);
    add_copy_check(service, generation, ROOT_CK1, out);
    add_copy_check(service, generation, ROOT_CK2, out);
    return HF_OK;
}
