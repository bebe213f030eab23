/* audit: the records as a stream: those that fit, those that come, and all of
 * them as a file that can be verified without the server. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/json.h"
#include "client/cli/values.h"

#include "holdfast/v1/audit_service.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What the commands of this file share. */
struct reading {
    struct cli *cli;
    FILE *to;
    bool lines; /* JSON lines, as verify reads them */
    bool whole_chain;
    uint64_t count;
    uint64_t others; /* told of by their hashes alone */
    uint64_t last_index;
    json_t *checkpoints;    /* of an export: newest first; what is left */
    size_t checkpoint_left; /* of it */
    uint64_t checkpoint_count;
    bool told; /* since the server was asked last */
    bool failed;

    char parent[NAME_TEXT];
    Holdfast__V1__AuditFilter filter;
    Google__Protobuf__Timestamp from;
    Google__Protobuf__Timestamp until;
};

static bool write_json(struct reading *reading, const ProtobufCMessage *message)
{
    HF_OWNED(json_freep) json_t *value = message_json(message);
    return value != NULL && json_dumpf(value, reading->to, JSON_COMPACT) == 0 &&
           fputc('\n', reading->to) != EOF;
}

static void text_freep(char **text)
{
    free(*text);
}

/* Columns by two blanks: how wide the rest will be is not known. */
static bool write_text(struct reading *reading, const ProtobufCMessage *message)
{
    static const struct column columns[] = {
        {.path = "index"}, {.path = "time"},   {.path = "activity"},
        {.path = "actor"}, {.path = "object"},
    };
    HF_OWNED(json_freep) json_t *value = message_json(message);
    for (size_t i = 0; value != NULL && i < HF_COUNT(columns); i++) {
        HF_OWNED(text_freep) char *text = output_value(value, &columns[i]);
        if (text == NULL ||
            fprintf(reading->to, "%s%s", i > 0 ? "  " : "", text) < 0) {
            return false;
        }
    }
    return value != NULL && fputc('\n', reading->to) != EOF;
}

/* Each stands behind the record that it covers. */
static bool write_checkpoints(struct reading *reading, bool all)
{
    while (reading->checkpoint_left > 0) {
        const json_t *next =
            json_array_get(reading->checkpoints, reading->checkpoint_left - 1);
        const char *index =
            json_string_value(json_object_get(next, "auditIndex"));
        if (!all && (index == NULL ||
                     strtoull(index, NULL, 10) > reading->last_index)) {
            return true;
        }
        reading->checkpoint_left--;
        reading->checkpoint_count++;
        if (json_dumpf(next, reading->to, JSON_COMPACT) != 0 ||
            fputc('\n', reading->to) == EOF) {
            return false;
        }
    }
    return true;
}

static bool take(void *context, const ProtobufCMessage *message)
{
    struct reading *reading = context;
    const Holdfast__V1__AuditRecord *record =
        (const Holdfast__V1__AuditRecord *)message;
    bool written = reading->lines ? write_json(reading, message)
                                  : write_text(reading, message);
    bool of_others = record->content_hash.len > 0;
    reading->count += of_others ? 0 : 1;
    reading->others += of_others ? 1 : 0;
    reading->last_index = record->index;
    reading->told = true;
    written = written && write_checkpoints(reading, false);
    reading->failed = !written || fflush(reading->to) != 0;
    return !reading->failed;
}

/* --- what is asked for ----------------------------------------------------
 */

static enum cli_exit take_time(struct cli *cli, const char *option,
                               Google__Protobuf__Timestamp *to,
                               Google__Protobuf__Timestamp **out)
{
    const char *text = args_text(cli->args, option);
    google__protobuf__timestamp__init(to);
    if (text == NULL) {
        return CLI_OK;
    }
    if (time_parse(text, &to->seconds) != HF_OK) {
        return cli_usage(cli,
                         "--%s is a time in UTC, like 2030-01-31 or "
                         "2030-01-31T12:00:00Z",
                         option);
    }
    *out = to;
    return CLI_OK;
}

static enum cli_exit reading_begin(struct cli *cli, struct reading *reading)
{
    reading->cli = cli;
    reading->to = cli->out;
    holdfast__v1__audit_filter__init(&reading->filter);
    return args_flag(cli->args, "service") ? CLI_OK
                                           : cli_parent(cli, reading->parent);
}

