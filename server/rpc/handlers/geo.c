/* GeoService. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/handlers/geo_encode.h"
#include "server/rpc/handlers/operation_encode.h"
#include "server/rpc/method.h"

#include <string.h>

#define PATH          "/holdfast.v1.GeoService/"
#define PAGE_MAX_HERE 500

/* --- decoding ----------------------------------------------------------- */

static HF_STATUS decode_geo(const char *field, const char *text,
                            char *out_tenant, char out_geo[],
                            struct problem *problem)
{
    const struct codec_name what = {
        .field = field,
        .collection = "geos",
        .out_tenant = out_tenant,
        .out_id = out_geo,
        .id_cap = HF_NAME_MAX_BYTES + 1,
    };
    return codec_parse_name(&what, text, problem);
}

/* A customer key of the same tenant, and its version. */
static HF_STATUS decode_key(const char *field,
                            const Holdfast__V1__KeyVersionRef *in,
                            const char *tenant, struct geo_key_ref *out,
                            struct problem *problem)
{
    char its_tenant[HF_NAME_MAX_BYTES + 1];
    const struct codec_name what = {
        .field = field,
        .collection = "customerKeys",
        .out_tenant = its_tenant,
        .out_id = out->name,
        .id_cap = sizeof out->name,
    };
    if (in == NULL || in->version == 0) {
        return problem_field(problem, field,
                             "must be a customer key and its version, from 1 "
                             "(R-4.14)");
    }
    HF_TRY(codec_parse_name(&what, in->customer_key, problem));
    if (strcmp(its_tenant, tenant) != 0) {
        return problem_field(problem, field,
                             "must be a key of the same tenant, "
                             "tenants/%s/customerKeys/{customer_key}",
                             tenant);
    }
    out->version = in->version;
    return HF_OK;
}

static HF_STATUS decode_identity(const char *text,
                                 char out[HF_URI_MAX_BYTES + 1],
                                 struct problem *problem)
{
    return text[0] == '\0'
               ? HF_OK
               : codec_spiffe("workload_identity", text, out, problem);
}

/* --- answering ---------------------------------------------------------- */

