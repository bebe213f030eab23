#include "server/service/onboardings.h"

#include "hsm/base/check.h"

#include "server/service/customer_key_view.h"
#include "server/service/dep_view.h"
#include "server/service/key_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what a tenant has: the catalogue's lock or the record_lock is held ----
 */

static struct onboarding_entry *in_slot(const struct tenant_entry *tenant,
                                        uint32_t slot)
{
    struct onboarding_entry *entry = tenant->onboardings;
    while (entry != NULL && entry->record.slot != slot) {
        entry = entry->next;
    }
    return entry;
}

static struct onboarding_entry *by_id(const struct tenant_entry *tenant,
                                      const struct hf_id *id)
{
    struct onboarding_entry *entry = tenant->onboardings;
    while (entry != NULL && !id_equal(&entry->record.id, id)) {
        entry = entry->next;
    }
    return entry;
}

/* The newest below this number. */
static struct onboarding_entry *newest_below(const struct tenant_entry *tenant,
                                             uint64_t number)
{
    struct onboarding_entry *newest = NULL;
    for (struct onboarding_entry *entry = tenant->onboardings; entry != NULL;
         entry = entry->next) {
        if (entry->record.number < number &&
            (newest == NULL || entry->record.number > newest->record.number)) {
            newest = entry;
        }
    }
    return newest;
}

static bool same_domain(const char *a, const char *b)
{
    char folded_a[HF_NAME_MAX_BYTES + 1];
    char folded_b[HF_NAME_MAX_BYTES + 1];
    name_fold(a, folded_a);
    name_fold(b, folded_b);
    return strcmp(folded_a, folded_b) == 0;
}

/* the same inputs. A key with a new version is another input. */
static bool same_inputs(const struct onboarding_record *a,
                        const struct onboarding_record *b)
{
    bool same = a->scenario == b->scenario && a->residency == b->residency &&
                strcmp(a->identity, b->identity) == 0;
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        same = same && id_equal(&a->keys[i], &b->keys[i]) &&
               a->versions[i] == b->versions[i] &&
               same_domain(a->domains[i], b->domains[i]);
    }
    return same;
}

static const struct onboarding_record *
latest_validation(const struct tenant_entry *tenant,
                  const struct onboarding_record *inputs)
{
    uint64_t below = UINT64_MAX;
    const struct onboarding_entry *entry = newest_below(tenant, below);
    while (entry != NULL) {
        if (entry->record.mode == ONBOARDING_VALIDATE &&
            same_inputs(&entry->record, inputs)) {
            return &entry->record;
        }
        entry = newest_below(tenant, entry->record.number);
    }
    return NULL;
}

HF_STATUS onboarding_load(struct catalogue *catalogue,
                          const struct record *record,
                          const struct stamp *stamp)
{
    struct onboarding_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return HF_E_NO_MEMORY;
    }
    entry->stamp = *stamp;
    enum hf_status status = onboarding_decode(record, &entry->record);
    struct tenant_entry *tenant =
        status == HF_OK
            ? catalogue_tenant_by_id(catalogue, &entry->record.tenant)
            : NULL;
    if (tenant == NULL) {
        free(entry);
        return status == HF_OK ? HF_E_CORRUPT : status;
    }
    entry->next = tenant->onboardings;
    tenant->onboardings = entry;
    return HF_OK;
}

/* --- the gate ----------------------------------------------------------- */

HF_STATUS onboarding_check_scenario(const struct admin *admin,
                                    enum dep_type type)
{
    struct service *service = admin->service;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool production = admin->tenant->record.production;
    bool enabled = in_slot(admin->tenant, (uint32_t)type) != NULL;
    pthread_rwlock_unlock(&service->catalogue.lock);
    enum reason reason = onboarding_may_create(type, production, enabled);
    return reason == REASON_NONE
               ? HF_OK
               : problem_set(admin->problem, reason,
                             "a production tenant validates and then enables "
                             "%s first, by SubmitOnboardingRequest",
                             dep_type_text(type));
}

/* --- submit ------------------------------------------------------------- */

