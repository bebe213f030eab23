/* workload: the workloads of multi-workload DEPs (specification 5.1, 12). */
#include "hsm/base/check.h"

#include "client/cli/cli.h"
#include "client/cli/values.h"

#include "holdfast/v1/assignment_service.pb-c.h"

static const struct column columns[] = {
    {"WORKLOAD",      "name",                    NULL,                    COLUMN_LEAF },
    {"COVERAGE",      "coverage",                "WORKLOAD_COVERAGE_",    COLUMN_TEXT },
    {"EXISTING DATA", "existingDataPolicy",      "EXISTING_DATA_POLICY_",
     COLUMN_TEXT                                                                      },
    {"ACTIVATION",    "activation",              "WORKLOAD_ACTIVATION_",  COLUMN_TEXT },
    {"STATE",         "state",                   "WORKLOAD_STATE_",       COLUMN_TEXT },
    {"DONE",          "doneCount",               NULL,                    COLUMN_RIGHT},
    {"TOTAL",         "totalCount",              NULL,                    COLUMN_RIGHT},
    {"TITLE",         "title",                   NULL,                    COLUMN_TEXT },
    {"COVERED BY",    "coveredBy",               NULL,                    COLUMN_TEXT },
    {"BATCH LIMIT",   "batchLimit",              NULL,                    COLUMN_RIGHT},
    {"SWITCHED ON",   "switchedOn",              NULL,                    COLUMN_TEXT },
    {"EFFECTIVE DEP", "effectiveDep",            NULL,                    COLUMN_LEAF },
    {"GENERATION",    "effectiveGeneration",     NULL,                    COLUMN_RIGHT},
    {"EFFECTIVE",     "effectiveTime",           NULL,                    COLUMN_TEXT },
    {"EARLIER KEYS",  "earlierKeys.replaceTime", NULL,                    COLUMN_TEXT },
    {"REPORTED",      "reportTime",              NULL,                    COLUMN_TEXT },
    {"ETAG",          "etag",                    NULL,                    COLUMN_TEXT },
};
#define LIST_COLUMNS     7

#define SERVICE          "holdfast.v1.AssignmentService/"
#define ANSWERS_WORKLOAD &holdfast__v1__tenant_workload__descriptor
static const struct cli_method register_method = {SERVICE "RegisterWorkload",
                                                  ANSWERS_WORKLOAD};
static const struct cli_method switch_method = {SERVICE "SwitchWorkload",
                                                ANSWERS_WORKLOAD};
static const struct cli_method report_method = {
    SERVICE "ReportWorkloadProgress", ANSWERS_WORKLOAD};
static const struct cli_method get_method = {SERVICE "GetWorkload",
                                             ANSWERS_WORKLOAD};

/* A count of items; 0 when it is not given. */
static enum cli_exit take_count(struct cli *cli, const char *option,
                                uint64_t *out)
{
    const char *text = args_text(cli->args, option);
    int64_t number = 0;
    if (text != NULL && number_parse(text, 0, INT64_MAX, &number) != HF_OK) {
        return cli_usage(cli, "--%s is a number, 0 or more", option);
    }
    *out = (uint64_t)number;
    return CLI_OK;
}

