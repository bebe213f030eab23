/* operation: what takes longer than one call (specification 13, R-13.4). */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/json.h"
#include "client/cli/operation.h"
#include "client/cli/values.h"

#include "holdfast/v1/operation_service.pb-c.h"

#define SECONDS_MAX  600
#define MILLISECONDS 1000
#define ANSWER_MS    2000 /* the server's time is over, its answer is coming */

static const struct cli_method get_method = {
    "holdfast.v1.OperationService/GetOperation",
    &holdfast__v1__operation__descriptor};
static const struct cli_method cancel_method = {
    "holdfast.v1.OperationService/CancelOperation",
    &holdfast__v1__operation__descriptor};

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    Holdfast__V1__ListOperationsRequest request =
        HOLDFAST__V1__LIST_OPERATIONS_REQUEST__INIT;
    const struct cli_list list = {
        .method = {"holdfast.v1.OperationService/ListOperations",
                   &holdfast__v1__list_operations_response__descriptor},
        .request = &request.base,
        .items = "operations",
        .names_deps = true,
    };
    (void)args;
    enum cli_exit code = cli_parent(cli, parent);
    request.parent = parent;
    return code == CLI_OK ? cli_show_list(cli, &list, operation_columns,
                                          operation_column_count)
                          : code;
}

static enum cli_exit run_show(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    Holdfast__V1__GetOperationRequest request =
        HOLDFAST__V1__GET_OPERATION_REQUEST__INIT;
    enum cli_exit code = cli_name(cli, "operations", args->operands[0], name);
    request.name = name;
    return code == CLI_OK ? cli_show(cli, &get_method, &request.base,
                                     operation_columns, operation_column_count)
                          : code;
}

/* At most so long: asked once, answered when it has ended or time is over. */
static enum cli_exit wait_seconds(struct cli *cli, char *name, int64_t seconds)
{
    Google__Protobuf__Duration timeout = GOOGLE__PROTOBUF__DURATION__INIT;
    Holdfast__V1__WaitOperationRequest request =
        HOLDFAST__V1__WAIT_OPERATION_REQUEST__INIT;
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    ProtobufCMessage *response = NULL;
    timeout.seconds = seconds;
    request.name = name;
    request.timeout = &timeout;
    const struct hf_unary call = {
        .method = "holdfast.v1.OperationService/WaitOperation",
        .request = &request.base,
        .response = &holdfast__v1__operation__descriptor,
        .deadline_ms = seconds * MILLISECONDS + ANSWER_MS,
    };
    enum cli_exit code = cli_connect(cli);
    if (code != CLI_OK) {
        return code;
    }
    if (hf_call(cli->client, &call, &response, &error) != HF_CODE_OK) {
        return cli_error(cli, &error);
    }
    const Holdfast__V1__Operation *operation =
        (const Holdfast__V1__Operation *)response;
    bool done = operation->done != 0;
    bool succeeded = operation->state ==
                     HOLDFAST__V1__OPERATION_STATE__OPERATION_STATE_SUCCEEDED;
    HF_OWNED(json_freep) json_t *item = message_json(response);
    hf_message_free(response);
    code = cli->json ? output_json(cli->out, item)
                     : output_item(cli->out, item, operation_columns,
                                   operation_column_count);
    if (code != CLI_OK || succeeded) {
        return code;
    }
    return done ? CLI_CONFLICT : CLI_UNAVAILABLE;
}

static enum cli_exit run_wait(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    const char *text = args_text(args, "seconds");
    int64_t seconds = 0;
    if (text != NULL && number_parse(text, 1, SECONDS_MAX, &seconds) != HF_OK) {
        return cli_usage(cli, "--seconds is a number from 1 to %d",
                         SECONDS_MAX);
    }
    enum cli_exit code = cli_name(cli, "operations", args->operands[0], name);
    if (code != CLI_OK) {
        return code;
    }
    return text != NULL ? wait_seconds(cli, name, seconds)
                        : operation_follow(cli, name);
}

static enum cli_exit run_cancel(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    Holdfast__V1__CancelOperationRequest request =
        HOLDFAST__V1__CANCEL_OPERATION_REQUEST__INIT;
    enum cli_exit code = cli_name(cli, "operations", args->operands[0], name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    request.name = name;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return code == CLI_OK ? cli_show(cli, &cancel_method, &request.base,
                                     operation_columns, operation_column_count)
                          : code;
}

static const struct option wait_options[] = {
    {"seconds", "N",
     "at most so long; exit code 6 when it is still running then", false,
     false},
};
static const struct option cancel_options[] = {OPTIONS_OF_A_CHANGE};

static const struct command list_command = {
    .group = "operation",
    .verb = "list",
    .summary = "List long-running operations, also those that have ended.",
    .example = "holdfast --as admin operation list",
    .run = run_list,
};

static const struct command show_command = {
    .group = "operation",
    .verb = "show",
    .summary = "Show how far one is.",
    .operands = "OPERATION",
    .example = "holdfast --as admin operation show "
               "5f0c7e0a-2a3c-4f0e-9b58-0c1d2e3f4a5b",
    .run = run_show,
};

static const struct command wait_command = {
    .group = "operation",
    .verb = "wait",
    .summary = "Stay until one has ended, and show how far it is. Exit code 5 "
               "when it did not succeed.",
    .operands = "OPERATION",
    .options = wait_options,
    .option_count = HF_COUNT(wait_options),
    .example = "holdfast --as admin operation wait "
               "5f0c7e0a-2a3c-4f0e-9b58-0c1d2e3f4a5b",
    .run = run_wait,
};

static const struct command cancel_command = {
    .group = "operation",
    .verb = "cancel",
    .summary = "End one, where its kind allows it. What it did stays.",
    .operands = "OPERATION",
    .options = cancel_options,
    .option_count = HF_COUNT(cancel_options),
    .example = "holdfast --as admin operation cancel "
               "5f0c7e0a-2a3c-4f0e-9b58-0c1d2e3f4a5b",
    .run = run_cancel,
};

static const struct command *const commands[] = {
    &list_command, &show_command, &wait_command, &cancel_command};
const struct command_set commands_of_operation = {commands, HF_COUNT(commands)};