static HF_STATUS answer(struct admin_work *work, const struct geo_view *view)
{
    work->reply = (ProtobufCMessage *)geo_put_message(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS answer_begun(struct admin_work *work,
                              const struct operation_view *view)
{
    work->reply = operation_put_message(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS answer_site(struct admin_work *work,
                             const struct site_view *view)
{
    work->reply = (ProtobufCMessage *)site_put_message(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

/* --- geos --------------------------------------------------------------- */

static HF_STATUS register_geo(struct admin_work *work)
{
    const Holdfast__V1__RegisterGeoRequest *in =
        (const Holdfast__V1__RegisterGeoRequest *)work->request;
    struct geo_register request = {.tenant = ""};
    struct operation_view view;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    HF_TRY(codec_id("geo_id", in->geo_id, request.geo, work->problem));
    HF_TRY(decode_key("primary", in->primary, request.tenant,
                      &request.keys[ROOT_CK1], work->problem));
    HF_TRY(decode_key("secondary", in->secondary, request.tenant,
                      &request.keys[ROOT_CK2], work->problem));
    work->report_keys[0] = in->primary->customer_key;
    work->report_keys[1] = in->secondary->customer_key;
    HF_TRY(decode_identity(in->workload_identity, request.workload_identity,
                           work->problem));
    request.residency = codec_residency(in->residency);
    request.evict_on_denied = in->evict_on_denied != 0;
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    HF_TRY(geos_register(work->service, work->caller, &request, &view,
                         work->problem));
    return answer_begun(work, &view);
}

static HF_STATUS restore_geo(struct admin_work *work)
{
    const Holdfast__V1__RestoreGeoRequest *in =
        (const Holdfast__V1__RestoreGeoRequest *)work->request;
    struct geo_register request = {.tenant = ""};
    struct operation_view view;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_geo("name", in->name, request.tenant, request.geo,
                      work->problem));
    HF_TRY(decode_key("primary", in->primary, request.tenant,
                      &request.keys[ROOT_CK1], work->problem));
    HF_TRY(decode_key("secondary", in->secondary, request.tenant,
                      &request.keys[ROOT_CK2], work->problem));
    work->report_keys[0] = in->primary->customer_key;
    work->report_keys[1] = in->secondary->customer_key;
    HF_TRY(decode_identity(in->workload_identity, request.workload_identity,
                           work->problem));
    request.residency = codec_residency(in->residency);
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    HF_TRY(geos_restore(work->service, work->caller, &request, &view,
                        work->problem));
    return answer_begun(work, &view);
}

static HF_STATUS roll_geo_key(struct admin_work *work)
{
    const Holdfast__V1__RollGeoKeyRequest *in =
        (const Holdfast__V1__RollGeoKeyRequest *)work->request;
    struct geo_roll request = {.tenant = ""};
    struct operation_view view;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_geo("name", in->name, request.tenant, request.geo,
                      work->problem));
    bool primary = in->slot == HOLDFAST__V1__GEO_KEY_SLOT__GEO_KEY_SLOT_PRIMARY;
    if (!primary &&
        in->slot != HOLDFAST__V1__GEO_KEY_SLOT__GEO_KEY_SLOT_SECONDARY) {
        return problem_field(work->problem, "slot",
                             "must be PRIMARY or SECONDARY; the availability "
                             "key is not the customer's (R-7.12)");
    }
    request.slot = primary ? ROOT_CK1 : ROOT_CK2;
    HF_TRY(decode_key("key", in->key, request.tenant, &request.key,
                      work->problem));
    HF_TRY(decode_identity(in->workload_identity, request.workload_identity,
                           work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    HF_TRY(
        geos_roll(work->service, work->caller, &request, &view, work->problem));
    return answer_begun(work, &view);
}

static HF_STATUS get_geo(struct admin_work *work)
{
    const Holdfast__V1__GetGeoRequest *in =
        (const Holdfast__V1__GetGeoRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char geo[HF_NAME_MAX_BYTES + 1];
    struct geo_view view;
    HF_TRY(decode_geo("name", in->name, tenant, geo, work->problem));
    HF_TRY(geos_get(work->service, work->caller, tenant, geo, &view,
                    work->problem));
    return answer(work, &view);
}

static HF_STATUS list_geos(struct admin_work *work)
{
    const Holdfast__V1__ListGeosRequest *in =
        (const Holdfast__V1__ListGeosRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct page_request page;
    HF_TRY(codec_parent(in->parent, tenant, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE, &page,
                      work->problem));
    struct geo_list found = {.cap = page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListGeosResponse *out =
        codec_new(work->arena, Holdfast__V1__ListGeosResponse,
                  holdfast__v1__list_geos_response);
    Holdfast__V1__Geo **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(geos_list(work->service, work->caller, tenant, &page, &found,
                     work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = geo_put_message(work->arena, &found.views[i]);
    }
    out->geos = items;
    out->n_geos = found.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    work->reply = &out->base;
    return HF_OK;
}

static HF_STATUS flush_tik(struct admin_work *work)
{
    const Holdfast__V1__FlushTikRequest *in =
        (const Holdfast__V1__FlushTikRequest *)work->request;
    struct geo_flush request = {.tenant = ""};
    struct geo_view view;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_geo("name", in->name, request.tenant, request.geo,
                      work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    HF_TRY(geos_flush(work->service, work->caller, &request, &view,
                      work->problem));
    return answer(work, &view);
}

/* --- recovery ----------------------------------------------------------- */

/* What every step of a recovery names. */
static HF_STATUS decode_recovery(const char *name,
                                 const struct codec_mutation *mutation,
                                 struct admin_work *work,
                                 struct geo_recovery_request *request)
{
    HF_TRY(
        decode_geo("name", name, request->tenant, request->geo, work->problem));
    return codec_mutation(mutation, work, &request->mutation);
}

static HF_STATUS request_recovery(struct admin_work *work)
{
    const Holdfast__V1__RequestRecoveryRequest *in =
        (const Holdfast__V1__RequestRecoveryRequest *)work->request;
    struct geo_recovery_request request = {.tenant = ""};
    struct geo_view view;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_recovery(in->name, &mutation, work, &request));
    HF_TRY(geos_request_recovery(work->service, work->caller, &request, &view,
                                 work->problem));
    return answer(work, &view);
}

static HF_STATUS enable_recovery(struct admin_work *work)
{
    const Holdfast__V1__EnableRecoveryRequest *in =
        (const Holdfast__V1__EnableRecoveryRequest *)work->request;
    struct geo_recovery_request request = {.tenant = ""};
    struct geo_view view;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_recovery(in->name, &mutation, work, &request));
    HF_TRY(codec_text("ticket", in->ticket, request.ticket,
                      sizeof request.ticket, work->problem));
    if (in->window != NULL) {
        HF_TRY(codec_duration("window", in->window, GEO_RECOVERY_WINDOW_MAX_MS,
                              &request.window_ms, work->problem));
    }
    HF_TRY(geos_enable_recovery(work->service, work->caller, &request, &view,
                                work->problem));
    return answer(work, &view);
}

static HF_STATUS confirm_recovery(struct admin_work *work)
{
    const Holdfast__V1__ConfirmRecoveryRequest *in =
        (const Holdfast__V1__ConfirmRecoveryRequest *)work->request;
    struct geo_recovery_request request = {.tenant = ""};
    struct geo_view view;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .etag = in->etag,
        .validate_only = in->validate_only,
    };
    HF_TRY(decode_recovery(in->name, &mutation, work, &request));
    HF_TRY(geos_confirm_recovery(work->service, work->caller, &request, &view,
                                 work->problem));
    return answer(work, &view);
}

/* --- sites -------------------------------------------------------------- */

/* A geo of the same tenant. */
static HF_STATUS decode_own_geo(const char *text, const char *tenant,
                                char out[HF_NAME_MAX_BYTES + 1],
                                struct problem *problem)
{
    char its_tenant[HF_NAME_MAX_BYTES + 1];
    HF_TRY(decode_geo("geo", text, its_tenant, out, problem));
    if (strcmp(its_tenant, tenant) != 0) {
        return problem_field(problem, "geo",
                             "must be a geo of the same tenant, "
                             "tenants/%s/geos/{geo}",
                             tenant);
    }
    return HF_OK;
}

static HF_STATUS register_site(struct admin_work *work)
{
    const Holdfast__V1__RegisterSiteRequest *in =
        (const Holdfast__V1__RegisterSiteRequest *)work->request;
    struct site_register request = {.tenant = ""};
    struct site_view view;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    HF_TRY(codec_mailbox_id("site_id", in->site_id, request.id, work->problem));
    HF_TRY(decode_own_geo(in->geo, request.tenant, request.geo, work->problem));
    HF_TRY(codec_mutation(&mutation, work, &request.mutation));
    HF_TRY(sites_register(work->service, work->caller, &request, &view,
                          work->problem));
    return answer_site(work, &view);
}

static HF_STATUS get_site(struct admin_work *work)
{
    const Holdfast__V1__GetSiteRequest *in =
        (const Holdfast__V1__GetSiteRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    const struct codec_name what = {
        .field = "name",
        .collection = "sites",
        .out_tenant = tenant,
        .out_id = id,
        .id_cap = sizeof id,
    };
    struct site_view view;
    HF_TRY(codec_parse_name(&what, in->name, work->problem));
    HF_TRY(sites_get(work->service, work->caller, tenant, id, &view,
                     work->problem));
    return answer_site(work, &view);
}

static HF_STATUS list_sites(struct admin_work *work)
{
    const Holdfast__V1__ListSitesRequest *in =
        (const Holdfast__V1__ListSitesRequest *)work->request;
    struct site_list_request request = {.tenant = ""};
    HF_TRY(codec_parent(in->parent, request.tenant, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE,
                      &request.page, work->problem));
    if (in->geo[0] != '\0') {
        HF_TRY(decode_own_geo(in->geo, request.tenant, request.geo,
                              work->problem));
    }
    struct site_list found = {.cap = request.page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListSitesResponse *out =
        codec_new(work->arena, Holdfast__V1__ListSitesResponse,
                  holdfast__v1__list_sites_response);
    Holdfast__V1__Site **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(sites_list(work->service, work->caller, &request, &found,
                      work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = site_put_message(work->arena, &found.views[i]);
    }
    out->sites = items;
    out->n_sites = found.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", found.next);
    work->reply = &out->base;
    return HF_OK;
}

/* ------------------------------------------------------------------------ */

#define METHOD(name, word, lower, function)                                    \
    {                                                                          \
        .path = PATH name, .lane = LANE_ADMIN, .verb = VERB_##word,            \
        .request = &holdfast__v1__##lower##_request__descriptor,               \
        .admin = (function),                                                   \
    }

static const struct rpc_method methods[] = {
    METHOD("RegisterGeo", REGISTER_GEO, register_geo, register_geo),
    METHOD("RollGeoKey", ROLL_GEO_KEY, roll_geo_key, roll_geo_key),
    METHOD("GetGeo", GET_GEO, get_geo, get_geo),
    METHOD("ListGeos", LIST_GEOS, list_geos, list_geos),
    METHOD("FlushTik", FLUSH_TIK, flush_tik, flush_tik),
    METHOD("RequestRecovery", REQUEST_RECOVERY, request_recovery,
           request_recovery),
    METHOD("EnableRecovery", ENABLE_RECOVERY, enable_recovery, enable_recovery),
    METHOD("ConfirmRecovery", CONFIRM_RECOVERY, confirm_recovery,
           confirm_recovery),
    METHOD("RestoreGeo", RESTORE_GEO, restore_geo, restore_geo),
    METHOD("RegisterSite", REGISTER_SITE, register_site, register_site),
    METHOD("GetSite", GET_SITE, get_site, get_site),
    METHOD("ListSites", LIST_SITES, list_sites, list_sites),
};
const struct method_list geo_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
