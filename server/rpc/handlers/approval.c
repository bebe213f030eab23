/* ApprovalService. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/method.h"
#include "server/service/purges.h"

#include <holdfast/v1/approval_service.pb-c.h>
#include <string.h>

#define PATH "/holdfast.v1.ApprovalService/"

static Holdfast__V1__PurgeApprover *
encode_one(struct rpc_arena *arena, const struct officer_record *officer)
{
    Holdfast__V1__PurgeApprover *out = codec_new(
        arena, Holdfast__V1__PurgeApprover, holdfast__v1__purge_approver);
    if (out == NULL) {
        return NULL;
    }
    out->identity = rpc_arena_text(arena, "%s", officer->identity);
    out->display_name = rpc_arena_text(arena, "%s", officer->name);
    out->public_key = codec_put_bytes(
        arena, (struct bytes){officer->public_key, officer->public_key_len});
    out->since_time = codec_put_timestamp(arena, officer->since_ms);
    return out;
}

static HF_STATUS answer(struct admin_work *work,
                        const struct officer_list *list)
{
    Holdfast__V1__PurgeApprovers *out =
        codec_new(work->arena, Holdfast__V1__PurgeApprovers,
                  holdfast__v1__purge_approvers);
    Holdfast__V1__PurgeApprover **items =
        rpc_arena_alloc(work->arena, OFFICERS_MAX * sizeof *items);
    if (out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    for (size_t i = 0; i < list->count; i++) {
        items[i] = encode_one(work->arena, &list->officers[i]);
    }
    out->name =
        rpc_arena_text(work->arena, "tenants/%s/purgeApprovers", list->tenant);
    out->approvers = items;
    out->n_approvers = list->count;
    work->reply = &out->base;
    return HF_OK;
}

static HF_STATUS decode_one(const Holdfast__V1__PurgeApprover *in,
                            struct officer_spec *out, struct problem *problem)
{
    HF_TRY(codec_spiffe("approvers.identity", in->identity, out->identity,
                        problem));
    HF_TRY(codec_text("approvers.display_name", in->display_name, out->name,
                      sizeof out->name, problem));
    if (in->public_key.len == 0 ||
        in->public_key.len > OFFICER_KEY_TEXT_BYTES) {
        return problem_field(problem, "approvers.public_key",
                             "must have 1 to %d bytes", OFFICER_KEY_TEXT_BYTES);
    }
    out->public_key = (struct bytes){in->public_key.data, in->public_key.len};
    return HF_OK;
}

static HF_STATUS set(struct admin_work *work)
{
    const Holdfast__V1__SetPurgeApproversRequest *in =
        (const Holdfast__V1__SetPurgeApproversRequest *)work->request;
    struct officers_set *request =
        rpc_arena_alloc(work->arena, sizeof *request);
    struct officer_list *list = rpc_arena_alloc(work->arena, sizeof *list);
    if (request == NULL || list == NULL) {
        return HF_E_NO_MEMORY;
    }
    memset(request, 0, sizeof *request);
    HF_TRY(codec_parent(in->parent, request->tenant, work->problem));
    if (in->n_approvers > OFFICERS_MAX) {
        return problem_field(work->problem, "approvers", "must be at most %d",
                             OFFICERS_MAX);
    }
    for (size_t i = 0; i < in->n_approvers; i++) {
        HF_TRY(
            decode_one(in->approvers[i], &request->officers[i], work->problem));
    }
    request->count = in->n_approvers;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_mutation(&mutation, work, &request->mutation));
    HF_TRY(officers_set(work->service, work->caller, request, list,
                        work->problem));
    return answer(work, list);
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListPurgeApproversRequest *in =
        (const Holdfast__V1__ListPurgeApproversRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct officer_list *found = rpc_arena_alloc(work->arena, sizeof *found);
    if (found == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(codec_parent(in->parent, tenant, work->problem));
    HF_TRY(officers_list(work->service, work->caller, tenant, found,
                         work->problem));
    return answer(work, found);
}

static const struct rpc_method methods[] = {
    {
     .path = PATH "SetPurgeApprovers",
     .lane = LANE_ADMIN,
     .verb = VERB_SET_PURGE_APPROVERS,
     .request = &holdfast__v1__set_purge_approvers_request__descriptor,
     .admin = set,
     },
    {
     .path = PATH "ListPurgeApprovers",
     .lane = LANE_ADMIN,
     .verb = VERB_LIST_PURGE_APPROVERS,
     .request = &holdfast__v1__list_purge_approvers_request__descriptor,
     .admin = list,
     },
};
const struct method_list approval_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
