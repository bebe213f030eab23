/* TenantService. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/handlers/operation_encode.h"
#include "server/rpc/handlers/purge_encode.h"
#include "server/rpc/method.h"
#include "server/service/managed_roll.h"
#include "server/service/tenants.h"

#include <holdfast/v1/tenant_service.pb-c.h>

#define PATH          "/holdfast.v1.TenantService/"
#define PAGE_MAX_HERE 1000

static Holdfast__V1__Tenant *encode(struct rpc_arena *arena,
                                    const struct tenant_view *view)
{
    Holdfast__V1__Tenant *out =
        codec_new(arena, Holdfast__V1__Tenant, holdfast__v1__tenant);
    if (out == NULL) {
        return NULL;
    }
    out->name = rpc_arena_text(arena, "tenants/%s", view->name);
    out->uid = codec_put_id(arena, &view->id);
    out->production = view->production;
    out->licensed = view->licensed;
    out->deleted = view->deleted;
    out->create_time = codec_put_timestamp(arena, view->created_ms);
    out->etag = rpc_arena_text(arena, "%s", view->etag);
    out->revision = codec_put_revision(view->etag);
    return out;
}

static HF_STATUS answer(struct admin_work *work, const struct tenant_view *view)
{
    work->reply = (ProtobufCMessage *)encode(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS decode_name(const char *field, const char *text, char *out,
                             struct problem *problem)
{
    const struct codec_name what = {.field = field, .out_tenant = out};
    return codec_parse_name(&what, text, problem);
}

static HF_STATUS create(struct admin_work *work)
{
    const Holdfast__V1__CreateTenantRequest *in =
        (const Holdfast__V1__CreateTenantRequest *)work->request;
    struct tenant_create request = {.production = false};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_id("tenant_id", in->tenant_id, request.name, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    if (in->tenant != NULL) {
        if (in->tenant->name[0] != '\0') {
            return problem_field(work->problem, "tenant.name",
                                 "is given by tenant_id; leave it empty");
        }
        request.production = in->tenant->production;
        request.licensed = in->tenant->licensed;
    }
    struct tenant_view view;
    HF_TRY(tenants_create(work->service, work->caller, &request, &view,
                          work->problem));
    return answer(work, &view);
}

static HF_STATUS get(struct admin_work *work)
{
    const Holdfast__V1__GetTenantRequest *in =
        (const Holdfast__V1__GetTenantRequest *)work->request;
    char name[HF_NAME_MAX_BYTES + 1];
    HF_TRY(decode_name("name", in->name, name, work->problem));
    struct tenant_view view;
    HF_TRY(
        tenants_get(work->service, work->caller, name, &view, work->problem));
    return answer(work, &view);
}

static HF_STATUS update(struct admin_work *work)
{
    const Holdfast__V1__UpdateTenantRequest *in =
        (const Holdfast__V1__UpdateTenantRequest *)work->request;
    static const char *const paths[] = {"production", "licensed"};
    struct tenant_update request = {.set_production = false};
    uint32_t bits = 0;
    if (in->tenant == NULL) {
        return problem_field(work->problem, "tenant", "is missing");
    }
    HF_TRY(decode_name("tenant.name", in->tenant->name, request.name,
                       work->problem));
    HF_TRY(codec_mask(in->update_mask, paths, HF_COUNT(paths), &bits,
                      work->problem));
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag_field = "tenant.etag",
        .etag = in->tenant->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    request.set_production = (bits & 1) != 0;
    request.production = in->tenant->production;
    request.set_licensed = (bits & 2) != 0;
    request.licensed = in->tenant->licensed;
    struct tenant_view view;
    HF_TRY(tenants_update(work->service, work->caller, &request, &view,
                          work->problem));
    return answer(work, &view);
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListTenantsRequest *in =
        (const Holdfast__V1__ListTenantsRequest *)work->request;
    struct page_request page;
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE, &page,
                      work->problem));
    struct tenant_list found = {.cap = page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListTenantsResponse *out =
        codec_new(work->arena, Holdfast__V1__ListTenantsResponse,
                  holdfast__v1__list_tenants_response);
    Holdfast__V1__Tenant **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(tenants_list(work->service, work->caller, &page, &found,
                        work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = encode(work->arena, &found.views[i]);
    }
    out->tenants = items;
    out->n_tenants = found.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    out->epoch = found.epoch;
    work->reply = &out->base;
    return HF_OK;
}

static HF_STATUS roll(struct admin_work *work)
{
    const Holdfast__V1__RollServiceManagedKeyRequest *in =
        (const Holdfast__V1__RollServiceManagedKeyRequest *)work->request;
    struct managed_roll request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    struct operation_view view;
    HF_TRY(decode_name("name", in->name, request.tenant, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    HF_TRY(tenants_roll_managed(work->service, work->caller, &request, &view,
                                work->problem));
    work->reply = operation_put_message(work->arena, &view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS delete_tenant(struct admin_work *work)
{
    const Holdfast__V1__DeleteTenantRequest *in =
        (const Holdfast__V1__DeleteTenantRequest *)work->request;
    struct purge_request request = {.confirm = in->confirm};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_name("name", in->name, request.tenant, work->problem));
    HF_TRY(codec_text("reason", in->reason, request.reason,
                      sizeof request.reason, work->problem));
    HF_TRY(codec_text("contact", in->contact, request.contact,
                      sizeof request.contact, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    struct purge_view *view = rpc_arena_alloc(work->arena, sizeof *view);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(purges_delete_tenant(work->service, work->caller, &request, view,
                                work->problem));
    work->reply = (ProtobufCMessage *)purge_put_message(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static const struct rpc_method methods[] = {
    {
     .path = PATH "CreateTenant",
     .lane = LANE_ADMIN,
     .verb = VERB_CREATE_TENANT,
     .request = &holdfast__v1__create_tenant_request__descriptor,
     .admin = create,
     },
    {
     .path = PATH "GetTenant",
     .lane = LANE_ADMIN,
     .verb = VERB_GET_TENANT,
     .request = &holdfast__v1__get_tenant_request__descriptor,
     .admin = get,
     },
    {
     .path = PATH "ListTenants",
     .lane = LANE_ADMIN,
     .verb = VERB_LIST_TENANTS,
     .request = &holdfast__v1__list_tenants_request__descriptor,
     .admin = list,
     },
    {
     .path = PATH "DeleteTenant",
     .lane = LANE_ADMIN,
     .verb = VERB_DELETE_TENANT,
     .request = &holdfast__v1__delete_tenant_request__descriptor,
     .admin = delete_tenant,
     },
    {
     .path = PATH "UpdateTenant",
     .lane = LANE_ADMIN,
     .verb = VERB_UPDATE_TENANT,
     .request = &holdfast__v1__update_tenant_request__descriptor,
     .admin = update,
     },
    {
     .path = PATH "RollServiceManagedKey",
     .lane = LANE_ADMIN,
     .verb = VERB_ROLL_SERVICE_MANAGED_KEY,
     .request = &holdfast__v1__roll_service_managed_key_request__descriptor,
     .admin = roll,
     },
};
const struct method_list tenant_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