static enum cli_exit run_register(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    enum cli_exit code = cli_parent(cli, parent);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__RegisterWorkloadRequest request =
        HOLDFAST__V1__REGISTER_WORKLOAD_REQUEST__INIT;
    request.parent = parent;
    request.workload_id = proto_text(args->operands[0]);
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &register_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_switch(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    Holdfast__V1__SwitchWorkloadRequest request =
        HOLDFAST__V1__SWITCH_WORKLOAD_REQUEST__INIT;
    if (args_flag(args, "on") == args_flag(args, "off")) {
        return cli_usage(cli, "either --on or --off");
    }
    enum cli_exit code = cli_name(cli, "workloads", args->operands[0], name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code == CLI_OK) {
        code = take_count(cli, "items", &request.item_count);
    }
    if (code != CLI_OK) {
        return code;
    }
    request.name = name;
    request.on = args_flag(args, "on");
    request.etag = proto_text(args_text(args, "etag"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &switch_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_report(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    Holdfast__V1__ReportWorkloadProgressRequest request =
        HOLDFAST__V1__REPORT_WORKLOAD_PROGRESS_REQUEST__INIT;
    enum cli_exit code = cli_name(cli, "workloads", args->operands[0], name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code == CLI_OK) {
        code = take_count(cli, "done", &request.done_count);
    }
    if (code == CLI_OK) {
        code = take_count(cli, "total", &request.total_count);
    }
    if (code != CLI_OK) {
        return code;
    }
    request.name = name;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &report_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_get(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    enum cli_exit code = cli_name(cli, "workloads", args->operands[0], name);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__GetWorkloadRequest request =
        HOLDFAST__V1__GET_WORKLOAD_REQUEST__INIT;
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
    Holdfast__V1__ListWorkloadsRequest request =
        HOLDFAST__V1__LIST_WORKLOADS_REQUEST__INIT;
    request.parent = parent;
    const struct cli_list list = {
        .method = {SERVICE "ListWorkloads",
                   &holdfast__v1__list_workloads_response__descriptor},
        .request = &request.base,
        .items = "workloads",
    };
    return cli_show_list(cli, &list, columns, LIST_COLUMNS);
}

static const struct option register_options[] = {OPTIONS_OF_A_CHANGE};
static const struct option switch_options[] = {
    {"on",    NULL,    "under the tenant's DEP",              false, false},
    {"off",   NULL,    "back under the service-managed root", false, false},
    {"items", "COUNT", "that one more run takes in",          false, false},
    {"etag",  "ETAG",  "only if it is still this version",    false, false},
    OPTIONS_OF_A_CHANGE,
};
static const struct option report_options[] = {
    {"done",  "COUNT", "items that are through; does not fall", true, false},
    {"total", "COUNT", "items there are",                       true, false},
    OPTIONS_OF_A_CHANGE,
};

static const struct command register_command = {
    .group = "workload",
    .verb = "register",
    .summary = "Make a workload of the catalogue known, so that it may have a "
               "key.",
    .operands = "WORKLOAD",
    .options = register_options,
    .option_count = HF_COUNT(register_options),
    .example = "holdfast --as admin workload register teams-chat",
    .run = run_register,
};

static const struct command switch_command = {
    .group = "workload",
    .verb = "switch",
    .summary = "Put a workload with explicit activation under the DEP, or "
               "back.",
    .operands = "WORKLOAD",
    .options = switch_options,
    .option_count = HF_COUNT(switch_options),
    .example = "holdfast --as admin workload switch cloud-pcs --on --items "
               "20000",
    .run = run_switch,
};

static const struct command report_command = {
    .group = "workload",
    .verb = "report",
    .summary = "Say how far the workload is with its data.",
    .operands = "WORKLOAD",
    .options = report_options,
    .option_count = HF_COUNT(report_options),
    .example = "holdfast --as workload workload report exchange-signals --done "
               "300 --total 1000",
    .run = run_report,
};

static const struct command get_command = {
    .group = "workload",
    .verb = "get",
    .summary = "Show one workload.",
    .operands = "WORKLOAD",
    .example = "holdfast --as admin workload get teams-chat",
    .run = run_get,
};

static const struct command list_command = {
    .group = "workload",
    .verb = "list",
    .summary = "List the catalogue of workloads, as it stands in the tenant.",
    .example = "holdfast --as admin workload list",
    .run = run_list,
};

static const struct command *const commands[] = {
    &register_command, &switch_command, &report_command, &get_command,
    &list_command};
const struct command_set commands_of_workload = {commands, HF_COUNT(commands)};
