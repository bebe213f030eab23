/* OnboardingService. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/method.h"
#include "server/rpc/report.h"
#include "server/service/onboardings.h"

#include <holdfast/v1/onboarding_service.pb-c.h>
#include <string.h>

#define PATH          "/holdfast.v1.OnboardingService/"
#define PAGE_MAX_HERE 20 /* a view is about 8 KiB */

/* --- encode ------------------------------------------------------------- */

static ProtobufCMessage *encode_report(struct rpc_arena *arena,
                                       const struct onboarding_record *from,
                                       char *const keys[2])
{
    struct validation_report *report = rpc_arena_alloc(arena, sizeof *report);
    if (report == NULL) {
        return NULL;
    }
    report->count = from->check_count;
    report->passed = from->passed;
    for (size_t i = 0; i < from->check_count; i++) {
        const struct onboarding_check *check = &from->checks[i];
        struct check_result *to = &report->results[i];
        to->code = check->code;
        to->key = check->key;
        to->status = check->status;
        to->evidence = check->evidence;
        to->time_ms = from->created_ms;
        memcpy(to->text, check->text, sizeof check->text);
    }
    return report_encode(arena, report, keys, REPORT_TEXTS_ALL);
}

static bool is_told_before(const struct onboarding_record *from, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (from->checks[i].code == from->checks[at].code &&
            from->checks[i].status == CHECK_FAIL) {
            return true;
        }
    }
    return false;
}

/* Each code once. */
static void encode_failed(struct rpc_arena *arena,
                          const struct onboarding_record *from,
                          Holdfast__V1__OnboardingRequest *to)
{
    char **codes =
        rpc_arena_alloc(arena, (from->check_count + 1) * sizeof *codes);
    if (codes == NULL) {
        return;
    }
    for (size_t i = 0; i < from->check_count; i++) {
        if (from->checks[i].status == CHECK_FAIL && !is_told_before(from, i)) {
            codes[to->n_failed_validations++] = rpc_arena_text(
                arena, "%s", check_code_text(from->checks[i].code));
        }
    }
    to->failed_validations = codes;
}

static void encode_keys(struct rpc_arena *arena,
                        const struct onboarding_view *view,
                        Holdfast__V1__OnboardingRequest *to)
{
    const struct onboarding_record *from = &view->record;
    char **keys = rpc_arena_alloc(arena, 2 * sizeof *keys);
    char **domains = rpc_arena_alloc(arena, 2 * sizeof *domains);
    uint32_t *versions = rpc_arena_alloc(arena, 2 * sizeof *versions);
    if (keys == NULL || domains == NULL || versions == NULL) {
        return;
    }
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        keys[i] =
            codec_put_name(arena, view->tenant, "customerKeys", from->names[i]);
        domains[i] = rpc_arena_text(arena, "%s", from->domains[i]);
        versions[i] = from->versions[i];
    }
    to->customer_keys = keys;
    to->n_customer_keys = HF_CUSTOMER_KEYS_PER_DEP;
    to->key_versions = versions;
    to->n_key_versions = HF_CUSTOMER_KEYS_PER_DEP;
    to->custody_domains = domains;
    to->n_custody_domains =
        from->domains[0][0] == '\0' ? 0 : HF_CUSTOMER_KEYS_PER_DEP;
    to->report = (Holdfast__V1__ValidationReport *)encode_report(
        arena, from, to->customer_keys);
}

/* The enums of the wire have the numbers of ours. */
static ProtobufCMessage *encode(struct rpc_arena *arena,
                                const struct onboarding_view *view)
{
    const struct onboarding_record *from = &view->record;
    char id[HF_ID_TEXT];
    Holdfast__V1__OnboardingRequest *to =
        codec_new(arena, Holdfast__V1__OnboardingRequest,
                  holdfast__v1__onboarding_request);
    if (to == NULL) {
        return NULL;
    }
    id_format(&from->id, id);
    to->name = codec_put_name(arena, view->tenant, "onboardingRequests", id);
    to->scenario = (Holdfast__V1__DepType)from->scenario;
    to->mode = (Holdfast__V1__OnboardingMode)from->mode;
    to->workload_identity = rpc_arena_text(arena, "%s", from->identity);
    to->residency = (Holdfast__V1__Residency)from->residency;
    to->requester = rpc_arena_text(arena, "%s", from->requester);
    to->create_time = codec_put_timestamp(arena, from->created_ms);
    to->validation_result =
        from->passed
            ? HOLDFAST__V1__VALIDATION_RESULT__VALIDATION_RESULT_PASSED
            : HOLDFAST__V1__VALIDATION_RESULT__VALIDATION_RESULT_FAILED;
    to->enablement_result = (Holdfast__V1__EnablementResult)from->enablement;
    encode_keys(arena, view, to);
    encode_failed(arena, from, to);
    return &to->base;
}

static HF_STATUS answer(struct admin_work *work,
                        const struct onboarding_view *view)
{
    work->reply = encode(work->arena, view);
    return work->reply != NULL ? HF_OK : HF_E_NO_MEMORY;
}

/* --- decode ------------------------------------------------------------- */