static enum cli_exit take_filter(struct reading *reading)
{
    struct cli *cli = reading->cli;
    Holdfast__V1__AuditFilter *filter = &reading->filter;
    filter->activity = proto_text(args_text(cli->args, "activity"));
    filter->actor = proto_text(args_text(cli->args, "actor"));
    filter->object = proto_text(args_text(cli->args, "object"));
    reading->lines = cli->json || args_flag(cli->args, "lines");
    enum cli_exit code =
        take_time(cli, "since", &reading->from, &filter->from_time);
    return code == CLI_OK
               ? take_time(cli, "until", &reading->until, &filter->until_time)
               : code;
}

/* --- asking ---------------------------------------------------------------
 */

static enum hf_code query_once(struct reading *reading, struct hf_error *error)
{
    Holdfast__V1__QueryAuditRecordsRequest request =
        HOLDFAST__V1__QUERY_AUDIT_RECORDS_REQUEST__INIT;
    request.parent = reading->parent;
    request.whole_chain = reading->whole_chain;
    request.filter = reading->whole_chain ? NULL : &reading->filter;
    const struct hf_unary call = {
        .method = "holdfast.v1.AuditService/QueryAuditRecords",
        .request = &request.base,
        .response = &holdfast__v1__audit_record__descriptor,
    };
    return hf_stream(reading->cli->client, &call, take, reading, error);
}

static enum hf_code tail_once(struct reading *reading, uint64_t from_index,
                              struct hf_error *error)
{
    Holdfast__V1__TailAuditRecordsRequest request =
        HOLDFAST__V1__TAIL_AUDIT_RECORDS_REQUEST__INIT;
    request.parent = reading->parent;
    request.filter = &reading->filter;
    request.from_index = from_index;
    const struct hf_unary call = {
        .method = "holdfast.v1.AuditService/TailAuditRecords",
        .request = &request.base,
        .response = &holdfast__v1__audit_record__descriptor,
    };
    return hf_stream(reading->cli->client, &call, take, reading, error);
}

static enum cli_exit answer(struct reading *reading, enum hf_code code,
                            const struct hf_error *error)
{
    if (reading->failed) {
        return cli_fail(reading->cli, CLI_OTHER, "%s", strerror(errno));
    }
    return code == HF_CODE_OK ? CLI_OK : cli_error(reading->cli, error);
}

static enum cli_exit query(struct reading *reading)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    enum cli_exit connected = cli_connect(reading->cli);
    if (connected != CLI_OK) {
        return connected;
    }
    return answer(reading, query_once(reading, &error), &error);
}

static enum cli_exit run_query(struct cli *cli, const struct args *args)
{
    struct reading reading = {.count = 0};
    (void)args;
    enum cli_exit code = reading_begin(cli, &reading);
    if (code == CLI_OK) {
        code = take_filter(&reading);
    }
    return code == CLI_OK ? query(&reading) : code;
}

static enum cli_exit run_tail(struct cli *cli, const struct args *args)
{
    struct reading reading = {.count = 0};
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    const char *text = args_text(args, "from");
    int64_t from = 0;
    enum cli_exit code = reading_begin(cli, &reading);
    if (code == CLI_OK) {
        code = take_filter(&reading);
    }
    if (code == CLI_OK) {
        code = cli_connect(cli);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (text != NULL && number_parse(text, 1, INT64_MAX, &from) != HF_OK) {
        return cli_usage(cli, "--from is an index, from 1");
    }
    enum hf_code ended = HF_CODE_OK;
    do { /* a server that went away is asked again, behind the last one told */
        uint64_t next =
            reading.last_index > 0 ? reading.last_index + 1 : (uint64_t)from;
        reading.told = false;
        ended = tail_once(&reading, next, &error);
    } while (ended == HF_CODE_UNAVAILABLE && reading.told);
    return answer(&reading, ended, &error);
}

/* --- export ---------------------------------------------------------------
 */

static void file_closep(FILE **file)
{
    if (*file != NULL) {
        (void)fclose(*file);
    }
}

/* Asked for first: what they cover is then in what follows. */
static enum cli_exit fetch_checkpoints(struct reading *reading)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    Holdfast__V1__ListCheckpointsRequest request =
        HOLDFAST__V1__LIST_CHECKPOINTS_REQUEST__INIT;
    const struct cli_list list = {
        .method = {"holdfast.v1.AuditService/ListCheckpoints",
                   &holdfast__v1__list_checkpoints_response__descriptor},
        .request = &request.base,
        .items = "checkpoints",
    };
    request.parent = reading->parent;
    request.page_size = 200;
    enum cli_exit code =
        cli_gather(reading->cli, &list, &reading->checkpoints, &error);
    if (code != CLI_OK && error.code != HF_CODE_OK) {
        return cli_error(reading->cli, &error);
    }
    reading->checkpoint_left = json_array_size(reading->checkpoints);
    return code;
}

