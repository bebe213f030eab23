/* The service double's long-running operations. */
#include "hsm/base/check.h"

#include "server/service/availability_roll.h"
#include "server/service/dep_refresh.h"
#include "server/service/dep_rewrap.h"
#include "server/service/key_dependants.h"
#include "server/service/managed_roll.h"

#include "tests/unit/rpc/service_double.h"

#include <string.h>

static void fill(struct operation_view *out, const char *tenant)
{
    *out = (struct operation_view){
        .record =
            {
                     .id = double_dep,
                     .kind = OPERATION_REWRAP,
                     .state = OPERATION_RUNNING,
                     .object = double_dep,
                     .done = 3,
                     .total = 10,
                     .failed = 1,
                     .percent = 30,
                     .created_ms = DOUBLE_TIME_MS,
                     .updated_ms = DOUBLE_TIME_MS,
                     },
    };
    CHECK(text_copy(out->tenant, sizeof out->tenant, tenant) == HF_OK);
    CHECK(text_copy(out->record.error, sizeof out->record.error,
                    "not yet reached") == HF_OK);
}

HF_STATUS deps_rewrap(struct service *service, const struct caller *caller,
                      const struct dep_rewrap *request,
                      struct operation_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "deps_rewrap", request->tenant, request->dep,
                           problem));
    fill(out, request->tenant);
    return HF_OK;
}

HF_STATUS deps_refresh(struct service *service, const struct caller *caller,
                       const struct dep_refresh *request,
                       struct operation_view *out, struct problem *problem)
{
    (void)service;
    double_say("only=%d", request->mutation.validate_only);
    HF_TRY(double_use_case(caller, "deps_refresh", request->tenant,
                           request->dep, problem));
    fill(out, request->tenant);
    out->record.kind = OPERATION_REFRESH;
    return HF_OK;
}

HF_STATUS deps_replace(struct service *service, const struct caller *caller,
                       const struct dep_replace *request,
                       struct operation_view *out, struct problem *problem)
{
    (void)service;
    double_say("keys=%s,%s identity=%s", request->keys[0], request->keys[1],
               request->workload_identity);
    HF_TRY(double_use_case(caller, "deps_replace", request->tenant,
                           request->dep, problem));
    fill(out, request->tenant);
    out->record.kind = OPERATION_REPLACE;
    return HF_OK;
}

HF_STATUS deps_roll_ak(struct service *service, const struct caller *caller,
                       const struct ak_roll *request,
                       struct operation_view *out, struct problem *problem)
{
    (void)service;
    double_say("roll of dep=%s", request->dep);
    HF_TRY(double_use_case(caller, "deps_roll_ak", request->tenant,
                           request->dep, problem));
    fill(out, request->tenant);
    out->record.kind = OPERATION_ROLL_AVAILABILITY_KEY;
    if (request->dep[0] == '\0') {
        out->record.object = (struct hf_id){{0}};
    }
    return HF_OK;
}

HF_STATUS operations_get(struct service *service, const struct caller *caller,
                         const char *tenant, const char *id,
                         struct operation_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "operations_get", tenant, id, problem));
    fill(out, tenant);
    return HF_OK;
}

HF_STATUS operations_list(struct service *service, const struct caller *caller,
                          const char *tenant, const struct page_request *page,
                          struct operation_list *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "operations_list", tenant, page->token,
                           problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        fill(&out->views[i], tenant);
    }
    return HF_OK;
}

HF_STATUS operations_cancel(struct service *service,
                            const struct caller *caller,
                            const struct operation_cancel *request,
                            struct operation_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "operations_cancel", request->tenant,
                           request->id, problem));
    fill(out, request->tenant);
    out->record.state = OPERATION_CANCELLED;
    return HF_OK;
}

HF_STATUS customer_keys_dependants(struct service *service,
                                   const struct caller *caller,
                                   const struct key_dependants_request *request,
                                   struct key_dependant_list *out,
                                   struct problem *problem)
{
    (void)service;
    double_say("dependants of version=%u", request->version);
    HF_TRY(double_use_case(caller, "customer_keys_dependants", request->tenant,
                           request->name, problem));
    out->count = request->page.size;
    out->total = 70000;
    CHECK(text_copy(out->next, sizeof out->next, "ab") == HF_OK);
    for (size_t i = 0; i < out->count; i++) {
        out->items[i].under =
            (struct dep_ref){.dep = double_dep, .generation = 3};
        CHECK(text_copy(out->items[i].resource, sizeof out->items[i].resource,
                        "tenants/acme/mailboxes/a") == HF_OK);
    }
    return HF_OK;
}

HF_STATUS tenants_roll_managed(struct service *service,
                               const struct caller *caller,
                               const struct managed_roll *request,
                               struct operation_view *out,
                               struct problem *problem)
{
    (void)service;
    double_say("roll only=%d", request->mutation.validate_only);
    HF_TRY(double_use_case(caller, "tenants_roll_managed", request->tenant, "",
                           problem));
    fill(out, request->tenant);
    out->record.kind = OPERATION_ROLL_SERVICE_MANAGED;
    return HF_OK;
}