struct submission {
    struct admin *admin;
    const struct onboarding_submit *request;
    struct facts_request keys;
    struct onboarding_entry *entry; /* being made */
    struct onboarding_view *out;
};

static HF_STATUS check_request(const struct submission *submission)
{
    const struct admin *admin = submission->admin;
    const struct onboarding_submit *request = submission->request;
    if (!onboarding_has_scenario(request->scenario)) {
        return problem_field(admin->problem, "scenario",
                             "must be EXCHANGE_MAILBOX or MULTI_WORKLOAD; a "
                             "geo is checked when it is registered");
    }
    if (request->identity[0] == '\0') {
        return problem_field(admin->problem, "workload_identity",
                             "must be the SPIFFE URI of the workload whose "
                             "get, wrap and unwrap are checked");
    }
    return dep_admit(admin, request->scenario);
}

static HF_STATUS find_keys(struct submission *submission)
{
    const struct admin *admin = submission->admin;
    const struct onboarding_submit *request = submission->request;
    submission->keys = (struct facts_request){
        .tenant = admin->tenant,
        .identity = request->identity,
        .residency = request->residency,
        .dep_type = request->scenario,
    };
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        submission->keys.domains[i] = request->domains[i];
        submission->keys.keys[i] =
            customer_key_find(admin->service, admin->tenant, request->keys[i]);
        if (submission->keys.keys[i] == NULL) {
            return problem_set(admin->problem, REASON_NOT_FOUND,
                               "no such customer key");
        }
    }
    return HF_OK;
}

static HF_STATUS fill_inputs(struct submission *submission)
{
    const struct admin *admin = submission->admin;
    const struct onboarding_submit *request = submission->request;
    struct service *service = admin->service;
    struct onboarding_record *record = &submission->entry->record;
    HF_TRY(rng_id(service->settings.rng, &record->id));
    record->tenant = admin->tenant->record.id;
    record->scenario = request->scenario;
    record->mode = request->mode;
    record->residency = request->residency;
    memcpy(record->identity, request->identity, sizeof record->identity);
    memcpy(record->requester, admin->caller->identity,
           sizeof record->requester);
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        const struct key_entry *key = submission->keys.keys[i];
        CHECK(key != NULL); /* they were found before */
        memcpy(record->domains[i], request->domains[i],
               sizeof record->domains[i]);
        memcpy(record->names[i], key->record.name, sizeof record->names[i]);
        record->keys[i] = key->record.id;
        record->versions[i] = key->record.current_version;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return HF_OK;
}

/* The record_lock or the catalogue's lock is held. */
static enum reason may_run(const struct submission *submission)
{
    const struct admin *admin = submission->admin;
    const struct onboarding_record *latest =
        latest_validation(admin->tenant, &submission->entry->record);
    const struct onboarding_facts facts = {
        .mode = submission->request->mode,
        .validated = latest != NULL,
        .passed = latest != NULL && latest->passed,
        .validated_ms = latest == NULL ? 0 : latest->created_ms,
        .now_ms = service_wall_ms(admin->service),
    };
    return onboarding_may_run(&facts);
}

static HF_STATUS refuse(const struct admin *admin, enum reason reason)
{
    return reason == REASON_NONE
               ? HF_OK
               : problem_set(admin->problem, reason,
                             "needs a VALIDATE of the same scenario, keys, "
                             "versions, domains, workload and residency that "
                             "passed within 24 hours, and none since that did "
                             "not");
}

static void run_checks(const struct submission *submission)
{
    struct onboarding_record *record = &submission->entry->record;
    struct validation_facts facts;
    struct validation_report report;
    struct facts_request keys = submission->keys;
    key_facts_collect(submission->admin->service, &keys, &facts);
    validation_run(&facts, &report);
    record->passed = report.passed;
    record->check_count = report.count;
    for (size_t i = 0; i < report.count; i++) {
        const struct check_result *from = &report.results[i];
        struct onboarding_check *to = &record->checks[i];
        to->code = from->code;
        to->key = from->key;
        to->status = from->status;
        to->evidence = from->evidence;
        snprintf(to->text, sizeof to->text, "%.*s", (int)sizeof to->text - 1,
                 from->text);
    }
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        record->versions[i] = keys.versions[i]->record.version;
    }
    record->enablement = onboarding_outcome(record->mode, record->passed);
    record->created_ms = service_wall_ms(submission->admin->service);
}

