/* key: customer keys (specification 4). */
#include "hsm/base/check.h"

#include "client/cli/cli.h"
#include "client/cli/key.h"
#include "client/cli/key_force.h"
#include "client/cli/values.h"

#include "holdfast/v1/customer_key_service.pb-c.h"

#include <string.h>

#define PERMISSIONS 3
#define MASK_PATHS  3
#define VERSION_MAX 1000000

const struct column key_columns[KEY_COLUMNS] = {
    {"KEY",               "name",                                  NULL,                  COLUMN_LEAF },
    {"VERSION",           "currentVersion",                        NULL,                  COLUMN_RIGHT},
    {"TOKEN",             "token",                                 NULL,                  COLUMN_LEAF },
    {"DOMAIN",            "custodyDomain",                         NULL,                  COLUMN_TEXT },
    {"ENABLED",           "versions.enabled",                      NULL,                  COLUMN_TEXT },
    {"HEALTH",            "health.state",                          "KEY_HEALTH_STATE_",   COLUMN_TEXT },
    {"GRANTED TO",        "grants.identity",                       NULL,                  COLUMN_TEXT },
    {"BITS",              "versions.bits",                         NULL,                  COLUMN_TEXT },
    {"WRAP",              "versions.wrapAlgorithm",                NULL,                  COLUMN_TEXT },
    {"URI",               "versions.uri",                          NULL,                  COLUMN_TEXT },
    {"LABEL",             "versions.label",                        NULL,                  COLUMN_TEXT },
    {"FINGERPRINT",       "versions.fingerprint",                  NULL,                  COLUMN_TEXT },
    {"NOT BEFORE",        "versions.notBeforeTime",                NULL,                  COLUMN_TEXT },
    {"EXPIRES",           "versions.expireTime",                   NULL,                  COLUMN_TEXT },
    {"FIRST USED",        "versions.firstUseTime",                 NULL,                  COLUMN_TEXT },
    {"LAST USED",         "versions.lastUseTime",                  NULL,                  COLUMN_TEXT },
    {"IMPORTED",          "versions.imported",                     NULL,                  COLUMN_TEXT },
    {"ORIGIN",            "versions.attributes.origin",            NULL,                  COLUMN_TEXT },
    {"LOCAL",             "versions.attributes.local",             NULL,                  COLUMN_TEXT },
    {"ALWAYS SENSITIVE",  "versions.attributes.alwaysSensitive",   NULL,
     COLUMN_TEXT                                                                                      },
    {"NEVER EXTRACTABLE", "versions.attributes.neverExtractable",  NULL,
     COLUMN_TEXT                                                                                      },
    {"MECHANISMS",        "versions.attributes.allowedMechanisms", NULL,                  COLUMN_TEXT },
    {"LAST SUCCESS",      "health.lastSuccessTime",                NULL,                  COLUMN_TEXT },
    {"LAST FAILURE",      "health.lastFailureTime",                NULL,                  COLUMN_TEXT },
    {"CREATED",           "createTime",                            NULL,                  COLUMN_TEXT },
    {"ETAG",              "etag",                                  NULL,                  COLUMN_TEXT },
    {"STATE",             "state",                                 "CUSTOMER_KEY_STATE_", COLUMN_TEXT },
    {"RECOVERY",          "recoveryLevel",                         NULL,                  COLUMN_TEXT },
    {"DELETED",           "deleteTime",                            NULL,                  COLUMN_TEXT },
    {"GONE AT",           "purgeTime",                             NULL,                  COLUMN_TEXT },
};

#define LIST_COLUMNS 7

#define ANSWERS_KEY  &holdfast__v1__customer_key__descriptor
static const struct cli_method register_method = {
    "holdfast.v1.CustomerKeyService/RegisterCustomerKey", ANSWERS_KEY};
static const struct cli_method get_method = {
    "holdfast.v1.CustomerKeyService/GetCustomerKey", ANSWERS_KEY};
static const struct cli_method update_method = {
    "holdfast.v1.CustomerKeyService/UpdateCustomerKey", ANSWERS_KEY};
static const struct cli_method grant_method = {
    "holdfast.v1.CustomerKeyService/GrantCustomerKey", ANSWERS_KEY};
static const struct cli_method revoke_method = {
    "holdfast.v1.CustomerKeyService/RevokeCustomerKey", ANSWERS_KEY};
static const struct cli_method validate_method = {
    "holdfast.v1.CustomerKeyService/ValidateCustomerKeys",
    &holdfast__v1__validation_report__descriptor};

