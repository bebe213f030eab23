/* PurgeService. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/handlers/operation_encode.h"
#include "server/rpc/handlers/purge_encode.h"
#include "server/rpc/method.h"
#include "server/service/purges.h"

#include <holdfast/v1/purge_service.pb-c.h>
#include <string.h>

#define PATH          "/holdfast.v1.PurgeService/"
#define PAGE_MAX_HERE 100

/* --- encode ------------------------------------------------------------- */

static void encode_earlier(struct rpc_arena *arena,
                           const struct purge_view *from,
                           Holdfast__V1__Purge *out)
{
    size_t count = from->record.earlier_count;
    Holdfast__V1__EarlierWrap **items =
        rpc_arena_alloc(arena, PURGE_EARLIER_MAX * sizeof *items);
    for (size_t i = 0; items != NULL && i < count; i++) {
        const struct purge_earlier *earlier = &from->record.earlier[i];
        items[i] = codec_new(arena, Holdfast__V1__EarlierWrap,
                             holdfast__v1__earlier_wrap);
        if (items[i] == NULL) {
            return; /* the arena is refused as a whole */
        }
        items[i]->dep =
            codec_put_dep_name(arena, from->tenant, &earlier->ref.dep);
        items[i]->generation = earlier->ref.generation;
        items[i]->resource_count = earlier->resources;
    }
    out->earlier_wraps = items;
    out->n_earlier_wraps = items == NULL ? 0 : count;
}

static void encode_approvals(struct rpc_arena *arena,
                             const struct purge_view *from,
                             Holdfast__V1__Purge *out)
{
    Holdfast__V1__PurgeApproval **items =
        rpc_arena_alloc(arena, PURGE_APPROVALS_MAX * sizeof *items);
    for (size_t i = 0; items != NULL && i < from->approval_count; i++) {
        const struct approval_record *approval = &from->approvals[i];
        Holdfast__V1__PurgeApproval *item = codec_new(
            arena, Holdfast__V1__PurgeApproval, holdfast__v1__purge_approval);
        if (item == NULL) {
            return;
        }
        item->approver = rpc_arena_text(arena, "%s", approval->identity);
        item->version = approval->version;
        item->accepts_earlier_wraps = approval->earlier_accepted;
        item->document_digest =
            codec_put_bytes(arena, BYTES_OF(approval->document));
        item->key_fingerprint =
            codec_put_bytes(arena, BYTES_OF(approval->key_fingerprint));
        item->signature =
            codec_put_bytes(arena, (struct bytes){approval->signature,
                                                  approval->signature_len});
        item->approve_time = codec_put_timestamp(arena, approval->approved_ms);
        items[i] = item;
    }
    out->approvals = items;
    out->n_approvals = items == NULL ? 0 : from->approval_count;
}

static void encode_times(struct rpc_arena *arena,
                         const struct purge_record *record,
                         Holdfast__V1__Purge *out)
{
    out->request_time = codec_put_timestamp(arena, record->requested_ms);
    out->expire_time = codec_put_timestamp(arena, record->expires_ms);
    out->approve_time = codec_put_timestamp(arena, record->approved_ms);
    out->hold_until_time = codec_put_timestamp(arena, record->hold_until_ms);
    out->execute_time = codec_put_timestamp(arena, record->executed_ms);
    out->tombstone_time = codec_put_timestamp(arena, record->tombstoned_ms);
    out->destroy_time = codec_put_timestamp(arena, record->destroyed_ms);
    out->verify_time = codec_put_timestamp(arena, record->verified_ms);
    out->purge_time = codec_put_timestamp(arena, record->purged_ms);
}

static char *name_of(struct rpc_arena *arena, const struct purge_view *from)
{
    char id[HF_ID_TEXT];
    id_format(&from->record.id, id);
    return codec_put_name(arena, from->tenant, "purges", id);
}

