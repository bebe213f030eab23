/* AssignmentService: the workloads of multi-workload DEPs. */
#include "hsm/base/check.h"

#include "server/domain/dep.h"

#include "server/rpc/codec.h"
#include "server/rpc/handlers/earlier_keys.h"
#include "server/rpc/method.h"
#include "server/service/workloads.h"

#include <holdfast/v1/assignment_service.pb-c.h>
#include <string.h>

#define PATH          "/holdfast.v1.AssignmentService/"
#define PAGE_MAX_HERE 100

static char *dep_name(struct rpc_arena *arena, const struct workload_view *view,
                      const struct dep_ref *by, bool service_managed)
{
    static const struct hf_id nil;
    return codec_put_dep_name(arena, view->tenant,
                              service_managed ? &nil : &by->dep);
}

static void encode_key(struct rpc_arena *arena,
                       const struct workload_view *view,
                       Holdfast__V1__TenantWorkload *out)
{
    const struct resource_record *record = &view->record;
    out->registered = true;
    out->switched_on = record->switched_on;
    /* the numbers are the same, see MAILBOX_* */
    out->state = (Holdfast__V1__WorkloadState)view->state;
    out->effective_dep = dep_name(arena, view, &record->effective,
                                  view->effective_is_service_managed);
    out->effective_generation = record->effective.generation;
    out->effective_time = codec_put_timestamp(arena, record->effective_ms);
    const struct earlier_keys earlier = {view->tenant, &view->service_managed,
                                         record};
    out->earlier_keys =
        earlier_keys_encode(arena, &earlier, &out->n_earlier_keys);
}

static Holdfast__V1__TenantWorkload *encode(struct rpc_arena *arena,
                                            const struct workload_view *view)
{
    const struct workload_row *row = view->row;
    Holdfast__V1__TenantWorkload *out = codec_new(
        arena, Holdfast__V1__TenantWorkload, holdfast__v1__tenant_workload);
    if (out == NULL) {
        return NULL;
    }
    out->name = codec_put_name(arena, view->tenant, "workloads", row->word);
    out->title = rpc_arena_text(arena, "%s", row->title);
    /* the numbers are the same in all three */
    out->coverage = (Holdfast__V1__WorkloadCoverage)row->coverage;
    out->existing_data_policy = (Holdfast__V1__ExistingDataPolicy)row->existing;
    out->activation = (Holdfast__V1__WorkloadActivation)row->activation;
    if ((int)row->covered_by != 0) {
        out->covered_by =
            rpc_arena_text(arena, "%s", dep_type_text(row->covered_by));
    }
    out->batch_limit = row->batch_max;
    if (view->registered) {
        encode_key(arena, view, out);
    }
    out->done_count = view->progress.done;
    out->total_count = view->progress.total;
    out->report_time = codec_put_timestamp(arena, view->progress.reported_ms);
    out->etag = rpc_arena_text(arena, "%s", view->etag);
    out->revision = codec_put_revision(view->etag);
    return out;
}