/* Where it is kept; the slot's own, or the oldest of the ring. */
static struct onboarding_entry *choose_slot(const struct tenant_entry *tenant,
                                            struct onboarding_record *record)
{
    struct onboarding_entry *oldest = NULL;
    if (record->enablement == ENABLEMENT_ENABLED) {
        record->slot = (uint32_t)record->scenario;
        return in_slot(tenant, record->slot);
    }
    for (uint32_t i = 0; i < ONBOARDING_RING; i++) {
        uint32_t slot = ONBOARDING_RING_FIRST + i;
        struct onboarding_entry *there = in_slot(tenant, slot);
        if (there == NULL) {
            record->slot = slot;
            return NULL;
        }
        if (oldest == NULL || there->record.number < oldest->record.number) {
            oldest = there;
        }
    }
    record->slot = oldest->record.slot;
    return oldest;
}

static HF_STATUS put(const struct submission *submission,
                     const struct onboarding_entry *before,
                     struct change *change)
{
    const struct admin *admin = submission->admin;
    const struct onboarding_record *request = &submission->entry->record;
    const struct stamp none = {.version = 0};
    char object[HF_NAME_MAX_BYTES + HF_ID_TEXT + 40];
    char id[HF_ID_TEXT];
    HF_OWNED(details_freep) struct details *details = NULL;
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = onboarding_encode(request, record);
    if (status == HF_OK) {
        status =
            change_put(change, record, before == NULL ? &none : &before->stamp,
                       &submission->entry->stamp);
    }
    free(record);
    HF_TRY(status);
    id_format(&request->id, id);
    snprintf(object, sizeof object, "tenants/%s/onboardingRequests/%s",
             admin->tenant->record.name, id);
    HF_TRY(details_new(DETAILS_OF_NEW, &details));
    details_text(details, "scenario", "", dep_type_text(request->scenario));
    details_text(details, "mode", "",
                 request->mode == ONBOARDING_ENABLE ? "ENABLE" : "VALIDATE");
    details_flag(details, "passed", false, request->passed);
    details_flag(details, "enabled", false,
                 request->enablement == ENABLEMENT_ENABLED);
    return admin_finish_change(admin, change, object, details, &request->id);
}

/* The entry takes the place of the one before, or joins the list. */
static void adopt(struct submission *submission,
                  struct onboarding_entry *before)
{
    struct tenant_entry *tenant = submission->admin->tenant;
    struct service *service = submission->admin->service;
    pthread_rwlock_wrlock(&service->catalogue.lock);
    if (before != NULL) {
        before->record = submission->entry->record;
        before->stamp = submission->entry->stamp;
    } else {
        submission->entry->next = tenant->onboardings;
        tenant->onboardings = submission->entry;
        submission->entry = NULL;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
}

static void fill_view(const struct tenant_entry *tenant,
                      const struct onboarding_record *record,
                      struct onboarding_view *out)
{
    memcpy(out->tenant, tenant->record.name, sizeof out->tenant);
    out->record = *record;
}

/* record_lock is held. */
static HF_STATUS record_locked(struct submission *submission)
{
    struct admin *admin = submission->admin;
    struct tenant_entry *tenant = admin->tenant;
    struct onboarding_record *record = &submission->entry->record;
    const struct onboarding_entry *newest = newest_below(tenant, UINT64_MAX);
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(refuse(admin, may_run(submission)));
    record->number = newest == NULL ? 1 : newest->record.number + 1;
    struct onboarding_entry *before = choose_slot(tenant, record);
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = put(submission, before, change);
    }
    if (status == HF_OK) {
        status = ledger_commit(admin->service->ledger, change);
    }
    fill_view(tenant, record, submission->out);
    if (admin_is_stored(status)) {
        adopt(submission, before);
    }
    return admin_answer(admin, status);
}

