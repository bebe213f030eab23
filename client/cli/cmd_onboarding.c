/* onboarding: a tenant's way to a scenario (specification 11). */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/json.h"
#include "client/cli/values.h"

#include "holdfast/v1/onboarding_service.pb-c.h"

#include <string.h>

static const struct column columns[] = {
    {"REQUEST",    "name",              NULL,                 COLUMN_LEAF},
    {"SCENARIO",   "scenario",          "DEP_TYPE_",          COLUMN_TEXT},
    {"MODE",       "mode",              "ONBOARDING_MODE_",   COLUMN_TEXT},
    {"VALIDATION", "validationResult",  "VALIDATION_RESULT_", COLUMN_TEXT},
    {"ENABLEMENT", "enablementResult",  "ENABLEMENT_RESULT_", COLUMN_TEXT},
    {"CREATED",    "createTime",        NULL,                 COLUMN_TEXT},
    {"FAILED",     "failedValidations", NULL,                 COLUMN_TEXT},
    {"KEYS",       "customerKeys",      NULL,                 COLUMN_TEXT},
    {"VERSIONS",   "keyVersions",       NULL,                 COLUMN_TEXT},
    {"WORKLOAD",   "workloadIdentity",  NULL,                 COLUMN_TEXT},
    {"RESIDENCY",  "residency",         "RESIDENCY_",         COLUMN_TEXT},
    {"REQUESTER",  "requester",         NULL,                 COLUMN_TEXT},
};
#define LIST_COLUMNS 7

static const struct cli_method submit_method = {
    "holdfast.v1.OnboardingService/SubmitOnboardingRequest",
    &holdfast__v1__onboarding_request__descriptor};
static const struct cli_method get_method = {
    "holdfast.v1.OnboardingService/GetOnboardingRequest",
    &holdfast__v1__onboarding_request__descriptor};

/* The request, then every check. */
static enum cli_exit show(struct cli *cli, const struct cli_method *method,
                          const ProtobufCMessage *request)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    ProtobufCMessage *response = NULL;
    enum cli_exit code = cli_ask(cli, method, request, &response, &error);
    if (code != CLI_OK) {
        return error.code != HF_CODE_OK ? cli_error(cli, &error) : code;
    }
    HF_OWNED(json_freep) json_t *shown = message_json(response);
    hf_message_free(response);
    const char *result =
        json_string_value(json_object_get(shown, "validationResult"));
    bool passed =
        result != NULL && strcmp(result, "VALIDATION_RESULT_PASSED") == 0;
    if (cli->json) {
        code = output_json(cli->out, shown);
    } else {
        code = cli_show_item(cli, shown, columns, HF_COUNT(columns));
        if (code == CLI_OK) {
            code = cli_report_table(
                cli,
                json_object_get(json_object_get(shown, "report"), "results"));
        }
    }
    return code == CLI_OK && !passed ? CLI_CONFLICT : code;
}

static enum cli_exit take_scenario(struct cli *cli, const char *word,
                                   Holdfast__V1__DepType *out)
{
    int value = 0;
    if (enum_parse(&holdfast__v1__dep_type__descriptor, "DEP_TYPE_", word,
                   &value) != HF_OK ||
        value == 0) {
        return cli_usage(cli, "--scenario is exchange-mailbox or "
                              "multi-workload");
    }
    *out = (Holdfast__V1__DepType)value;
    return CLI_OK;
}

struct submission {
    char parent[NAME_TEXT];
    char keys[2][NAME_TEXT];
    char *key_list[2];
    char *domains[2];
    char request_id[HF_REQUEST_ID_TEXT];
    Holdfast__V1__SubmitOnboardingRequestRequest request;
};

