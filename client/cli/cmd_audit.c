/* audit: who did what (specification 10). */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/json.h"
#include "client/cli/values.h"

#include "holdfast/v1/audit_service.pb-c.h"

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
    return json_lines(cli->out, records) ? CLI_OK : CLI_OTHER;
}

static const struct option list_options[] = {
    {"activity", "TEXT", "only these",                                   false, false},
    {"limit",    "N",    "at most so many, from the oldest",             false, false},
    {"lines",    NULL,   "one JSON object a line, as verify reads them", false,
     false                                                                           },
    {"service",  NULL,   "the service's own records (role operator)",    false,
     false                                                                           },
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

static const struct command *const commands[] = {&list_command};
const struct command_set commands_of_audit = {commands, HF_COUNT(commands)};
