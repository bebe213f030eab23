/* dep: data encryption policies (specification 3). */
#include "hsm/base/check.h"

#include "client/cli/cli.h"
#include "client/cli/values.h"

#include "holdfast/v1/dep_service.pb-c.h"

#include <string.h>

#define LEASE_MAX_S 900
#define MASK_PATHS  6

static const struct column columns[] = {
    {"DEP",              "depId",                          NULL,                COLUMN_TEXT },
    {"UID",              "uid",                            NULL,                COLUMN_TEXT },
    {"TYPE",             "type",                           "DEP_TYPE_",         COLUMN_TEXT },
    {"STATE",            "state",                          "DEP_STATE_",        COLUMN_TEXT },
    {"HEALTH",           "health",                         "DEP_HEALTH_",       COLUMN_TEXT },
    {"KEYS",             "customerKeys.customerKey",       NULL,                COLUMN_LEAF },
    {"GENERATION",       "generation",                     NULL,                COLUMN_RIGHT},
    {"RESIDENCY",        "residency",                      "RESIDENCY_",        COLUMN_TEXT },
    {"ASSIGNED",         "assignedCount",                  NULL,                COLUMN_RIGHT},
    {"KEY HEALTH",       "customerKeys.health.state",      "KEY_HEALTH_STATE_",
     COLUMN_TEXT                                                                            },
    {"KEY DOMAINS",      "customerKeys.custodyDomain",     NULL,                COLUMN_TEXT },
    {"KEY WRAP",         "customerKeys.wrapAlgorithm",     NULL,                COLUMN_TEXT },
    {"AVAILABILITY KEY", "availabilityKey.id",             NULL,                COLUMN_TEXT },
    {"AK STATE",         "availabilityKey.state",          NULL,                COLUMN_TEXT },
    {"KEY LEASE",        "keyLease",                       NULL,                COLUMN_TEXT },
    {"FALLBACK LIMIT",   "fallbackLimit",                  NULL,                COLUMN_TEXT },
    {"OUTAGE SINCE",     "outageStartTime",                NULL,                COLUMN_TEXT },
    {"DESCRIPTION",      "description",                    NULL,                COLUMN_TEXT },
    {"KEY UPDATE",       "keyUpdate",                      "KEY_UPDATE_",       COLUMN_TEXT },
    {"LAST KEY UPDATE",  "lastKeyUpdateTime",              NULL,                COLUMN_TEXT },
    {"ON NEWEST",        "keyCounts.newest",               NULL,                COLUMN_RIGHT},
    {"ON EARLIER",       "keyCounts.earlier",              NULL,                COLUMN_RIGHT},
    {"ENCRYPTED",        "mailboxCounts.encrypted",        NULL,                COLUMN_RIGHT},
    {"ENCRYPTED %",      "mailboxCounts.encryptedPercent", NULL,                COLUMN_RIGHT},
    {"CREATED",          "createTime",                     NULL,                COLUMN_TEXT },
    {"UPDATED",          "updateTime",                     NULL,                COLUMN_TEXT },
    {"ETAG",             "etag",                           NULL,                COLUMN_TEXT },
};
#define LIST_COLUMNS 9

static const struct cli_method create_method = {
    "holdfast.v1.DepService/CreateDep", &holdfast__v1__dep__descriptor};
static const struct cli_method get_method = {"holdfast.v1.DepService/GetDep",
                                             &holdfast__v1__dep__descriptor};
static const struct cli_method update_method = {
    "holdfast.v1.DepService/UpdateDep", &holdfast__v1__dep__descriptor};
static const struct cli_method test_method = {
    "holdfast.v1.DepService/TestDep",
    &holdfast__v1__validation_report__descriptor};

static enum cli_exit take_residency(struct cli *cli,
                                    Holdfast__V1__Residency *out)
{
    const char *word = args_text(cli->args, "residency");
    int value = 0;
    if (word != NULL && enum_parse(&holdfast__v1__residency__descriptor,
                                   "RESIDENCY_", word, &value) != HF_OK) {
        return cli_usage(cli, "--residency is token or memory");
    }
    *out = (Holdfast__V1__Residency)value;
    return CLI_OK;
}

