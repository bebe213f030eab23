#include "server/service/workloads.h"

#include "server/service/admin.h"
#include "server/service/resources.h"
#include "server/service/rewrap.h"
#include "server/service/rows.h"
#include "server/service/workload_progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Switches race with the key being moved: read again and decide again. */
#define RACES_MAX 5

/* --- look at -------------------------------------------------------------- */

static HF_STATUS fill_registered(const struct resource_view *view,
                                 struct workload_view *out)
{
    out->registered = true;
    out->record = view->record;
    out->state = mailbox_state_of(&view->facts);
    out->service_managed = view->tenant->record.service_managed;
    out->effective_is_service_managed = id_equal(
        &view->record.effective.dep, &view->tenant->record.service_managed);
    etag_write(&view->stamp, out->etag);
    return HF_OK;
}

static HF_STATUS show(struct service *service, struct tenant_entry *tenant,
                      const struct workload_row *row, struct workload_view *out,
                      struct problem *problem)
{
    struct stamp stamp;
    struct resource_view *view = malloc(sizeof *view);
    if (view == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    *out = (struct workload_view){.row = row};
    memcpy(out->tenant, tenant->record.name, sizeof out->tenant);
    enum hf_status status =
        resource_load(service, tenant, RESOURCE_WORKLOAD, row->word, view);
    if (status == HF_OK) {
        status = fill_registered(view, out);
    } else if (status == HF_E_NOT_FOUND) {
        status = HF_OK;
    }
    free(view);
    if (status == HF_OK) {
        status =
            progress_get(service, tenant, row->number, &out->progress, &stamp);
    }
    return problem_of_status(problem, status);
}

HF_STATUS workloads_get(struct service *service, const struct caller *caller,
                        const char *tenant, const char *word,
                        struct workload_view *out, struct problem *problem)
{
    struct tenant_entry *owner = NULL;
    const struct workload_name name = {tenant, workload_by_word(word)};
    HF_TRY(service_admit_workload(service, caller, VERB_GET_WORKLOAD, &name,
                                  &owner, problem));
    if (name.row == NULL) {
        return problem_set(problem, REASON_NOT_FOUND, "no such workload");
    }
    return show(service, owner, name.row, out, problem);
}

/* The page token is the word of the last one shown. */
static HF_STATUS first_of_page(const struct page_request *page, size_t *out,
                               struct problem *problem)
{
    *out = 0;
    if (page->token[0] == '\0') {
        return HF_OK;
    }
    const struct workload_row *last = workload_by_word(page->token);
    if (last == NULL) {
        return problem_field(problem, "page_token",
                             "is not one that was returned here");
    }
    while (workload_at(*out) != last) {
        (*out)++;
    }
    (*out)++;
    return HF_OK;
}

HF_STATUS workloads_list(struct service *service, const struct caller *caller,
                         const char *tenant, const struct page_request *page,
                         struct workload_list *out, struct problem *problem)
{
    struct tenant_entry *owner = NULL;
    struct page_walk walk;
    size_t at = 0;
    const struct page_request sizes = {.size = page->size};
    HF_TRY(service_admit(service, caller, VERB_LIST_WORKLOADS, tenant, &owner,
                         problem));
    HF_TRY(page_begin(&sizes, out->cap, &walk, problem));
    HF_TRY(first_of_page(page, &at, problem));
    out->count = 0;
    out->next[0] = '\0';
    for (; workload_at(at) != NULL && out->count < walk.size; at++) {
        HF_TRY(show(service, owner, workload_at(at), &out->views[out->count],
                    problem));
        out->count++;
    }
    if (workload_at(at) != NULL) {
        snprintf(out->next, sizeof out->next, "%s", workload_at(at - 1)->word);
    }
    return HF_OK;
}

/* --- what the changes have in common -------------------------------------- */

/* One change of one workload. */
struct work {
    struct admin admin;
    const struct workload_row *row;
};

static HF_STATUS begin(struct work *work, const char *tenant, const char *word)
{
    struct admin *admin = &work->admin;
    work->row = workload_by_word(word);
    const struct workload_name name = {tenant, work->row};
    HF_TRY(service_admit_workload(admin->service, admin->caller, admin->verb,
                                  &name, NULL, admin->problem));
    HF_TRY(workload_check(work->row, admin->problem));
    return admin_begin(admin, tenant);
}

static HF_STATUS answer(const struct work *work, struct workload_view *out)
{
    return show(work->admin.service, work->admin.tenant, work->row, out,
                work->admin.problem);
}

static HF_STATUS finish(const struct work *work, struct change *change,
                        const struct details *details)
{
    char object[RESOURCE_NAME_BYTES];
    const struct hf_id none = {{0}};
    resource_name(work->admin.tenant->record.name, RESOURCE_WORKLOAD,
                  work->row->word, object);
    HF_TRY(admin_finish_change(&work->admin, change, object, details, &none));
    return ledger_commit(work->admin.service->ledger, change);
}

static HF_STATUS load(const struct work *work, struct resource_view *view)
{
    enum hf_status status =
        resource_load(work->admin.service, work->admin.tenant,
                      RESOURCE_WORKLOAD, work->row->word, view);
    if (status == HF_E_NOT_FOUND) {
        return problem_set(work->admin.problem, REASON_NOT_FOUND,
                           "%s is not registered", work->row->word);
    }
    return problem_of_status(work->admin.problem, status);
}

static enum assignment_state state_of(const struct work *work)
{
    struct service *service = work->admin.service;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    enum assignment_state state = work->admin.tenant->assignment.state;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return state;
}

/* --- register ------------------------------------------------------------- */

static HF_STATUS record_new(const struct work *work)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    struct resource_view *view = calloc(1, sizeof *view);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    view->record.tenant = work->admin.tenant->record.id;
    view->record.type = RESOURCE_WORKLOAD;
    snprintf(view->record.id, sizeof view->record.id, "%s", work->row->word);
    view->record.created_ms = service_wall_ms(work->admin.service);
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = resource_put(view, change, NULL);
    }
    free(view);
    HF_TRY(status);
    return finish(work, change, NULL);
}

