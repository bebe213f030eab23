/* approvers: who may approve a purge, and other changes that take several
 * people. */
#include "hsm/base/check.h"

#include "client/cli/cli.h"
#include "client/cli/file.h"

#include "holdfast/v1/approval_service.pb-c.h"

#include <string.h>

#define APPROVERS_MAX      7
#define KEY_FILE_MAX_BYTES 4096

static const struct column columns[] = {
    {"NAME",      "name",                  NULL, COLUMN_TEXT},
    {"APPROVERS", "approvers.identity",    NULL, COLUMN_TEXT},
    {"CALLED",    "approvers.displayName", NULL, COLUMN_TEXT},
    {"SINCE",     "approvers.sinceTime",   NULL, COLUMN_TEXT},
};

static const struct cli_method set_method = {
    "holdfast.v1.ApprovalService/SetPurgeApprovers",
    &holdfast__v1__purge_approvers__descriptor};
static const struct cli_method list_method = {
    "holdfast.v1.ApprovalService/ListPurgeApprovers",
    &holdfast__v1__purge_approvers__descriptor};

static enum cli_exit show(struct cli *cli, const struct cli_method *method,
                          const ProtobufCMessage *request)
{
    return cli_show(cli, method, request, columns, HF_COUNT(columns));
}

/* One --approver IDENTITY=FILE. */
struct approver {
    Holdfast__V1__PurgeApprover message;
    char identity[512];
    struct file_data key;
};

static void approvers_clear(struct approver *approvers)
{
    for (size_t i = 0; i < APPROVERS_MAX; i++) {
        file_data_clear(&approvers[i].key);
    }
}

static enum cli_exit read_approver(struct cli *cli, const char *text,
                                   struct approver *out)
{
    const char *file = strchr(text, '=');
    size_t len = file == NULL ? 0 : (size_t)(file - text);
    if (len == 0 || len >= sizeof out->identity || file[1] == '\0') {
        return cli_usage(cli, "--approver is IDENTITY=FILE: a SPIFFE URI and "
                              "the file of a public key");
    }
    memcpy(out->identity, text, len);
    out->identity[len] = '\0';
    enum hf_status status = file_read(file + 1, KEY_FILE_MAX_BYTES, &out->key);
    if (status != HF_OK) {
        return cli_fail(cli, CLI_OTHER, "%s: %s", file + 1,
                        file_problem(status));
    }
    holdfast__v1__purge_approver__init(&out->message);
    out->message.identity = out->identity;
    out->message.public_key =
        (ProtobufCBinaryData){out->key.len, out->key.bytes};
    return CLI_OK;
}

static enum cli_exit set_approvers(struct cli *cli, const struct args *args,
                                   struct approver *approvers)
{
    char parent[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    Holdfast__V1__PurgeApprover *list[APPROVERS_MAX];
    Holdfast__V1__SetPurgeApproversRequest request =
        HOLDFAST__V1__SET_PURGE_APPROVERS_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    request.n_approvers = args_count(args, "approver");
    if (code == CLI_OK && request.n_approvers > APPROVERS_MAX) {
        code = cli_usage(cli, "there are at most %d approvers", APPROVERS_MAX);
    }
    for (size_t i = 0; code == CLI_OK && i < request.n_approvers; i++) {
        code = read_approver(cli, args_nth(args, "approver", i), &approvers[i]);
        list[i] = &approvers[i].message;
    }
    request.parent = parent;
    request.approvers = list;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return code == CLI_OK ? show(cli, &set_method, &request.base) : code;
}

static enum cli_exit run_set(struct cli *cli, const struct args *args)
{
    struct approver approvers[APPROVERS_MAX];
    memset(approvers, 0, sizeof approvers);
    enum cli_exit code = set_approvers(cli, args, approvers);
    approvers_clear(approvers);
    return code;
}

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    Holdfast__V1__ListPurgeApproversRequest request =
        HOLDFAST__V1__LIST_PURGE_APPROVERS_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    (void)args;
    request.parent = parent;
    return code == CLI_OK ? show(cli, &list_method, &request.base) : code;
}

static const struct option set_options[] = {
    {"approver", "IDENTITY=FILE",
     "one approver: a SPIFFE URI, and the file of their public key (PEM); "
     "again for each; none: nobody", false, true},
    OPTIONS_OF_A_CHANGE,
};

static const struct command set_command = {
    .group = "approvers",
    .verb = "set",
    .summary = "Name everybody who may approve a purge, from now on.",
    .options = set_options,
    .option_count = HF_COUNT(set_options),
    .example = "holdfast --as admin approvers set --approver "
               "spiffe://contoso.example/ada=ada.pem",
    .run = run_set,
};
static const struct command list_command = {
    .group = "approvers",
    .verb = "list",
    .summary = "List who may approve a purge.",
    .example = "holdfast --as admin approvers list",
    .run = run_list,
};

static const struct command *const commands[] = {&set_command, &list_command};
const struct command_set commands_of_approvers = {commands, HF_COUNT(commands)};
