/* assignment_steps: how a tenant's keys follow its assignment, and how that
 * ends (A2, A5). */
#include "hsm/sys/log.h"

#include "server/service/assignment_change.h"
#include "server/service/sweep.h"
#include "server/service/tenant_assignments.h"
#include "server/service/workload_progress.h"
#include "server/service/wrapped.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN_MS 5000 /* before what is not done yet is looked at again */

/* To be under the DEP that is assigned. A mailbox that has a DEP of its own
 * wants to be there. */
static bool is_to_come(const struct resource_view *view,
                       const struct operation_record *operation)
{
    return mailbox_needs_rewrap(&view->facts) &&
           id_equal(&view->facts.wanted.dep, &operation->object);
}

/* Still under the DEP that is being left. */
static bool is_to_leave(const struct resource_view *view,
                        const struct operation_record *operation)
{
    return mailbox_needs_rewrap(&view->facts) &&
           id_equal(&view->facts.effective.dep, &operation->object);
}

static void read_assignment(const struct operation_step *step,
                            struct tenant_assignment_record *out,
                            struct stamp *out_stamp)
{
    pthread_rwlock_rdlock(&step->service->catalogue.lock);
    *out = step->tenant->assignment;
    *out_stamp = step->tenant->assignment_stamp;
    pthread_rwlock_unlock(&step->service->catalogue.lock);
}

static bool is_about(const struct operation_step *step,
                     const struct tenant_assignment_record *assignment)
{
    return assignment->number == step->record.number &&
           id_equal(&assignment->dep, &step->record.object);
}

static void look_again(struct operation_step *step, const char *why)
{
    step->finished = false;
    step->wait_ms = AGAIN_MS;
    step->record.cursor_len = 0;
    snprintf(step->record.error, sizeof step->record.error, "%s", why);
}

/* record_lock is held. */
static HF_STATUS record_locked(struct operation_step *step,
                               const char *activity,
                               struct tenant_assignment_record *next,
                               const struct stamp *current)
{
    struct service *service = step->service;
    struct stamp stamp = {.version = 0};
    char object[ASSIGNMENT_NAME_BYTES];
    char *text = NULL;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    assignment_object(step->tenant->record.name, object);
    HF_TRY(assignment_details(&step->tenant->assignment, next, &details));
    HF_TRY(change_new(&change));
    HF_TRY(assignment_put(change, next, current, &stamp));
    HF_TRY(details_text_of(details, &text));
    const struct audit_entry entry = {
        .activity = activity,
        .tenant = step->record.tenant,
        .object = object,
        .details = text,
    };
    enum hf_status status = audit_change(service, change, &entry);
    free(text);
    HF_TRY(status);
    status = ledger_commit(service->ledger, change);
    if (admin_is_stored(status)) {
        assignment_follow(service, next, &stamp);
    }
    return status;
}

/* A2, A5: HF_OK also when it was done before (a step may run twice). */
static HF_STATUS end_locked(struct operation_step *step)
{
    struct tenant_assignment_record next;
    struct stamp stamp;
    struct assignment_facts facts = {.is_in_force = true};
    enum reason reason = REASON_NONE;
    read_assignment(step, &next, &stamp);
    facts.state = next.state;
    if (!is_about(step, &next) ||
        assignment_next(&facts, ASSIGNMENT_EV_DONE, &next.state, &reason) !=
            HF_OK) {
        return HF_OK;
    }
    next.updated_ms = service_wall_ms(step->service);
    if (next.state == ASSIGNMENT_ASSIGNED) {
        next.effective_ms = next.updated_ms;
    }
    return record_locked(step,
                         next.state == ASSIGNMENT_ASSIGNED ? "TenantAssigned"
                                                           : "TenantOffboarded",
                         &next, &stamp);
}

static void end(struct operation_step *step)
{
    pthread_mutex_lock(&step->service->record_lock);
    enum hf_status status = end_locked(step);
    pthread_mutex_unlock(&step->service->record_lock);
    if (status != HF_OK) {
        look_again(step, hf_status_text(status));
    }
}

