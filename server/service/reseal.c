#include "server/service/ak_tokens.h"
#include "server/service/purges.h"
#include "server/service/reseal_inside.h"

#include <stdlib.h>
#include <string.h>

/* Enough of a service to read its catalogue and to ask its tokens. */
static HF_STATUS make_service(struct reseal *reseal)
{
    struct service *service = calloc(1, sizeof *service);
    if (service == NULL) {
        return HF_E_NO_MEMORY;
    }
    reseal->service = service;
    service->settings = reseal->settings->service;
    if (service->settings.attempt_ms == 0) {
        service->settings.attempt_ms = HF_TOKEN_ROOT_DEADLINE_MS;
    }
    pthread_mutex_init(&service->record_lock, NULL);
    HF_TRY(ak_tokens_new(service));
    HF_TRY(ledger_open_blind(service->settings.store, service->settings.clock,
                             &service->ledger));
    return purges_new(service);
}

static void end_service(struct service *service)
{
    if (service == NULL) {
        return;
    }
    purges_close(service->purges);
    if (service->catalogue.tenants_by_id != NULL) {
        catalogue_free(&service->catalogue);
    }
    ak_tokens_free(service);
    ledger_close(service->ledger);
    pthread_mutex_destroy(&service->record_lock);
    free(service);
}

static HF_STATUS describe(struct reseal *reseal)
{
    struct reseal_content content;
    struct token_profile profile;
    uint8_t answer[HF_SHA256_BYTES];
    char digest[2 * HF_SHA256_BYTES + 1];
    char answer_text[2 * HF_SHA256_BYTES + 1];
    const struct token *token = reseal->settings->service.service_token;
    HF_TRY(reseal_content_of(reseal->settings->service.store, &content));
    HF_TRY(reseal_token_answer(token, answer));
    token_profile_get(token, &profile);
    hex_encode(content.digest, sizeof content.digest, digest, sizeof digest);
    hex_encode(answer, sizeof answer, answer_text, sizeof answer_text);
    reseal->report = json_pack(
        "{s:s, s:{s:s, s:I, s:I}, s:{s:s, s:s, s:s}}", "format", RESEAL_FORMAT,
        "store", "sha256", digest, "records", (json_int_t)content.records,
        "epoch", (json_int_t)content.epoch, "service_token", "label",
        profile.label, "serial", profile.serial, "answer", answer_text);
    reseal->verified = json_object();
    reseal->declared = json_array();
    reseal->not_verified = json_array();
    reseal->grants = json_object();
    reseal->deps = json_object();
    reseal->purges = json_object();
    reseal->ak_tokens = json_object();
    reseal->keys = json_object();
    return reseal->report != NULL && reseal->deps != NULL &&
                   reseal->purges != NULL && reseal->ak_tokens != NULL &&
                   reseal->keys != NULL
               ? HF_OK
               : HF_E_NO_MEMORY;
}

static HF_STATUS inspect(struct reseal *reseal)
{
    enum hf_status status = describe(reseal);
    if (status == HF_E_NOT_FOUND || status == HF_E_UNCONFIRMED) {
        return problem_set(reseal->problem, REASON_SERVICE_UNAVAILABLE,
                           "the new token has no record MAC key: prepare it "
                           "with holdfast-hsm service init");
    }
    if (status == HF_OK) {
        status = make_service(reseal);
    }
    if (status == HF_OK) {
        status = reseal_chain(reseal);
    }
    HF_TRY(problem_of_status(reseal->problem, status));
    HF_TRY(catalogue_load(reseal->service, reseal->problem));
    status = reseal_keys(reseal);
    if (status == HF_OK) {
        status = reseal_facts(reseal);
    }
    if (status == HF_OK) {
        status = reseal_write(reseal);
    }
    return problem_of_status(reseal->problem, status);
}

HF_STATUS reseal_inspect(const struct reseal_settings *settings,
                         struct reseal_report *out, struct problem *problem)
{
    struct reseal reseal = {
        .settings = settings, .problem = problem, .out = out};
    *out = (struct reseal_report){.json = NULL};
    enum hf_status status = inspect(&reseal);
    end_service(reseal.service);
    json_decref(reseal.report);
    json_decref(reseal.verified);
    json_decref(reseal.declared);
    json_decref(reseal.not_verified);
    json_decref(reseal.grants);
    json_decref(reseal.deps);
    json_decref(reseal.purges);
    json_decref(reseal.ak_tokens);
    json_decref(reseal.keys);
    if (status != HF_OK) {
        reseal_report_clear(out);
    }
    return status;
}
