/* audit: who did what (specification 10), and whether the log was touched. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/audit_chain.h"
#include "client/cli/cli.h"
#include "client/cli/json.h"
#include "client/cli/values.h"

#include "holdfast/v1/audit_service.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MAX 1000000000

static const struct column columns[] = {
    {"INDEX",    "index",    NULL, COLUMN_RIGHT},
    {"TIME",     "time",     NULL, COLUMN_TEXT },
    {"ACTIVITY", "activity", NULL, COLUMN_TEXT },
    {"ACTOR",    "actor",    NULL, COLUMN_TEXT },
    {"OBJECT",   "object",   NULL, COLUMN_TEXT },
};

struct listing {
    char parent[NAME_TEXT];
    Holdfast__V1__ListAuditRecordsRequest request;
    struct cli_list list;
};

static enum cli_exit listing_begin(struct cli *cli, struct listing *listing)
{
    if (!args_flag(cli->args, "service")) {
        enum cli_exit code = cli_parent(cli, listing->parent);
        if (code != CLI_OK) {
            return code;
        }
    }
    holdfast__v1__list_audit_records_request__init(&listing->request);
    listing->request.parent = listing->parent;
    listing->request.page_size = 1000;
    listing->list = (struct cli_list){
        .method = {"holdfast.v1.AuditService/ListAuditRecords",
                   &holdfast__v1__list_audit_records_response__descriptor},
        .request = &listing->request.base,
        .items = "records",
    };
    return CLI_OK;
}

static enum cli_exit show_lines(struct cli *cli, const json_t *records)
{
    size_t index = 0;
    const json_t *record = NULL;
    json_array_foreach(records, index, record)
    {
        if (json_dumpf(record, cli->out, JSON_COMPACT) != 0 ||
            fputc('\n', cli->out) == EOF) {
            return CLI_OTHER;
        }
    }
    return fflush(cli->out) == 0 ? CLI_OK : CLI_OTHER;
}

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    struct listing listing = {0};
    const char *limit = args_text(args, "limit");
    int64_t most = 0;
    if (limit != NULL && number_parse(limit, 1, LIMIT_MAX, &most) != HF_OK) {
        return cli_usage(cli, "--limit is a number from 1");
    }
    enum cli_exit code = listing_begin(cli, &listing);
    if (code != CLI_OK) {
        return code;
    }
    listing.request.activity = proto_text(args_text(args, "activity"));
    listing.list.most = (size_t)most;
    if (!args_flag(args, "lines")) {
        return cli_show_list(cli, &listing.list, columns, HF_COUNT(columns));
    }
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    HF_OWNED(json_freep) json_t *records = NULL;
    code = cli_gather(cli, &listing.list, &records, &error);
    if (code != CLI_OK) {
        return error.code != HF_CODE_OK ? cli_error(cli, &error) : code;
    }
    return show_lines(cli, records);
}

/* --- verify ----------------------------------------------------------------
 */

static enum cli_exit bad(struct cli *cli, const struct audit_chain *chain)
{
    return cli_fail(cli, CLI_DATA_LOSS,
                    "the audit chain is broken: index %" PRIu64 " %s",
                    chain->bad_index, chain->problem);
}

static enum cli_exit verify_server(struct cli *cli, struct audit_chain *chain)
{
    struct listing listing = {0};
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    HF_OWNED(json_freep) json_t *records = NULL;
    enum cli_exit code = listing_begin(cli, &listing);
    if (code == CLI_OK) {
        code = cli_gather(cli, &listing.list, &records, &error);
    }
    if (code != CLI_OK) {
        return error.code != HF_CODE_OK ? cli_error(cli, &error) : code;
    }
    size_t index = 0;
    const json_t *record = NULL;
    json_array_foreach(records, index, record)
    {
        if (audit_chain_add(chain, record) != HF_OK) {
            return bad(cli, chain);
        }
    }
    return CLI_OK;
}

static void stream_closep(FILE **stream)
{
    if (*stream != NULL && *stream != stdin) {
        (void)fclose(*stream);
    }
}

struct bytes_line {
    const char *text;
    size_t len;
    size_t number;
};