Holdfast__V1__Purge *purge_put_message(struct rpc_arena *arena,
                                       const struct purge_view *from)
{
    const struct purge_record *record = &from->record;
    Holdfast__V1__Purge *out =
        codec_new(arena, Holdfast__V1__Purge, holdfast__v1__purge);
    if (out == NULL) {
        return NULL;
    }
    if (!id_is_nil(&record->id)) {
        out->name = name_of(arena, from);
    }
    out->whole_tenant = from->of_tenant;
    if (!from->of_tenant) { /* its built-in DEP is not addressed */
        out->dep = codec_put_dep_name(arena, from->tenant, &record->dep);
        out->dep_id = rpc_arena_text(arena, "%s", from->dep_name);
    }
    /* the numbers are the same, see PURGE_* */
    out->phase = (Holdfast__V1__PurgePhase)record->phase;
    out->paused = record->paused;
    out->force = record->force;
    out->reason = rpc_arena_text(arena, "%s", record->reason);
    out->contact = rpc_arena_text(arena, "%s", record->contact);
    out->requester = rpc_arena_text(arena, "%s", record->requester);
    out->version = record->version;
    out->resource_count = record->resources;
    out->document = codec_put_bytes(
        arena, (struct bytes){from->document.text, from->document.len});
    out->accepting_document = codec_put_bytes(
        arena, (struct bytes){from->accepting.text, from->accepting.len});
    out->approvals_needed =
        purge_approvals_needed(record->force, from->of_tenant);
    out->executor = rpc_arena_text(arena, "%s", record->executor);
    out->evidence = rpc_arena_text(arena, "%s", record->evidence);
    out->etag = rpc_arena_text(arena, "%s", from->etag);
    out->revision = codec_put_revision(from->etag);
    encode_earlier(arena, from, out);
    encode_approvals(arena, from, out);
    encode_times(arena, record, out);
    return out;
}

static HF_STATUS answer(struct admin_work *work, const struct purge_view *view)
{
    Holdfast__V1__Purge *out = purge_put_message(work->arena, view);
    if (out == NULL) {
        return HF_E_NO_MEMORY;
    }
    work->reply = &out->base;
    return HF_OK;
}

/* --- decode ------------------------------------------------------------- */

static HF_STATUS decode_name(const char *text, char *out_tenant,
                             char out_id[HF_ID_TEXT], struct problem *problem)
{
    const struct codec_name what = {
        .field = "name",
        .collection = "purges",
        .out_tenant = out_tenant,
        .out_id = out_id,
        .id_cap = HF_ID_TEXT,
    };
    return codec_parse_name(&what, text, problem);
}

static HF_STATUS decode_order(const struct admin_work *work, const char *name,
                              const struct codec_mutation *mutation,
                              struct purge_order *out)
{
    HF_TRY(decode_name(name, out->tenant, out->id, work->problem));
    return codec_mutation(mutation, work, &out->mutation);
}

static HF_STATUS request(struct admin_work *work)
{
    const Holdfast__V1__RequestPurgeRequest *in =
        (const Holdfast__V1__RequestPurgeRequest *)work->request;
    struct purge_request wanted = {.force = in->force, .confirm = in->confirm};
    const struct codec_name dep = {
        .field = "dep",
        .collection = "deps",
        .out_tenant = wanted.tenant,
        .out_id = wanted.dep,
        .id_cap = sizeof wanted.dep,
    };
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    struct purge_view *view = rpc_arena_alloc(work->arena, sizeof *view);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(codec_parse_name(&dep, in->dep, work->problem));
    HF_TRY(codec_text("reason", in->reason, wanted.reason, sizeof wanted.reason,
                      work->problem));
    HF_TRY(codec_text("contact", in->contact, wanted.contact,
                      sizeof wanted.contact, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &wanted.mutation));
    HF_TRY(purges_request(work->service, work->caller, &wanted, view,
                          work->problem));
    return answer(work, view);
}

/* The verbs that carry nothing but the purge. */
typedef HF_STATUS order_fn(struct service *service, const struct caller *caller,
                           const struct purge_order *order,
                           struct purge_view *out, struct problem *problem);

static HF_STATUS order(struct admin_work *work, const char *name,
                       const struct codec_mutation *mutation, order_fn *use)
{
    struct purge_order wanted = {.tenant = ""};
    struct purge_view *view = rpc_arena_alloc(work->arena, sizeof *view);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(decode_order(work, name, mutation, &wanted));
    HF_TRY(use(work->service, work->caller, &wanted, view, work->problem));
    return answer(work, view);
}