/* take_time: *out_time is NULL when the option was not given. */
static enum cli_exit take_time(struct cli *cli, const char *option,
                               Google__Protobuf__Timestamp *time,
                               Google__Protobuf__Timestamp **out_time)
{
    const char *text = args_text(cli->args, option);
    *out_time = NULL;
    if (text == NULL) {
        return CLI_OK;
    }
    if (time_parse(text, &time->seconds) != HF_OK) {
        return cli_usage(cli,
                         "--%s is a time in UTC, like 2030-01-31 or "
                         "2030-01-31T12:00:00Z",
                         option);
    }
    *out_time = time;
    return CLI_OK;
}

enum cli_exit key_name(struct cli *cli, const struct args *args,
                       char name[NAME_TEXT])
{
    return cli_name(cli, "customerKeys", args->operands[0], name);
}

static enum cli_exit run_register(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    char token[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    Google__Protobuf__Timestamp from = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Google__Protobuf__Timestamp until = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Holdfast__V1__RegisterCustomerKeyRequest request =
        HOLDFAST__V1__REGISTER_CUSTOMER_KEY_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    if (code == CLI_OK) {
        code = cli_name(cli, "tokens", args_text(args, "token"), token);
    }
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code == CLI_OK) {
        code = take_time(cli, "not-before", &from, &request.not_before_time);
    }
    if (code == CLI_OK) {
        code = take_time(cli, "expires", &until, &request.expire_time);
    }
    if (code != CLI_OK) {
        return code;
    }
    request.parent = parent;
    request.customer_key_id = proto_text(args->operands[0]);
    request.token = token;
    request.uri = proto_text(args_text(args, "uri"));
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &register_method, &request.base, key_columns,
                    KEY_COLUMNS);
}

static enum cli_exit run_get(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    enum cli_exit code = key_name(cli, args, name);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__GetCustomerKeyRequest request =
        HOLDFAST__V1__GET_CUSTOMER_KEY_REQUEST__INIT;
    request.name = name;
    return cli_show(cli, &get_method, &request.base, key_columns, KEY_COLUMNS);
}

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    (void)args;
    char parent[NAME_TEXT];
    enum cli_exit code = cli_parent(cli, parent);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__ListCustomerKeysRequest request =
        HOLDFAST__V1__LIST_CUSTOMER_KEYS_REQUEST__INIT;
    request.parent = parent;
    const struct cli_list list = {
        .method = {"holdfast.v1.CustomerKeyService/ListCustomerKeys",
                   &holdfast__v1__list_customer_keys_response__descriptor},
        .request = &request.base,
        .items = "customerKeys",
    };
    return cli_show_list(cli, &list, key_columns, LIST_COLUMNS);
}

/* --- update ----------------------------------------------------------------
 */

struct update {
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    char *paths[MASK_PATHS];
    int64_t version;
    Google__Protobuf__Timestamp from;
    Google__Protobuf__Timestamp until;
    Google__Protobuf__FieldMask mask;
    Holdfast__V1__UpdateCustomerKeyRequest request;
};

static void touch_when(struct update *update, bool given, const char *path)
{
    if (given) {
        update->paths[update->mask.n_paths++] = proto_text(path);
    }
}

static enum cli_exit fill_update(struct cli *cli, struct update *update)
{
    const struct args *args = cli->args;
    const char *version = args_text(args, "version");
    bool enable = args_flag(args, "enable");
    bool disable = args_flag(args, "disable");
    if (enable && disable) {
        return cli_usage(cli, "either --enable or --disable");
    }
    if (version != NULL &&
        number_parse(version, 1, VERSION_MAX, &update->version) != HF_OK) {
        return cli_usage(cli, "--version is a number from 1");
    }
    enum cli_exit code = take_time(cli, "not-before", &update->from,
                                   &update->request.not_before_time);
    if (code == CLI_OK) {
        code = take_time(cli, "expires", &update->until,
                         &update->request.expire_time);
    }
    if (code != CLI_OK) {
        return code;
    }
    touch_when(update, enable || disable, "enabled");
    touch_when(update, update->request.not_before_time != NULL,
               "not_before_time");
    touch_when(update, update->request.expire_time != NULL, "expire_time");
    return update->mask.n_paths > 0
               ? CLI_OK
               : cli_usage(cli, "nothing to change: use --enable, --disable, "
                                "--not-before or --expires");
}