static enum cli_exit show_export(struct cli *cli, const struct reading *reading,
                                 const char *path)
{
    if (cli->json) {
        HF_OWNED(json_freep)
        json_t *value =
            json_pack("{sI sI sI sI}", "records", (json_int_t)reading->count,
                      "others", (json_int_t)reading->others, "checkpoints",
                      (json_int_t)reading->checkpoint_count, "lastIndex",
                      (json_int_t)reading->last_index);
        return output_json(cli->out, value);
    }
    (void)fprintf(cli->out,
                  "%" PRIu64 " records written, the hashes of %" PRIu64
                  " that are others', and %" PRIu64
                  " signed checkpoints; check them with \"holdfast audit "
                  "verify %s --public-key FILE\"\n",
                  reading->count, reading->others, reading->checkpoint_count,
                  path);
    return CLI_OK;
}

static enum cli_exit export(struct reading *reading, const char *path) {
    HF_OWNED(file_closep) FILE *file = NULL;
    enum cli_exit code = reading_begin(reading->cli, reading);
    if (code == CLI_OK){code = fetch_checkpoints(reading);}
if (code != CLI_OK)
{
    return code;
}
file = fopen(path, "wxe");
if (file == NULL) {
    return cli_usage(reading->cli, "%s: %s", path, strerror(errno));
}
reading->to = file;
code = query(reading);
if (code == CLI_OK &&
    (!write_checkpoints(reading, true) || fflush(file) != 0)) {
    code = cli_fail(reading->cli, CLI_OTHER, "%s: %s", path, strerror(errno));
}
return code;
}

static enum cli_exit run_export(struct cli *cli, const struct args *args)
{
    const char *path = args->operands[0];
    struct reading reading = {.cli = cli, .lines = true, .whole_chain = true};
    enum cli_exit code = export(&reading, path);
    json_decref(reading.checkpoints);
    return code == CLI_OK ? show_export(cli, &reading, path) : code;
}

#define OPTION_SERVICE                                                         \
    {                                                                          \
        "service", NULL, "the service's own records (role operator)", false,   \
            false                                                              \
    }
#define OPTIONS_OF_A_FILTER                                                    \
    {"activity", "TEXT", "only these", false, false},                          \
        {"actor", "URI", "only those of this identity", false, false},         \
        {"object", "NAME",                                                     \
         "only those about this resource name, or what is below it", false,    \
         false},                                                               \
        {"since", "TIME", "not earlier; UTC", false, false},                   \
        {"until", "TIME", "earlier; UTC", false, false},                       \
        {"lines", NULL, "one JSON object a line, as verify reads them", false, \
         false},                                                               \
        OPTION_SERVICE

static const struct option query_options[] = {OPTIONS_OF_A_FILTER};
static const struct option tail_options[] = {
    {"from", "INDEX", "from this record on; without it, only new ones", false,
     false},
    OPTIONS_OF_A_FILTER,
};
static const struct option export_options[] = {OPTION_SERVICE};

static const struct command query_command = {
    .group = "audit",
    .verb = "query",
    .summary = "Show the audit records that fit, oldest first, as they come.",
    .options = query_options,
    .option_count = HF_COUNT(query_options),
    .example = "holdfast --as auditor audit query --since 2030-01-31 "
               "--object tenants/acme/deps",
    .run = run_query,
};

static const struct command tail_command = {
    .group = "audit",
    .verb = "tail",
    .summary = "Show audit records as they are chained, until interrupted.",
    .options = tail_options,
    .option_count = HF_COUNT(tail_options),
    .example = "holdfast --as auditor audit tail --from 100 --lines",
    .run = run_tail,
};

static const struct command export_command = {
    .group = "audit",
    .verb = "export",
    .summary = "Write every audit record and signed checkpoint to a new file, "
               "one JSON object a line, for \"audit verify\".",
    .operands = "FILE",
    .options = export_options,
    .option_count = HF_COUNT(export_options),
    .example = "holdfast --as auditor audit export audit.jsonl",
    .run = run_export,
};

static const struct command *const commands[] = {&query_command, &tail_command,
                                                 &export_command};
const struct command_set commands_of_audit_stream = {commands,
                                                     HF_COUNT(commands)};