#define DEFINE_ORDER(handler, Message, use)                                    \
    static HF_STATUS handler(struct admin_work *work)                          \
    {                                                                          \
        const Holdfast__V1__##Message *in =                                    \
            (const Holdfast__V1__##Message *)work->request;                    \
        const struct codec_mutation mutation = {                               \
            .request_id = in->request_id,                                      \
            .etag_field = "etag",                                              \
            .etag = in->etag,                                                  \
            .validate_only = in->validate_only,                                \
        };                                                                     \
        return order(work, in->name, &mutation, (use));                        \
    }

DEFINE_ORDER(renew, RenewPurgeDocumentRequest, purges_renew)
DEFINE_ORDER(cancel, CancelPurgeRequest, purges_cancel)
DEFINE_ORDER(pause_it, PausePurgeRequest, purges_pause)
DEFINE_ORDER(resume, ResumePurgeRequest, purges_resume)

static HF_STATUS approve(struct admin_work *work)
{
    const Holdfast__V1__ApprovePurgeRequest *in =
        (const Holdfast__V1__ApprovePurgeRequest *)work->request;
    struct purge_approve wanted = {
        .version = in->version,
        .accept_earlier_wraps = in->accept_earlier_wraps,
        .signature = {in->signature.data, in->signature.len},
    };
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    struct purge_view *view = rpc_arena_alloc(work->arena, sizeof *view);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(decode_order(work, in->name, &mutation, &wanted.order));
    HF_TRY(purges_approve(work->service, work->caller, &wanted, view,
                          work->problem));
    return answer(work, view);
}

static HF_STATUS execute(struct admin_work *work)
{
    const Holdfast__V1__ExecutePurgeRequest *in =
        (const Holdfast__V1__ExecutePurgeRequest *)work->request;
    struct purge_execute wanted = {.confirm = in->confirm};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag_field = "etag",
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    struct operation_view view;
    HF_TRY(decode_order(work, in->name, &mutation, &wanted.order));
    HF_TRY(purges_execute(work->service, work->caller, &wanted, &view,
                          work->problem));
    work->reply = operation_put_message(work->arena, &view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS get(struct admin_work *work)
{
    const Holdfast__V1__GetPurgeRequest *in =
        (const Holdfast__V1__GetPurgeRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_ID_TEXT];
    struct purge_view *view = rpc_arena_alloc(work->arena, sizeof *view);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(decode_name(in->name, tenant, id, work->problem));
    HF_TRY(purges_get(work->service, work->caller, tenant, id, view,
                      work->problem));
    return answer(work, view);
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListPurgesRequest *in =
        (const Holdfast__V1__ListPurgesRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct page_request page;
    HF_TRY(codec_parent(in->parent, tenant, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE, &page,
                      work->problem));
    struct purge_list found = {.cap = page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListPurgesResponse *out =
        codec_new(work->arena, Holdfast__V1__ListPurgesResponse,
                  holdfast__v1__list_purges_response);
    Holdfast__V1__Purge **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(purges_list(work->service, work->caller, tenant, &page, &found,
                       work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = purge_put_message(work->arena, &found.views[i]);
    }
    out->purges = items;
    out->n_purges = found.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    work->reply = &out->base;
    return HF_OK;
}

static HF_STATUS certificate(struct admin_work *work)
{
    const Holdfast__V1__GetPurgeCertificateRequest *in =
        (const Holdfast__V1__GetPurgeCertificateRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_ID_TEXT];
    struct certificate_record *found =
        rpc_arena_alloc(work->arena, sizeof *found);
    Holdfast__V1__PurgeCertificate *out =
        codec_new(work->arena, Holdfast__V1__PurgeCertificate,
                  holdfast__v1__purge_certificate);
    if (found == NULL || out == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(decode_name(in->name, tenant, id, work->problem));
    HF_TRY(purges_certificate(work->service, work->caller, tenant, id, found,
                              work->problem));
    out->purge = codec_put_name(work->arena, tenant, "purges", id);
    out->certificate = codec_put_bytes(
        work->arena, (struct bytes){found->text, found->text_len});
    out->signature = codec_put_bytes(
        work->arena, (struct bytes){found->signature, found->signature_len});
    out->public_key = codec_put_bytes(
        work->arena, (struct bytes){found->public_key, found->public_key_len});
    work->reply = &out->base;
    return HF_OK;
}

#define METHOD(name, verb_, message, handler)                                  \
    {                                                                          \
        .path = PATH name, .lane = LANE_ADMIN, .verb = (verb_),                \
        .request = &holdfast__v1__##message##_request__descriptor,             \
        .admin = (handler),                                                    \
    }

static const struct rpc_method methods[] = {
    METHOD("RequestPurge", VERB_REQUEST_PURGE, request_purge, request),
    METHOD("RenewPurgeDocument", VERB_RENEW_PURGE_DOCUMENT,
           renew_purge_document, renew),
    METHOD("CancelPurge", VERB_CANCEL_PURGE, cancel_purge, cancel),
    METHOD("ApprovePurge", VERB_APPROVE_PURGE, approve_purge, approve),
    METHOD("ExecutePurge", VERB_EXECUTE_PURGE, execute_purge, execute),
    METHOD("PausePurge", VERB_PAUSE_PURGE, pause_purge, pause_it),
    METHOD("ResumePurge", VERB_RESUME_PURGE, resume_purge, resume),
    METHOD("GetPurge", VERB_GET_PURGE, get_purge, get),
    METHOD("ListPurges", VERB_LIST_PURGES, list_purges, list),
    METHOD("GetPurgeCertificate", VERB_GET_PURGE_CERTIFICATE,
           get_purge_certificate, certificate),
};
const struct method_list purge_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
