/* mailbox: which mailbox belongs to which DEP (specification 5.2). */
#include "hsm/base/check.h"

#include "client/cli/cli.h"
#include "client/cli/values.h"

#include "holdfast/v1/assignment_service.pb-c.h"

#include <string.h>

static const struct column columns[] = {
    {"MAILBOX",       "name",                NULL,             COLUMN_LEAF },
    {"STATE",         "state",               "MAILBOX_STATE_", COLUMN_TEXT },
    {"ENCRYPTED",     "isEncrypted",         NULL,             COLUMN_TEXT },
    {"ASSIGNED DEP",  "assignedDep",         NULL,             COLUMN_LEAF },
    {"EFFECTIVE DEP", "effectiveDep",        NULL,             COLUMN_LEAF },
    {"GENERATION",    "effectiveGeneration", NULL,             COLUMN_RIGHT},
    {"KIND",          "kind",                "MAILBOX_KIND_",  COLUMN_TEXT },
    {"LICENSED",      "licensed",            NULL,             COLUMN_TEXT },
    {"ASSIGNED",      "assignTime",          NULL,             COLUMN_TEXT },
    {"EFFECTIVE",     "effectiveTime",       NULL,             COLUMN_TEXT },
    {"CREATED",       "createTime",          NULL,             COLUMN_TEXT },
    {"MOVE PRIORITY", "movePriority",        "MOVE_PRIORITY_", COLUMN_TEXT },
    {"QUEUED",        "queueTime",           NULL,             COLUMN_TEXT },
    {"WAITS SINCE",   "waitTime",            NULL,             COLUMN_TEXT },
    {"OVERDUE",       "overdue",             NULL,             COLUMN_TEXT },
    {"CLAIM",         "claim",               NULL,             COLUMN_TEXT },
    {"CLAIM ENDS",    "claimEndTime",        NULL,             COLUMN_TEXT },
    {"ETAG",          "etag",                NULL,             COLUMN_TEXT },
};
#define LIST_COLUMNS    7

#define ANSWERS_MAILBOX &holdfast__v1__mailbox__descriptor
static const struct cli_method register_method = {
    "holdfast.v1.AssignmentService/RegisterMailbox", ANSWERS_MAILBOX};
static const struct cli_method assign_method = {
    "holdfast.v1.AssignmentService/AssignMailbox", ANSWERS_MAILBOX};
static const struct cli_method get_method = {
    "holdfast.v1.AssignmentService/GetMailbox", ANSWERS_MAILBOX};

static const struct cli_method update_method = {
    "holdfast.v1.AssignmentService/UpdateMailbox", ANSWERS_MAILBOX};
static const struct cli_method claim_method = {
    "holdfast.v1.AssignmentService/ClaimMove", ANSWERS_MAILBOX};
static const struct cli_method complete_method = {
    "holdfast.v1.AssignmentService/CompleteMove", ANSWERS_MAILBOX};
static const struct cli_method fail_method = {
    "holdfast.v1.AssignmentService/FailMove", ANSWERS_MAILBOX};

