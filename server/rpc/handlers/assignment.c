/* AssignmentService. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/handlers/earlier_keys.h"
#include "server/rpc/method.h"
#include "server/service/mailbox_moves.h"
#include "server/service/resource_delete.h"

#include <holdfast/v1/assignment_service.pb-c.h>
#include <string.h>

#define PATH          "/holdfast.v1.AssignmentService/"
#define PAGE_MAX_HERE 1000

static void encode_move(struct rpc_arena *arena,
                        const struct mailbox_view *view,
                        Holdfast__V1__Mailbox *out)
{
    const struct resource_record *record = &view->record;
    /* the numbers are the same, see MOVE_* */
    out->move_priority = (Holdfast__V1__MovePriority)record->priority;
    out->queue_time = codec_put_timestamp(arena, record->queued_ms);
    out->wait_time = codec_put_timestamp(arena, record->waits_since_ms);
    out->overdue = view->overdue;
    if (view->state == MAILBOX_MOVING) {
        out->claim = codec_put_id(arena, &record->claim);
        out->claim_end_time = codec_put_timestamp(arena, record->claim_ends_ms);
    }
}

static Holdfast__V1__Mailbox *encode(struct rpc_arena *arena,
                                     const struct mailbox_view *view)
{
    const struct resource_record *record = &view->record;
    Holdfast__V1__Mailbox *out =
        codec_new(arena, Holdfast__V1__Mailbox, holdfast__v1__mailbox);
    if (out == NULL) {
        return NULL;
    }
    bool own_dep = !view->effective_is_service_managed &&
                   !id_is_nil(&record->effective.dep);
    static const struct hf_id nil;
    const struct hf_id *effective = own_dep ? &record->effective.dep : &nil;
    out->name = codec_put_name(arena, view->tenant, "mailboxes", record->id);
    /* the numbers are the same, see MAILBOX_* */
    out->kind = (Holdfast__V1__MailboxKind)record->kind;
    out->licensed = record->licensed;
    out->assigned_dep =
        codec_put_dep_name(arena, view->tenant, &record->assigned);
    out->effective_dep = codec_put_dep_name(arena, view->tenant, effective);
    out->effective_generation = record->effective.generation;
    out->state = (Holdfast__V1__MailboxState)view->state;
    out->is_encrypted = own_dep;
    if (own_dep) {
        out->data_encryption_policy_id = codec_put_id(arena, effective);
    }
    out->assign_time = codec_put_timestamp(arena, record->assigned_ms);
    out->effective_time = codec_put_timestamp(arena, record->effective_ms);
    out->create_time = codec_put_timestamp(arena, record->created_ms);
    out->etag = rpc_arena_text(arena, "%s", view->etag);
    out->revision = codec_put_revision(view->etag);
    encode_move(arena, view, out);
    const struct earlier_keys earlier = {view->tenant, &view->service_managed,
                                         record};
    out->earlier_keys =
        earlier_keys_encode(arena, &earlier, &out->n_earlier_keys);
    return out;
}

static HF_STATUS decode_mailbox(const char *field, const char *text,
                                char *out_tenant,
                                char out_id[HF_RESOURCE_ID_MAX_BYTES + 1],
                                struct problem *problem)
{
    const struct codec_name what = {
        .field = field,
        .collection = "mailboxes",
        .out_tenant = out_tenant,
        .out_id = out_id,
        .id_cap = HF_RESOURCE_ID_MAX_BYTES + 1,
    };
    return codec_parse_name(&what, text, problem);
}

/* Unset is a user's. */
static HF_STATUS decode_kind(const char *field, Holdfast__V1__MailboxKind in,
                             enum mailbox_kind *out, struct problem *problem)
{
    *out = in == HOLDFAST__V1__MAILBOX_KIND__MAILBOX_KIND_UNSPECIFIED
               ? MAILBOX_USER
               : (enum mailbox_kind)in; /* the numbers are the same */
    return *out >= MAILBOX_USER && *out <= MAILBOX_SHARED
               ? HF_OK
               : problem_field(problem, field, "is %d; see MailboxKind",
                               (int)in);
}

