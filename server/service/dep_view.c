#include "server/service/dep_view.h"

#include "server/service/encrypted.h"
#include "server/service/notices.h"
#include "server/service/wrapped.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dep_entry *dep_find_typed(struct service *service,
                                 const struct tenant_entry *tenant,
                                 const char *id_or_name, enum dep_type type)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_entry *dep =
        catalogue_dep(&service->catalogue, tenant, id_or_name, type);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return dep;
}

struct dep_entry *dep_find(struct service *service,
                           const struct tenant_entry *tenant,
                           const char *id_or_name)
{
    return dep_find_typed(service, tenant, id_or_name, (enum dep_type)0);
}

HF_STATUS dep_admit(const struct admin *admin, enum dep_type type)
{
    if (access_manages(admin->caller->roles, type)) {
        return HF_OK;
    }
    enum hf_status status =
        problem_set(admin->problem, REASON_ROLE_REQUIRED,
                    "%s of a DEP of type %s is not for any role of this "
                    "identity",
                    verb_method(admin->verb), dep_type_text(type));
    service_note_denial(admin->service, admin->caller, admin->verb,
                        admin->tenant->record.name, admin->problem);
    return status;
}

static void name_in_index(const struct dep_record *dep,
                          char out[NAME_OF_DEP_BYTES])
{
    char folded[HF_NAME_MAX_BYTES + 1];
    name_fold(dep->name, folded);
    name_of_dep(dep->type, folded, out);
}

HF_STATUS dep_put_name(struct change *change, const struct dep_record *dep)
{
    char name[NAME_OF_DEP_BYTES];
    name_in_index(dep, name);
    return put_folded_name(change, NAME_DEP, &dep->tenant, name, &dep->id);
}

struct record_key dep_name_key(const struct dep_record *dep)
{
    char name[NAME_OF_DEP_BYTES];
    name_in_index(dep, name);
    return key_of_name(NAME_DEP, &dep->tenant, name);
}

uint32_t dep_count_active(struct service *service,
                          const struct tenant_entry *tenant)
{
    uint32_t count = 0;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct dep_entry *dep = service->catalogue.deps; dep != NULL;
         dep = dep->next) {
        if (dep->tenant == tenant &&
            dep->record.type == DEP_TYPE_EXCHANGE_MAILBOX &&
            dep_counts_as_active(dep->record.state)) {
            count++;
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return count;
}

static void fill_key(const struct key_entry *key,
                     struct key_version_entry *version,
                     struct dep_key_view *out)
{
    memcpy(out->name, key->record.name, sizeof out->name);
    memcpy(out->custody_domain, key->token->record.custody_domain,
           sizeof out->custody_domain);
    out->version = version->record.version;
    out->suite = (enum token_suite)version->record.suite;
    pthread_mutex_lock(&version->health_lock);
    out->health = version->health;
    pthread_mutex_unlock(&version->health_lock);
}

void dep_fill_view(struct service *service, struct dep_entry *dep,
                   struct dep_view *out)
{
    const struct generation_entry *generation =
        catalogue_generation(dep, dep->record.generation);
    memset(out, 0, sizeof *out);
    memcpy(out->tenant, dep->tenant->record.name, sizeof out->tenant);
    out->record = dep->record;
    out->assigned_count = atomic_load(&dep->assigned_count);
    out->health = dep_health_locked(service, dep);
    out->outage_since_ms = notices_since_ms(service, dep);
    for (size_t slot = 0; generation != NULL && slot < HF_CUSTOMER_KEYS_PER_DEP;
         slot++) {
        fill_key(generation->keys[slot], generation->versions[slot],
                 &out->keys[slot]);
    }
    if (generation != NULL && dep->record.generation > 1) {
        out->last_key_update_ms = generation->record.created_ms;
    }
    etag_write(&dep->stamp, out->etag);
}

HF_STATUS dep_count(struct service *service, struct dep_view *out)
{
    struct wrapped_counts counts;
    HF_TRY(wrapped_count(service, &out->record.id, out->record.generation,
                         &counts));
    out->effective_count = counts.here;
    out->earlier_count = counts.elsewhere;
    out->keys_counted = true;
    return HF_OK;
}

static HF_STATUS count_encrypted(struct service *service, struct dep_view *out)
{
    struct encrypted_counts counts;
    if (out->record.type != DEP_TYPE_EXCHANGE_MAILBOX) {
        return HF_OK;
    }
    HF_TRY(encrypted_count(service, &out->record.id, &counts));
    out->encrypted_count = (uint32_t)counts.encrypted;
    out->encrypted_percent =
        counts.assigned == 0
            ? 100
            : (uint32_t)(100ULL * counts.encrypted / counts.assigned);
    out->mailboxes_counted = true;
    return HF_OK;
}

static HF_STATUS count_all(struct service *service, struct dep_view *out)
{
    HF_TRY(dep_count(service, out));
    return count_encrypted(service, out);
}

static HF_STATUS show(const struct admin *admin, struct dep_entry *dep,
                      struct dep_view *out)
{
    if (dep == NULL || dep->tenant != admin->tenant) {
        return problem_set(admin->problem, REASON_NOT_FOUND, "no such DEP");
    }
    struct service *service = admin->service;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    dep_fill_view(service, dep, out);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return HF_OK;
}

HF_STATUS dep_show_named(const struct admin *admin, const char *id_or_name,
                         enum dep_type type, struct dep_view *out)
{
    HF_TRY(show(admin,
                dep_find_typed(admin->service, admin->tenant, id_or_name, type),
                out));
    return problem_of_status(admin->problem, count_all(admin->service, out));
}

HF_STATUS dep_show_recorded(const struct admin *admin, const struct hf_id *id,
                            struct dep_view *out)
{
    struct catalogue *catalogue = &admin->service->catalogue;
    pthread_rwlock_rdlock(&catalogue->lock);
    struct dep_entry *dep = catalogue_dep_by_id(catalogue, id);
    pthread_rwlock_unlock(&catalogue->lock);
    HF_TRY(show(admin, dep, out));
    enum hf_status counted = count_all(admin->service, out);
    (void)counted; /* what could not be counted is not shown */
    return HF_OK;
}

void dep_preview(const struct admin *admin, const struct dep_create *request,
                 enum dep_state state, struct dep_view *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->tenant, admin->tenant->record.name, sizeof out->tenant);
    out->record.type = request->type;
    out->record.state = state;
    out->record.residency = request->residency;
    out->record.key_lease_ms = request->key_lease_ms == -1
                                   ? HF_KEY_LEASE_DEFAULT_MS
                                   : (uint32_t)request->key_lease_ms;
    out->record.fallback_limit_ms = request->fallback_limit_ms;
    memcpy(out->record.name, request->name, sizeof out->record.name);
    memcpy(out->record.description, request->description,
           sizeof out->record.description);
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        memcpy(out->keys[slot].name, request->keys[slot],
               sizeof out->keys[slot].name);
    }
}

