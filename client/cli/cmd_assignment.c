/* tenant assign, assignment, offboard: the tenant's multi-workload DEP
 * (specification 3.3). */
#include "hsm/base/check.h"

#include "client/cli/cli.h"
#include "client/cli/operation.h"

#include "holdfast/v1/assignment_service.pb-c.h"

static const struct column columns[] = {
    {"STATE",     "state",          "TENANT_ASSIGNMENT_STATE_", COLUMN_TEXT },
    {"DEP",       "dep",            NULL,                       COLUMN_LEAF },
    {"PERCENT",   "percent",        NULL,                       COLUMN_RIGHT},
    {"REMAINING", "remainingCount", NULL,                       COLUMN_RIGHT},
    {"OVERDUE",   "overdue",        NULL,                       COLUMN_TEXT },
    {"NUMBER",    "number",         NULL,                       COLUMN_RIGHT},
    {"OPERATION", "operation",      NULL,                       COLUMN_LEAF },
    {"ASSIGNED",  "assignTime",     NULL,                       COLUMN_TEXT },
    {"EFFECTIVE", "effectiveTime",  NULL,                       COLUMN_TEXT },
    {"UPDATED",   "updateTime",     NULL,                       COLUMN_TEXT },
    {"TICKET",    "ticket",         NULL,                       COLUMN_TEXT },
    {"CONTACT",   "contact",        NULL,                       COLUMN_TEXT },
    {"REASON",    "reason",         NULL,                       COLUMN_WRAP },
    {"ETAG",      "etag",           NULL,                       COLUMN_TEXT },
};

static const struct cli_method assign_method = {
    "holdfast.v1.AssignmentService/AssignTenant",
    &holdfast__v1__operation__descriptor};
static const struct cli_method get_method = {
    "holdfast.v1.AssignmentService/GetTenantAssignment",
    &holdfast__v1__tenant_assignment__descriptor};
static const struct cli_method offboard_method = {
    "holdfast.v1.AssignmentService/OffboardTenant",
    &holdfast__v1__operation__descriptor};

static enum cli_exit run_assign(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    char dep[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    enum cli_exit code = cli_parent(cli, parent);
    if (code == CLI_OK) {
        code = cli_name(cli, "deps", args->operands[0], dep);
    }
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__AssignTenantRequest request =
        HOLDFAST__V1__ASSIGN_TENANT_REQUEST__INIT;
    request.parent = parent;
    request.dep = dep;
    request.etag = proto_text(args_text(args, "etag"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return operation_order(cli, &assign_method, &request.base);
}

static enum cli_exit run_get(struct cli *cli, const struct args *args)
{
    (void)args;
    char parent[NAME_TEXT];
    enum cli_exit code = cli_parent(cli, parent);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__GetTenantAssignmentRequest request =
        HOLDFAST__V1__GET_TENANT_ASSIGNMENT_REQUEST__INIT;
    request.parent = parent;
    return cli_show(cli, &get_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_offboard(struct cli *cli, const struct args *args)
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
    Holdfast__V1__OffboardTenantRequest request =
        HOLDFAST__V1__OFFBOARD_TENANT_REQUEST__INIT;
    request.parent = parent;
    request.ticket = proto_text(args_text(args, "ticket"));
    request.contact = proto_text(args_text(args, "contact"));
    request.reason = proto_text(args_text(args, "reason"));
    request.etag = proto_text(args_text(args, "etag"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return operation_order(cli, &offboard_method, &request.base);
}

static const struct option assign_options[] = {
    {"etag", "ETAG", "only if the assignment is still this version", false,
     false},
    OPTIONS_OF_AN_OPERATION,
};
static const struct option offboard_options[] = {
    {"ticket",  "TICKET", "of the customer's request",                    true,  false},
    {"contact", "WHO",    "who asked",                                    true,  false},
    {"reason",  "TEXT",   "why",                                          true,  false},
    {"etag",    "ETAG",   "only if the assignment is still this version", false,
     false                                                                            },
    OPTIONS_OF_AN_OPERATION,
};

static const struct command assign_command = {
    .group = "tenant",
    .verb = "assign",
    .summary = "Put the tenant under a multi-workload DEP, or another one.",
    .operands = "DEP",
    .options = assign_options,
    .option_count = HF_COUNT(assign_options),
    .example = "holdfast --as admin tenant assign everything",
    .run = run_assign,
};

static const struct command get_command = {
    .group = "tenant",
    .verb = "assignment",
    .summary = "Show the tenant's multi-workload DEP, and how far its keys "
               "are.",
    .example = "holdfast --as admin tenant assignment",
    .run = run_get,
};

static const struct command offboard_command = {
    .group = "tenant",
    .verb = "offboard",
    .summary = "Bring every key back under the service-managed root, by "
               "ticket. Customer keys must remain until it has ended.",
    .options = offboard_options,
    .option_count = HF_COUNT(offboard_options),
    .example = "holdfast --as operator --tenant contoso tenant offboard "
               "--ticket T-42 --contact ann@contoso.example --reason leaving",
    .run = run_offboard,
};

static const struct command *const commands[] = {&assign_command, &get_command,
                                                 &offboard_command};
const struct command_set commands_of_assignment = {commands,
                                                   HF_COUNT(commands)};
