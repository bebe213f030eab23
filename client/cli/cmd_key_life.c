/* key: whether a customer key is needed, and its end (specification 4.1). */
#include "hsm/base/check.h"

#include "client/cli/cli.h"
#include "client/cli/key.h"
#include "client/cli/values.h"

#include "holdfast/v1/customer_key_service.pb-c.h"

#define VERSION_MAX 1000000

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

static enum cli_exit run_delete(struct cli *cli, const struct args *args)
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
    Holdfast__V1__SoftDeleteCustomerKeyRequest request =
        HOLDFAST__V1__SOFT_DELETE_CUSTOMER_KEY_REQUEST__INIT;
    request.name = name;
    request.confirm = args_flag(args, "confirm");
    request.etag = proto_text(args_text(args, "etag"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &delete_method, &request.base, key_columns,
                    KEY_COLUMNS);
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
    OPTIONS_OF_A_CHANGE,
};
static const struct option recover_options[] = {
    {"etag", "ETAG", "only if it is still this version", false, false},
    OPTIONS_OF_A_CHANGE,
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

static const struct command *const commands[] = {
    &dependants_command, &delete_command, &recover_command, &deleted_command};
const struct command_set commands_of_key_life = {commands, HF_COUNT(commands)};