static bool holds_unwrap(const struct key_entry *key, const char *identity)
{
    const struct grant_entry *grant = key_entry_grant(key, identity);
    return grant != NULL && (grant->record.granted & PERMISSION_UNWRAP) != 0;
}

void dep_find_workload(struct service *service,
                       const struct generation_entry *generation,
                       char out[HF_URI_MAX_BYTES + 1])
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        const struct key_entry *key = generation->keys[slot];
        const struct key_entry *other = generation->keys[1 - slot];
        for (size_t i = 0; i < key->grant_count; i++) {
            const char *identity = key->grants[i]->record.identity;
            if (holds_unwrap(key, identity) &&
                (out[0] == '\0' || holds_unwrap(other, identity))) {
                snprintf(out, HF_URI_MAX_BYTES + 1, "%s", identity);
            }
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
}

static const char *residency_text(enum residency residency)
{
    return residency == RESIDENCY_MEMORY ? "MEMORY" : "TOKEN";
}

void dep_note(struct details *details, const struct dep_record *before,
              const struct dep_record *after)
{
    details_text(details, "type", dep_type_text(before->type),
                 dep_type_text(after->type));
    details_text(details, "name", before->name, after->name);
    details_text(details, "description", before->description,
                 after->description);
    details_text(details, "state", dep_state_text(before->state),
                 dep_state_text(after->state));
    details_text(details, "residency", residency_text(before->residency),
                 residency_text(after->residency));
    details_number(details, "keyLeaseMs", before->key_lease_ms,
                   after->key_lease_ms);
    details_number(details, "fallbackLimitMs", before->fallback_limit_ms,
                   after->fallback_limit_ms);
}

void dep_note_keys(struct details *details,
                   const struct generation_record *before,
                   const struct generation_record *after)
{
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        char field[24];
        char from[HF_ID_TEXT];
        char to[HF_ID_TEXT];
        id_format(&before->copies[slot].key, from);
        id_format(&after->copies[slot].key, to);
        snprintf(field, sizeof field, "customerKey%zuId", slot + 1);
        details_text(details, field, from, to);
        snprintf(field, sizeof field, "customerKey%zuVersion", slot + 1);
        details_number(details, field, before->copies[slot].key_version,
                       after->copies[slot].key_version);
    }
}

