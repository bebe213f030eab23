/* ak-token: the service's tokens of availability keys, and their mirrors
 * (R-15.5). */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/json.h"
#include "client/cli/output.h"
#include "client/cli/values.h"

#include "holdfast/v1/token_service.pb-c.h"

static const struct column columns[] = {
    {"TOKEN",         "tokenId",             NULL,                        COLUMN_TEXT },
    {"STATE",         "state",               "AVAILABILITY_TOKEN_STATE_", COLUMN_TEXT },
    {"COPIES",        "copies",              NULL,                        COLUMN_RIGHT},
    {"OF",            "copiesWanted",        NULL,                        COLUMN_RIGHT},
    {"ROOM",          "level",               "CAPACITY_LEVEL_",           COLUMN_TEXT },
    {"% USED",        "percent",             NULL,                        COLUMN_RIGHT},
    {"OBJECTS",       "objectCount",         NULL,                        COLUMN_RIGHT},
    {"REACHABLE",     "reachable",           NULL,                        COLUMN_TEXT },
    {"SHAREPOINT",    "sharepoint",          NULL,                        COLUMN_TEXT },
    {"SERIAL",        "serial",              NULL,                        COLUMN_TEXT },
    {"LABEL",         "label",               NULL,                        COLUMN_TEXT },
    {"LAST PROBLEM",  "lastProblem",         NULL,                        COLUMN_TEXT },
    {"DISPOSAL",      "disposal",            NULL,                        COLUMN_TEXT },
    {"RETIREMENT BY", "retirementRequester", NULL,                        COLUMN_TEXT },
    {"APPROVALS",     "retirementApprovals", NULL,                        COLUMN_RIGHT},
    {"RETIRED",       "retireTime",          NULL,                        COLUMN_TEXT },
};
#define LIST_COLUMNS 10

static const struct cli_method enroll_method = {
    "holdfast.v1.TokenService/EnrollAkMirror",
    &holdfast__v1__availability_token__descriptor};
static const struct cli_method retire_method = {
    "holdfast.v1.TokenService/RetireAkMirror",
    &holdfast__v1__availability_token__descriptor};
static const struct cli_method list_method = {
    "holdfast.v1.TokenService/GetAvailabilityTokens",
    &holdfast__v1__availability_tokens__descriptor};

static enum cli_exit run_enroll(struct cli *cli, const struct args *args)
{
    char request_id[HF_REQUEST_ID_TEXT];
    enum cli_exit code = cli_request_id(cli, request_id);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__EnrollAkMirrorRequest request =
        HOLDFAST__V1__ENROLL_AK_MIRROR_REQUEST__INIT;
    request.token_id = proto_text(args->operands[0]);
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &enroll_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_retire(struct cli *cli, const struct args *args)
{
    char request_id[HF_REQUEST_ID_TEXT];
    enum cli_exit code = cli_request_id(cli, request_id);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__RetireAkMirrorRequest request =
        HOLDFAST__V1__RETIRE_AK_MIRROR_REQUEST__INIT;
    request.token_id = proto_text(args->operands[0]);
    request.serial = proto_text(args_text(args, "serial"));
    request.disposal = proto_text(args_text(args, "disposal"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &retire_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    Holdfast__V1__GetAvailabilityTokensRequest request =
        HOLDFAST__V1__GET_AVAILABILITY_TOKENS_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    (void)args;
    enum cli_exit code =
        cli_ask(cli, &list_method, &request.base, &response, &error);
    if (code != CLI_OK) {
        return error.code == HF_CODE_OK ? code : cli_error(cli, &error);
    }
    HF_OWNED(json_freep) json_t *shown = message_json(response);
    hf_message_free(response);
    if (shown == NULL) {
        return cli_fail(cli, CLI_OTHER, "out of memory");
    }
    return cli->json ? output_json(cli->out, shown)
                     : output_table(cli->out, json_object_get(shown, "tokens"),
                                    columns, LIST_COLUMNS);
}

static const struct option enroll_options[] = {
    OPTIONS_OF_A_CHANGE,
};

static const struct command enroll_command = {
    .group = "ak-token",
    .verb = "enroll",
    .summary = "Make a configured token a mirror of those that hold "
               "availability keys; \"ak-token list\" shows how far it is.",
    .operands = "TOKEN",
    .options = enroll_options,
    .option_count = HF_COUNT(enroll_options),
    .example = "holdfast --as operator ak-token enroll second",
    .run = run_enroll,
};

static const struct option retire_options[] = {
    {"serial",   "SERIAL", "that it was enrolled with", true, false},
    {"disposal", "TEXT",
     "what became of it: each of the three says the same, and it stands in "
     "the certificates of purges",                      true, false},
    OPTIONS_OF_A_CHANGE,
};

static const struct command retire_command = {
    .group = "ak-token",
    .verb = "retire",
    .summary = "Say that a token of availability keys is dead or was disposed "
               "of: one asks, two others say the same.",
    .operands = "TOKEN",
    .options = retire_options,
    .option_count = HF_COUNT(retire_options),
    .example = "holdfast --as operator ak-token retire second --serial "
               "0123456789abcdef --disposal \"shredded, ACME 4711\"",
    .run = run_retire,
};

static const struct command list_command = {
    .group = "ak-token",
    .verb = "list",
    .summary = "Show the tokens that hold availability keys: state, copies "
               "carried over, room.",
    .example = "holdfast --as operator ak-token list",
    .run = run_list,
};

static const struct command *const commands[] = {
    &enroll_command, &retire_command, &list_command};
const struct command_set commands_of_ak_token = {commands, HF_COUNT(commands)};