static enum cli_exit take_type(struct cli *cli, Holdfast__V1__DepType *out)
{
    const char *word = args_text(cli->args, "type");
    int value = 0;
    if (word != NULL && enum_parse(&holdfast__v1__dep_type__descriptor,
                                   "DEP_TYPE_", word, &value) != HF_OK) {
        return cli_usage(cli, "--type is exchange-mailbox or multi-workload");
    }
    *out = (Holdfast__V1__DepType)value;
    return CLI_OK;
}

/* take_lease: *out_set tells whether one was given. */
static enum cli_exit
take_lease(struct cli *cli, Google__Protobuf__Duration *lease, bool *out_set)
{
    const char *text = args_text(cli->args, "key-lease");
    *out_set = text != NULL;
    if (text != NULL &&
        number_parse(text, 0, LEASE_MAX_S, &lease->seconds) != HF_OK) {
        return cli_usage(cli, "--key-lease is 0 to %d seconds", LEASE_MAX_S);
    }
    return CLI_OK;
}

/* take_limit: *out_set tells whether one was given. */
static enum cli_exit
take_limit(struct cli *cli, Google__Protobuf__Duration *limit, bool *out_set)
{
    const char *text = args_text(cli->args, "fallback-limit");
    *out_set = text != NULL;
    if (text != NULL &&
        number_parse(text, 1, UINT32_MAX, &limit->seconds) != HF_OK) {
        return cli_usage(cli, "--fallback-limit is a number of seconds");
    }
    return CLI_OK;
}

struct create {
    char parent[NAME_TEXT];
    char keys[2][NAME_TEXT];
    char *key_list[2];
    char request_id[HF_REQUEST_ID_TEXT];
    Google__Protobuf__Duration lease;
    Google__Protobuf__Duration limit;
    Holdfast__V1__CreateDepRequest request;
};

static enum cli_exit fill_keys(struct cli *cli, struct create *create)
{
    if (args_count(cli->args, "customer-key") != HF_COUNT(create->keys)) {
        return cli_usage(cli, "a DEP has exactly two customer keys: give "
                              "--customer-key twice");
    }
    for (size_t i = 0; i < HF_COUNT(create->keys); i++) {
        enum cli_exit code =
            cli_name(cli, "customerKeys",
                     args_nth(cli->args, "customer-key", i), create->keys[i]);
        if (code != CLI_OK) {
            return code;
        }
        create->key_list[i] = create->keys[i];
    }
    create->request.customer_keys = create->key_list;
    create->request.n_customer_keys = HF_COUNT(create->keys);
    return CLI_OK;
}

static enum cli_exit fill_create(struct cli *cli, struct create *create)
{
    bool leased = false;
    bool limited = false;
    enum cli_exit code = cli_parent(cli, create->parent);
    if (code == CLI_OK) {
        code = fill_keys(cli, create);
    }
    if (code == CLI_OK) {
        code = cli_request_id(cli, create->request_id);
    }
    if (code == CLI_OK) {
        code = take_type(cli, &create->request.type);
    }
    if (code == CLI_OK) {
        code = take_residency(cli, &create->request.residency);
    }
    if (code == CLI_OK) {
        code = take_lease(cli, &create->lease, &leased);
    }
    if (code == CLI_OK) {
        code = take_limit(cli, &create->limit, &limited);
    }
    if (leased) {
        create->request.key_lease = &create->lease;
    }
    if (limited) {
        create->request.fallback_limit = &create->limit;
    }
    return code;
}

