/* The service double's tenant assignments and workloads. */
#include "hsm/base/check.h"

#include "server/service/tenant_assignments.h"
#include "server/service/workloads.h"

#include "tests/unit/rpc/service_double.h"

#include <string.h>

#define FILL(field, text)                                                      \
    CHECK(text_copy((field), sizeof(field), (text)) == HF_OK)

static void fill_operation(struct operation_view *out, const char *tenant,
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

HF_STATUS tenant_assignments_assign(struct service *service,
                                    const struct caller *caller,
                                    const struct tenant_assign *request,
                                    struct operation_view *out,
                                    struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "tenant_assignments_assign", request->tenant,
                           request->dep, problem));
    fill_operation(out, request->tenant, OPERATION_ASSIGN_TENANT);
    return HF_OK;
}

HF_STATUS tenant_assignments_offboard(struct service *service,
                                      const struct caller *caller,
                                      const struct tenant_offboard *request,
                                      struct operation_view *out,
                                      struct problem *problem)
{
    (void)service;
    double_say("contact=%zu ground=%zu", strlen(request->contact),
               strlen(request->ground));
    HF_TRY(double_use_case(caller, "tenant_assignments_offboard",
                           request->tenant, request->ticket, problem));
    fill_operation(out, request->tenant, OPERATION_OFFBOARD_TENANT);
    return HF_OK;
}

HF_STATUS tenant_assignments_get(struct service *service,
                                 const struct caller *caller,
                                 const char *tenant,
                                 struct tenant_assignment_view *out,
                                 struct problem *problem)
{
    (void)service;
    HF_TRY(
        double_use_case(caller, "tenant_assignments_get", tenant, "", problem));
    *out = (struct tenant_assignment_view){
        .record =
            {
                     .state = ASSIGNMENT_OFFBOARDING,
                     .dep = double_dep,
                     .number = 7,
                     .operation = double_dep,
                     .assigned_ms = DOUBLE_TIME_MS,
                     },
        .overdue = true,
        .remaining = 12,
        .percent = 34,
    };
    FILL(out->tenant, tenant);
    FILL(out->record.ticket, "T-1");
    FILL(out->record.contact, "ann");
    FILL(out->record.ground, "leaving");
    FILL(out->etag, "5");
    return HF_OK;
}

static void fill(struct workload_view *out, const char *tenant,
                 const char *word)
{
    const struct workload_row *row = workload_by_word(word);
    *out = (struct workload_view){
        .row = row == NULL ? workload_at(0) : row,
        .registered = true,
        .state = MAILBOX_ENCRYPTED,
        .progress = {.done = 3, .total = 10, .reported_ms = DOUBLE_TIME_MS},
    };
    FILL(out->tenant, tenant);
    out->record.switched_on = true;
    out->record.effective = (struct dep_ref){double_dep, 4};
    out->service_managed = double_dep;
    out->record.earlier_count = 1;
    out->record.earlier[0].by = (struct dep_ref){double_dep, 2};
    memset(out->record.earlier[0].envelope, 0xea, ENVELOPE_KEY_BYTES);
    out->record.earlier[0].envelope_len = ENVELOPE_KEY_BYTES;
    out->record.earlier[0].replaced_ms = DOUBLE_TIME_MS;
    FILL(out->etag, "6");
}

HF_STATUS workloads_register(struct service *service,
                             const struct caller *caller,
                             const struct workload_register *request,
                             struct workload_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "workloads_register", request->tenant,
                           request->word, problem));
    fill(out, request->tenant, request->word);
    return HF_OK;
}

HF_STATUS workloads_switch(struct service *service, const struct caller *caller,
                           const struct workload_switch *request,
                           struct workload_view *out, struct problem *problem)
{
    (void)service;
    double_say("on=%d items=%llu", request->on,
               (unsigned long long)request->items);
    HF_TRY(double_use_case(caller, "workloads_switch", request->tenant,
                           request->word, problem));
    fill(out, request->tenant, request->word);
    return HF_OK;
}

HF_STATUS workloads_report(struct service *service, const struct caller *caller,
                           const struct workload_report *request,
                           struct workload_view *out, struct problem *problem)
{
    (void)service;
    double_say("done=%llu total=%llu", (unsigned long long)request->done,
               (unsigned long long)request->total);
    HF_TRY(double_use_case(caller, "workloads_report", request->tenant,
                           request->word, problem));
    fill(out, request->tenant, request->word);
    return HF_OK;
}

HF_STATUS workloads_get(struct service *service, const struct caller *caller,
                        const char *tenant, const char *word,
                        struct workload_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "workloads_get", tenant, word, problem));
    fill(out, tenant, word);
    return HF_OK;
}

HF_STATUS workloads_list(struct service *service, const struct caller *caller,
                         const char *tenant, const struct page_request *page,
                         struct workload_list *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "workloads_list", tenant, page->token,
                           problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        fill(&out->views[i], tenant, "teams-chat");
    }
    return HF_OK;
}