static enum cli_exit send_update(struct cli *cli, const struct args *args,
                                 struct key_force *force)
{
    struct update update = {
        .from = GOOGLE__PROTOBUF__TIMESTAMP__INIT,
        .until = GOOGLE__PROTOBUF__TIMESTAMP__INIT,
        .mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT,
        .request = HOLDFAST__V1__UPDATE_CUSTOMER_KEY_REQUEST__INIT,
    };
    update.mask.paths = update.paths;
    enum cli_exit code = key_name(cli, args, update.name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, update.request_id);
    }
    if (code == CLI_OK) {
        code = fill_update(cli, &update);
    }
    if (code == CLI_OK) {
        code = key_force_read(cli, args, force, &update.request.force);
    }
    if (code != CLI_OK) {
        return code;
    }
    update.request.name = update.name;
    update.request.version = (uint32_t)update.version;
    update.request.enabled = args_flag(args, "enable");
    update.request.update_mask = &update.mask;
    update.request.etag = proto_text(args_text(args, "etag"));
    update.request.request_id = update.request_id;
    update.request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &update_method, &update.request.base, key_columns,
                    KEY_COLUMNS);
}

static enum cli_exit run_update(struct cli *cli, const struct args *args)
{
    struct key_force force = {
        .document = {NULL, 0}
    };
    enum cli_exit code = send_update(cli, args, &force);
    key_force_clear(&force);
    return code;
}

/* --- grants ----------------------------------------------------------------
 */

static enum cli_exit take_permissions(struct cli *cli,
                                      Holdfast__V1__Permission *out,
                                      size_t *out_count)
{
    size_t count = args_count(cli->args, "permission");
    if (count > PERMISSIONS) {
        return cli_usage(cli, "there are three permissions: get, wrap, unwrap");
    }
    for (size_t i = 0; i < count; i++) {
        int value = 0;
        const char *word = args_nth(cli->args, "permission", i);
        if (enum_parse(&holdfast__v1__permission__descriptor, "PERMISSION_",
                       word, &value) != HF_OK) {
            return cli_usage(cli,
                             "--permission is get, wrap or unwrap, not "
                             "\"%s\"",
                             word);
        }
        out[i] = (Holdfast__V1__Permission)value;
    }
    *out_count = count;
    return CLI_OK;
}

static enum cli_exit run_grant(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    Holdfast__V1__Permission permissions[PERMISSIONS] = {
        HOLDFAST__V1__PERMISSION__PERMISSION_GET,
        HOLDFAST__V1__PERMISSION__PERMISSION_WRAP,
        HOLDFAST__V1__PERMISSION__PERMISSION_UNWRAP};
    size_t count = 0;
    enum cli_exit code = key_name(cli, args, name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code == CLI_OK) {
        code = take_permissions(cli, permissions, &count);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__GrantCustomerKeyRequest request =
        HOLDFAST__V1__GRANT_CUSTOMER_KEY_REQUEST__INIT;
    request.name = name;
    request.identity = proto_text(args_text(args, "identity"));
    request.permissions = permissions;
    request.n_permissions = count > 0 ? count : PERMISSIONS;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &grant_method, &request.base, key_columns,
                    KEY_COLUMNS);
}

static enum cli_exit run_revoke(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    Holdfast__V1__Permission permissions[PERMISSIONS];
    size_t count = 0;
    enum cli_exit code = key_name(cli, args, name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code == CLI_OK) {
        code = take_permissions(cli, permissions, &count);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__RevokeCustomerKeyRequest request =
        HOLDFAST__V1__REVOKE_CUSTOMER_KEY_REQUEST__INIT;
    request.name = name;
    request.identity = proto_text(args_text(args, "identity"));
    request.permissions = permissions;
    request.n_permissions = count; /* none: all */
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &revoke_method, &request.base, key_columns,
                    KEY_COLUMNS);
}

