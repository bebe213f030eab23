/* notice: what the tenant was told of outages. */
#include "hsm/base/check.h"

#include "client/cli/cli.h"
#include "client/cli/values.h"

#include "holdfast/v1/dep_service.pb-c.h"

static const struct column columns[] = {
    {"TIME",         "time",            NULL,            COLUMN_TEXT },
    {"DEP",          "depId",           NULL,            COLUMN_TEXT },
    {"EVENT",        "event",           "NOTICE_EVENT_", COLUMN_TEXT },
    {"OUTAGE SINCE", "outageStartTime", NULL,            COLUMN_TEXT },
    {"LIMIT",        "fallbackLimit",   NULL,            COLUMN_TEXT },
    {"GENERATION",   "generation",      NULL,            COLUMN_RIGHT},
};

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    char dep[NAME_TEXT] = "";
    const char *id = args_text(args, "dep");
    enum cli_exit code = cli_parent(cli, parent);
    if (code == CLI_OK && id != NULL) {
        code = cli_name(cli, "deps", id, dep);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__ListNoticesRequest request =
        HOLDFAST__V1__LIST_NOTICES_REQUEST__INIT;
    request.parent = parent;
    request.dep = dep;
    const struct cli_list list = {
        .method = {"holdfast.v1.DepService/ListNotices",
                   &holdfast__v1__list_notices_response__descriptor},
        .request = &request.base,
        .items = "notices",
    };
    return cli_show_list(cli, &list, columns, HF_COUNT(columns));
}

static const struct option list_options[] = {
    {"dep", "DEP", "of this DEP alone: its name or UUID", false, false},
};

static const struct command list_command = {
    .group = "notice",
    .verb = "list",
    .summary = "Show what the tenant was told of outages, the newest first.",
    .options = list_options,
    .option_count = HF_COUNT(list_options),
    .example = "holdfast --as admin notice list --dep mail",
    .run = run_list,
};

static const struct command *const commands[] = {&list_command};
const struct command_set commands_of_notice = {commands, HF_COUNT(commands)};
