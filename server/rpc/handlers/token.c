/* TokenService. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/method.h"
#include "server/service/ak_enrol.h"
#include "server/service/ak_retire.h"
#include "server/service/tokens.h"

#include <holdfast/v1/token_service.pb-c.h>

#define PATH               "/holdfast.v1.TokenService/"
#define PAGE_MAX_HERE      500
#define SIGNATURE_MAX_HERE 1024

_Static_assert(
    (int)HOLDFAST__V1__TOKEN_CONDITION__TOKEN_CONDITION_OPENING ==
            (int)TOKEN_OPENING + 1 &&
        (int)HOLDFAST__V1__TOKEN_CONDITION__TOKEN_CONDITION_UNAVAILABLE ==
            (int)TOKEN_CONDITION_COUNT,
    "one scale");

static Holdfast__V1__Token *encode(struct rpc_arena *arena,
                                   const struct token_view *view)
{
    Holdfast__V1__Token *out =
        codec_new(arena, Holdfast__V1__Token, holdfast__v1__token);
    if (out == NULL) {
        return NULL;
    }
    out->name = codec_put_name(arena, view->tenant, "tokens", view->name);
    out->uid = codec_put_id(arena, &view->id);
    out->uri = rpc_arena_text(arena, "%s", view->uri);
    out->custody_domain = rpc_arena_text(arena, "%s", view->custody_domain);
    /* the numbers are the same, see PROTECTION_* */
    out->deletion_protection =
        (Holdfast__V1__DeletionProtection)view->protection;
    out->retention_days = (int32_t)view->retention_days;
    out->test_only = view->test_only;
    out->hardware = view->hardware;
    out->wrap_algorithm =
        rpc_arena_text(arena, "%s", token_suite_text(view->suite));
    out->reachable = view->reachable;
    if (view->is_configured) {
        /* the same order, after the one that says nothing */
        out->condition =
            (Holdfast__V1__TokenCondition)((int)view->state.condition + 1);
    }
    out->worker = view->state.worker;
    out->worker_restarts = view->state.restarts;
    out->condition_reason = rpc_arena_text(arena, "%s", view->state.why);
    out->enroll_time = codec_put_timestamp(arena, view->enrolled_ms);
    out->free_bytes = view->free_bytes;
    out->revision = view->revision;
    return out;
}

static HF_STATUS decode_bytes(const char *field, ProtobufCBinaryData in,
                              size_t max, struct bytes *out,
                              struct problem *problem)
{
    if (in.len == 0 || in.len > max) {
        return problem_field(problem, field, "is %zu bytes long; 1 to %zu",
                             in.len, max);
    }
    *out = (struct bytes){in.data, in.len};
    return HF_OK;
}