/* verify_line: one line of JSON. */
static enum cli_exit verify_line(struct cli *cli, const char *path,
                                 struct bytes_line line,
                                 struct audit_chain *chain)
{
    json_error_t where;
    HF_OWNED(json_freep)
    json_t *record =
        json_loadb(line.text, line.len, JSON_REJECT_DUPLICATES, &where);
    if (record == NULL) {
        return cli_fail(cli, CLI_DATA_LOSS, "%s:%zu: no JSON: %s", path,
                        line.number, where.text);
    }
    return audit_chain_add(chain, record) == HF_OK ? CLI_OK : bad(cli, chain);
}

static void text_freep(char **text)
{
    free(*text);
}

static enum cli_exit verify_file(struct cli *cli, const char *path,
                                 struct audit_chain *chain)
{
    HF_OWNED(stream_closep)
    FILE *stream = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (stream == NULL) {
        return cli_usage(cli, "%s: %s", path, strerror(errno));
    }
    HF_OWNED(text_freep) char *text = NULL;
    size_t cap = 0;
    size_t number = 0;
    for (;;) {
        ssize_t len = getline(&text, &cap, stream);
        if (len < 0) {
            break;
        }
        number++;
        if (text[strspn(text, " \t\r\n")] == '\0') {
            continue;
        }
        enum cli_exit code = verify_line(
            cli, path, (struct bytes_line){text, (size_t)len, number}, chain);
        if (code != CLI_OK) {
            return code;
        }
    }
    return ferror(stream) == 0
               ? CLI_OK
               : cli_fail(cli, CLI_OTHER, "%s: %s", path, strerror(errno));
}

static enum cli_exit run_verify(struct cli *cli, const struct args *args)
{
    struct audit_chain chain = {0};
    const char *path = args->operands[0];
    enum cli_exit code = path != NULL ? verify_file(cli, path, &chain)
                                      : verify_server(cli, &chain);
    if (code != CLI_OK) {
        return code;
    }
    /* indexes count from 1 and only go up */
    uint64_t absent = chain.last_index - chain.records;
    if (cli->json) {
        HF_OWNED(json_freep)
        json_t *value = json_pack(
            "{sbsIsIsIsI}", "intact", 1, "records", (json_int_t)chain.records,
            "links", (json_int_t)chain.links, "lastIndex",
            (json_int_t)chain.last_index, "absent", (json_int_t)absent);
        return output_json(cli->out, value);
    }
    (void)fprintf(cli->out,
                  "intact: %" PRIu64 " records, every hash fits; %" PRIu64
                  " links to the record before checked; last index %" PRIu64
                  "\n",
                  chain.records, chain.links, chain.last_index);
    if (absent > 0) {
        (void)fprintf(cli->out,
                      "absent: %" PRIu64
                      " up to there; they belong to others, or were left out: "
                      "this cannot tell\n",
                      absent);
    }
    return CLI_OK;
}

static const struct option list_options[] = {
    {"activity", "TEXT", "only these",                                   false, false},
    {"limit",    "N",    "at most so many, from the oldest",             false, false},
    {"lines",    NULL,   "one JSON object a line, as verify reads them", false,
     false                                                                           },
    {"service",  NULL,   "the service's own records (role operator)",    false,
     false                                                                           },
};
static const struct option verify_options[] = {
    {"service", NULL, "the service's own records (role operator)", false,
     false},
};

static const struct command list_command = {
    .group = "audit",
    .verb = "list",
    .summary = "List audit records, oldest first.",
    .options = list_options,
    .option_count = HF_COUNT(list_options),
    .example = "holdfast --as auditor audit list --lines > audit.jsonl",
    .run = run_list,
};

static const struct command verify_command = {
    .group = "audit",
    .verb = "verify",
    .summary = "Recompute the hash chain, from a file (offline) or from the "
               "server. Exit code 7 when it is broken.",
    .operands = "[FILE]",
    .options = verify_options,
    .option_count = HF_COUNT(verify_options),
    .example = "holdfast audit verify audit.jsonl",
    .run = run_verify,
};

static const struct command *const commands[] = {&list_command,
                                                 &verify_command};
const struct command_set commands_of_audit = {commands, HF_COUNT(commands)};