static enum cli_exit run_register(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    int kind = HOLDFAST__V1__MAILBOX_KIND__MAILBOX_KIND_USER;
    const char *word = args_text(args, "kind");
    enum cli_exit code = cli_parent(cli, parent);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (word != NULL && enum_parse(&holdfast__v1__mailbox_kind__descriptor,
                                   "MAILBOX_KIND_", word, &kind) != HF_OK) {
        return cli_usage(cli, "--kind is user, mail-user, group, "
                              "public-folder or shared");
    }
    Holdfast__V1__RegisterMailboxRequest request =
        HOLDFAST__V1__REGISTER_MAILBOX_REQUEST__INIT;
    request.parent = parent;
    request.mailbox_id = proto_text(args->operands[0]);
    request.kind = (Holdfast__V1__MailboxKind)kind;
    request.licensed = args_flag(args, "licensed");
    request.unencrypted = args_flag(args, "unencrypted");
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &register_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_assign(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char dep[NAME_TEXT] = "";
    char request_id[HF_REQUEST_ID_TEXT];
    const char *id = args_text(args, "dep");
    if ((id != NULL) == args_flag(args, "none")) {
        return cli_usage(cli, "either --dep DEP or --none");
    }
    const char *word = args_text(args, "priority");
    int priority = HOLDFAST__V1__MOVE_PRIORITY__MOVE_PRIORITY_UNSPECIFIED;
    if (word != NULL &&
        enum_parse(&holdfast__v1__move_priority__descriptor, "MOVE_PRIORITY_",
                   word, &priority) != HF_OK) {
        return cli_usage(cli, "--priority is regular or low");
    }
    enum cli_exit code = cli_name(cli, "mailboxes", args->operands[0], name);
    if (code == CLI_OK && id != NULL) {
        code = cli_name(cli, "deps", id, dep);
    }
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__AssignMailboxRequest request =
        HOLDFAST__V1__ASSIGN_MAILBOX_REQUEST__INIT;
    request.name = name;
    request.dep = dep;
    request.move_priority = (Holdfast__V1__MovePriority)priority;
    request.etag = proto_text(args_text(args, "etag"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &assign_method, &request.base, columns,
                    HF_COUNT(columns));
}

static const struct cli_method delete_method = {
    "holdfast.v1.AssignmentService/DeleteResource",
    &holdfast__v1__deleted_resource__descriptor};
static const struct column delete_columns[] = {
    {"NAME",    "name",       NULL, COLUMN_TEXT},
    {"DELETED", "deleteTime", NULL, COLUMN_TEXT},
};

static enum cli_exit run_delete(struct cli *cli, const struct args *args)
{
    static const char sites[] = "sites/";
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    const char *id = args->operands[0];
    bool is_site = strncmp(id, sites, sizeof sites - 1) == 0;
    enum cli_exit code =
        is_site ? cli_name(cli, "sites", id + sizeof sites - 1, name)
                : cli_name(cli, "mailboxes", id, name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__DeleteResourceRequest request =
        HOLDFAST__V1__DELETE_RESOURCE_REQUEST__INIT;
    request.name = name;
    request.confirm = args_flag(args, "confirm");
    request.etag = proto_text(args_text(args, "etag"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &delete_method, &request.base, delete_columns,
                    HF_COUNT(delete_columns));
}

static enum cli_exit take_update(struct cli *cli,
                                 Holdfast__V1__Mailbox *mailbox,
                                 Google__Protobuf__FieldMask *mask)
{
    const char *word = args_text(cli->args, "kind");
    int kind = HOLDFAST__V1__MAILBOX_KIND__MAILBOX_KIND_UNSPECIFIED;
    bool licensed = args_flag(cli->args, "licensed");
    if (word != NULL && enum_parse(&holdfast__v1__mailbox_kind__descriptor,
                                   "MAILBOX_KIND_", word, &kind) != HF_OK) {
        return cli_usage(cli, "--kind is user, mail-user, group, "
                              "public-folder or shared");
    }
    if (licensed && args_flag(cli->args, "unlicensed")) {
        return cli_usage(cli, "either --licensed or --unlicensed");
    }
    if (word != NULL) {
        mailbox->kind = (Holdfast__V1__MailboxKind)kind;
        mask->paths[mask->n_paths++] = proto_text("kind");
    }
    if (licensed || args_flag(cli->args, "unlicensed")) {
        mailbox->licensed = licensed;
        mask->paths[mask->n_paths++] = proto_text("licensed");
    }
    return mask->n_paths > 0
               ? CLI_OK
               : cli_usage(cli, "nothing to change: use --kind, --licensed or "
                                "--unlicensed");
}

static enum cli_exit run_update(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    char *paths[2];
    Holdfast__V1__Mailbox mailbox = HOLDFAST__V1__MAILBOX__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    mask.paths = paths;
    enum cli_exit code = cli_name(cli, "mailboxes", args->operands[0], name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code == CLI_OK) {
        code = take_update(cli, &mailbox, &mask);
    }
    if (code != CLI_OK) {
        return code;
    }
    mailbox.name = name;
    mailbox.etag = proto_text(args_text(args, "etag"));
    Holdfast__V1__UpdateMailboxRequest request =
        HOLDFAST__V1__UPDATE_MAILBOX_REQUEST__INIT;
    request.mailbox = &mailbox;
    request.update_mask = &mask;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &update_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_claim(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    char mailbox[NAME_TEXT] = "";
    int64_t seconds = 0;
    const char *text = args_text(args, "for");
    const char *renewed = args_text(args, "renew");
    enum cli_exit code = cli_parent(cli, parent);
    if ((renewed != NULL) != (args_text(args, "claim") != NULL)) {
        return cli_usage(cli, "--renew MAILBOX and --claim CLAIM go together");
    }
    if (code == CLI_OK && renewed != NULL) {
        code = cli_name(cli, "mailboxes", renewed, mailbox);
    }
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (text != NULL && number_parse(text, 0, UINT32_MAX, &seconds) != HF_OK) {
        return cli_usage(cli, "--for is a number of seconds");
    }
    Holdfast__V1__ClaimMoveRequest request =
        HOLDFAST__V1__CLAIM_MOVE_REQUEST__INIT;
    request.parent = parent;
    request.claim_seconds = (uint32_t)seconds;
    request.mailbox = mailbox;
    request.claim = proto_text(args_text(args, "claim"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &claim_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_complete(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    enum cli_exit code = cli_name(cli, "mailboxes", args->operands[0], name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__CompleteMoveRequest request =
        HOLDFAST__V1__COMPLETE_MOVE_REQUEST__INIT;
    request.name = name;
    request.claim = proto_text(args_text(args, "claim"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &complete_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_fail(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    enum cli_exit code = cli_name(cli, "mailboxes", args->operands[0], name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__FailMoveRequest request =
        HOLDFAST__V1__FAIL_MOVE_REQUEST__INIT;
    request.name = name;
    request.claim = proto_text(args_text(args, "claim"));
    request.reason = proto_text(args_text(args, "reason"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &fail_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_get(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    enum cli_exit code = cli_name(cli, "mailboxes", args->operands[0], name);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__GetMailboxRequest request =
        HOLDFAST__V1__GET_MAILBOX_REQUEST__INIT;
    request.name = name;
    return cli_show(cli, &get_method, &request.base, columns,
                    HF_COUNT(columns));
}

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
    Holdfast__V1__ListMailboxesRequest request =
        HOLDFAST__V1__LIST_MAILBOXES_REQUEST__INIT;
    request.parent = parent;
    request.assigned_dep = dep;
    const struct cli_list list = {
        .method = {"holdfast.v1.AssignmentService/ListMailboxes",
                   &holdfast__v1__list_mailboxes_response__descriptor},
        .request = &request.base,
        .items = "mailboxes",
        .names_deps = true,
    };
    return cli_show_list(cli, &list, columns, LIST_COLUMNS);
}

static const struct option register_options[] = {
    {"kind",        "KIND", "user (default), mail-user, group, public-folder, shared",
     false,                                                                                   false},
    {"licensed",    NULL,   "its owner meets the licence requirement",                 false, false},
    {"unencrypted", NULL,
     "not encrypted: a move encrypts it once it is assigned",                          false, false},
    OPTIONS_OF_A_CHANGE,
};
static const struct option assign_options[] = {
    {"dep",      "DEP",      "name or UUID",                          false, false},
    {"none",     NULL,       "back to the service-managed key",       false, false},
    {"etag",     "ETAG",     "only if it is still this version",      false, false},
    {"priority", "PRIORITY", "of its move: regular (default) or low", false,
     false                                                                        },
    OPTIONS_OF_A_CHANGE,
};
static const struct option update_options[] = {
    {"kind",       "KIND", "user, mail-user, group, public-folder, shared", false,
     false                                                                              },
    {"licensed",   NULL,   "its owner meets the licence requirement",       false, false},
    {"unlicensed", NULL,   "or does not",                                   false, false},
    {"etag",       "ETAG", "only if it is still this version",              false, false},
    OPTIONS_OF_A_CHANGE,
};
static const struct option claim_options[] = {
    {"renew", "MAILBOX", "renew the claim of this mailbox instead",      false,
     false                                                                           },
    {"claim", "CLAIM",   "the claim that is renewed",                    false, false},
    {"for",   "SECONDS", "how long the claim holds; a day unless given", false,
     false                                                                           },
    OPTIONS_OF_A_CHANGE,
};
static const struct option complete_options[] = {
    {"claim", "CLAIM", "the claim that holds it", true, false},
    OPTIONS_OF_A_CHANGE,
};
static const struct option fail_options[] = {
    {"claim",  "CLAIM", "the claim that holds it", true,  false},
    {"reason", "TEXT",  "for the audit record",    false, false},
    OPTIONS_OF_A_CHANGE,
};
static const struct option list_options[] = {
    {"dep", "DEP", "only those assigned to it", false, false},
};

static const struct command register_command = {
    .group = "mailbox",
    .verb = "register",
    .summary = "Make a mailbox known.",
    .operands = "MAILBOX",
    .options = register_options,
    .option_count = HF_COUNT(register_options),
    .example = "holdfast --as admin mailbox register alice --licensed",
    .run = run_register,
};

static const struct command assign_command = {
    .group = "mailbox",
    .verb = "assign",
    .summary = "Assign a mailbox to a DEP; its key moves at the next access.",
    .operands = "MAILBOX",
    .options = assign_options,
    .option_count = HF_COUNT(assign_options),
    .example = "holdfast --as admin mailbox assign alice --dep mail",
    .run = run_assign,
};

static const struct command get_command = {
    .group = "mailbox",
    .verb = "get",
    .summary = "Show one mailbox.",
    .operands = "MAILBOX",
    .example = "holdfast --as admin mailbox get alice",
    .run = run_get,
};

static const struct option delete_options[] = {
    {"confirm", NULL,   "nothing of it opens any more; there is no way back",
     false,                                                                          false},
    {"etag",    "ETAG", "only if it is still this version",                   false, false},
    OPTIONS_OF_A_CHANGE
};

static const struct command delete_command = {
    .group = "mailbox",
    .verb = "delete",
    .summary = "Delete a mailbox, or sites/SITE, for ever: no wrapped key of "
               "it opens any more.",
    .operands = "MAILBOX",
    .options = delete_options,
    .option_count = HF_COUNT(delete_options),
    .example = "holdfast --as admin mailbox delete alice --confirm",
    .run = run_delete,
};

static const struct command list_command = {
    .group = "mailbox",
    .verb = "list",
    .summary = "List the mailboxes.",
    .options = list_options,
    .option_count = HF_COUNT(list_options),
    .example = "holdfast --as admin mailbox list --dep mail",
    .run = run_list,
};

static const struct command update_command = {
    .group = "mailbox",
    .verb = "update",
    .summary = "Change what is known of a mailbox: its kind, its licence.",
    .operands = "MAILBOX",
    .options = update_options,
    .option_count = HF_COUNT(update_options),
    .example = "holdfast --as admin mailbox update alice --kind shared",
    .run = run_update,
};

static const struct command claim_command = {
    .group = "mailbox",
    .verb = "claim-move",
    .summary = "Take the next mailbox to encrypt.",
    .options = claim_options,
    .option_count = HF_COUNT(claim_options),
    .example = "holdfast --as mover mailbox claim-move --for 3600",
    .run = run_claim,
};

static const struct command complete_command = {
    .group = "mailbox",
    .verb = "complete-move",
    .summary = "Say that a claimed mailbox is encrypted.",
    .operands = "MAILBOX",
    .options = complete_options,
    .option_count = HF_COUNT(complete_options),
    .example = "holdfast --as mover mailbox complete-move alice --claim "
               "6d1f0c52-8a4e-4b7e-9a53-0f2f6f1f3b10",
    .run = run_complete,
};

static const struct command fail_command = {
    .group = "mailbox",
    .verb = "fail-move",
    .summary = "Give a claimed mailbox back to the queue.",
    .operands = "MAILBOX",
    .options = fail_options,
    .option_count = HF_COUNT(fail_options),
    .example = "holdfast --as mover mailbox fail-move alice --claim "
               "6d1f0c52-8a4e-4b7e-9a53-0f2f6f1f3b10 --reason 'too large'",
    .run = run_fail,
};

static const struct command *const commands[] = {
    &register_command, &update_command,   &assign_command,
    &get_command,      &list_command,     &delete_command,
    &claim_command,    &complete_command, &fail_command};
const struct command_set commands_of_mailbox = {commands, HF_COUNT(commands)};
