/* CustomerKeyService. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/handlers/customer_key_encode.h"
#include "server/rpc/method.h"
#include "server/rpc/report.h"
#include "server/service/catalogue_backup.h"
#include "server/service/customer_keys.h"
#include "server/service/key_dependants.h"
#include "server/service/key_force.h"

#include <holdfast/v1/customer_key_service.pb-c.h>
#include <string.h>

#define PATH "/holdfast.v1.CustomerKeyService/"
/* A view has up to 16 versions and 32 grants: about 38 KiB. */
#define PAGE_MAX_HERE       50
#define DEPENDANTS_MAX_HERE 1000

static HF_STATUS answer(struct admin_work *work,
                        const struct customer_key_view *view)
{
    work->reply = customer_key_put(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

/* Views are too large for a stack. */
static struct customer_key_view *new_view(struct admin_work *work)
{
    return rpc_arena_alloc(work->arena, sizeof(struct customer_key_view));
}

static HF_STATUS decode_name(const char *text, char *out_tenant, char *out_name,
                             struct problem *problem)
{
    const struct codec_name what = {
        .field = "name",
        .collection = "customerKeys",
        .out_tenant = out_tenant,
        .out_id = out_name,
        .id_cap = HF_NAME_MAX_BYTES + 1,
    };
    return codec_parse_name(&what, text, problem);
}

static HF_STATUS decode_token(const char *text, const char *tenant,
                              char out_token[HF_NAME_MAX_BYTES + 1],
                              struct problem *problem)
{
    char its_tenant[HF_NAME_MAX_BYTES + 1];
    const struct codec_name what = {
        .field = "token",
        .collection = "tokens",
        .out_tenant = its_tenant,
        .out_id = out_token,
        .id_cap = HF_NAME_MAX_BYTES + 1,
    };
    HF_TRY(codec_parse_name(&what, text, problem));
    if (strcmp(its_tenant, tenant) != 0) {
        return problem_field(problem, "token",
                             "must be a token of the same tenant, "
                             "tenants/%s/tokens/{token}",
                             tenant);
    }
    return HF_OK;
}

static HF_STATUS
decode_register(const Holdfast__V1__RegisterCustomerKeyRequest *in,
                const struct admin_work *work,
                struct customer_key_register *out)
{
    struct problem *problem = work->problem;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_parent(in->parent, out->tenant, problem));
    HF_TRY(
        codec_id("customer_key_id", in->customer_key_id, out->name, problem));
    HF_TRY(decode_token(in->token, out->tenant, out->token, problem));
    HF_TRY(codec_pkcs11("uri", in->uri, out->uri, problem));
    HF_TRY(codec_timestamp("not_before_time", in->not_before_time,
                           &out->not_before_ms, problem));
    HF_TRY(codec_timestamp("expire_time", in->expire_time, &out->expires_ms,
                           problem));
    return codec_mutation(&mutation, work, &out->mutation);
}

static HF_STATUS register_key(struct admin_work *work)
{
    struct customer_key_register request = {.tenant = ""};
    HF_TRY(decode_register(
        (const Holdfast__V1__RegisterCustomerKeyRequest *)work->request, work,
        &request));
    struct customer_key_view *view = new_view(work);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(customer_keys_register(work->service, work->caller, &request, view,
                                  work->problem));
    return answer(work, view);
}

static HF_STATUS get(struct admin_work *work)
{
    const Holdfast__V1__GetCustomerKeyRequest *in =
        (const Holdfast__V1__GetCustomerKeyRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1];
    HF_TRY(decode_name(in->name, tenant, name, work->problem));
    struct customer_key_view *view = new_view(work);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(customer_keys_get(work->service, work->caller, tenant, name, view,
                             work->problem));
    return answer(work, view);
}

/* The bytes stay where they came in. */
static HF_STATUS decode_force(const Holdfast__V1__ForcedChange *in,
                              struct customer_key_force *out,
                              struct problem *problem)
{
    if (in == NULL) {
        return HF_OK;
    }
    if (in->document.len == 0) {
        return problem_field(problem, "force.document",
                             "must be the document of DraftForcedChange");
    }
    if (in->n_approvals > HF_COUNT(out->approvals)) {
        return problem_field(problem, "force.approvals", "are %zu",
                             HF_COUNT(out->approvals));
    }
    out->document = (struct bytes){in->document.data, in->document.len};
    out->approval_count = in->n_approvals;
    for (size_t i = 0; i < in->n_approvals; i++) {
        const Holdfast__V1__ForcedChangeApproval *approval = in->approvals[i];
        HF_TRY(codec_spiffe("force.approvals.approver", approval->approver,
                            out->approvals[i].identity, problem));
        out->approvals[i].signature =
            (struct bytes){approval->signature.data, approval->signature.len};
    }
    return HF_OK;
}

static HF_STATUS decode_update(const Holdfast__V1__UpdateCustomerKeyRequest *in,
                               const struct admin_work *work,
                               struct customer_key_update *out)
{
    struct problem *problem = work->problem;
    static const char *const paths[] = {"enabled", "not_before_time",
                                        "expire_time"};
    uint32_t bits = 0;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_name(in->name, out->tenant, out->name, problem));
    HF_TRY(codec_mask(in->update_mask, paths, HF_COUNT(paths), &bits, problem));
    out->version = in->version;
    out->set_enabled = (bits & 1) != 0;
    out->enabled = in->enabled != 0;
    out->set_not_before = (bits & 2) != 0;
    out->set_expires = (bits & 4) != 0;
    HF_TRY(codec_timestamp("not_before_time", in->not_before_time,
                           &out->not_before_ms, problem));
    HF_TRY(codec_timestamp("expire_time", in->expire_time, &out->expires_ms,
                           problem));
    HF_TRY(decode_force(in->force, &out->force, problem));
    return codec_mutation(&mutation, work, &out->mutation);
}

