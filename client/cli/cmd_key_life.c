/* key: whether a customer key is needed, and its end (specification 4.1). */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/created.h"
#include "client/cli/key.h"
#include "client/cli/key_force.h"
#include "client/cli/purge_sign.h"
#include "client/cli/values.h"

#include "holdfast/v1/customer_key_service.pb-c.h"

#include <stdio.h>

#define VERSION_MAX        1000000
#define DOCUMENT_MAX_BYTES 4096

static const struct column deleted_columns[] = {
    {"KEY",      "name",          NULL, COLUMN_LEAF},
    {"TOKEN",    "token",         NULL, COLUMN_LEAF},
    {"DELETED",  "deleteTime",    NULL, COLUMN_TEXT},
    {"GONE AT",  "purgeTime",     NULL, COLUMN_TEXT},
    {"RECOVERY", "recoveryLevel", NULL, COLUMN_TEXT},
};
static const struct column dependant_columns[] = {
    {"RESOURCE",   "resource",   NULL, COLUMN_TEXT },
    {"DEP",        "dep",        NULL, COLUMN_LEAF },
    {"GENERATION", "generation", NULL, COLUMN_RIGHT},
};

#define ANSWERS_KEY &holdfast__v1__customer_key__descriptor
static const struct cli_method delete_method = {
    "holdfast.v1.CustomerKeyService/SoftDeleteCustomerKey", ANSWERS_KEY};
static const struct cli_method draft_method = {
    "holdfast.v1.CustomerKeyService/DraftForcedChange",
    &holdfast__v1__forced_change_document__descriptor};
static const struct cli_method recover_method = {
    "holdfast.v1.CustomerKeyService/RecoverCustomerKey", ANSWERS_KEY};

