/* The service double's onboarding: requests filled with something to tell
 * apart. */
#include "hsm/base/check.h"

#include "server/service/catalogue_backup.h"
#include "server/service/onboardings.h"

#include "tests/unit/rpc/service_double.h"

#include <stdio.h>
#include <string.h>

static void fill(struct onboarding_view *out, const char *tenant)
{
    struct onboarding_record *record = &out->record;
    memset(out, 0, sizeof *out);
    CHECK(text_copy(out->tenant, sizeof out->tenant, tenant) == HF_OK);
    record->id = double_dep;
    record->scenario = DEP_TYPE_MULTI_WORKLOAD;
    record->mode = ONBOARDING_ENABLE;
    record->residency = RESIDENCY_MEMORY;
    record->enablement = ENABLEMENT_REFUSED;
    record->created_ms = DOUBLE_TIME_MS;
    record->check_count = 3;
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        snprintf(record->names[i], sizeof record->names[i], "key%zu", i);
        record->versions[i] = (uint32_t)i + 3;
    }
    for (size_t i = 0; i < record->check_count; i++) {
        record->checks[i] = (struct onboarding_check){
            .code = CHECK_KEY_SIZE,
            .key = (int)i - 1,
            .status = i == 0 ? CHECK_PASS : CHECK_FAIL,
            .evidence = EVIDENCE_MEASURED,
            .text = "1024 bits",
        };
    }
}

HF_STATUS onboardings_submit(struct service *service,
                             const struct caller *caller,
                             const struct onboarding_submit *request,
                             struct onboarding_view *out,
                             struct problem *problem)
{
    (void)service;
    double_say("scenario=%d mode=%d domains=%s,%s identity=%s residency=%d "
               "only=%d",
               (int)request->scenario, (int)request->mode, request->domains[0],
               request->domains[1], request->identity, (int)request->residency,
               (int)request->mutation.validate_only);
    HF_TRY(double_use_case(caller, "onboardings_submit", request->tenant,
                           request->keys[0], problem));
    fill(out, request->tenant);
    return HF_OK;
}

HF_STATUS onboardings_get(struct service *service, const struct caller *caller,
                          const char *tenant, const char *id,
                          struct onboarding_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "onboardings_get", tenant, id, problem));
    fill(out, tenant);
    return HF_OK;
}

HF_STATUS onboardings_list(struct service *service, const struct caller *caller,
                           const char *tenant, const struct page_request *page,
                           struct onboarding_list *out, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, "onboardings_list", tenant, page->token,
                           problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        fill(&out->views[i], tenant);
    }
    return HF_OK;
}

HF_STATUS catalogue_backup(struct service *service, const struct caller *caller,
                           const char *tenant, struct catalogue_backup *out,
                           struct problem *problem)
{
    (void)service;
    HF_TRY(
        double_use_case(caller, "catalogue_backup", tenant, tenant, problem));
    memcpy(out->text, "{}\n", 3);
    out->text_len = 3;
    memcpy(out->signature, "sig", 3);
    out->signature_len = 3;
    memcpy(out->public_key, "key", 3);
    out->public_key_len = 3;
    return HF_OK;
}