HF_STATUS workloads_register(struct service *service,
                             const struct caller *caller,
                             const struct workload_register *request,
                             struct workload_view *out, struct problem *problem)
{
    struct work work = {
        .admin =
            {
                    .service = service,
                    .caller = caller,
                    .verb = VERB_REGISTER_WORKLOAD,
                    .mutation = &request->mutation,
                    .problem = problem,
                    },
    };
    HF_TRY(begin(&work, request->tenant, request->word));
    if (!work.admin.seen && !request->mutation.validate_only) {
        enum hf_status status = record_new(&work);
        if (status == HF_E_EXISTS) {
            return problem_set(problem, REASON_ALREADY_REGISTERED,
                               "%s is registered", work.row->word);
        }
        HF_TRY(admin_answer(&work.admin, status));
    }
    return answer(&work, out);
}

/* --- switch (R-12.4, R-12.5) ---------------------------------------------- */

static HF_STATUS may_switch(const struct work *work,
                            const struct workload_switch *request)
{
    struct problem *problem = work->admin.problem;
    if (work->row->activation != ACTIVATION_EXPLICIT) {
        return problem_set(problem, REASON_STATE_CONFLICT,
                           "%s comes under the DEP by itself", work->row->word);
    }
    if (workload_check_items(work->row, request->items) != HF_OK ||
        (!request->on && request->items > 0)) {
        return problem_field(problem, "item_count",
                             "must be at most %u in one run, and 0 to switch "
                             "off",
                             work->row->batch_max);
    }
    /* back is allowed at any time */
    if (request->on && state_of(work) != ASSIGNMENT_ASSIGNED) {
        return problem_set(problem, REASON_STATE_CONFLICT,
                           "not before the tenant's assignment is ASSIGNED; it "
                           "is %s",
                           assignment_state_text(state_of(work)));
    }
    return HF_OK;
}

static HF_STATUS record_switch(const struct work *work,
                               const struct workload_switch *request,
                               struct resource_view *view)
{
    struct stamp next;
    struct stamp current;
    struct workload_progress_record progress;
    struct service *service = work->admin.service;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(details_new(DETAILS_OF_CHANGE, &details));
    details_flag(details, "on", view->record.switched_on, request->on);
    view->record.switched_on = request->on;
    HF_TRY(change_new(&change));
    HF_TRY(resource_put(view, change, &next));
    if (request->items > 0) {
        HF_TRY(progress_get(service, work->admin.tenant, work->row->number,
                            &progress, &current));
        details_number(details, "total", (int64_t)progress.total,
                       (int64_t)(progress.total + request->items));
        progress.total += request->items;
        HF_TRY(progress_put(change, &progress, &current));
    }
    HF_TRY(finish(work, change, details));
    rows_put(service, &view->record, &next);
    return HF_OK;
}