static enum cli_exit run_dependants(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    int64_t version = 0;
    const char *text = args_text(args, "version");
    enum cli_exit code = key_name(cli, args, name);
    if (code == CLI_OK && text != NULL &&
        number_parse(text, 1, VERSION_MAX, &version) != HF_OK) {
        code = cli_usage(cli, "--version is a number from 1");
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__ListKeyDependantsRequest request =
        HOLDFAST__V1__LIST_KEY_DEPENDANTS_REQUEST__INIT;
    request.name = name;
    request.version = (uint32_t)version;
    const struct cli_list list = {
        .method = {"holdfast.v1.CustomerKeyService/ListKeyDependants",
                   &holdfast__v1__list_key_dependants_response__descriptor},
        .request = &request.base,
        .items = "dependants",
    };
    return cli_show_list(cli, &list, dependant_columns,
                         HF_COUNT(dependant_columns));
}

static const struct option dependants_options[] = {
    {"version", "NUMBER", "default: the current one", false, false},
};

static enum cli_exit send_delete(struct cli *cli, const struct args *args,
                                 struct key_force *force)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    Holdfast__V1__SoftDeleteCustomerKeyRequest request =
        HOLDFAST__V1__SOFT_DELETE_CUSTOMER_KEY_REQUEST__INIT;
    enum cli_exit code = key_name(cli, args, name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code == CLI_OK) {
        code = key_force_read(cli, args, force, &request.force);
    }
    if (code != CLI_OK) {
        return code;
    }
    request.name = name;
    request.confirm = args_flag(args, "confirm");
    request.etag = proto_text(args_text(args, "etag"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &delete_method, &request.base, key_columns,
                    KEY_COLUMNS);
}

static enum cli_exit run_delete(struct cli *cli, const struct args *args)
{
    struct key_force force = {
        .document = {NULL, 0}
    };
    enum cli_exit code = send_delete(cli, args, &force);
    key_force_clear(&force);
    return code;
}

/* --- what is forced ------------------------------------------------------- */

static enum cli_exit take_change(struct cli *cli, const struct args *args,
                                 Holdfast__V1__DraftForcedChangeRequest *out)
{
    int change = 0;
    int64_t version = 0;
    const char *text = args_text(args, "version");
    if (text != NULL && number_parse(text, 1, VERSION_MAX, &version) != HF_OK) {
        return cli_usage(cli, "--version is a number from 1");
    }
    if (enum_parse(&holdfast__v1__forced_change_kind__descriptor,
                   "FORCED_CHANGE_KIND_", args_text(args, "change"),
                   &change) != HF_OK) {
        return cli_usage(cli, "--change is disable or soft-delete");
    }
    out->change = (Holdfast__V1__ForcedChangeKind)change;
    out->version = (uint32_t)version;
    return CLI_OK;
}

/* Shown, too: whoever asks for signatures reads what is to be signed. */
static enum cli_exit run_force_document(struct cli *cli,
                                        const struct args *args)
{
    char name[NAME_TEXT];
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    ProtobufCMessage *reply = NULL;
    Holdfast__V1__DraftForcedChangeRequest request =
        HOLDFAST__V1__DRAFT_FORCED_CHANGE_REQUEST__INIT;
    enum cli_exit code = key_name(cli, args, name);
    if (code == CLI_OK) {
        code = take_change(cli, args, &request);
    }
    request.name = name;
    if (code != CLI_OK) {
        return code;
    }
    code = cli_ask(cli, &draft_method, &request.base, &reply, &error);
    if (code != CLI_OK) {
        return cli_error(cli, &error);
    }
    const ProtobufCBinaryData text =
        ((const Holdfast__V1__ForcedChangeDocument *)reply)->document;
    code = created_write(cli, args_text(args, "out"),
                         (struct bytes){text.data, text.len},
                         "what two approvers sign");
    if (code == CLI_OK) {
        (void)fwrite(text.data, 1, text.len, cli->json ? cli->err : cli->out);
    }
    hf_message_free(reply);
    return code;
}

static enum cli_exit sign(struct cli *cli, const struct args *args,
                          struct file_data *document,
                          struct file_data *signature)
{
    const char *path = args_text(args, "document");
    const char *key = args_text(args, "key");
    enum hf_status status = file_read(path, DOCUMENT_MAX_BYTES, document);
    if (status != HF_OK) {
        return cli_fail(cli, CLI_OTHER, "%s: %s", path, file_problem(status));
    }
    status = purge_sign(key, (struct bytes){document->bytes, document->len},
                        signature);
    if (status != HF_OK) {
        return cli_fail(cli, CLI_OTHER, "%s: %s", key, file_problem(status));
    }
    return created_write(cli, args_text(args, "out"),
                         (struct bytes){signature->bytes, signature->len},
                         "the signature");
}

static enum cli_exit run_force_sign(struct cli *cli, const struct args *args)
{
    struct file_data document = {NULL, 0};
    struct file_data signature = {NULL, 0};
    enum cli_exit code = sign(cli, args, &document, &signature);
    file_data_clear(&document);
    file_data_clear(&signature);
    return code;
}

static enum cli_exit run_recover(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    enum cli_exit code = key_name(cli, args, name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__RecoverCustomerKeyRequest request =
        HOLDFAST__V1__RECOVER_CUSTOMER_KEY_REQUEST__INIT;
    request.name = name;
    request.etag = proto_text(args_text(args, "etag"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &recover_method, &request.base, key_columns,
                    KEY_COLUMNS);
}

static enum cli_exit run_deleted(struct cli *cli, const struct args *args)
{
    (void)args;
    char parent[NAME_TEXT];
    enum cli_exit code = cli_parent(cli, parent);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__ListDeletedCustomerKeysRequest request =
        HOLDFAST__V1__LIST_DELETED_CUSTOMER_KEYS_REQUEST__INIT;
    request.parent = parent;
    const struct cli_list list = {
        .method =
            {"holdfast.v1.CustomerKeyService/ListDeletedCustomerKeys",
                     &holdfast__v1__list_deleted_customer_keys_response__descriptor},
        .request = &request.base,
        .items = "customerKeys",
    };
    return cli_show_list(cli, &list, deleted_columns,
                         HF_COUNT(deleted_columns));
}

static const struct option delete_options[] = {
    {"confirm", NULL,   "it is meant: a deleted key serves nobody", false, false},
    {"etag",    "ETAG", "only if it is still this version",         false, false},
    OPTIONS_OF_A_FORCE,
    OPTIONS_OF_A_CHANGE,
};
static const struct option recover_options[] = {
    {"etag", "ETAG", "only if it is still this version", false, false},
    OPTIONS_OF_A_CHANGE,
};

static const struct option force_document_options[] = {
    {"change",  "WHAT",   "disable or soft-delete",                   true,  false},
    {"version", "NUMBER", "to be disabled; default: the current one", false,
     false                                                                        },
    {"out",     "FILE",   "write it here, to be signed as it is",     true,  false},
};
static const struct option force_sign_options[] = {
    {"document", "FILE", "what is signed",           true, false},
    {"key",      "FILE", "your private key (PEM)",   true, false},
    {"out",      "FILE", "where the signature goes", true, false},
};

static const struct command dependants_command = {
    .group = "key",
    .verb = "dependants",
    .summary = "List the resources that still need a version of a customer "
               "key. None: it may be disabled.",
    .operands = "KEY",
    .options = dependants_options,
    .option_count = HF_COUNT(dependants_options),
    .example = "holdfast --as admin key dependants root-a --version 1",
    .run = run_dependants,
};

static const struct command delete_command = {
    .group = "key",
    .verb = "delete",
    .summary = "Soft-delete a customer key; in effect before the reply. It can "
               "be recovered until its retention is over.",
    .operands = "KEY",
    .options = delete_options,
    .option_count = HF_COUNT(delete_options),
    .example = "holdfast --as admin key delete root-a --confirm",
    .run = run_delete,
};

static const struct command recover_command = {
    .group = "key",
    .verb = "recover",
    .summary = "Bring a soft-deleted customer key back as it was.",
    .operands = "KEY",
    .options = recover_options,
    .option_count = HF_COUNT(recover_options),
    .example = "holdfast --as admin key recover root-a",
    .run = run_recover,
};

static const struct command deleted_command = {
    .group = "key",
    .verb = "deleted",
    .summary = "List the soft-deleted customer keys, and when each is gone.",
    .example = "holdfast --as admin key deleted",
    .run = run_deleted,
};

static const struct command force_document_command = {
    .group = "key",
    .verb = "force-document",
    .summary = "Draft what two approvers sign to have a key disabled or "
               "deleted that stored keys need. It serves once.",
    .operands = "KEY",
    .options = force_document_options,
    .option_count = HF_COUNT(force_document_options),
    .example = "holdfast --as admin key force-document root-a --change disable "
               "--out disable.txt",
    .run = run_force_document,
};

static const struct command force_sign_command = {
    .group = "key",
    .verb = "force-sign",
    .summary = "Sign such a document, as an approver, offline.",
    .options = force_sign_options,
    .option_count = HF_COUNT(force_sign_options),
    .example = "holdfast key force-sign --document disable.txt --key ada.key "
               "--out disable.ada",
    .run = run_force_sign,
};

static const struct command *const commands[] = {
    &dependants_command, &delete_command,         &recover_command,
    &deleted_command,    &force_document_command, &force_sign_command,
};
const struct command_set commands_of_key_life = {commands, HF_COUNT(commands)};