static HF_STATUS update(struct admin_work *work)
{
    struct customer_key_update request = {.tenant = ""};
    HF_TRY(decode_update(
        (const Holdfast__V1__UpdateCustomerKeyRequest *)work->request, work,
        &request));
    struct customer_key_view *view = new_view(work);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(customer_keys_update(work->service, work->caller, &request, view,
                                work->problem));
    return answer(work, view);
}

static HF_STATUS grant(struct admin_work *work)
{
    const Holdfast__V1__GrantCustomerKeyRequest *in =
        (const Holdfast__V1__GrantCustomerKeyRequest *)work->request;
    struct customer_key_grant request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_name(in->name, request.tenant, request.name, work->problem));
    HF_TRY(codec_spiffe("identity", in->identity, request.identity,
                        work->problem));
    HF_TRY(codec_permissions(in->permissions, in->n_permissions, false,
                             &request.permissions, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct customer_key_view *view = new_view(work);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(customer_keys_grant(work->service, work->caller, &request, view,
                               work->problem));
    return answer(work, view);
}

static HF_STATUS revoke(struct admin_work *work)
{
    const Holdfast__V1__RevokeCustomerKeyRequest *in =
        (const Holdfast__V1__RevokeCustomerKeyRequest *)work->request;
    struct customer_key_grant request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_name(in->name, request.tenant, request.name, work->problem));
    HF_TRY(codec_spiffe("identity", in->identity, request.identity,
                        work->problem));
    HF_TRY(codec_permissions(in->permissions, in->n_permissions, true,
                             &request.permissions, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct customer_key_view *view = new_view(work);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(customer_keys_revoke(work->service, work->caller, &request, view,
                                work->problem));
    return answer(work, view);
}

static HF_STATUS validate(struct admin_work *work)
{
    const Holdfast__V1__ValidateCustomerKeysRequest *in =
        (const Holdfast__V1__ValidateCustomerKeysRequest *)work->request;
    struct customer_key_validate request = {.tenant = ""};
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    HF_TRY(codec_key_pair(in->customer_keys, in->n_customer_keys,
                          request.tenant, request.keys, work->problem));
    if (in->workload_identity[0] != '\0') {
        HF_TRY(codec_spiffe("workload_identity", in->workload_identity,
                            request.identity, work->problem));
    }
    request.residency = codec_residency(in->residency);
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        work->report_keys[i] = in->customer_keys[i];
    }
    struct validation_report *report =
        rpc_arena_alloc(work->arena, sizeof *report);
    if (report == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(customer_keys_validate(work->service, work->caller, &request, report,
                                  work->problem));
    work->reply =
        report_encode(work->arena, report, work->report_keys, REPORT_TEXTS_ALL);
    return HF_OK;
}

static HF_STATUS soft_delete(struct admin_work *work)
{
    const Holdfast__V1__SoftDeleteCustomerKeyRequest *in =
        (const Holdfast__V1__SoftDeleteCustomerKeyRequest *)work->request;
    struct customer_key_delete request = {.confirm = in->confirm != 0};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_name(in->name, request.tenant, request.name, work->problem));
    HF_TRY(decode_force(in->force, &request.force, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct customer_key_view *view = new_view(work);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(customer_keys_soft_delete(work->service, work->caller, &request,
                                     view, work->problem));
    return answer(work, view);
}

static HF_STATUS recover(struct admin_work *work)
{
    const Holdfast__V1__RecoverCustomerKeyRequest *in =
        (const Holdfast__V1__RecoverCustomerKeyRequest *)work->request;
    struct customer_key_delete request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_name(in->name, request.tenant, request.name, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct customer_key_view *view = new_view(work);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(customer_keys_recover(work->service, work->caller, &request, view,
                                 work->problem));
    return answer(work, view);
}

/* The numbers are the same, see enum key_force_change. */
static HF_STATUS draft(struct admin_work *work)
{
    const Holdfast__V1__DraftForcedChangeRequest *in =
        (const Holdfast__V1__DraftForcedChangeRequest *)work->request;
    struct key_force_draft request = {.version = in->version};
    HF_TRY(decode_name(in->name, request.tenant, request.name, work->problem));
    if ((int)in->change != KEY_FORCE_DISABLE &&
        (int)in->change != KEY_FORCE_SOFT_DELETE) {
        return problem_field(work->problem, "change",
                             "must be DISABLE or SOFT_DELETE");
    }
    request.change = (enum key_force_change)in->change;
    struct key_force_document *made =
        rpc_arena_alloc(work->arena, sizeof *made);
    Holdfast__V1__ForcedChangeDocument *out =
        codec_new(work->arena, Holdfast__V1__ForcedChangeDocument,
                  holdfast__v1__forced_change_document);
    if (made == NULL || out == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(customer_keys_draft_force(work->service, work->caller, &request,
                                     made, work->problem));
    out->document = (ProtobufCBinaryData){made->len, made->text};
    out->expire_time = codec_put_timestamp(work->arena, made->expires_ms);
    out->dependant_count = made->dependants;
    out->approvals_needed = APPROVALS_FOR_FORCE;
    work->reply = &out->base;
    return HF_OK;
}

static HF_STATUS backup(struct admin_work *work)
{
    const Holdfast__V1__BackupCatalogueRequest *in =
        (const Holdfast__V1__BackupCatalogueRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct catalogue_backup found = {
        .text = rpc_arena_alloc(work->arena, CATALOGUE_BACKUP_MAX_BYTES)};
    Holdfast__V1__CatalogueBackup *out =
        codec_new(work->arena, Holdfast__V1__CatalogueBackup,
                  holdfast__v1__catalogue_backup);
    if (found.text == NULL || out == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(codec_parent(in->parent, tenant, work->problem));
    HF_TRY(catalogue_backup(work->service, work->caller, tenant, &found,
                            work->problem));
    out->document = (ProtobufCBinaryData){found.text_len, found.text};
    out->signature = codec_put_bytes(
        work->arena, (struct bytes){found.signature, found.signature_len});
    out->public_key = codec_put_bytes(
        work->arena, (struct bytes){found.public_key, found.public_key_len});
    work->reply = &out->base;
    return HF_OK;
}

static HF_STATUS list_deleted(struct admin_work *work)
{
    const Holdfast__V1__ListDeletedCustomerKeysRequest *in =
        (const Holdfast__V1__ListDeletedCustomerKeysRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct page_request page;
    HF_TRY(codec_parent(in->parent, tenant, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE, &page,
                      work->problem));
    struct customer_key_list found = {.cap = page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListDeletedCustomerKeysResponse *out =
        codec_new(work->arena, Holdfast__V1__ListDeletedCustomerKeysResponse,
                  holdfast__v1__list_deleted_customer_keys_response);
    Holdfast__V1__CustomerKey **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(customer_keys_list_deleted(work->service, work->caller, tenant,
                                      &page, &found, work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = (Holdfast__V1__CustomerKey *)customer_key_put(
            work->arena, &found.views[i]);
    }
    out->customer_keys = items;
    out->n_customer_keys = found.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    work->reply = &out->base;
    return HF_OK;
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListCustomerKeysRequest *in =
        (const Holdfast__V1__ListCustomerKeysRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct page_request page;
    HF_TRY(codec_parent(in->parent, tenant, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE, &page,
                      work->problem));
    struct customer_key_list found = {.cap = page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListCustomerKeysResponse *out =
        codec_new(work->arena, Holdfast__V1__ListCustomerKeysResponse,
                  holdfast__v1__list_customer_keys_response);
    Holdfast__V1__CustomerKey **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(customer_keys_list(work->service, work->caller, tenant, &page,
                              &found, work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = (Holdfast__V1__CustomerKey *)customer_key_put(
            work->arena, &found.views[i]);
    }
    out->customer_keys = items;
    out->n_customer_keys = found.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    work->reply = &out->base;
    return HF_OK;
}

static Holdfast__V1__KeyDependant *
encode_dependant(struct rpc_arena *arena, const char *tenant,
                 const struct key_dependant *from)
{
    Holdfast__V1__KeyDependant *out = codec_new(
        arena, Holdfast__V1__KeyDependant, holdfast__v1__key_dependant);
    if (out != NULL) {
        out->resource = rpc_arena_text(arena, "%s", from->resource);
        out->dep = codec_put_dep_name(arena, tenant, &from->under.dep);
        out->generation = from->under.generation;
    }
    return out;
}

static HF_STATUS dependants(struct admin_work *work)
{
    const Holdfast__V1__ListKeyDependantsRequest *in =
        (const Holdfast__V1__ListKeyDependantsRequest *)work->request;
    struct key_dependants_request request = {.version = in->version};
    HF_TRY(decode_name(in->name, request.tenant, request.name, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, DEPENDANTS_MAX_HERE,
                      &request.page, work->problem));
    struct key_dependant_list found = {.cap = request.page.size};
    found.items = rpc_arena_alloc(work->arena, found.cap * sizeof *found.items);
    Holdfast__V1__ListKeyDependantsResponse *out =
        codec_new(work->arena, Holdfast__V1__ListKeyDependantsResponse,
                  holdfast__v1__list_key_dependants_response);
    Holdfast__V1__KeyDependant **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.items == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(customer_keys_dependants(work->service, work->caller, &request,
                                    &found, work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] =
            encode_dependant(work->arena, request.tenant, &found.items[i]);
    }
    out->dependants = items;
    out->n_dependants = found.count;
    out->total_count = found.total;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    work->reply = &out->base;
    return HF_OK;
}

#define METHOD(name, word, lower, handler)                                     \
    {                                                                          \
        .path = PATH name, .lane = LANE_ADMIN, .verb = VERB_##word,            \
        .request = &holdfast__v1__##lower##_request__descriptor,               \
        .admin = (handler),                                                    \
    }
static const struct rpc_method methods[] = {
    METHOD("RegisterCustomerKey", REGISTER_CUSTOMER_KEY, register_customer_key,
           register_key),
    METHOD("GetCustomerKey", GET_CUSTOMER_KEY, get_customer_key, get),
    METHOD("ListCustomerKeys", LIST_CUSTOMER_KEYS, list_customer_keys, list),
    METHOD("UpdateCustomerKey", UPDATE_CUSTOMER_KEY, update_customer_key,
           update),
    METHOD("GrantCustomerKey", GRANT_CUSTOMER_KEY, grant_customer_key, grant),
    METHOD("RevokeCustomerKey", REVOKE_CUSTOMER_KEY, revoke_customer_key,
           revoke),
    METHOD("ValidateCustomerKeys", VALIDATE_CUSTOMER_KEYS,
           validate_customer_keys, validate),
    METHOD("ListKeyDependants", LIST_KEY_DEPENDANTS, list_key_dependants,
           dependants),
    METHOD("SoftDeleteCustomerKey", SOFT_DELETE_CUSTOMER_KEY,
           soft_delete_customer_key, soft_delete),
    METHOD("DraftForcedChange", DRAFT_FORCED_CHANGE, draft_forced_change,
           draft),
    METHOD("BackupCatalogue", BACKUP_CATALOGUE, backup_catalogue, backup),
    METHOD("RecoverCustomerKey", RECOVER_CUSTOMER_KEY, recover_customer_key,
           recover),
    METHOD("ListDeletedCustomerKeys", LIST_DELETED_CUSTOMER_KEYS,
           list_deleted_customer_keys, list_deleted),
};
const struct method_list customer_key_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
