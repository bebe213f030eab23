/* The service double's officers and purges. */
#include "hsm/base/check.h"

#include "server/service/purges.h"

#include "tests/unit/rpc/service_double.h"

#include <string.h>

static void say_text(char *out, size_t cap, const char *text)
{
    CHECK(text_copy(out, cap, text) == HF_OK);
}

static void fill_officers(struct officer_list *out, const char *tenant)
{
    memset(out, 0, sizeof *out);
    say_text(out->tenant, sizeof out->tenant, tenant);
    struct officer_record *officer = &out->officers[0];
    say_text(officer->identity, sizeof officer->identity, "spiffe://x/officer");
    say_text(officer->name, sizeof officer->name, "Ada");
    memset(officer->public_key, 7, 91);
    officer->public_key_len = 91;
    officer->since_ms = DOUBLE_TIME_MS;
    out->count = 1;
}

HF_STATUS officers_set(struct service *service, const struct caller *caller,
                       const struct officers_set *request,
                       struct officer_list *out, struct problem *problem)
{
    (void)service;
    double_say("officers=%zu first=%s key=%zu", request->count,
               request->officers[0].identity,
               request->officers[0].public_key.len);
    HF_TRY(
        double_use_case(caller, "officers_set", request->tenant, "", problem));
    fill_officers(out, request->tenant);
    return HF_OK;
}

HF_STATUS officers_list(struct service *service, const struct caller *caller,
                        const char *tenant, struct officer_list *out,
                        struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "officers_list", tenant, "", problem));
    fill_officers(out, tenant);
    return HF_OK;
}

static void fill_record(struct purge_record *record)
{
    record->id = double_dep;
    record->dep = double_dep;
    record->phase = PURGE_HOLDING;
    record->paused = true;
    record->force = true;
    say_text(record->reason, sizeof record->reason, "we leave");
    say_text(record->contact, sizeof record->contact, "ciso@acme");
    say_text(record->requester, sizeof record->requester, "spiffe://x/admin");
    say_text(record->executor, sizeof record->executor, "spiffe://x/operator");
    say_text(record->evidence, sizeof record->evidence, "none found");
    record->version = 3;
    record->resources = 12;
    record->earlier[0] = (struct purge_earlier){
        .ref = {double_dep, 2},
        .resources = 5,
    };
    record->earlier_count = 1;
    record->requested_ms = DOUBLE_TIME_MS;
    record->expires_ms = DOUBLE_TIME_MS + 1000;
    record->approved_ms = DOUBLE_TIME_MS + 2000;
    record->hold_until_ms = DOUBLE_TIME_MS + 3000;
    record->executed_ms = DOUBLE_TIME_MS + 4000;
}

static void fill(struct purge_view *out, const char *tenant)
{
    memset(out, 0, sizeof *out);
    say_text(out->tenant, sizeof out->tenant, tenant);
    say_text(out->dep_name, sizeof out->dep_name, "mail");
    say_text(out->etag, sizeof out->etag, "4");
    fill_record(&out->record);
    struct approval_record *approval = &out->approvals[0];
    say_text(approval->identity, sizeof approval->identity,
             "spiffe://x/officer");
    approval->version = 3;
    approval->earlier_accepted = true;
    approval->signature_len = 64;
    approval->approved_ms = DOUBLE_TIME_MS;
    out->approval_count = 1;
    memcpy(out->document.text, "plain", 5);
    out->document.len = 5;
    memcpy(out->accepting.text, "accepting", 9);
    out->accepting.len = 9;
}

HF_STATUS purges_delete_tenant(struct service *service,
                               const struct caller *caller,
                               const struct purge_request *request,
                               struct purge_view *out, struct problem *problem)
{
    (void)service;
    double_say("ends reason=%s contact=%s confirm=%d", request->reason,
               request->contact, request->confirm);
    HF_TRY(double_use_case(caller, "purges_delete_tenant", request->tenant, "",
                           problem));
    fill(out, request->tenant);
    out->of_tenant = true;
    return HF_OK;
}

HF_STATUS purges_request(struct service *service, const struct caller *caller,
                         const struct purge_request *request,
                         struct purge_view *out, struct problem *problem)
{
    (void)service;
    double_say("reason=%s contact=%s force=%d confirm=%d", request->reason,
               request->contact, request->force, request->confirm);
    HF_TRY(double_use_case(caller, "purges_request", request->tenant,
                           request->dep, problem));
    fill(out, request->tenant);
    return HF_OK;
}

#define DEFINE_ORDER(name)                                                     \
    HF_STATUS name(struct service *service, const struct caller *caller,       \
                   const struct purge_order *order, struct purge_view *out,    \
                   struct problem *problem)                                    \
    {                                                                          \
        (void)service;                                                         \
        double_say("etag=%s", order->mutation.etag);                           \
        HF_TRY(double_use_case(caller, #name, order->tenant, order->id,        \
                               problem));                                      \
        fill(out, order->tenant);                                              \
        return HF_OK;                                                          \
    }

DEFINE_ORDER(purges_renew)
DEFINE_ORDER(purges_cancel)
DEFINE_ORDER(purges_pause)
DEFINE_ORDER(purges_resume)

HF_STATUS purges_approve(struct service *service, const struct caller *caller,
                         const struct purge_approve *request,
                         struct purge_view *out, struct problem *problem)
{
    (void)service;
    double_say("version=%u accept=%d signature=%zu", request->version,
               request->accept_earlier_wraps, request->signature.len);
    HF_TRY(double_use_case(caller, "purges_approve", request->order.tenant,
                           request->order.id, problem));
    fill(out, request->order.tenant);
    return HF_OK;
}

HF_STATUS purges_execute(struct service *service, const struct caller *caller,
                         const struct purge_execute *request,
                         struct operation_view *out, struct problem *problem)
{
    (void)service;
    double_say("confirm=%d", request->confirm);
    HF_TRY(double_use_case(caller, "purges_execute", request->order.tenant,
                           request->order.id, problem));
    *out = (struct operation_view){
        .record = {.id = double_dep,
                   .kind = OPERATION_PURGE,
                   .state = OPERATION_RUNNING,
                   .object = double_dep},
    };
    say_text(out->tenant, sizeof out->tenant, request->order.tenant);
    return HF_OK;
}

HF_STATUS purges_get(struct service *service, const struct caller *caller,
                     const char *tenant, const char *id, struct purge_view *out,
                     struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "purges_get", tenant, id, problem));
    fill(out, tenant);
    return HF_OK;
}

HF_STATUS purges_list(struct service *service, const struct caller *caller,
                      const char *tenant, const struct page_request *page,
                      struct purge_list *out, struct problem *problem)
{
    (void)service;
    (void)page;
    HF_TRY(double_use_case(caller, "purges_list", tenant, "", problem));
    fill(&out->views[0], tenant);
    out->count = 1;
    say_text(out->next, sizeof out->next, "more");
    return HF_OK;
}

HF_STATUS purges_certificate(struct service *service,
                             const struct caller *caller, const char *tenant,
                             const char *id, struct certificate_record *out,
                             struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "purges_certificate", tenant, id, problem));
    memset(out, 0, sizeof *out);
    memcpy(out->text, "it is gone\n", 11);
    out->text_len = 11;
    out->signature_len = 71;
    out->public_key_len = 91;
    return HF_OK;
}
