#include "client/cli/operation.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/clock.h"

#include "client/cli/json.h"
#include "client/cli/progress.h"

#include "holdfast/v1/operation_service.pb-c.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct column operation_columns[] = {
    {"OPERATION", "name",         NULL,               COLUMN_LEAF },
    {"KIND",      "kind",         NULL,               COLUMN_TEXT },
    {"OBJECT",    "object",       NULL,               COLUMN_LEAF },
    {"STATE",     "state",        "OPERATION_STATE_", COLUMN_TEXT },
    {"PERCENT",   "percent",      NULL,               COLUMN_RIGHT},
    {"DONE",      "doneCount",    NULL,               COLUMN_RIGHT},
    {"TOTAL",     "totalCount",   NULL,               COLUMN_RIGHT},
    {"WAITING",   "waitingCount", NULL,               COLUMN_RIGHT},
    {"ERROR",     "error",        NULL,               COLUMN_TEXT },
    {"CREATED",   "createTime",   NULL,               COLUMN_TEXT },
    {"ENDED",     "endTime",      NULL,               COLUMN_TEXT },
};
const size_t operation_column_count = HF_COUNT(operation_columns);

struct following {
    struct cli *cli;
    struct progress progress;
    json_t *last; /* as it was told last */
    bool told;    /* since the server was asked last */
    bool done;
    bool succeeded;
    bool failed; /* ours: memory, or nobody reads standard output */
};

static void following_clear(struct following *following)
{
    json_decref(following->last);
}

static bool write_line(struct cli *cli, const json_t *value)
{
    return json_dumpf(value, cli->out, JSON_COMPACT) == 0 &&
           fputc('\n', cli->out) != EOF && fflush(cli->out) == 0;
}

static void show_progress(struct following *following,
                          const Holdfast__V1__Operation *operation)
{
    const struct progress_facts facts = {
        .kind = operation->kind,
        .done = operation->done_count,
        .total = operation->total_count,
        .waiting = operation->waiting_count,
        .percent = operation->percent,
        .now_ms = clock_monotonic_ms(clock_system()),
    };
    progress_show(&following->progress, &facts);
}

static bool take(void *context, const ProtobufCMessage *message)
{
    struct following *following = context;
    const Holdfast__V1__Operation *operation =
        (const Holdfast__V1__Operation *)message;
    json_t *value = message_json(message);
    if (value == NULL) {
        following->failed = true;
        return false;
    }
    json_decref(following->last);
    following->last = value;
    following->told = true;
    following->done = operation->done != 0;
    following->succeeded =
        operation->state ==
        HOLDFAST__V1__OPERATION_STATE__OPERATION_STATE_SUCCEEDED;
    if (following->cli->json) {
        following->failed = !write_line(following->cli, value);
    } else {
        show_progress(following, operation);
    }
    return !following->failed;
}

/* One stream, to its end. */
static enum hf_code watch(struct following *following, char *name,
                          struct hf_error *error)
{
    Holdfast__V1__WatchOperationRequest request =
        HOLDFAST__V1__WATCH_OPERATION_REQUEST__INIT;
    request.name = name;
    const struct hf_unary call = {
        .method = "holdfast.v1.OperationService/WatchOperation",
        .request = &request.base,
        .response = &holdfast__v1__operation__descriptor,
    };
    following->told = false;
    return hf_stream(following->cli->client, &call, take, following, error);
}

static enum cli_exit show_end(struct following *following)
{
    struct cli *cli = following->cli;
    if (following->failed || following->last == NULL) {
        return cli_fail(cli, CLI_OTHER, "the progress cannot be shown");
    }
    if (!cli->json) {
        enum cli_exit code =
            output_item(cli->out, following->last, operation_columns,
                        operation_column_count);
        if (code != CLI_OK) {
            return code;
        }
    }
    return following->succeeded ? CLI_OK : CLI_CONFLICT;
}

enum cli_exit operation_follow(struct cli *cli, const char *name)
{
    char own_name[NAME_TEXT];
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    HF_OWNED(following_clear)
    struct following following = {
        .cli = cli,
        .progress = {.to = cli->err, .terminal = isatty(fileno(cli->err)) == 1},
    };
    (void)snprintf(own_name, sizeof own_name, "%s", name);
    enum cli_exit connected = cli_connect(cli);
    if (connected != CLI_OK) {
        return connected;
    }
    enum hf_code code = HF_CODE_OK;
    do { /* as often as the server ended a stream that had told something */
        code = watch(&following, own_name, &error);
    } while (code == HF_CODE_UNAVAILABLE && following.told && !following.done);
    progress_end(&following.progress);
    if (code != HF_CODE_OK && !following.done) {
        return cli_error(cli, &error);
    }
    return show_end(&following);
}

static enum cli_exit show(struct cli *cli, const ProtobufCMessage *operation)
{
    HF_OWNED(json_freep) json_t *item = message_json(operation);
    if (item == NULL) {
        return cli_fail(cli, CLI_OTHER, "out of memory");
    }
    return cli_show_item(cli, item, operation_columns, operation_column_count);
}

enum cli_exit operation_order(struct cli *cli, const struct cli_method *method,
                              const ProtobufCMessage *request)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    ProtobufCMessage *response = NULL;
    enum cli_exit code = cli_ask(cli, method, request, &response, &error);
    if (code != CLI_OK) {
        return error.code != HF_CODE_OK ? cli_error(cli, &error) : code;
    }
    const Holdfast__V1__Operation *begun =
        (const Holdfast__V1__Operation *)response;
    code = args_flag(cli->args, "wait") && begun->name[0] != '\0'
               ? operation_follow(cli, begun->name)
               : show(cli, response);
    hf_message_free(response);
    return code;
}
