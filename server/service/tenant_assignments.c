#include "server/service/tenant_assignments.h"

#include "server/service/assignment_change.h"
#include "server/service/dep_view.h"
#include "server/service/sweep.h"
#include "server/service/wrapped.h"

#include <stdio.h>
#include <string.h>

/* What a use case works out before it records. */
struct turn {
    const struct admin *admin;
    struct dep_entry *dep;
    enum assignment_event event;
    struct tenant_assignment_record next;
    struct operation_order order;
};

/* --- record --------------------------------------------------------------- */

static HF_STATUS record(const struct turn *turn,
                        struct tenant_assignment_record *next,
                        struct hf_id *out_id)
{
    const struct admin *admin = turn->admin;
    struct service *service = admin->service;
    struct operation_entry *entry = NULL;
    struct stamp stamp = {.version = 0};
    char object[ASSIGNMENT_NAME_BYTES];
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(change_new(&change));
    HF_TRY(assignment_details(&admin->tenant->assignment, next, &details));
    HF_TRY(operation_begin(admin, &turn->order, change, &entry));
    *out_id = *operation_entry_id(entry);
    next->operation = *out_id;
    assignment_object(admin->tenant->record.name, object);
    enum hf_status status =
        assignment_put(change, next, &admin->tenant->assignment_stamp, &stamp);
    if (status == HF_OK) {
        status = admin_finish_change(admin, change, object, details, out_id);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (!admin_is_stored(status)) {
        operation_drop(entry);
        return status;
    }
    assignment_follow(service, next, &stamp);
    operations_adopt(service, entry);
    return status;
}

static HF_STATUS refuse(const struct turn *turn, enum reason reason)
{
    const struct tenant_entry *tenant = turn->admin->tenant;
    struct problem *problem = turn->admin->problem;
    if (reason == REASON_NOT_FOUND) {
        return problem_set(problem, reason, "no such multi-workload DEP");
    }
    if (reason == REASON_DEP_NOT_ENABLED) {
        return problem_set(problem, reason,
                           "the DEP is %s; only an enabled one is assigned",
                           dep_state_text(turn->dep->record.state));
    }
    if (reason == REASON_CUSTOMER_KEY_DENIED) {
        return problem_set(problem, reason,
                           "a customer key of the DEP refuses: keys and "
                           "permissions must remain until all is rewrapped");
    }
    if (turn->event == ASSIGNMENT_EV_ASSIGN &&
        assignment_applies(tenant->assignment.state)) {
        return problem_set(problem, reason, "this DEP is assigned already");
    }
    return problem_set(problem, reason,
                       "not while the tenant's assignment is %s",
                       assignment_state_text(tenant->assignment.state));
}

/* record_lock is held: neither assignment nor DEP changes under the decision.
 */
static HF_STATUS decide(struct turn *turn)
{
    const struct admin *admin = turn->admin;
    const struct tenant_assignment_record *now = &admin->tenant->assignment;
    enum reason reason = REASON_NONE;
    const struct assignment_facts facts = {
        .state = now->state,
        .is_in_force = assignment_applies(now->state) && turn->dep != NULL &&
                       id_equal(&now->dep, &turn->dep->record.id),
        .dep_type = turn->dep == NULL ? DEP_TYPE_EXCHANGE_MAILBOX
                                      : turn->dep->record.type,
        .dep_state = turn->dep == NULL ? DEP_NONE : turn->dep->record.state,
        .key_denied = turn->event == ASSIGNMENT_EV_OFFBOARD &&
                      turn->dep != NULL &&
                      dep_has_denied_key(admin->service, turn->dep),
    };
    HF_TRY(etag_check(admin->mutation->etag, &admin->tenant->assignment_stamp,
                      admin->problem));
    if (assignment_next(&facts, turn->event, &turn->next.state, &reason) !=
        HF_OK) {
        return refuse(turn, reason);
    }
    return HF_OK;
}

static HF_STATUS run_locked(struct turn *turn, struct hf_id *out_id)
{
    const struct admin *admin = turn->admin;
    int64_t now_ms = service_wall_ms(admin->service);
    struct tenant_assignment_record asked = turn->next;
    turn->next = admin->tenant->assignment;
    HF_TRY(decide(turn));
    turn->next.updated_ms = now_ms;
    if (turn->event == ASSIGNMENT_EV_ASSIGN) {
        turn->next.dep = turn->dep->record.id;
        turn->next.number++;
        turn->next.assigned_ms = now_ms;
        turn->next.effective_ms = 0;
        turn->next.overdue_ms = 0;
    } else {
        memcpy(turn->next.ticket, asked.ticket, sizeof asked.ticket);
        memcpy(turn->next.contact, asked.contact, sizeof asked.contact);
        memcpy(turn->next.ground, asked.ground, sizeof asked.ground);
    }
    turn->order.object = turn->next.dep;
    turn->order.number = turn->next.number;
    return admin->mutation->validate_only
               ? HF_OK
               : admin_answer(admin, record(turn, &turn->next, out_id));
}

static HF_STATUS run(struct turn *turn, struct operation_view *out)
{
    const struct admin *admin = turn->admin;
    struct service *service = admin->service;
    struct hf_id id = {{0}};
    enum hf_status status = sweep_count(service, admin->tenant,
                                        SWEEP_EVERY_TYPE, &turn->order.total);
    if (status != HF_OK) {
        return problem_of_status(admin->problem, status);
    }
    pthread_mutex_lock(&service->record_lock);
    status = run_locked(turn, &id);
    pthread_mutex_unlock(&service->record_lock);
    HF_TRY(status);
    if (admin->mutation->validate_only) {
        operation_preview(admin, &turn->order, out);
        return HF_OK;
    }
    return operation_show(admin, &id, out);
}

/* --- use cases ------------------------------------------------------------ */

HF_STATUS tenant_assignments_assign(struct service *service,
                                    const struct caller *caller,
                                    const struct tenant_assign *request,
                                    struct operation_view *out,
                                    struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_ASSIGN_TENANT,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct turn turn = {
        .admin = &admin,
        .event = ASSIGNMENT_EV_ASSIGN,
        .order = {.kind = OPERATION_ASSIGN_TENANT},
    };
    HF_TRY(admin_begin(&admin, request->tenant));
    if (admin.seen) {
        return operation_show(&admin, &admin.object, out);
    }
    turn.dep = dep_find_typed(service, admin.tenant, request->dep,
                              DEP_TYPE_MULTI_WORKLOAD);
    return run(&turn, out);
}

static HF_STATUS check_ticket(const struct tenant_offboard *request,
                              struct problem *problem)
{
    const struct {
        const char *field;
        const char *text;
    } fields[] = {
        {"ticket",  request->ticket },
        {"contact", request->contact},
        {"reason",  request->ground },
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].text[0] == '\0') {
            return problem_field(problem, fields[i].field,
                                 "must be given: offboarding is by ticket");
        }
    }
    return HF_OK;
}