/* record_lock is held: the assignment cannot change under the decision. */
static HF_STATUS switch_locked(const struct work *work,
                               const struct workload_switch *request,
                               struct resource_view *view)
{
    enum hf_status status = HF_E_CONFLICT;
    for (int race = 0; race < RACES_MAX && status == HF_E_CONFLICT; race++) {
        HF_TRY(load(work, view));
        HF_TRY(etag_check(request->mutation.etag, &view->stamp,
                          work->admin.problem));
        HF_TRY(may_switch(work, request));
        if (request->mutation.validate_only) {
            return HF_OK;
        }
        status = record_switch(work, request, view);
    }
    return admin_answer(&work->admin, status);
}

HF_STATUS workloads_switch(struct service *service, const struct caller *caller,
                           const struct workload_switch *request,
                           struct workload_view *out, struct problem *problem)
{
    struct work work = {
        .admin =
            {
                    .service = service,
                    .caller = caller,
                    .verb = VERB_SWITCH_WORKLOAD,
                    .mutation = &request->mutation,
                    .problem = problem,
                    },
    };
    struct problem unmoved = {.reason = REASON_NONE};
    HF_TRY(begin(&work, request->tenant, request->word));
    if (!work.admin.seen) {
        struct resource_view *view = malloc(sizeof *view);
        if (view == NULL) {
            return problem_of_status(problem, HF_E_NO_MEMORY);
        }
        pthread_mutex_lock(&service->record_lock);
        enum hf_status status = switch_locked(&work, request, view);
        pthread_mutex_unlock(&service->record_lock);
        free(view);
        HF_TRY(status);
    }
    if (!request->mutation.validate_only) {
        HF_IGNORE(rewrap_resource(service, work.admin.tenant, RESOURCE_WORKLOAD,
                                  work.row->word, &unmoved),
                  "what cannot be moved now moves on its next access");
    }
    return answer(&work, out);
}

/* --- report --------------------------------------------------------------- */

static HF_STATUS may_report(const struct work *work,
                            const struct workload_report *request,
                            const struct workload_progress_record *before)
{
    struct problem *problem = work->admin.problem;
    if (request->done > request->total) {
        return problem_field(problem, "done_count",
                             "must be at most total_count");
    }
    if (!assignment_applies(state_of(work))) {
        return problem_set(problem, REASON_STATE_CONFLICT,
                           "no multi-workload DEP is assigned to the tenant");
    }
    if (request->done < before->done) {
        return problem_field(problem, "done_count",
                             "is %llu, but %llu were reported: counts do not "
                             "fall",
                             (unsigned long long)request->done,
                             (unsigned long long)before->done);
    }
    return HF_OK;
}

/* record_lock is held. */
static HF_STATUS report_locked(const struct work *work,
                               const struct workload_report *request,
                               struct resource_view *view)
{
    struct stamp current;
    struct workload_progress_record progress;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(load(work, view));
    enum hf_status status =
        progress_get(work->admin.service, work->admin.tenant, work->row->number,
                     &progress, &current);
    if (status != HF_OK) {
        return problem_of_status(work->admin.problem, status);
    }
    HF_TRY(may_report(work, request, &progress));
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    const struct workload_progress_record before = progress;
    progress.done = request->done;
    progress.total = request->total;
    progress.reported_ms = service_wall_ms(work->admin.service);
    status = details_new(DETAILS_OF_CHANGE, &details);
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = progress_put(change, &progress, &current);
    }
    if (status == HF_OK) {
        details_number(details, "done", (int64_t)before.done,
                       (int64_t)progress.done);
        details_number(details, "total", (int64_t)before.total,
                       (int64_t)progress.total);
        status = finish(work, change, details);
    }
    return admin_answer(&work->admin, status);
}

HF_STATUS workloads_report(struct service *service, const struct caller *caller,
                           const struct workload_report *request,
                           struct workload_view *out, struct problem *problem)
{
    struct work work = {
        .admin =
            {
                    .service = service,
                    .caller = caller,
                    .verb = VERB_REPORT_WORKLOAD_PROGRESS,
                    .mutation = &request->mutation,
                    .problem = problem,
                    },
    };
    HF_TRY(begin(&work, request->tenant, request->word));
    if (!work.admin.seen) {
        struct resource_view *view = malloc(sizeof *view);
        if (view == NULL) {
            return problem_of_status(problem, HF_E_NO_MEMORY);
        }
        pthread_mutex_lock(&service->record_lock);
        enum hf_status status = report_locked(&work, request, view);
        pthread_mutex_unlock(&service->record_lock);
        free(view);
        HF_TRY(status);
    }
    return answer(&work, out);
}