static enum cli_exit run_create(struct cli *cli, const struct args *args)
{
    struct create create = {
        .request = HOLDFAST__V1__CREATE_DEP_REQUEST__INIT,
        .lease = GOOGLE__PROTOBUF__DURATION__INIT,
        .limit = GOOGLE__PROTOBUF__DURATION__INIT,
    };
    enum cli_exit code = fill_create(cli, &create);
    if (code != CLI_OK) {
        return code;
    }
    if (create.request.type == HOLDFAST__V1__DEP_TYPE__DEP_TYPE_UNSPECIFIED) {
        create.request.type = HOLDFAST__V1__DEP_TYPE__DEP_TYPE_EXCHANGE_MAILBOX;
    }
    create.request.parent = create.parent;
    create.request.dep_id = proto_text(args->operands[0]);
    create.request.description = proto_text(args_text(args, "description"));
    create.request.disabled = args_flag(args, "disabled");
    create.request.workload_identity =
        proto_text(args_text(args, "workload-identity"));
    create.request.request_id = create.request_id;
    create.request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &create_method, &create.request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_get(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    enum cli_exit code = cli_name(cli, "deps", args->operands[0], name);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__GetDepRequest request = HOLDFAST__V1__GET_DEP_REQUEST__INIT;
    request.name = name;
    code = take_type(cli, &request.type);
    if (code != CLI_OK) {
        return code;
    }
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
    Holdfast__V1__ListDepsRequest request =
        HOLDFAST__V1__LIST_DEPS_REQUEST__INIT;
    request.parent = parent;
    code = take_type(cli, &request.type);
    if (code != CLI_OK) {
        return code;
    }
    const struct cli_list list = {
        .method = {"holdfast.v1.DepService/ListDeps",
                   &holdfast__v1__list_deps_response__descriptor},
        .request = &request.base,
        .items = "deps",
    };
    return cli_show_list(cli, &list, columns, LIST_COLUMNS);
}

/* --- update ----------------------------------------------------------------
 */

static void touch(Google__Protobuf__FieldMask *mask, const char *path)
{
    CHECK(mask->n_paths < MASK_PATHS);
    mask->paths[mask->n_paths++] = proto_text(path);
}

static void take_texts(const struct args *args, Holdfast__V1__Dep *dep,
                       Google__Protobuf__FieldMask *mask)
{
    if (args_text(args, "name") != NULL) {
        dep->dep_id = proto_text(args_text(args, "name"));
        touch(mask, "dep_id");
    }
    if (args_text(args, "description") != NULL) {
        dep->description = proto_text(args_text(args, "description"));
        touch(mask, "description");
    }
    if (args_flag(args, "enable") || args_flag(args, "disable")) {
        dep->enabled = args_flag(args, "enable");
        touch(mask, "enabled");
    }
}

/* A limit, or none. */
static enum cli_exit take_new_limit(struct cli *cli, Holdfast__V1__Dep *dep,
                                    Google__Protobuf__Duration *limit,
                                    Google__Protobuf__FieldMask *mask)
{
    bool limited = false;
    bool unlimited = args_flag(cli->args, "no-fallback-limit");
    enum cli_exit code = take_limit(cli, limit, &limited);
    if (code != CLI_OK) {
        return code;
    }
    if (limited && unlimited) {
        return cli_usage(cli, "either --fallback-limit or --no-fallback-limit");
    }
    if (limited || unlimited) {
        dep->fallback_limit = limited ? limit : NULL;
        touch(mask, "fallback_limit");
    }
    return CLI_OK;
}

static enum cli_exit take_changes(struct cli *cli, Holdfast__V1__Dep *dep,
                                  Google__Protobuf__Duration *lease,
                                  Google__Protobuf__FieldMask *mask)
{
    bool leased = false;
    if (args_flag(cli->args, "enable") && args_flag(cli->args, "disable")) {
        return cli_usage(cli, "either --enable or --disable");
    }
    take_texts(cli->args, dep, mask);
    enum cli_exit code = take_residency(cli, &dep->residency);
    if (code == CLI_OK) {
        code = take_lease(cli, lease, &leased);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (args_text(cli->args, "residency") != NULL) {
        touch(mask, "residency");
    }
    if (leased) {
        dep->key_lease = lease;
        touch(mask, "key_lease");
    }
    return CLI_OK;
}

static enum cli_exit run_update(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    char *paths[MASK_PATHS];
    Holdfast__V1__Dep dep = HOLDFAST__V1__DEP__INIT;
    Google__Protobuf__Duration lease = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__Duration limit = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    mask.paths = paths;
    enum cli_exit code = cli_name(cli, "deps", args->operands[0], name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code == CLI_OK) {
        code = take_changes(cli, &dep, &lease, &mask);
    }
    if (code == CLI_OK) {
        code = take_new_limit(cli, &dep, &limit, &mask);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (mask.n_paths == 0) {
        return cli_usage(cli, "nothing to change: use --enable, --disable, "
                              "--name, --description, --residency, "
                              "--key-lease, --fallback-limit or "
                              "--no-fallback-limit");
    }
    dep.name = name;
    dep.etag = proto_text(args_text(args, "etag"));
    Holdfast__V1__UpdateDepRequest request =
        HOLDFAST__V1__UPDATE_DEP_REQUEST__INIT;
    request.dep = &dep;
    request.update_mask = &mask;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &update_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_test(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    enum cli_exit code = cli_name(cli, "deps", args->operands[0], name);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__TestDepRequest request = HOLDFAST__V1__TEST_DEP_REQUEST__INIT;
    request.name = name;
    return cli_show_report(cli, &test_method, &request.base);
}

#define OPTION_TYPE                                                            \
    {                                                                          \
        "type", "TYPE", "exchange-mailbox or multi-workload", false, false     \
    }

static const struct option look_options[] = {OPTION_TYPE};

static const struct option create_options[] = {
    OPTION_TYPE,
    {"customer-key",      "KEY",     "exactly two",               true,  true },
    {"workload-identity", "URI",
      "whose get, wrap and unwrap on both keys are "
     "checked (SPIFFE)",                                           true,  false},
    {"description",       "TEXT",    "for people",                false, false},
    {"disabled",          NULL,      "create it disabled",        false, false},
    {"residency",         "WHERE",   "token (default) or memory", false, false},
    {"key-lease",         "SECONDS", "0 to 900, default 60",      false, false},
    {"fallback-limit",    "SECONDS",
      "how long users may run on the availability key in an "
     "outage; no limit unless given",                              false, false},
    OPTIONS_OF_A_CHANGE,
};
static const struct option update_options[] = {
    {"name",              "NAME",    "its name among people",                   false, false},
    {"description",       "TEXT",    "for people",                              false, false},
    {"enable",            NULL,      "mailboxes may be assigned to it",         false, false},
    {"disable",           NULL,      "only while no mailbox is assigned to it", false, false},
    {"residency",         "WHERE",   "token or memory",                         false, false},
    {"key-lease",         "SECONDS", "0 to 900",                                false, false},
    {"fallback-limit",    "SECONDS",
     "how long users may run on the availability key in an "
     "outage",                                                                  false, false},
    {"no-fallback-limit", NULL,      "as long as it lasts",                     false, false},
    {"etag",              "ETAG",    "only if it is still this version",        false, false},
    OPTIONS_OF_A_CHANGE,
};

static const struct command create_command = {
    .group = "dep",
    .verb = "create",
    .summary = "Create a data encryption policy over two customer keys.",
    .operands = "DEP",
    .options = create_options,
    .option_count = HF_COUNT(create_options),
    .example =
        "holdfast --as admin dep create mail --customer-key root-a "
        "--customer-key root-b --workload-identity spiffe://contoso/workload",
    .run = run_create,
};

static const struct command get_command = {
    .group = "dep",
    .verb = "get",
    .summary = "Show one DEP, by name or UUID.",
    .operands = "DEP",
    .options = look_options,
    .option_count = HF_COUNT(look_options),
    .example = "holdfast --as admin dep get mail",
    .run = run_get,
};

static const struct command list_command = {
    .group = "dep",
    .verb = "list",
    .summary = "List the DEPs of the tenant.",
    .options = look_options,
    .option_count = HF_COUNT(look_options),
    .example = "holdfast --as admin dep list --type multi-workload",
    .run = run_list,
};

static const struct command update_command = {
    .group = "dep",
    .verb = "update",
    .summary = "Change a DEP.",
    .operands = "DEP",
    .options = update_options,
    .option_count = HF_COUNT(update_options),
    .example = "holdfast --as admin dep update mail --disable",
    .run = run_update,
};

static const struct command test_command = {
    .group = "dep",
    .verb = "test",
    .summary = "Check both keys and every copy of the DEP key, live. Exit code "
               "5 when a check fails.",
    .operands = "DEP",
    .example = "holdfast --as admin dep test mail",
    .run = run_test,
};

static const struct command *const commands[] = {&create_command, &get_command,
                                                 &list_command, &update_command,
                                                 &test_command};
const struct command_set commands_of_dep = {commands, HF_COUNT(commands)};
