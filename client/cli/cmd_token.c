/* token: whose token is whose. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/file.h"
#include "client/cli/json.h"
#include "client/cli/values.h"

#include "holdfast/v1/token_service.pb-c.h"

#include <string.h>

#define STATEMENT_FILE_MAX_BYTES (64u << 10)

static const struct column columns[] = {
    {"TOKEN",          "name",               NULL,                   COLUMN_LEAF },
    {"DOMAIN",         "custodyDomain",      NULL,                   COLUMN_TEXT },
    {"REACHABLE",      "reachable",          NULL,                   COLUMN_TEXT },
    {"CONDITION",      "condition",          "TOKEN_CONDITION_",     COLUMN_TEXT },
    {"WRAP",           "wrapAlgorithm",      NULL,                   COLUMN_TEXT },
    {"HARDWARE",       "hardware",           NULL,                   COLUMN_TEXT },
    {"TEST ONLY",      "testOnly",           NULL,                   COLUMN_TEXT },
    {"URI",            "uri",                NULL,                   COLUMN_TEXT },
    {"PROTECTION",     "deletionProtection", "DELETION_PROTECTION_", COLUMN_TEXT },
    {"RETENTION DAYS", "retentionDays",      NULL,                   COLUMN_RIGHT},
    {"ENROLLED",       "enrollTime",         NULL,                   COLUMN_TEXT },
    {"FREE BYTES",     "freeBytes",          NULL,                   COLUMN_RIGHT},
    {"WORKER",         "worker",             NULL,                   COLUMN_RIGHT},
    {"RESTARTS",       "workerRestarts",     NULL,                   COLUMN_RIGHT},
    {"WHY",            "conditionReason",    NULL,                   COLUMN_TEXT },
    {"UID",            "uid",                NULL,                   COLUMN_TEXT },
};
#define LIST_COLUMNS 8

static const struct column rebind_columns[] = {
    {"TOKEN",        "token.name",  NULL, COLUMN_LEAF },
    {"KEY VERSIONS", "keyVersions", NULL, COLUMN_RIGHT},
    {"URI",          "token.uri",   NULL, COLUMN_TEXT },
};
static const struct cli_method rebind_method = {
    "holdfast.v1.TokenService/RebindKeys",
    &holdfast__v1__rebind_keys_response__descriptor};
static const struct cli_method enroll_method = {
    "holdfast.v1.TokenService/EnrollToken", &holdfast__v1__token__descriptor};
static const struct cli_method get_method = {
    "holdfast.v1.TokenService/GetToken", &holdfast__v1__token__descriptor};

/* What "holdfast-hsm token enroll" wrote. */
struct enrolment {
    struct file_data statement;
    struct file_data signature;
};

static void enrolment_clear(struct enrolment *enrolment)
{
    file_data_clear(&enrolment->statement);
    file_data_clear(&enrolment->signature);
}

static enum cli_exit take_base64(struct cli *cli, const json_t *document,
                                 const char *member, struct file_data *out)
{
    const json_t *value = json_object_get(document, member);
    const char *text = json_string_value(value);
    if (text == NULL ||
        base64_decode(text, json_string_length(value), out) != HF_OK) {
        return cli_usage(cli,
                         "%s: \"%s\" must be there, in base64; make the file "
                         "with \"holdfast-hsm token enroll\"",
                         args_text(cli->args, "statement"), member);
    }
    return CLI_OK;
}

static enum cli_exit read_enrolment(struct cli *cli, struct enrolment *out)
{
    const char *path = args_text(cli->args, "statement");
    HF_OWNED(file_data_clear) struct file_data data = {0};
    enum hf_status status = file_read(path, STATEMENT_FILE_MAX_BYTES, &data);
    if (status != HF_OK) {
        return cli_usage(cli, "%s: %s", path, file_problem(status));
    }
    json_error_t where;
    HF_OWNED(json_freep)
    json_t *document = json_loadb((const char *)data.bytes, data.len,
                                  JSON_REJECT_DUPLICATES, &where);
    if (document == NULL) {
        return cli_usage(cli, "%s:%d: %s", path, where.line, where.text);
    }
    enum cli_exit code =
        take_base64(cli, document, "statement", &out->statement);
    if (code != CLI_OK) {
        return code;
    }
    return take_base64(cli, document, "signature", &out->signature);
}

