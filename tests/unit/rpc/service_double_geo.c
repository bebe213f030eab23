/* The service double's geos and sites. */
#include "hsm/base/check.h"

#include "server/service/geos.h"
#include "server/service/sites.h"

#include "tests/unit/rpc/service_double.h"

#include <string.h>

#define FILL(field, text)                                                      \
    CHECK(text_copy((field), sizeof(field), (text)) == HF_OK)

static void fill_begun(struct operation_view *out, const char *tenant,
                       enum operation_kind kind)
{
    *out = (struct operation_view){
        .record =
            {
                     .id = double_dep,
                     .kind = kind,
                     .state = OPERATION_RUNNING,
                     .object = double_dep,
                     .created_ms = DOUBLE_TIME_MS,
                     },
    };
    FILL(out->tenant, tenant);
}

static void fill_geo(struct geo_view *out, const char *tenant, const char *geo)
{
    *out = (struct geo_view){
        .record =
            {
                     .id = double_dep,
                     .state = GEO_ROLLING,
                     .dep = double_dep,
                     .operation = double_dep,
                     .evict_on_denied = true,
                     .recovery = GEO_RECOVERY_OPEN,
                     .requested_ms = DOUBLE_TIME_MS,
                     .until_ms = DOUBLE_TIME_MS + 1000,
                     .created_ms = DOUBLE_TIME_MS,
                     .updated_ms = DOUBLE_TIME_MS,
                     },
        .dep = {.id = double_dep,
                     .type = DEP_TYPE_SHAREPOINT_GEO,
                     .generation = 4,
                     .ak_version = 1,
                     .ak_state = AK_ACTIVE                      },
        .percent = 61,
        .site_count = 70,
        .tik_cached = true,
        .tik_refresh_failing = true,
        .tik_expires_ms = DOUBLE_TIME_MS + 2000,
    };
    FILL(out->tenant, tenant);
    FILL(out->record.name, geo);
    FILL(out->record.requested_by, "spiffe://x/asks");
    FILL(out->record.enabled_by, "spiffe://x/enables");
    FILL(out->record.confirmed_by, "spiffe://x/confirms");
    FILL(out->record.ticket, "INC-1");
    FILL(out->keys[0].name, "first");
    out->keys[0].version = 3;
    FILL(out->keys[1].name, "second");
    out->keys[1].version = 5;
    FILL(out->etag, "9");
}

/* Which keys, of which identity. */
static void say_keys(const struct geo_register *request)
{
    double_say("geo keys %s/%u %s/%u identity=%s residency=%d evict=%d",
               request->keys[0].name, request->keys[0].version,
               request->keys[1].name, request->keys[1].version,
               request->workload_identity, (int)request->residency,
               request->evict_on_denied);
}

HF_STATUS geos_register(struct service *service, const struct caller *caller,
                        const struct geo_register *request,
                        struct operation_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "geos_register", request->tenant,
                           request->geo, problem));
    say_keys(request);
    fill_begun(out, request->tenant, OPERATION_REGISTER_GEO);
    return HF_OK;
}

HF_STATUS geos_restore(struct service *service, const struct caller *caller,
                       const struct geo_register *request,
                       struct operation_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "geos_restore", request->tenant,
                           request->geo, problem));
    say_keys(request);
    fill_begun(out, request->tenant, OPERATION_RESTORE_GEO);
    return HF_OK;
}

HF_STATUS geos_roll(struct service *service, const struct caller *caller,
                    const struct geo_roll *request, struct operation_view *out,
                    struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "geos_roll", request->tenant, request->geo,
                           problem));
    double_say("geo slot=%d key=%s/%u", (int)request->slot, request->key.name,
               request->key.version);
    fill_begun(out, request->tenant, OPERATION_ROLL_GEO);
    return HF_OK;
}

HF_STATUS geos_get(struct service *service, const struct caller *caller,
                   const char *tenant, const char *geo, struct geo_view *out,
                   struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "geos_get", tenant, geo, problem));
    fill_geo(out, tenant, geo);
    return HF_OK;
}

HF_STATUS geos_list(struct service *service, const struct caller *caller,
                    const char *tenant, const struct page_request *page,
                    struct geo_list *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "geos_list", tenant, page->token, problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        fill_geo(&out->views[i], tenant, "emea");
    }
    return HF_OK;
}

HF_STATUS geos_flush(struct service *service, const struct caller *caller,
                     const struct geo_flush *request, struct geo_view *out,
                     struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "geos_flush", request->tenant, request->geo,
                           problem));
    fill_geo(out, request->tenant, request->geo);
    out->tik_cached = false;
    out->tik_expires_ms = 0;
    return HF_OK;
}

HF_STATUS geos_request_recovery(struct service *service,
                                const struct caller *caller,
                                const struct geo_recovery_request *request,
                                struct geo_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "geos_request_recovery", request->tenant,
                           request->geo, problem));
    fill_geo(out, request->tenant, request->geo);
    out->record.recovery = GEO_RECOVERY_REQUESTED;
    return HF_OK;
}

HF_STATUS geos_enable_recovery(struct service *service,
                               const struct caller *caller,
                               const struct geo_recovery_request *request,
                               struct geo_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "geos_enable_recovery", request->tenant,
                           request->geo, problem));
    double_say("geo ticket=%s window=%lld", request->ticket,
               (long long)request->window_ms);
    fill_geo(out, request->tenant, request->geo);
    out->record.recovery = GEO_RECOVERY_ENABLED;
    return HF_OK;
}

HF_STATUS geos_confirm_recovery(struct service *service,
                                const struct caller *caller,
                                const struct geo_recovery_request *request,
                                struct geo_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "geos_confirm_recovery", request->tenant,
                           request->geo, problem));
    fill_geo(out, request->tenant, request->geo);
    return HF_OK;
}

static void fill_site(struct site_view *out, const char *tenant, const char *id,
                      const char *geo)
{
    *out = (struct site_view){
        .record = {.type = RESOURCE_SITE,
                   .effective = {double_dep, 4},
                   .effective_ms = DOUBLE_TIME_MS,
                   .created_ms = DOUBLE_TIME_MS},
        .state = MAILBOX_ENCRYPTED,
    };
    FILL(out->tenant, tenant);
    FILL(out->record.id, id);
    FILL(out->geo, geo);
    FILL(out->etag, "2");
}

HF_STATUS sites_register(struct service *service, const struct caller *caller,
                         const struct site_register *request,
                         struct site_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "sites_register", request->tenant,
                           request->id, problem));
    fill_site(out, request->tenant, request->id, request->geo);
    return HF_OK;
}

HF_STATUS sites_get(struct service *service, const struct caller *caller,
                    const char *tenant, const char *id, struct site_view *out,
                    struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "sites_get", tenant, id, problem));
    fill_site(out, tenant, id, "emea");
    return HF_OK;
}

HF_STATUS sites_list(struct service *service, const struct caller *caller,
                     const struct site_list_request *request,
                     struct site_list *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "sites_list", request->tenant, request->geo,
                           problem));
    out->count = request->page.size;
    for (size_t i = 0; i < out->count; i++) {
        fill_site(&out->views[i], request->tenant, "site", "emea");
    }
    return HF_OK;
}