static HF_STATUS show(const struct admin *admin, const struct hf_id *id,
                      struct onboarding_view *out)
{
    struct catalogue *catalogue = &admin->service->catalogue;
    pthread_rwlock_rdlock(&catalogue->lock);
    const struct onboarding_entry *entry = by_id(admin->tenant, id);
    if (entry != NULL) {
        fill_view(admin->tenant, &entry->record, out);
    }
    pthread_rwlock_unlock(&catalogue->lock);
    return entry != NULL ? HF_OK
                         : problem_set(admin->problem, REASON_NOT_FOUND,
                                       "no such onboarding request");
}

static HF_STATUS run(struct submission *submission)
{
    struct admin *admin = submission->admin;
    struct service *service = admin->service;
    enum hf_status status = fill_inputs(submission);
    if (status != HF_OK) {
        return problem_of_status(admin->problem, status);
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    enum reason reason = may_run(submission);
    pthread_rwlock_unlock(&service->catalogue.lock);
    HF_TRY(refuse(admin, reason));
    run_checks(submission);
    fill_view(admin->tenant, &submission->entry->record, submission->out);
    if (submission->request->mutation.validate_only) {
        return HF_OK;
    }
    pthread_mutex_lock(&service->record_lock);
    status = record_locked(submission);
    pthread_mutex_unlock(&service->record_lock);
    return status;
}

HF_STATUS onboardings_submit(struct service *service,
                             const struct caller *caller,
                             const struct onboarding_submit *request,
                             struct onboarding_view *out,
                             struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_SUBMIT_ONBOARDING_REQUEST,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct submission submission = {
        .admin = &admin, .request = request, .out = out};
    HF_TRY(admin_begin(&admin, request->tenant));
    HF_TRY(check_request(&submission));
    if (admin.seen) {
        return show(&admin, &admin.object, out);
    }
    HF_TRY(find_keys(&submission));
    submission.entry = calloc(1, sizeof *submission.entry);
    if (submission.entry == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    enum hf_status status = run(&submission);
    free(submission.entry);
    return status;
}

/* --- look at ------------------------------------------------------------ */

HF_STATUS onboardings_get(struct service *service, const struct caller *caller,
                          const char *tenant, const char *id,
                          struct onboarding_view *out, struct problem *problem)
{
    struct admin admin = {.service = service, .problem = problem};
    struct hf_id parsed;
    HF_TRY(service_admit(service, caller, VERB_GET_ONBOARDING_REQUEST, tenant,
                         &admin.tenant, problem));
    if (id_parse(id, &parsed) != HF_OK) {
        return problem_set(problem, REASON_NOT_FOUND,
                           "no such onboarding request");
    }
    return show(&admin, &parsed, out);
}

HF_STATUS onboardings_list(struct service *service, const struct caller *caller,
                           const char *tenant, const struct page_request *page,
                           struct onboarding_list *out, struct problem *problem)
{
    struct tenant_entry *owner = NULL;
    struct page_walk walk;
    HF_TRY(service_admit(service, caller, VERB_LIST_ONBOARDING_REQUESTS, tenant,
                         &owner, problem));
    HF_TRY(page_begin(page, out->cap, &walk, problem));
    out->count = 0;
    out->next[0] = '\0';
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct onboarding_entry *from =
        walk.from_start ? NULL : by_id(owner, &walk.after);
    bool lost = !walk.from_start && from == NULL;
    const struct onboarding_entry *entry =
        lost ? NULL
             : newest_below(owner,
                            from == NULL ? UINT64_MAX : from->record.number);
    while (entry != NULL && out->count < walk.size) {
        fill_view(owner, &entry->record, &out->views[out->count++]);
        entry = newest_below(owner, entry->record.number);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (entry != NULL) {
        id_format(&out->views[out->count - 1].record.id, out->next);
    }
    return lost ? problem_field(problem, "page_token",
                                "names a request that newer ones took the "
                                "place of; begin again")
                : HF_OK;
}