static HF_STATUS answer(struct admin_work *work,
                        const struct workload_view *view)
{
    work->reply = (ProtobufCMessage *)encode(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS decode_name(const char *text, char *out_tenant,
                             char out_word[WORKLOAD_WORD_MAX_BYTES + 1],
                             struct problem *problem)
{
    const struct codec_name what = {
        .field = "name",
        .collection = "workloads",
        .out_tenant = out_tenant,
        .out_id = out_word,
        .id_cap = WORKLOAD_WORD_MAX_BYTES + 1,
    };
    return codec_parse_name(&what, text, problem);
}

/* A view is large. */
static struct workload_view *room_for(struct admin_work *work)
{
    return rpc_arena_alloc(work->arena, sizeof(struct workload_view));
}

static HF_STATUS register_workload(struct admin_work *work)
{
    const Holdfast__V1__RegisterWorkloadRequest *in =
        (const Holdfast__V1__RegisterWorkloadRequest *)work->request;
    struct workload_register request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    struct workload_view *view = room_for(work);
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    HF_TRY(
        codec_id("workload_id", in->workload_id, request.word, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(workloads_register(work->service, work->caller, &request, view,
                              work->problem));
    return answer(work, view);
}

static HF_STATUS switch_workload(struct admin_work *work)
{
    const Holdfast__V1__SwitchWorkloadRequest *in =
        (const Holdfast__V1__SwitchWorkloadRequest *)work->request;
    struct workload_switch request = {.on = in->on != 0,
                                      .items = in->item_count};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    struct workload_view *view = room_for(work);
    HF_TRY(decode_name(in->name, request.tenant, request.word, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(workloads_switch(work->service, work->caller, &request, view,
                            work->problem));
    return answer(work, view);
}

static HF_STATUS report(struct admin_work *work)
{
    const Holdfast__V1__ReportWorkloadProgressRequest *in =
        (const Holdfast__V1__ReportWorkloadProgressRequest *)work->request;
    struct workload_report request = {.done = in->done_count,
                                      .total = in->total_count};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    struct workload_view *view = room_for(work);
    HF_TRY(decode_name(in->name, request.tenant, request.word, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(workloads_report(work->service, work->caller, &request, view,
                            work->problem));
    return answer(work, view);
}

static HF_STATUS get(struct admin_work *work)
{
    const Holdfast__V1__GetWorkloadRequest *in =
        (const Holdfast__V1__GetWorkloadRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char word[WORKLOAD_WORD_MAX_BYTES + 1];
    struct workload_view *view = room_for(work);
    HF_TRY(decode_name(in->name, tenant, word, work->problem));
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(workloads_get(work->service, work->caller, tenant, word, view,
                         work->problem));
    return answer(work, view);
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListWorkloadsRequest *in =
        (const Holdfast__V1__ListWorkloadsRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct page_request page;
    HF_TRY(codec_parent(in->parent, tenant, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE, &page,
                      work->problem));
    struct workload_list found = {.cap = page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListWorkloadsResponse *out =
        codec_new(work->arena, Holdfast__V1__ListWorkloadsResponse,
                  holdfast__v1__list_workloads_response);
    Holdfast__V1__TenantWorkload **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(workloads_list(work->service, work->caller, tenant, &page, &found,
                          work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = encode(work->arena, &found.views[i]);
    }
    out->workloads = items;
    out->n_workloads = found.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    work->reply = &out->base;
    return HF_OK;
}

static const struct rpc_method methods[] = {
    {
     .path = PATH "RegisterWorkload",
     .lane = LANE_ADMIN,
     .verb = VERB_REGISTER_WORKLOAD,
     .request = &holdfast__v1__register_workload_request__descriptor,
     .admin = register_workload,
     },
    {
     .path = PATH "SwitchWorkload",
     .lane = LANE_ADMIN,
     .verb = VERB_SWITCH_WORKLOAD,
     .request = &holdfast__v1__switch_workload_request__descriptor,
     .admin = switch_workload,
     },
    {
     .path = PATH "ReportWorkloadProgress",
     .lane = LANE_ADMIN,
     .verb = VERB_REPORT_WORKLOAD_PROGRESS,
     .request = &holdfast__v1__report_workload_progress_request__descriptor,
     .admin = report,
     },
    {
     .path = PATH "GetWorkload",
     .lane = LANE_ADMIN,
     .verb = VERB_GET_WORKLOAD,
     .request = &holdfast__v1__get_workload_request__descriptor,
     .admin = get,
     },
    {
     .path = PATH "ListWorkloads",
     .lane = LANE_ADMIN,
     .verb = VERB_LIST_WORKLOADS,
     .request = &holdfast__v1__list_workloads_request__descriptor,
     .admin = list,
     },
};
const struct method_list workload_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