/* once, in the log and in the audit chain. */
static HF_STATUS alert_locked(struct operation_step *step)
{
    struct tenant_assignment_record next;
    struct stamp stamp;
    int64_t now_ms = service_wall_ms(step->service);
    read_assignment(step, &next, &stamp);
    if (!is_about(step, &next) || next.overdue_ms > 0 ||
        !assignment_is_overdue(next.state, next.assigned_ms, now_ms)) {
        return HF_OK;
    }
    next.overdue_ms = now_ms;
    HF_TRY(record_locked(step, "AssignmentOverdue", &next, &stamp));
    log_event(LOG_WARN, "tenant.assignment_overdue",
              LOG_TEXT("tenant", step->tenant->record.name),
              LOG_TEXT("waiting", step->record.error));
    return HF_OK;
}

static void alert(struct operation_step *step)
{
    pthread_mutex_lock(&step->service->record_lock);
    enum hf_status status = alert_locked(step);
    pthread_mutex_unlock(&step->service->record_lock);
    if (status != HF_OK) {
        log_event(LOG_WARN, "tenant.alert_not_recorded",
                  LOG_TEXT("status", hf_status_name(status)));
    }
}

/* Another assignment came after the one this operation is for: that one's
 * operation brings the keys where they should be now. */
static bool is_superseded(struct operation_step *step)
{
    struct tenant_assignment_record assignment;
    struct stamp stamp;
    read_assignment(step, &assignment, &stamp);
    if (is_about(step, &assignment)) {
        return false;
    }
    step->gave_up = true;
    snprintf(step->record.error, sizeof step->record.error,
             "another assignment took its place");
    return true;
}

/* All keys are there, and a workload has not reported that it is done: the
 * cursor is behind every key until it has, and only then all are looked at once
 * more. */
static const uint8_t walked[] = {0xff};

static bool is_walked(const struct operation_record *record)
{
    return bytes_equal((struct bytes){record->cursor, record->cursor_len},
                       BYTES_OF(walked));
}

static void wait_for_reports(struct operation_step *step, const char *why)
{
    look_again(step, why);
    memcpy(step->record.cursor, walked, sizeof walked);
    step->record.cursor_len = sizeof walked;
}

void tenant_assign_step(struct operation_step *step)
{
    char waiting[OPERATION_ERROR_MAX_BYTES + 1] = "";
    if (is_superseded(step)) {
        return;
    }
    bool waits =
        workload_progress_is_waited_for(step->service, step->tenant, waiting);
    if (is_walked(&step->record) && !waits) {
        step->record.cursor_len = 0;
    }
    if (!is_walked(&step->record)) {
        sweep_resources(step, SWEEP_EVERY_TYPE, is_to_come);
    }
    if (waits && (step->finished || is_walked(&step->record))) {
        wait_for_reports(step, waiting);
    }
    alert(step);
    if (step->finished) {
        end(step);
    }
}

/* A walk may pass by before a key that was made for the DEP is stored; the
 * index of what wraps what knows better.: the customer may take the keys
 * away when the tenant is UNASSIGNED. */
static bool is_anything_left(struct operation_step *step)
{
    struct wrapped_counts counts = {0};
    enum hf_status status =
        wrapped_count(step->service, &step->record.object, 1, &counts);
    if (status != HF_OK) {
        look_again(step, hf_status_text(status));
        return true;
    }
    if (counts.here + counts.elsewhere == 0) {
        return false;
    }
    look_again(step, "keys are still under the DEP");
    return true;
}

void tenant_offboard_step(struct operation_step *step)
{
    if (is_superseded(step)) {
        return;
    }
    sweep_resources(step, SWEEP_EVERY_TYPE, is_to_leave);
    if (step->finished && !is_anything_left(step)) {
        end(step);
    }
}