static HF_STATUS answer(struct admin_work *work,
                        const struct mailbox_view *view)
{
    work->reply = (ProtobufCMessage *)encode(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS register_mailbox(struct admin_work *work)
{
    const Holdfast__V1__RegisterMailboxRequest *in =
        (const Holdfast__V1__RegisterMailboxRequest *)work->request;
    struct mailbox_register request = {
        .licensed = in->licensed != 0,
        .unencrypted = in->unencrypted != 0,
    };
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    HF_TRY(decode_kind("kind", in->kind, &request.kind, work->problem));
    HF_TRY(codec_mailbox_id("mailbox_id", in->mailbox_id, request.id,
                            work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct mailbox_view view;
    HF_TRY(mailboxes_register(work->service, work->caller, &request, &view,
                              work->problem));
    return answer(work, &view);
}

/* Paths of UpdateMailbox's mask, a bit each. */
static const char *const update_paths[] = {"kind", "licensed"};
enum { SET_KIND = 1, SET_LICENSED = 2 };

static HF_STATUS update(struct admin_work *work)
{
    const Holdfast__V1__UpdateMailboxRequest *in =
        (const Holdfast__V1__UpdateMailboxRequest *)work->request;
    struct mailbox_update request = {.tenant = ""};
    uint32_t bits = 0;
    if (in->mailbox == NULL) {
        return problem_field(work->problem, "mailbox", "is missing");
    }
    HF_TRY(decode_mailbox("mailbox.name", in->mailbox->name, request.tenant,
                          request.id, work->problem));
    HF_TRY(codec_mask(in->update_mask, update_paths, HF_COUNT(update_paths),
                      &bits, work->problem));
    request.set_kind = (bits & SET_KIND) != 0;
    request.set_licensed = (bits & SET_LICENSED) != 0;
    request.licensed = in->mailbox->licensed != 0;
    HF_TRY(decode_kind("mailbox.kind", in->mailbox->kind, &request.kind,
                       work->problem));
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag_field = "mailbox.etag",
        .etag = in->mailbox->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct mailbox_view view;
    HF_TRY(mailboxes_update(work->service, work->caller, &request, &view,
                            work->problem));
    return answer(work, &view);
}

static HF_STATUS assign(struct admin_work *work)
{
    const Holdfast__V1__AssignMailboxRequest *in =
        (const Holdfast__V1__AssignMailboxRequest *)work->request;
    struct mailbox_assign request = {
        .dep = "",
        .priority = (enum move_priority)in->move_priority,
    };
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_mailbox("name", in->name, request.tenant, request.id,
                          work->problem));
    if (in->dep[0] != '\0') {
        HF_TRY(codec_dep_of("dep", in->dep, request.tenant, request.dep,
                            work->problem));
    }
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct mailbox_view view;
    HF_TRY(mailboxes_assign(work->service, work->caller, &request, &view,
                            work->problem));
    return answer(work, &view);
}

static HF_STATUS decode_claim(const char *text, struct hf_id *out,
                              struct problem *problem)
{
    return id_parse(text, out) == HF_OK
               ? HF_OK
               : problem_field(problem, "claim",
                               "must be the UUID that ClaimMove gave");
}

static HF_STATUS claim_move(struct admin_work *work)
{
    const Holdfast__V1__ClaimMoveRequest *in =
        (const Holdfast__V1__ClaimMoveRequest *)work->request;
    struct move_claim request = {.claim_ms = in->claim_seconds * 1000LL};
    char tenant[HF_NAME_MAX_BYTES + 1];
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    if (in->mailbox[0] != '\0' || in->claim[0] != '\0') {
        HF_TRY(decode_mailbox("mailbox", in->mailbox, tenant, request.id,
                              work->problem));
        HF_TRY(decode_claim(in->claim, &request.claim, work->problem));
        if (strcmp(tenant, request.tenant) != 0) {
            return problem_field(work->problem, "mailbox",
                                 "must be of the tenant that parent names");
        }
    }
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct mailbox_view view;
    HF_TRY(mailbox_moves_claim(work->service, work->caller, &request, &view,
                               work->problem));
    return answer(work, &view);
}

static HF_STATUS decode_end(const char *name, const char *claim,
                            struct move_end *out, struct problem *problem)
{
    HF_TRY(decode_mailbox("name", name, out->tenant, out->id, problem));
    return decode_claim(claim, &out->claim, problem);
}

static HF_STATUS complete_move(struct admin_work *work)
{
    const Holdfast__V1__CompleteMoveRequest *in =
        (const Holdfast__V1__CompleteMoveRequest *)work->request;
    struct move_end request = {.ground = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_end(in->name, in->claim, &request, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct mailbox_view view;
    HF_TRY(mailbox_moves_complete(work->service, work->caller, &request, &view,
                                  work->problem));
    return answer(work, &view);
}

static HF_STATUS fail_move(struct admin_work *work)
{
    const Holdfast__V1__FailMoveRequest *in =
        (const Holdfast__V1__FailMoveRequest *)work->request;
    struct move_end request = {.ground = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_end(in->name, in->claim, &request, work->problem));
    HF_TRY(codec_text("reason", in->reason, request.ground,
                      sizeof request.ground, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct mailbox_view view;
    HF_TRY(mailbox_moves_fail(work->service, work->caller, &request, &view,
                              work->problem));
    return answer(work, &view);
}

static HF_STATUS get(struct admin_work *work)
{
    const Holdfast__V1__GetMailboxRequest *in =
        (const Holdfast__V1__GetMailboxRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    HF_TRY(decode_mailbox("name", in->name, tenant, id, work->problem));
    struct mailbox_view view;
    HF_TRY(mailboxes_get(work->service, work->caller, tenant, id, &view,
                         work->problem));
    return answer(work, &view);
}

static HF_STATUS decode_deletion(const char *text, struct resource_delete *out,
                                 struct problem *problem)
{
    bool is_site = codec_names(text, "sites");
    out->type = is_site ? RESOURCE_SITE : RESOURCE_MAILBOX;
    const struct codec_name what = {
        .field = "name",
        .collection = is_site ? "sites" : "mailboxes",
        .out_tenant = out->tenant,
        .out_id = out->id,
        .id_cap = sizeof out->id,
    };
    return codec_parse_name(&what, text, problem);
}

static HF_STATUS delete_resource(struct admin_work *work)
{
    const Holdfast__V1__DeleteResourceRequest *in =
        (const Holdfast__V1__DeleteResourceRequest *)work->request;
    struct resource_delete request = {.confirm = in->confirm};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_deletion(in->name, &request, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct resource_deletion done;
    HF_TRY(resource_delete(work->service, work->caller, &request, &done,
                           work->problem));
    Holdfast__V1__DeletedResource *out =
        codec_new(work->arena, Holdfast__V1__DeletedResource,
                  holdfast__v1__deleted_resource);
    if (out != NULL) {
        out->name = codec_put_name(work->arena, done.tenant,
                                   request.type == RESOURCE_SITE ? "sites"
                                                                 : "mailboxes",
                                   done.record.id);
        out->delete_time =
            codec_put_timestamp(work->arena, done.record.deleted_ms);
    }
    work->reply = (ProtobufCMessage *)out;
    return out != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListMailboxesRequest *in =
        (const Holdfast__V1__ListMailboxesRequest *)work->request;
    struct mailbox_list_request request = {.tenant = ""};
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE,
                      &request.page, work->problem));
    if (in->assigned_dep[0] != '\0') {
        HF_TRY(codec_dep_of("assigned_dep", in->assigned_dep, request.tenant,
                            request.filter.assigned_dep, work->problem));
    }
    struct mailbox_list found = {.cap = request.page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListMailboxesResponse *out =
        codec_new(work->arena, Holdfast__V1__ListMailboxesResponse,
                  holdfast__v1__list_mailboxes_response);
    Holdfast__V1__Mailbox **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(mailboxes_list(work->service, work->caller, &request, &found,
                          work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = encode(work->arena, &found.views[i]);
    }
    out->mailboxes = items;
    out->n_mailboxes = found.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    work->reply = &out->base;
    return HF_OK;
}

static const struct rpc_method methods[] = {
    {
     .path = PATH "RegisterMailbox",
     .lane = LANE_ADMIN,
     .verb = VERB_REGISTER_MAILBOX,
     .request = &holdfast__v1__register_mailbox_request__descriptor,
     .admin = register_mailbox,
     },
    {
     .path = PATH "UpdateMailbox",
     .lane = LANE_ADMIN,
     .verb = VERB_UPDATE_MAILBOX,
     .request = &holdfast__v1__update_mailbox_request__descriptor,
     .admin = update,
     },
    {
     .path = PATH "AssignMailbox",
     .lane = LANE_ADMIN,
     .verb = VERB_ASSIGN_MAILBOX,
     .request = &holdfast__v1__assign_mailbox_request__descriptor,
     .admin = assign,
     },
    {
     .path = PATH "ClaimMove",
     .lane = LANE_ADMIN,
     .verb = VERB_CLAIM_MOVE,
     .request = &holdfast__v1__claim_move_request__descriptor,
     .admin = claim_move,
     },
    {
     .path = PATH "CompleteMove",
     .lane = LANE_ADMIN,
     .verb = VERB_COMPLETE_MOVE,
     .request = &holdfast__v1__complete_move_request__descriptor,
     .admin = complete_move,
     },
    {
     .path = PATH "FailMove",
     .lane = LANE_ADMIN,
     .verb = VERB_FAIL_MOVE,
     .request = &holdfast__v1__fail_move_request__descriptor,
     .admin = fail_move,
     },
    {
     .path = PATH "GetMailbox",
     .lane = LANE_ADMIN,
     .verb = VERB_GET_MAILBOX,
     .request = &holdfast__v1__get_mailbox_request__descriptor,
     .admin = get,
     },
    {
     .path = PATH "DeleteResource",
     .lane = LANE_ADMIN,
     .verb = VERB_DELETE_RESOURCE,
     .request = &holdfast__v1__delete_resource_request__descriptor,
     .admin = delete_resource,
     },
    {
     .path = PATH "ListMailboxes",
     .lane = LANE_ADMIN,
     .verb = VERB_LIST_MAILBOXES,
     .request = &holdfast__v1__list_mailboxes_request__descriptor,
     .admin = list,
     },
};
const struct method_list assignment_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