static enum cli_exit run_validate(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    char keys[2][NAME_TEXT];
    char *key_list[2] = {keys[0], keys[1]};
    int residency = 0;
    const char *word = args_text(args, "residency");
    enum cli_exit code = cli_parent(cli, parent);
    for (size_t i = 0; i < HF_COUNT(keys) && code == CLI_OK; i++) {
        code = cli_name(cli, "customerKeys", args->operands[i], keys[i]);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (word != NULL && enum_parse(&holdfast__v1__residency__descriptor,
                                   "RESIDENCY_", word, &residency) != HF_OK) {
        return cli_usage(cli, "--residency is token or memory");
    }
    Holdfast__V1__ValidateCustomerKeysRequest request =
        HOLDFAST__V1__VALIDATE_CUSTOMER_KEYS_REQUEST__INIT;
    request.parent = parent;
    request.customer_keys = key_list;
    request.n_customer_keys = HF_COUNT(keys);
    request.workload_identity =
        proto_text(args_text(args, "workload-identity"));
    request.residency = (Holdfast__V1__Residency)residency;
    return cli_show_report(cli, &validate_method, &request.base);
}

static const struct option register_options[] = {
    {"token",      "TOKEN", "the enrolled token it is in",      true,  false},
    {"uri",        "URI",   "pkcs11: with id= of the key pair", true,  false},
    {"not-before", "TIME",  "unusable before",                  false, false},
    {"expires",    "TIME",  "unusable from then on",            false, false},
    OPTIONS_OF_A_CHANGE,
};
static const struct option update_options[] = {
    {"version",    "N",    "which version; default: the current one",        false, false},
    {"enable",     NULL,   "let it be used",                                 false, false},
    {"disable",    NULL,   "in effect before the reply",                     false, false},
    {"not-before", "TIME", "unusable before",                                false, false},
    {"expires",    "TIME", "unusable from then on; cannot be removed again", false,
     false                                                                               },
    {"etag",       "ETAG", "only if it is still this version",               false, false},
    OPTIONS_OF_A_FORCE,
    OPTIONS_OF_A_CHANGE,
};
static const struct option grant_options[] = {
    {"identity",   "URI",  "SPIFFE URI of a workload",                true,  false},
    {"permission", "WHAT", "get, wrap or unwrap; default: all three", false,
     true                                                                         },
    OPTIONS_OF_A_CHANGE,
};
static const struct option validate_options[] = {
    {"workload-identity", "URI",   "whose permissions are checked", false, false},
    {"residency",         "WHERE", "token (default) or memory",     false, false},
};

static const struct command register_command = {
    .group = "key",
    .verb = "register",
    .summary = "Register a key that is in an enrolled token.",
    .operands = "KEY",
    .options = register_options,
    .option_count = HF_COUNT(register_options),
    .example = "holdfast --as admin key register root-a --token customer-a "
               "--uri 'pkcs11:token=customer-a;id=%01;type=private'",
    .run = run_register,
};

static const struct command get_command = {
    .group = "key",
    .verb = "get",
    .summary = "Show one customer key.",
    .operands = "KEY",
    .example = "holdfast --as admin key get root-a",
    .run = run_get,
};

static const struct command list_command = {
    .group = "key",
    .verb = "list",
    .summary = "List the customer keys.",
    .example = "holdfast --as admin key list",
    .run = run_list,
};

static const struct command update_command = {
    .group = "key",
    .verb = "update",
    .summary = "Enable, disable or date a version of a key.",
    .operands = "KEY",
    .options = update_options,
    .option_count = HF_COUNT(update_options),
    .example = "holdfast --as admin key update root-a --disable",
    .run = run_update,
};

static const struct command grant_command = {
    .group = "key",
    .verb = "grant",
    .summary = "Let a workload use a key.",
    .operands = "KEY",
    .options = grant_options,
    .option_count = HF_COUNT(grant_options),
    .example = "holdfast --as admin key grant root-a --identity "
               "spiffe://contoso/workload",
    .run = run_grant,
};

static const struct command revoke_command = {
    .group = "key",
    .verb = "revoke",
    .summary =
        "Take a workload's permissions away; in effect before the reply.",
    .operands = "KEY",
    .options = grant_options,
    .option_count = HF_COUNT(grant_options),
    .example = "holdfast --as admin key revoke root-a --identity "
               "spiffe://contoso/workload",
    .run = run_revoke,
};

static const struct command validate_command = {
    .group = "key",
    .verb = "validate",
    .summary = "Run every check on a pair of keys. Exit code 5 when one fails.",
    .operands = "KEY KEY",
    .options = validate_options,
    .option_count = HF_COUNT(validate_options),
    .example = "holdfast --as admin key validate root-a root-b "
               "--workload-identity spiffe://contoso/workload",
    .run = run_validate,
};

static const struct command *const commands[] = {
    &register_command, &get_command,    &list_command,    &update_command,
    &grant_command,    &revoke_command, &validate_command};
const struct command_set commands_of_key = {commands, HF_COUNT(commands)};