static enum cli_exit run_enroll(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    HF_OWNED(enrolment_clear) struct enrolment enrolment = {0};
    enum cli_exit code = cli_parent(cli, parent);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code == CLI_OK) {
        code = read_enrolment(cli, &enrolment);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__EnrollTokenRequest request =
        HOLDFAST__V1__ENROLL_TOKEN_REQUEST__INIT;
    request.parent = parent;
    request.token_id = proto_text(args->operands[0]);
    request.statement.data = enrolment.statement.bytes;
    request.statement.len = enrolment.statement.len;
    request.signature.data = enrolment.signature.bytes;
    request.signature.len = enrolment.signature.len;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &enroll_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_rebind(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    HF_OWNED(enrolment_clear) struct enrolment enrolment = {0};
    enum cli_exit code = cli_name(cli, "tokens", args->operands[0], name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code == CLI_OK) {
        code = read_enrolment(cli, &enrolment);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__RebindKeysRequest request =
        HOLDFAST__V1__REBIND_KEYS_REQUEST__INIT;
    request.name = name;
    request.statement.data = enrolment.statement.bytes;
    request.statement.len = enrolment.statement.len;
    request.signature.data = enrolment.signature.bytes;
    request.signature.len = enrolment.signature.len;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &rebind_method, &request.base, rebind_columns,
                    HF_COUNT(rebind_columns));
}

static enum cli_exit run_get(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    enum cli_exit code = cli_name(cli, "tokens", args->operands[0], name);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__GetTokenRequest request =
        HOLDFAST__V1__GET_TOKEN_REQUEST__INIT;
    request.name = name;
    return cli_show(cli, &get_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    (void)args;
    char parent[NAME_TEXT];
    enum cli_exit code = cli_parent(cli, parent);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__ListTokensRequest request =
        HOLDFAST__V1__LIST_TOKENS_REQUEST__INIT;
    request.parent = parent;
    const struct cli_list list = {
        .method = {"holdfast.v1.TokenService/ListTokens",
                   &holdfast__v1__list_tokens_response__descriptor},
        .request = &request.base,
        .items = "tokens",
    };
    return cli_show_list(cli, &list, columns, LIST_COLUMNS);
}

static const struct option enroll_options[] = {
    {"statement", "FILE",
     "what \"holdfast-hsm token enroll\" wrote; - is "
     "standard input", true, false},
    OPTIONS_OF_A_CHANGE,
};

static const struct command enroll_command = {
    .group = "token",
    .verb = "enroll",
    .summary =
        "Give a token to the tenant, by its custodian's signed statement.",
    .operands = "TOKEN",
    .options = enroll_options,
    .option_count = HF_COUNT(enroll_options),
    .example = "holdfast --as operator --tenant contoso token enroll "
               "customer-a --statement customer-a.json",
    .run = run_enroll,
};

static const struct command rebind_command = {
    .group = "token",
    .verb = "rebind",
    .summary = "Bind the customer keys of a restored token again, by its "
               "custodian's new statement; refused unless all are there.",
    .operands = "TOKEN",
    .options = enroll_options,
    .option_count = HF_COUNT(enroll_options),
    .example = "holdfast --as operator --tenant contoso token rebind "
               "customer-a --statement customer-a.json",
    .run = run_rebind,
};

static const struct command get_command = {
    .group = "token",
    .verb = "get",
    .summary = "Show one token.",
    .operands = "TOKEN",
    .example = "holdfast --as admin token get customer-a",
    .run = run_get,
};

static const struct command list_command = {
    .group = "token",
    .verb = "list",
    .summary = "List the tokens of the tenant.",
    .example = "holdfast --as admin token list",
    .run = run_list,
};

static const struct command *const commands[] = {
    &enroll_command, &rebind_command, &get_command, &list_command};
const struct command_set commands_of_token = {commands, HF_COUNT(commands)};
