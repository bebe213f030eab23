/* OperationService. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/handlers/operation_encode.h"
#include "server/rpc/method.h"
#include "server/service/operations.h"

#include <holdfast/v1/operation_service.pb-c.h>

#define PATH          "/holdfast.v1.OperationService/"
#define PAGE_MAX_HERE 500

static HF_STATUS decode_name(const char *text, char *out_tenant,
                             char out_id[HF_ID_TEXT], struct problem *problem)
{
    const struct codec_name what = {
        .field = "name",
        .collection = "operations",
        .out_tenant = out_tenant,
        .out_id = out_id,
        .id_cap = HF_ID_TEXT,
    };
    return codec_parse_name(&what, text, problem);
}

static HF_STATUS answer(struct admin_work *work,
                        const struct operation_view *view)
{
    work->reply = operation_put_message(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS get(struct admin_work *work)
{
    const Holdfast__V1__GetOperationRequest *in =
        (const Holdfast__V1__GetOperationRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_ID_TEXT];
    struct operation_view view;
    HF_TRY(decode_name(in->name, tenant, id, work->problem));
    HF_TRY(operations_get(work->service, work->caller, tenant, id, &view,
                          work->problem));
    return answer(work, &view);
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListOperationsRequest *in =
        (const Holdfast__V1__ListOperationsRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct page_request page;
    HF_TRY(codec_parent(in->parent, tenant, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE, &page,
                      work->problem));
    struct operation_list found = {.cap = page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListOperationsResponse *out =
        codec_new(work->arena, Holdfast__V1__ListOperationsResponse,
                  holdfast__v1__list_operations_response);
    Holdfast__V1__Operation **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(operations_list(work->service, work->caller, tenant, &page, &found,
                           work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = (Holdfast__V1__Operation *)operation_put_message(
            work->arena, &found.views[i]);
    }
    out->operations = items;
    out->n_operations = found.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    work->reply = &out->base;
    return HF_OK;
}

static HF_STATUS cancel(struct admin_work *work)
{
    const Holdfast__V1__CancelOperationRequest *in =
        (const Holdfast__V1__CancelOperationRequest *)work->request;
    struct operation_cancel request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    struct operation_view view;
    HF_TRY(decode_name(in->name, request.tenant, request.id, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    HF_TRY(operations_cancel(work->service, work->caller, &request, &view,
                             work->problem));
    return answer(work, &view);
}

/* --- streams ------------------------------------------------------------ */

static HF_STATUS look(struct stream_work *work, const char *name,
                      enum verb verb, struct operation_view *out)
{
    struct operation_look look = {.verb = verb};
    HF_TRY(decode_name(name, look.tenant, look.id, work->problem));
    HF_TRY(operations_look(work->service, work->caller, &look, out,
                           work->problem));
    work->topic = (struct topic){TOPIC_OPERATION, out->record.id};
    return HF_OK;
}

static HF_STATUS tell(struct stream_work *work,
                      const struct operation_view *view)
{
    work->messages[0] = operation_put_message(work->arena, view);
    if (work->messages[0] == NULL) {
        return HF_E_NO_MEMORY;
    }
    work->message_count = 1;
    return HF_OK;
}

/* position: the revision that was told last. */
static HF_STATUS watch(struct stream_work *work)
{
    const Holdfast__V1__WatchOperationRequest *in =
        (const Holdfast__V1__WatchOperationRequest *)work->request;
    struct operation_view view;
    HF_TRY(look(work, in->name, VERB_WATCH_OPERATION, &view));
    work->next =
        view.record.state == OPERATION_RUNNING ? STREAM_WAIT : STREAM_END;
    if (view.revision == work->position) {
        return HF_OK;
    }
    work->position = view.revision;
    return tell(work, &view);
}

#define WAIT_DEFAULT_MS 30000
#define WAIT_MAX_MS     600000
#define WAIT_MARGIN_MS  250 /* before the client's deadline */

static HF_STATUS wait_until(struct stream_work *work,
                            const Google__Protobuf__Duration *timeout)
{
    int64_t wait_ms = WAIT_DEFAULT_MS;
    if (timeout != NULL) {
        HF_TRY(codec_duration("timeout", timeout, WAIT_MAX_MS, &wait_ms,
                              work->problem));
    }
    int64_t latest_ms = work->deadline_ms - WAIT_MARGIN_MS;
    work->until_ms = work->now_ms + wait_ms;
    work->until_ms = work->until_ms < latest_ms ? work->until_ms : latest_ms;
    return HF_OK;
}

static HF_STATUS await_end(struct stream_work *work)
{
    const Holdfast__V1__WaitOperationRequest *in =
        (const Holdfast__V1__WaitOperationRequest *)work->request;
    struct operation_view view;
    if (work->until_ms == 0) {
        HF_TRY(wait_until(work, in->timeout));
    }
    HF_TRY(look(work, in->name, VERB_WAIT_OPERATION, &view));
    if (view.record.state == OPERATION_RUNNING &&
        work->now_ms < work->until_ms) {
        work->next = STREAM_WAIT;
        work->wake_ms = work->until_ms;
        return HF_OK;
    }
    work->next = STREAM_END;
    return tell(work, &view);
}

static const struct rpc_method methods[] = {
    {
     .path = PATH "WatchOperation",
     .lane = LANE_STREAM,
     .verb = VERB_WATCH_OPERATION,
     .request = &holdfast__v1__watch_operation_request__descriptor,
     .stream = watch,
     },
    {
     .path = PATH "WaitOperation",
     .lane = LANE_STREAM,
     .verb = VERB_WAIT_OPERATION,
     .request = &holdfast__v1__wait_operation_request__descriptor,
     .stream = await_end,
     },
    {
     .path = PATH "GetOperation",
     .lane = LANE_ADMIN,
     .verb = VERB_GET_OPERATION,
     .request = &holdfast__v1__get_operation_request__descriptor,
     .admin = get,
     },
    {
     .path = PATH "ListOperations",
     .lane = LANE_ADMIN,
     .verb = VERB_LIST_OPERATIONS,
     .request = &holdfast__v1__list_operations_request__descriptor,
     .admin = list,
     },
    {
     .path = PATH "CancelOperation",
     .lane = LANE_ADMIN,
     .verb = VERB_CANCEL_OPERATION,
     .request = &holdfast__v1__cancel_operation_request__descriptor,
     .admin = cancel,
     },
};
const struct method_list operation_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
