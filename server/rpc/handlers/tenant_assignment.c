/* AssignmentService: the tenant's multi-workload DEP. */
#include "hsm/base/check.h"

#include "server/rpc/codec.h"
#include "server/rpc/handlers/operation_encode.h"
#include "server/rpc/method.h"
#include "server/service/tenant_assignments.h"

#include <holdfast/v1/assignment_service.pb-c.h>
#include <string.h>

#define PATH "/holdfast.v1.AssignmentService/"

static HF_STATUS answer(struct admin_work *work,
                        const struct operation_view *view)
{
    work->reply = operation_put_message(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS assign(struct admin_work *work)
{
    const Holdfast__V1__AssignTenantRequest *in =
        (const Holdfast__V1__AssignTenantRequest *)work->request;
    struct tenant_assign request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    struct operation_view view;
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    HF_TRY(codec_dep_of("dep", in->dep, request.tenant, request.dep,
                        work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    HF_TRY(tenant_assignments_assign(work->service, work->caller, &request,
                                     &view, work->problem));
    return answer(work, &view);
}

static HF_STATUS offboard(struct admin_work *work)
{
    const Holdfast__V1__OffboardTenantRequest *in =
        (const Holdfast__V1__OffboardTenantRequest *)work->request;
    struct tenant_offboard request = {.tenant = ""};
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    struct operation_view view;
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    HF_TRY(codec_text("ticket", in->ticket, request.ticket,
                      sizeof request.ticket, work->problem));
    HF_TRY(codec_text("contact", in->contact, request.contact,
                      sizeof request.contact, work->problem));
    HF_TRY(codec_text("reason", in->reason, request.ground,
                      sizeof request.ground, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    HF_TRY(tenant_assignments_offboard(work->service, work->caller, &request,
                                       &view, work->problem));
    return answer(work, &view);
}

static Holdfast__V1__TenantAssignment *
encode(struct rpc_arena *arena, const struct tenant_assignment_view *view)
{
    const struct tenant_assignment_record *record = &view->record;
    Holdfast__V1__TenantAssignment *out = codec_new(
        arena, Holdfast__V1__TenantAssignment, holdfast__v1__tenant_assignment);
    if (out == NULL) {
        return NULL;
    }
    out->name = rpc_arena_text(arena, "tenants/%s/assignment", view->tenant);
    /* the numbers are the same, see ASSIGNMENT_* */
    out->state = (Holdfast__V1__TenantAssignmentState)record->state;
    if (assignment_holds(record->state)) {
        out->dep = codec_put_dep_name(arena, view->tenant, &record->dep);
    }
    out->number = record->number;
    if (!id_is_nil(&record->operation)) {
        char id[HF_ID_TEXT];
        id_format(&record->operation, id);
        out->operation = codec_put_name(arena, view->tenant, "operations", id);
    }
    out->percent = view->percent;
    out->remaining_count = view->remaining;
    out->overdue = view->overdue;
    out->assign_time = codec_put_timestamp(arena, record->assigned_ms);
    out->effective_time = codec_put_timestamp(arena, record->effective_ms);
    out->update_time = codec_put_timestamp(arena, record->updated_ms);
    out->ticket = rpc_arena_text(arena, "%s", record->ticket);
    out->contact = rpc_arena_text(arena, "%s", record->contact);
    out->reason = rpc_arena_text(arena, "%s", record->ground);
    out->etag = rpc_arena_text(arena, "%s", view->etag);
    out->revision = codec_put_revision(view->etag);
    return out;
}

static HF_STATUS get(struct admin_work *work)
{
    const Holdfast__V1__GetTenantAssignmentRequest *in =
        (const Holdfast__V1__GetTenantAssignmentRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct tenant_assignment_view view;
    HF_TRY(codec_parent(in->parent, tenant, work->problem));
    HF_TRY(tenant_assignments_get(work->service, work->caller, tenant, &view,
                                  work->problem));
    work->reply = (ProtobufCMessage *)encode(work->arena, &view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static const struct rpc_method methods[] = {
    {
     .path = PATH "AssignTenant",
     .lane = LANE_ADMIN,
     .verb = VERB_ASSIGN_TENANT,
     .request = &holdfast__v1__assign_tenant_request__descriptor,
     .admin = assign,
     },
    {
     .path = PATH "GetTenantAssignment",
     .lane = LANE_ADMIN,
     .verb = VERB_GET_TENANT_ASSIGNMENT,
     .request = &holdfast__v1__get_tenant_assignment_request__descriptor,
     .admin = get,
     },
    {
     .path = PATH "OffboardTenant",
     .lane = LANE_ADMIN,
     .verb = VERB_OFFBOARD_TENANT,
     .request = &holdfast__v1__offboard_tenant_request__descriptor,
     .admin = offboard,
     },
};
const struct method_list tenant_assignment_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