static HF_STATUS decode_domains(char *const *domains, size_t count,
                                struct onboarding_submit *out,
                                struct problem *problem)
{
    if (count != 0 && count != HF_CUSTOMER_KEYS_PER_DEP) {
        return problem_field(problem, "custody_domains",
                             "must be none, or one for each of the two keys");
    }
    for (size_t i = 0; i < count; i++) {
        HF_TRY(
            codec_id("custody_domains", domains[i], out->domains[i], problem));
    }
    return HF_OK;
}

static HF_STATUS
decode_submit(const Holdfast__V1__SubmitOnboardingRequestRequest *in,
              const struct admin_work *work, struct onboarding_submit *out)
{
    struct problem *problem = work->problem;
    const struct codec_mutation mutation = {
        .request_id = in->request_id,
        .validate_only = in->validate_only,
    };
    HF_TRY(codec_parent(in->parent, out->tenant, problem));
    if (in->scenario < HOLDFAST__V1__DEP_TYPE__DEP_TYPE_EXCHANGE_MAILBOX ||
        in->scenario > HOLDFAST__V1__DEP_TYPE__DEP_TYPE_MULTI_WORKLOAD) {
        return problem_field(problem, "scenario",
                             "must be DEP_TYPE_EXCHANGE_MAILBOX or "
                             "DEP_TYPE_MULTI_WORKLOAD; a geo is checked when "
                             "it is registered");
    }
    out->scenario = (enum dep_type)in->scenario;
    if (in->mode < HOLDFAST__V1__ONBOARDING_MODE__ONBOARDING_MODE_VALIDATE ||
        in->mode > HOLDFAST__V1__ONBOARDING_MODE__ONBOARDING_MODE_ENABLE) {
        return problem_field(problem, "mode",
                             "must be ONBOARDING_MODE_VALIDATE or "
                             "ONBOARDING_MODE_ENABLE");
    }
    out->mode = (enum onboarding_mode)in->mode;
    HF_TRY(codec_key_pair(in->customer_keys, in->n_customer_keys, out->tenant,
                          out->keys, problem));
    HF_TRY(decode_domains(in->custody_domains, in->n_custody_domains, out,
                          problem));
    if (in->workload_identity[0] != '\0') {
        HF_TRY(codec_spiffe("workload_identity", in->workload_identity,
                            out->identity, problem));
    }
    out->residency = codec_residency(in->residency);
    return codec_mutation(&mutation, work, &out->mutation);
}

/* --- methods ------------------------------------------------------------ */

static HF_STATUS submit(struct admin_work *work)
{
    struct onboarding_submit request = {.tenant = ""};
    HF_TRY(decode_submit(
        (const Holdfast__V1__SubmitOnboardingRequestRequest *)work->request,
        work, &request));
    struct onboarding_view *view = rpc_arena_alloc(work->arena, sizeof *view);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(onboardings_submit(work->service, work->caller, &request, view,
                              work->problem));
    return answer(work, view);
}

static HF_STATUS get(struct admin_work *work)
{
    const Holdfast__V1__GetOnboardingRequestRequest *in =
        (const Holdfast__V1__GetOnboardingRequestRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_ID_TEXT];
    const struct codec_name what = {
        .field = "name",
        .collection = "onboardingRequests",
        .out_tenant = tenant,
        .out_id = id,
        .id_cap = HF_ID_TEXT,
    };
    HF_TRY(codec_parse_name(&what, in->name, work->problem));
    struct onboarding_view *view = rpc_arena_alloc(work->arena, sizeof *view);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(onboardings_get(work->service, work->caller, tenant, id, view,
                           work->problem));
    return answer(work, view);
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListOnboardingRequestsRequest *in =
        (const Holdfast__V1__ListOnboardingRequestsRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct page_request page;
    HF_TRY(codec_parent(in->parent, tenant, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE, &page,
                      work->problem));
    struct onboarding_list found = {.cap = page.size};
    found.views = rpc_arena_alloc(work->arena, found.cap * sizeof *found.views);
    Holdfast__V1__ListOnboardingRequestsResponse *out =
        codec_new(work->arena, Holdfast__V1__ListOnboardingRequestsResponse,
                  holdfast__v1__list_onboarding_requests_response);
    Holdfast__V1__OnboardingRequest **items =
        rpc_arena_alloc(work->arena, found.cap * sizeof *items);
    if (found.views == NULL || out == NULL || items == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(onboardings_list(work->service, work->caller, tenant, &page, &found,
                            work->problem));
    for (size_t i = 0; i < found.count; i++) {
        items[i] = (Holdfast__V1__OnboardingRequest *)encode(work->arena,
                                                             &found.views[i]);
    }
    out->onboarding_requests = items;
    out->n_onboarding_requests = found.count;
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
    METHOD("SubmitOnboardingRequest", SUBMIT_ONBOARDING_REQUEST,
           submit_onboarding_request, submit),
    METHOD("GetOnboardingRequest", GET_ONBOARDING_REQUEST,
           get_onboarding_request, get),
    METHOD("ListOnboardingRequests", LIST_ONBOARDING_REQUESTS,
           list_onboarding_requests, list),
};
const struct method_list onboarding_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