HF_STATUS tenant_assignments_offboard(struct service *service,
                                      const struct caller *caller,
                                      const struct tenant_offboard *request,
                                      struct operation_view *out,
                                      struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_OFFBOARD_TENANT,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct turn turn = {
        .admin = &admin,
        .event = ASSIGNMENT_EV_OFFBOARD,
        .order = {.kind = OPERATION_OFFBOARD_TENANT},
    };
    HF_TRY(admin_begin(&admin, request->tenant));
    HF_TRY(check_ticket(request, problem));
    if (admin.seen) {
        return operation_show(&admin, &admin.object, out);
    }
    memcpy(turn.next.ticket, request->ticket, sizeof turn.next.ticket);
    memcpy(turn.next.contact, request->contact, sizeof turn.next.contact);
    memcpy(turn.next.ground, request->ground, sizeof turn.next.ground);
    turn.dep = assignment_dep(service, admin.tenant);
    if (turn.dep != NULL) {
        /* health as it is now, not as it was when somebody last asked */
        dep_try_keys(service, turn.dep);
    }
    return run(&turn, out);
}

/* what an offboarding has left is counted, not estimated. */
static HF_STATUS fill_progress(const struct admin *admin,
                               const struct operation_record *operation,
                               struct tenant_assignment_view *out)
{
    struct wrapped_counts counts = {0};
    if (operation->state != OPERATION_RUNNING) {
        return HF_OK;
    }
    out->percent = operation->percent;
    out->remaining = operation->total > operation->done
                         ? operation->total - operation->done
                         : 0;
    /* at the end of a walk those are among them */
    if (out->remaining < operation->failed) {
        out->remaining = operation->failed;
    }
    if (out->record.state != ASSIGNMENT_OFFBOARDING) {
        return HF_OK;
    }
    enum hf_status status =
        wrapped_count(admin->service, &out->record.dep, 1, &counts);
    out->remaining = counts.here + counts.elsewhere;
    return problem_of_status(admin->problem, status);
}

HF_STATUS tenant_assignments_get(struct service *service,
                                 const struct caller *caller,
                                 const char *tenant,
                                 struct tenant_assignment_view *out,
                                 struct problem *problem)
{
    struct admin admin = {.service = service, .problem = problem};
    struct operation_view operation;
    HF_TRY(service_admit(service, caller, VERB_GET_TENANT_ASSIGNMENT, tenant,
                         &admin.tenant, problem));
    *out = (struct tenant_assignment_view){.percent = 100};
    pthread_rwlock_rdlock(&service->catalogue.lock);
    memcpy(out->tenant, admin.tenant->record.name, sizeof out->tenant);
    out->record = admin.tenant->assignment;
    etag_write(&admin.tenant->assignment_stamp, out->etag);
    pthread_rwlock_unlock(&service->catalogue.lock);
    out->overdue = assignment_is_overdue(
        out->record.state, out->record.assigned_ms, service_wall_ms(service));
    if (id_is_nil(&out->record.operation)) {
        return HF_OK;
    }
    HF_TRY(operation_show(&admin, &out->record.operation, &operation));
    return fill_progress(&admin, &operation.record, out);
}