static HF_STATUS enroll(struct admin_work *work)
{
    const Holdfast__V1__EnrollTokenRequest *in =
        (const Holdfast__V1__EnrollTokenRequest *)work->request;
    struct token_enroll request = {.statement = BYTES_NONE};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    HF_TRY(codec_id("token_id", in->token_id, request.name, work->problem));
    HF_TRY(decode_bytes("statement", in->statement, STATEMENT_MAX_BYTES,
                        &request.statement, work->problem));
    HF_TRY(decode_bytes("signature", in->signature, SIGNATURE_MAX_HERE,
                        &request.signature, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct token_view view;
    HF_TRY(tokens_enroll(work->service, work->caller, &request, &view,
                         work->problem));
    work->reply = (ProtobufCMessage *)encode(work->arena, &view);
    return HF_OK;
}

static HF_STATUS rebind(struct admin_work *work)
{
    const Holdfast__V1__RebindKeysRequest *in =
        (const Holdfast__V1__RebindKeysRequest *)work->request;
    struct token_enroll request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    const struct codec_name what = {
        .field = "name",
        .collection = "tokens",
        .out_tenant = request.tenant,
        .out_id = request.name,
        .id_cap = sizeof request.name,
    };
    HF_TRY(codec_parse_name(&what, in->name, work->problem));
    HF_TRY(decode_bytes("statement", in->statement, STATEMENT_MAX_BYTES,
                        &request.statement, work->problem));
    HF_TRY(decode_bytes("signature", in->signature, SIGNATURE_MAX_HERE,
                        &request.signature, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct token_view view;
    Holdfast__V1__RebindKeysResponse *out =
        codec_new(work->arena, Holdfast__V1__RebindKeysResponse,
                  holdfast__v1__rebind_keys_response);
    if (out == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(tokens_rebind(work->service, work->caller, &request, &view,
                         &out->key_versions, work->problem));
    out->token = encode(work->arena, &view);
    work->reply = &out->base;
    return HF_OK;
}

static HF_STATUS get(struct admin_work *work)
{
    const Holdfast__V1__GetTokenRequest *in =
        (const Holdfast__V1__GetTokenRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1];
    const struct codec_name what = {
        .field = "name",
        .collection = "tokens",
        .out_tenant = tenant,
        .out_id = name,
        .id_cap = sizeof name,
    };
    HF_TRY(codec_parse_name(&what, in->name, work->problem));
    struct token_view view;
    HF_TRY(tokens_get(work->service, work->caller, tenant, name, &view,
                      work->problem));
    work->reply = (ProtobufCMessage *)encode(work->arena, &view);
    return HF_OK;
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListTokensRequest *in =
        (const Holdfast__V1__ListTokensRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct page_request page;
    HF_TRY(codec_parent(in->parent, tenant, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE, &page,
                      work->problem));
    struct token_views found = {.cap = page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListTokensResponse *out =
        codec_new(work->arena, Holdfast__V1__ListTokensResponse,
                  holdfast__v1__list_tokens_response);
    Holdfast__V1__Token **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(tokens_list(work->service, work->caller, tenant, &page, &found,
                       work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = encode(work->arena, &found.views[i]);
    }
    out->tokens = items;
    out->n_tokens = found.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    work->reply = &out->base;
    return HF_OK;
}

static Holdfast__V1__AvailabilityToken *
encode_ak(struct rpc_arena *arena, const struct ak_token_view *view)
{
    Holdfast__V1__AvailabilityToken *out =
        codec_new(arena, Holdfast__V1__AvailabilityToken,
                  holdfast__v1__availability_token);
    if (out != NULL) {
        out->sharepoint = view->sharepoint;
        /* the numbers are the same, see CAPACITY_* */
        out->level = (Holdfast__V1__CapacityLevel)view->capacity.level;
        out->percent = view->capacity.percent;
        out->object_count = view->facts.objects;
        out->capacity_objects = view->facts.objects_max;
        out->free_bytes = view->facts.free_bytes;
        out->total_bytes = view->facts.total_bytes;
        out->reachable = view->reachable;
        out->token_id = rpc_arena_text(arena, "%s", view->name);
        out->label = rpc_arena_text(arena, "%s", view->label);
        out->serial = rpc_arena_text(arena, "%s", view->serial);
        /* the numbers are the same, see AK_TOKEN_* */
        out->state = (Holdfast__V1__AvailabilityTokenState)view->state;
        out->copies = view->copies;
        out->copies_wanted = view->copies_wanted;
        out->last_problem = rpc_arena_text(
            arena, "%s", view->met != HF_OK ? hf_status_text(view->met) : "");
        out->disposal = rpc_arena_text(arena, "%s", view->disposal);
        out->retirement_requester =
            rpc_arena_text(arena, "%s", view->requested_by);
        out->retirement_approvals = view->approvals;
        out->retire_time = codec_put_timestamp(arena, view->retired_ms);
    }
    return out;
}

static HF_STATUS enroll_ak(struct admin_work *work)
{
    const Holdfast__V1__EnrollAkMirrorRequest *in =
        (const Holdfast__V1__EnrollAkMirrorRequest *)work->request;
    struct ak_enroll request = {.name = ""};
    struct ak_token_view view;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_id("token_id", in->token_id, request.name, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    HF_TRY(ak_tokens_enroll(work->service, work->caller, &request, &view,
                            work->problem));
    work->reply = (ProtobufCMessage *)encode_ak(work->arena, &view);
    return HF_OK;
}

static HF_STATUS retire_ak(struct admin_work *work)
{
    const Holdfast__V1__RetireAkMirrorRequest *in =
        (const Holdfast__V1__RetireAkMirrorRequest *)work->request;
    struct ak_retire request = {.name = ""};
    struct ak_token_view view;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_id("token_id", in->token_id, request.name, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    if (text_copy(request.serial, sizeof request.serial, in->serial) != HF_OK) {
        return problem_field(work->problem, "serial", "is longer than any");
    }
    if (text_copy(request.disposal, sizeof request.disposal, in->disposal) !=
        HF_OK) {
        return problem_field(work->problem, "disposal",
                             "has more than %d bytes", DISPOSAL_MAX_BYTES);
    }
    HF_TRY(ak_tokens_retire(work->service, work->caller, &request, &view,
                            work->problem));
    work->reply = (ProtobufCMessage *)encode_ak(work->arena, &view);
    return HF_OK;
}

static HF_STATUS availability(struct admin_work *work)
{
    struct ak_token_views found;
    Holdfast__V1__AvailabilityTokens *out =
        codec_new(work->arena, Holdfast__V1__AvailabilityTokens,
                  holdfast__v1__availability_tokens);
    Holdfast__V1__AvailabilityToken **items =
        rpc_arena_alloc(work->arena, AK_VIEWS_MAX * sizeof *items);
    if (out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(ak_capacity_get(work->service, work->caller, &found, work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = encode_ak(work->arena, &found.views[i]);
    }
    out->tokens = items;
    out->n_tokens = found.count;
    work->reply = &out->base;
    return HF_OK;
}

static const struct rpc_method methods[] = {
    {
     .path = PATH "EnrollToken",
     .lane = LANE_ADMIN,
     .verb = VERB_ENROLL_TOKEN,
     .request = &holdfast__v1__enroll_token_request__descriptor,
     .admin = enroll,
     },
    {
     .path = PATH "RebindKeys",
     .lane = LANE_ADMIN,
     .verb = VERB_REBIND_KEYS,
     .request = &holdfast__v1__rebind_keys_request__descriptor,
     .admin = rebind,
     },
    {
     .path = PATH "GetToken",
     .lane = LANE_ADMIN,
     .verb = VERB_GET_TOKEN,
     .request = &holdfast__v1__get_token_request__descriptor,
     .admin = get,
     },
    {
     .path = PATH "ListTokens",
     .lane = LANE_ADMIN,
     .verb = VERB_LIST_TOKENS,
     .request = &holdfast__v1__list_tokens_request__descriptor,
     .admin = list,
     },
    {
     .path = PATH "GetAvailabilityTokens",
     .lane = LANE_ADMIN,
     .verb = VERB_GET_AVAILABILITY_TOKENS,
     .request = &holdfast__v1__get_availability_tokens_request__descriptor,
     .admin = availability,
     },
    {
     .path = PATH "EnrollAkMirror",
     .lane = LANE_ADMIN,
     .verb = VERB_ENROLL_AK_MIRROR,
     .request = &holdfast__v1__enroll_ak_mirror_request__descriptor,
     .admin = enroll_ak,
     },
    {
     .path = PATH "RetireAkMirror",
     .lane = LANE_ADMIN,
     .verb = VERB_RETIRE_AK_MIRROR,
     .request = &holdfast__v1__retire_ak_mirror_request__descriptor,
     .admin = retire_ak,
     },
};
const struct method_list token_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