static enum cli_exit fill(struct cli *cli, struct submission *submission)
{
    const struct args *args = cli->args;
    Holdfast__V1__SubmitOnboardingRequestRequest *request =
        &submission->request;
    int residency = 0;
    const char *word = args_text(args, "residency");
    enum cli_exit code = cli_parent(cli, submission->parent);
    for (size_t i = 0; i < 2 && code == CLI_OK; i++) {
        code = cli_name(cli, "customerKeys", args->operands[i],
                        submission->keys[i]);
        submission->key_list[i] = submission->keys[i];
    }
    if (code == CLI_OK) {
        code = cli_request_id(cli, submission->request_id);
    }
    if (code == CLI_OK) {
        code =
            take_scenario(cli, args_text(args, "scenario"), &request->scenario);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (word != NULL && enum_parse(&holdfast__v1__residency__descriptor,
                                   "RESIDENCY_", word, &residency) != HF_OK) {
        return cli_usage(cli, "--residency is token or memory");
    }
    size_t domains = args_count(args, "custody-domain");
    if (domains != 0 && domains != 2) {
        return cli_usage(cli, "--custody-domain is given for both keys, or "
                              "not at all");
    }
    for (size_t i = 0; i < domains; i++) {
        submission->domains[i] =
            proto_text(args_nth(args, "custody-domain", i));
    }
    request->residency = (Holdfast__V1__Residency)residency;
    request->custody_domains = submission->domains;
    request->n_custody_domains = domains;
    return CLI_OK;
}

static enum cli_exit submit(struct cli *cli, Holdfast__V1__OnboardingMode mode)
{
    struct submission submission = {
        .request = HOLDFAST__V1__SUBMIT_ONBOARDING_REQUEST_REQUEST__INIT};
    Holdfast__V1__SubmitOnboardingRequestRequest *request = &submission.request;
    enum cli_exit code = fill(cli, &submission);
    if (code != CLI_OK) {
        return code;
    }
    request->parent = submission.parent;
    request->mode = mode;
    request->customer_keys = submission.key_list;
    request->n_customer_keys = 2;
    request->workload_identity =
        proto_text(args_text(cli->args, "workload-identity"));
    request->request_id = submission.request_id;
    request->validate_only = args_flag(cli->args, "validate-only");
    return show(cli, &submit_method, &request->base);
}

static enum cli_exit run_validate(struct cli *cli, const struct args *args)
{
    (void)args;
    return submit(cli, HOLDFAST__V1__ONBOARDING_MODE__ONBOARDING_MODE_VALIDATE);
}

static enum cli_exit run_enable(struct cli *cli, const struct args *args)
{
    (void)args;
    return submit(cli, HOLDFAST__V1__ONBOARDING_MODE__ONBOARDING_MODE_ENABLE);
}

static enum cli_exit run_get(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    enum cli_exit code =
        cli_name(cli, "onboardingRequests", args->operands[0], name);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__GetOnboardingRequestRequest request =
        HOLDFAST__V1__GET_ONBOARDING_REQUEST_REQUEST__INIT;
    request.name = name;
    return show(cli, &get_method, &request.base);
}

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    (void)args;
    char parent[NAME_TEXT];
    enum cli_exit code = cli_parent(cli, parent);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__ListOnboardingRequestsRequest request =
        HOLDFAST__V1__LIST_ONBOARDING_REQUESTS_REQUEST__INIT;
    request.parent = parent;
    const struct cli_list list = {
        .method =
            {"holdfast.v1.OnboardingService/ListOnboardingRequests",
                     &holdfast__v1__list_onboarding_requests_response__descriptor},
        .request = &request.base,
        .items = "onboardingRequests",
    };
    return cli_show_list(cli, &list, columns, LIST_COLUMNS);
}

static const struct option submit_options[] = {
    {"scenario",          "TYPE",   "exchange-mailbox or multi-workload", true,  false},
    {"workload-identity", "URI",    "whose permissions are checked",      true,  false},
    {"custody-domain",    "DOMAIN",
     "where the keys' tokens should be, in the order of the keys",        false, true },
    {"residency",         "WHERE",  "token (default) or memory",          false, false},
    OPTIONS_OF_A_CHANGE,
};

static const struct command validate_command = {
    .group = "onboarding",
    .verb = "validate",
    .summary = "Run every check on a pair of keys for a scenario, and keep the "
               "result. Exit code 5 when one fails.",
    .operands = "KEY KEY",
    .options = submit_options,
    .option_count = HF_COUNT(submit_options),
    .example = "holdfast --as admin onboarding validate root-a root-b "
               "--scenario exchange-mailbox --workload-identity "
               "spiffe://contoso/workload",
    .run = run_validate,
};

static const struct command enable_command = {
    .group = "onboarding",
    .verb = "enable",
    .summary = "Enable a scenario that was validated with the same keys within "
               "24 hours.",
    .operands = "KEY KEY",
    .options = submit_options,
    .option_count = HF_COUNT(submit_options),
    .example = "holdfast --as admin onboarding enable root-a root-b "
               "--scenario exchange-mailbox --workload-identity "
               "spiffe://contoso/workload",
    .run = run_enable,
};

static const struct command get_command = {
    .group = "onboarding",
    .verb = "get",
    .summary = "Show one request, with every check.",
    .operands = "REQUEST",
    .example = "holdfast --as admin onboarding get "
               "0b9c2f1e-7a53-4d28-9a4e-6f1b2c3d4e5f",
    .run = run_get,
};

static const struct command list_command = {
    .group = "onboarding",
    .verb = "list",
    .summary = "List the onboarding requests, newest first.",
    .example = "holdfast --as admin onboarding list",
    .run = run_list,
};

static const struct command *const commands[] = {
    &validate_command, &enable_command, &get_command, &list_command};
const struct command_set commands_of_onboarding = {commands,
                                                   HF_COUNT(commands)};
