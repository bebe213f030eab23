/* purge: how a tenant leaves (specification 9.3): asked for, looked at, stopped
 * and let go on. */
#include "hsm/base/check.h"

#include "client/cli/cli.h"
#include "client/cli/purge.h"

static const struct cli_method request_method = PURGE_METHOD("RequestPurge");
static const struct cli_method renew_method =
    PURGE_METHOD("RenewPurgeDocument");
static const struct cli_method cancel_method = PURGE_METHOD("CancelPurge");
static const struct cli_method pause_method = PURGE_METHOD("PausePurge");
static const struct cli_method resume_method = PURGE_METHOD("ResumePurge");
static const struct cli_method get_method = PURGE_METHOD("GetPurge");

static enum cli_exit run_request(struct cli *cli, const struct args *args)
{
    struct cli_words words;
    Holdfast__V1__RequestPurgeRequest request =
        HOLDFAST__V1__REQUEST_PURGE_REQUEST__INIT;
    enum cli_exit code = cli_order(cli, "deps", &request.base, &words);
    request.dep = words.name;
    request.reason = proto_text(args_text(args, "reason"));
    request.contact = proto_text(args_text(args, "contact"));
    request.force = args_flag(args, "force");
    request.confirm = args_flag(args, "confirm");
    return code == CLI_OK ? purge_show(cli, &request_method, &request.base)
                          : code;
}

#define DEFINE_ORDER(run_name, type, lower, method)                            \
    static enum cli_exit run_name(struct cli *cli, const struct args *args)    \
    {                                                                          \
        struct cli_words words;                                                \
        type request;                                                          \
        (void)args;                                                            \
        lower##__init(&request);                                               \
        enum cli_exit code = cli_order(cli, "purges", &request.base, &words);  \
        return code == CLI_OK ? purge_show(cli, &(method), &request.base)      \
                              : code;                                          \
    }

DEFINE_ORDER(run_renew, Holdfast__V1__RenewPurgeDocumentRequest,
             holdfast__v1__renew_purge_document_request, renew_method)
DEFINE_ORDER(run_cancel, Holdfast__V1__CancelPurgeRequest,
             holdfast__v1__cancel_purge_request, cancel_method)
DEFINE_ORDER(run_pause, Holdfast__V1__PausePurgeRequest,
             holdfast__v1__pause_purge_request, pause_method)
DEFINE_ORDER(run_resume, Holdfast__V1__ResumePurgeRequest,
             holdfast__v1__resume_purge_request, resume_method)

static enum cli_exit run_show(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    Holdfast__V1__GetPurgeRequest request =
        HOLDFAST__V1__GET_PURGE_REQUEST__INIT;
    enum cli_exit code = cli_name(cli, "purges", args->operands[0], name);
    request.name = name;
    return code == CLI_OK ? purge_show(cli, &get_method, &request.base) : code;
}

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    Holdfast__V1__ListPurgesRequest request =
        HOLDFAST__V1__LIST_PURGES_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    (void)args;
    request.parent = parent;
    const struct cli_list list = {
        .method = {"holdfast.v1.PurgeService/ListPurges",
                   &holdfast__v1__list_purges_response__descriptor},
        .request = &request.base,
        .items = "purges",
    };
    return code == CLI_OK
               ? cli_show_list(cli, &list, purge_columns, purge_column_count)
               : code;
}

static const struct option request_options[] = {
    {"reason",  "TEXT", "why",                                         true,  false},
    {"contact", "TEXT", "who is to be asked",                          true,  false},
    {"force",   NULL,
     "a token is gone for ever: keys that cannot be asked do not hinder it, "
     "and "
     "two approvers are needed",                                       false, false},
    {"confirm", NULL,
     "yes: at its end nothing below the DEP can be opened by anybody", false,
     false                                                                         },
    OPTIONS_OF_A_CHANGE,
};
static const struct option plain_options[] = {OPTIONS_OF_A_CHANGE};

PURGE_COMMAND(
    request_command, "request",
    "Ask for the end of a mailbox DEP whose customer keys are out of use.",
    "DEP", request_options,
    "holdfast --as admin purge request mail --reason 'we leave' --contact "
    "ciso@contoso.example --confirm",
    run_request);
PURGE_COMMAND(
    renew_command, "renew",
    "Make a new document to be signed; approvals of the last one are void.",
    "PURGE", plain_options, "holdfast --as admin purge renew PURGE", run_renew);
PURGE_COMMAND(cancel_command, "cancel",
              "Take a request back, while nobody has approved it.", "PURGE",
              plain_options, "holdfast --as admin purge cancel PURGE",
              run_cancel);
PURGE_COMMAND(pause_command, "pause", "Stop a purge before or in its hold.",
              "PURGE", plain_options, "holdfast --as admin purge pause PURGE",
              run_pause);
PURGE_COMMAND(resume_command, "resume",
              "Let a paused purge go on, as an approver.", "PURGE",
              plain_options, "holdfast --as ada purge resume PURGE",
              run_resume);
static const struct command show_command = {
    .group = "purge",
    .verb = "show",
    .summary = "Show a purge.",
    .operands = "PURGE",
    .example = "holdfast --as admin purge show PURGE",
    .run = run_show,
};
static const struct command list_command = {
    .group = "purge",
    .verb = "list",
    .summary = "List the purges of the tenant.",
    .example = "holdfast --as admin purge list",
    .run = run_list,
};

static const struct command *const commands[] = {
    &request_command, &renew_command, &cancel_command, &pause_command,
    &resume_command,  &show_command,  &list_command,
};
const struct command_set commands_of_purge = {commands, HF_COUNT(commands)};
