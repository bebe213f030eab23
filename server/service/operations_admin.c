/* operations_admin: long-running operations as their owners see them: get,
 * list, cancel. */
#include "server/service/operations.h"
#include "server/service/operations_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static HF_STATUS load(struct service *service,
                      const struct tenant_entry *tenant, const struct hf_id *id,
                      struct operation_record *out, struct stamp *out_stamp)
{
    struct record_key key = key_of_pair(&tenant->record.id, id);
    struct record *record = malloc(sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status =
        ledger_get(service->ledger, RECORD_OPERATION, record_key_view(&key),
                   record, out_stamp);
    if (status == HF_OK) {
        status = operation_decode(record, out);
    }
    free(record);
    return status;
}

static HF_STATUS load_named(const struct admin *admin, const char *text,
                            struct operation_record *out, struct stamp *stamp)
{
    struct hf_id id;
    enum hf_status status = id_parse(text, &id);
    if (status == HF_OK) {
        status = load(admin->service, admin->tenant, &id, out, stamp);
    }
    if (status == HF_E_NOT_FOUND || status == HF_E_INVALID) {
        return problem_set(admin->problem, REASON_NOT_FOUND,
                           "no such operation");
    }
    return problem_of_status(admin->problem, status);
}

static void fill_view(const struct tenant_entry *tenant,
                      const struct operation_record *record, uint64_t revision,
                      struct operation_view *out)
{
    memcpy(out->tenant, tenant->record.name, sizeof out->tenant);
    out->record = *record;
    out->revision = revision;
}

HF_STATUS operation_show(const struct admin *admin, const struct hf_id *id,
                         struct operation_view *out)
{
    struct operation_record record;
    struct stamp stamp;
    enum hf_status status =
        load(admin->service, admin->tenant, id, &record, &stamp);
    if (status != HF_OK) {
        return problem_of_status(admin->problem, status);
    }
    fill_view(admin->tenant, &record, stamp.version, out);
    return HF_OK;
}

void operation_preview(const struct admin *admin,
                       const struct operation_order *order,
                       struct operation_view *out)
{
    const struct operation_record record = {
        .kind = order->kind,
        .state = OPERATION_RUNNING,
        .object = order->object,
        .number = order->number,
        .total = order->total,
    };
    fill_view(admin->tenant, &record, 0, out);
}

HF_STATUS operations_look(struct service *service, const struct caller *caller,
                          const struct operation_look *look,
                          struct operation_view *out, struct problem *problem)
{
    struct admin admin = {.service = service, .problem = problem};
    struct operation_record record = {.created_ms = 0};
    struct stamp stamp = {.version = 0};
    HF_TRY(service_admit(service, caller, look->verb, look->tenant,
                         &admin.tenant, problem));
    HF_TRY(load_named(&admin, look->id, &record, &stamp));
    fill_view(admin.tenant, &record, stamp.version, out);
    return HF_OK;
}

HF_STATUS operations_get(struct service *service, const struct caller *caller,
                         const char *tenant, const char *id,
                         struct operation_view *out, struct problem *problem)
{
    struct operation_look look = {.verb = VERB_GET_OPERATION};
    if (text_copy(look.tenant, sizeof look.tenant, tenant) != HF_OK ||
        text_copy(look.id, sizeof look.id, id) != HF_OK) {
        return problem_set(problem, REASON_NOT_FOUND, "no such operation");
    }
    return operations_look(service, caller, &look, out, problem);
}

struct list_walk {
    const struct tenant_entry *tenant;
    struct operation_list *out;
    size_t size;
    bool more;
};

static enum hf_status list_step(void *context, const struct record *record,
                                const struct stamp *stamp)
{
    struct list_walk *walk = context;
    struct operation_record operation;
    if (walk->out->count == walk->size) {
        walk->more = true;
        return HF_E_LIMIT;
    }
    HF_TRY(operation_decode(record, &operation));
    fill_view(walk->tenant, &operation, stamp->version,
              &walk->out->views[walk->out->count++]);
    return HF_OK;
}

HF_STATUS operations_list(struct service *service, const struct caller *caller,
                          const char *tenant, const struct page_request *page,
                          struct operation_list *out, struct problem *problem)
{
    struct tenant_entry *entry = NULL;
    struct page_walk where;
    HF_TRY(service_admit(service, caller, VERB_LIST_OPERATIONS, tenant, &entry,
                         problem));
    HF_TRY(page_begin(page, out->cap, &where, problem));
    struct list_walk walk = {.tenant = entry, .out = out, .size = where.size};
    struct record_key after = key_of_pair(&entry->record.id, &where.after);
    const struct store_page range = {
        .prefix = BYTES_OF(entry->record.id.bytes),
        .after = where.from_start ? BYTES_NONE : record_key_view(&after),
        .max = SIZE_MAX,
    };
    out->count = 0;
    out->next[0] = '\0';
    enum hf_status status = ledger_each(service->ledger, RECORD_OPERATION,
                                        &range, list_step, &walk);
    if (status == HF_E_LIMIT && walk.more) {
        id_format(&out->views[out->count - 1].record.id, out->next);
        return HF_OK;
    }
    return problem_of_status(problem, status);
}

static HF_STATUS may_cancel(const struct admin *admin,
                            struct operation_record *record)
{
    enum reason reason = REASON_NONE;
    if (operation_next(record->kind, record->state, OPERATION_EV_CANCEL,
                       &record->state, &reason) == HF_OK) {
        return HF_OK;
    }
    if (reason == REASON_OPERATION_NOT_CANCELLABLE) {
        return problem_set(admin->problem, reason,
                           "a %s operation cannot be cancelled: it goes on "
                           "until it is done",
                           operation_kind_text(record->kind));
    }
    return problem_set(admin->problem, reason, "the operation has ended: %s",
                       operation_state_text(record->state));
}

static HF_STATUS record_cancel(const struct admin *admin, const char *id,
                               struct operation_record *record,
                               struct stamp *stamp)
{
    char object[HF_NAME_MAX_BYTES + HF_ID_TEXT + 32];
    HF_OWNED(change_freep) struct change *change = NULL;
    snprintf(object, sizeof object, "tenants/%s/operations/%s",
             admin->tenant->record.name, id);
    record->ended_ms = service_wall_ms(admin->service);
    record->updated_ms = record->ended_ms;
    HF_TRY(change_new(&change));
    const struct stamp current = *stamp;
    HF_TRY(operation_put(change, record, &current, stamp));
    HF_TRY(operation_record_end(admin->service, change, record,
                                admin->tenant->record.name));
    HF_TRY(admin_finish_change(admin, change, object, NULL, &record->id));
    return ledger_commit(admin->service->ledger, change);
}

#define RACES_MAX 5

HF_STATUS operations_cancel(struct service *service,
                            const struct caller *caller,
                            const struct operation_cancel *request,
                            struct operation_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_CANCEL_OPERATION,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct operation_record record = {.created_ms = 0};
    struct stamp stamp = {.version = 0};
    enum hf_status status = HF_E_CONFLICT;
    HF_TRY(admin_begin(&admin, request->tenant));
    if (admin.seen) {
        return operation_show(&admin, &admin.object, out);
    }
    /* its steps write the record as well: read again and decide again */
    for (int race = 0; race < RACES_MAX && status == HF_E_CONFLICT; race++) {
        HF_TRY(load_named(&admin, request->id, &record, &stamp));
        HF_TRY(may_cancel(&admin, &record));
        status = request->mutation.validate_only
                     ? HF_OK
                     : record_cancel(&admin, request->id, &record, &stamp);
    }
    HF_TRY(admin_answer(&admin, status));
    if (!request->mutation.validate_only) {
        operations_forget(service, &record.id);
    }
    fill_view(admin.tenant, &record, stamp.version, out);
    return HF_OK;
}