HF_STATUS dep_finish_change(const struct admin *admin, struct change *change,
                            const struct dep_record *dep,
                            const struct details *details)
{
    return dep_finish_order(admin, change, dep, details, &dep->id);
}

HF_STATUS dep_finish_order(const struct admin *admin, struct change *change,
                           const struct dep_record *dep,
                           const struct details *details,
                           const struct hf_id *made)
{
    char object[HF_NAME_MAX_BYTES + HF_ID_TEXT + 32];
    char id[HF_ID_TEXT];
    id_format(&dep->id, id);
    snprintf(object, sizeof object, "tenants/%s/deps/%s",
             admin->tenant->record.name, id);
    return admin_finish_change(admin, change, object, details, made);
}

/* every check, live, with the workload identity; the whole list. */
HF_STATUS dep_validate(const struct admin *admin, struct facts_request *request)
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

/* one of the keys is enough. */
static bool has_newer_version(struct service *service,
                              const struct dep_entry *dep)
{
    bool newer = false;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct generation_entry *newest =
        catalogue_generation(dep, dep->record.generation);
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        const struct key_entry *key = newest->keys[slot];
        if (key == NULL) {
            continue; /* SERVICE_MANAGED */
        }
        uint32_t current = key->record.current_version;
        newer = newer || (current > newest->versions[slot]->record.version &&
                          key->record.state == KEY_ACTIVE &&
                          key->versions[current - 1]->record.enabled);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return newer;
}

static HF_STATUS refuse_update(const struct admin *admin,
                               const struct dep_facts *facts,
                               enum reason reason)
{
    if (reason == REASON_NOTHING_TO_REFRESH) {
        return problem_set(admin->problem, reason,
                           "neither of its customer keys has a newer version "
                           "that is enabled; register one first");
    }
    if (reason == REASON_GENERATION_LIMIT) {
        return problem_set(admin->problem, reason,
                           "a DEP has at most %d generations; move its "
                           "mailboxes to a new DEP",
                           DEP_GENERATIONS_MAX);
    }
    return problem_set(admin->problem, reason,
                       "its keys are being updated (%s); RewrapDep moves what "
                       "is left",
                       key_update_text(facts->key_update));
}

static HF_STATUS decide(const struct admin *admin,
                        const struct dep_facts *facts, enum dep_event event,
                        struct dep_step *step)
{
    enum reason reason = REASON_NONE;
    if (dep_next(facts, event, step, &reason) == HF_OK) {
        return HF_OK;
    }
    if (reason == REASON_DEP_LIMIT) {
        return problem_set(admin->problem, reason,
                           "a tenant has at most %d active mailbox DEPs; "
                           "disable one that is not used",
                           HF_ACTIVE_MAILBOX_DEPS_MAX);
    }
    if (reason == REASON_DEP_IN_USE && facts->type == DEP_TYPE_MULTI_WORKLOAD) {
        return problem_set(admin->problem, reason,
                           "this DEP is assigned to the tenant; assign another "
                           "one, or have the operator offboard it, first");
    }
    if (reason == REASON_DEP_IN_USE) {
        return problem_set(admin->problem, reason,
                           "%u mailboxes are assigned to this DEP; assign them "
                           "elsewhere first",
                           facts->assigned_count);
    }
    if (reason != REASON_STATE_CONFLICT ||
        (facts->state == DEP_ENABLED && facts->key_update != KEY_UPDATE_NONE)) {
        return refuse_update(admin, facts, reason);
    }
    return problem_set(admin->problem, reason,
                       "a DEP that is %s cannot do this",
                       dep_state_text(facts->state));
}

/* record_lock is held for the decision that counts. */
HF_STATUS dep_decide(const struct admin *admin, enum dep_event event,
                     const struct dep_entry *dep, struct dep_step *step)
{
    const struct dep_facts facts = {
        .type = dep->record.type,
        .state = dep->record.state,
        .assigned_count = atomic_load(&dep->assigned_count),
        .active_count = dep_count_active(admin->service, admin->tenant),
        .key_update = dep->record.key_update,
        .generation = dep->record.generation,
        .newer_version = has_newer_version(admin->service, dep),
    };
    return decide(admin, &facts, event, step);
}

HF_STATUS dep_decide_new(const struct admin *admin, enum dep_event event,
                         enum dep_type type, struct dep_step *step)
{
    const struct dep_facts facts = {
        .type = type,
        .state = DEP_NONE,
        .active_count = dep_count_active(admin->service, admin->tenant),
    };
    return decide(admin, &facts, event, step);
}
