/* The double's notices of outages, and tokens of availability keys. */
#include "server/service/ak_enrol.h"
#include "server/service/ak_retire.h"
#include "server/service/notices.h"

#include "tests/unit/rpc/service_double.h"

#include <stdio.h>

HF_STATUS notices_list(struct service *service, const struct caller *caller,
                       const struct notice_list_request *request,
                       struct notice_list *out, struct problem *problem)
{
    (void)service;
    double_say("dep=%s", request->dep);
    HF_TRY(double_use_case(caller, "notices_list", request->tenant,
                           request->page.token, problem));
    out->count = request->page.size;
    snprintf(out->tenant, sizeof out->tenant, "%s", request->tenant);
    snprintf(out->next, sizeof out->next, "more");
    for (size_t i = 0; i < out->count; i++) {
        struct notice_view *view = &out->views[i];
        *view = (struct notice_view){.dep_name = "mail"};
        view->record.dep = double_dep;
        view->record.event = NOTICE_LIMIT_REACHED;
        view->record.time_ms = DOUBLE_TIME_MS;
        view->record.since_ms = DOUBLE_TIME_MS;
        view->record.generation = 4;
        view->record.limit_ms = 90000;
    }
    return HF_OK;
}

HF_STATUS ak_capacity_get(struct service *service, const struct caller *caller,
                          struct ak_token_views *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "ak_capacity_get", "", "", problem));
    *out = (struct ak_token_views){.count = 2};
    out->views[0].facts = (struct capacity_facts){82, 100, 6, 60};
    out->views[0].capacity = capacity_of(&out->views[0].facts);
    out->views[0].reachable = true;
    out->views[1].sharepoint = true;
    return HF_OK;
}

static void fill_mirror(struct ak_token_view *out, const char *name)
{
    *out = (struct ak_token_view){
        .label = "holdfast-ak-2",
        .serial = "0011223344556677",
        .state = AK_TOKEN_ENROLLING,
        .copies = 12,
        .copies_wanted = 30,
        .met = HF_E_UNREACHABLE,
    };
    snprintf(out->name, sizeof out->name, "%s", name);
}

HF_STATUS ak_tokens_enroll(struct service *service, const struct caller *caller,
                           const struct ak_enroll *request,
                           struct ak_token_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "ak_tokens_enroll", "", request->name,
                           problem));
    fill_mirror(out, request->name);
    return HF_OK;
}

HF_STATUS ak_tokens_retire(struct service *service, const struct caller *caller,
                           const struct ak_retire *request,
                           struct ak_token_view *out, struct problem *problem)
{
    (void)service;
    double_say("serial=%s disposal=%s", request->serial, request->disposal);
    HF_TRY(double_use_case(caller, "ak_tokens_retire", "", request->name,
                           problem));
    fill_mirror(out, request->name);
    out->state = AK_TOKEN_RETIRED;
    out->approvals = 2;
    out->retired_ms = DOUBLE_TIME_MS;
    snprintf(out->disposal, sizeof out->disposal, "%s", request->disposal);
    snprintf(out->requested_by, sizeof out->requested_by, "spiffe://x/op");
    return HF_OK;
}
