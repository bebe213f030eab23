#include "server/service/dep_rewrap.h"

#include "server/service/dep_view.h"
#include "server/service/sweep.h"

/* Under this DEP, or an older generation of it, and to be elsewhere. */
static bool is_to_move(const struct resource_view *view,
                       const struct operation_record *operation)
{
    return mailbox_needs_rewrap(&view->facts) &&
           id_equal(&view->record.effective.dep, &operation->object);
}

void dep_rewrap_step(struct operation_step *step)
{
    sweep_resources(step, SWEEP_EVERY_TYPE, is_to_move);
}

static HF_STATUS record(const struct admin *admin, const struct dep_entry *dep,
                        const struct operation_order *order,
                        struct hf_id *out_id)
{
    struct service *service = admin->service;
    struct operation_entry *entry = NULL;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    HF_TRY(operation_begin(admin, order, change, &entry));
    *out_id = *operation_entry_id(entry);
    enum hf_status status =
        dep_finish_order(admin, change, &dep->record, NULL, out_id);
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (admin_is_stored(status)) {
        operations_adopt(service, entry);
    } else {
        operation_drop(entry);
    }
    return status;
}

/* record_lock is held: one at a time. */
static HF_STATUS order_locked(const struct admin *admin,
                              const struct dep_entry *dep,
                              struct operation_order *order,
                              struct hf_id *out_id)
{
    if (operations_is_running(admin->service, &admin->tenant->record.id,
                              order->kind, &order->object)) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "a rewrap away from this DEP is running already");
    }
    return admin->mutation->validate_only
               ? HF_OK
               : admin_answer(admin, record(admin, dep, order, out_id));
}

HF_STATUS deps_rewrap(struct service *service, const struct caller *caller,
                      const struct dep_rewrap *request,
                      struct operation_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_REWRAP_DEP,
        .mutation = &request->mutation,
        .problem = problem,
    };
    HF_TRY(admin_begin(&admin, request->tenant));
    if (admin.seen) {
        return operation_show(&admin, &admin.object, out);
    }
    const struct dep_entry *dep = dep_find(service, admin.tenant, request->dep);
    if (dep == NULL) {
        return problem_set(problem, REASON_NOT_FOUND, "no such DEP");
    }
    HF_TRY(dep_admit(&admin, dep->record.type));
    struct operation_order order = {
        .kind = OPERATION_REWRAP,
        .object = dep->record.id,
    };
    enum hf_status status =
        sweep_count(service, admin.tenant, SWEEP_EVERY_TYPE, &order.total);
    if (status != HF_OK) {
        return problem_of_status(problem, status);
    }
    struct hf_id id = {{0}};
    pthread_mutex_lock(&service->record_lock);
    status = order_locked(&admin, dep, &order, &id);
    pthread_mutex_unlock(&service->record_lock);
    HF_TRY(status);
    if (request->mutation.validate_only) {
        operation_preview(&admin, &order, out);
        return HF_OK;
    }
    return operation_show(&admin, &id, out);
}
