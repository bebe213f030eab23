/* geo: SharePoint geos (specification 3.4, 8.5). */
#include "hsm/base/check.h"

#include "client/cli/cli.h"
#include "client/cli/operation.h"
#include "client/cli/values.h"

#include "holdfast/v1/geo_service.pb-c.h"
#include "holdfast/v1/operation_service.pb-c.h"

#include <string.h>

#define WINDOW_MAX_H 168

static const struct column columns[] = {
    {"GEO",                 "name",                  NULL,                  COLUMN_LEAF },
    {"STATE",               "state",                 "GEO_STATE_",          COLUMN_TEXT },
    {"PERCENT",             "percent",               NULL,                  COLUMN_RIGHT},
    {"SITES",               "siteCount",             NULL,                  COLUMN_RIGHT},
    {"PRIMARY",             "primary.customerKey",   NULL,                  COLUMN_LEAF },
    {"VERSION",             "primary.version",       NULL,                  COLUMN_RIGHT},
    {"SECONDARY",           "secondary.customerKey", NULL,                  COLUMN_LEAF },
    {"VERSION",             "secondary.version",     NULL,                  COLUMN_RIGHT},
    {"TIK",                 "tikVersion",            NULL,                  COLUMN_RIGHT},
    {"DEP",                 "dep",                   NULL,                  COLUMN_LEAF },
    {"RECOVERY",            "recovery.state",        "GEO_RECOVERY_STATE_", COLUMN_TEXT },
    {"REQUESTED BY",        "recovery.requester",    NULL,                  COLUMN_TEXT },
    {"ENABLED BY",          "recovery.enabler",      NULL,                  COLUMN_TEXT },
    {"CONFIRMED BY",        "recovery.confirmer",    NULL,                  COLUMN_TEXT },
    {"TICKET",              "recovery.ticket",       NULL,                  COLUMN_TEXT },
    {"OPEN UNTIL",          "recovery.expireTime",   NULL,                  COLUMN_TEXT },
    {"TIK CACHED UNTIL",    "tikExpireTime",         NULL,                  COLUMN_TEXT },
    {"TIK REFRESH FAILING", "tikRefreshFailing",     NULL,                  COLUMN_TEXT },
    {"EVICTS ON DENIED",    "evictOnDenied",         NULL,                  COLUMN_TEXT },
    {"AVAILABILITY KEY",    "availabilityKey.id",    NULL,                  COLUMN_TEXT },
    {"OPERATION",           "operation",             NULL,                  COLUMN_LEAF },
    {"UPDATED",             "updateTime",            NULL,                  COLUMN_TEXT },
    {"ETAG",                "etag",                  NULL,                  COLUMN_TEXT },
};
#define LIST_COLUMNS 9

#define BEGINS(verb)                                                           \
    {                                                                          \
        "holdfast.v1.GeoService/" verb, &holdfast__v1__operation__descriptor   \
    }
#define ANSWERS(verb)                                                          \
    {                                                                          \
        "holdfast.v1.GeoService/" verb, &holdfast__v1__geo__descriptor         \
    }
static const struct cli_method register_method = BEGINS("RegisterGeo");
static const struct cli_method roll_method = BEGINS("RollGeoKey");
static const struct cli_method restore_method = BEGINS("RestoreGeo");
static const struct cli_method get_method = ANSWERS("GetGeo");
static const struct cli_method flush_method = ANSWERS("FlushTik");
static const struct cli_method request_method = ANSWERS("RequestRecovery");
static const struct cli_method enable_method = ANSWERS("EnableRecovery");
static const struct cli_method confirm_method = ANSWERS("ConfirmRecovery");

static enum cli_exit show_geo(struct cli *cli, const struct cli_method *method,
                              const ProtobufCMessage *request)
{
    return cli_show(cli, method, request, columns, HF_COUNT(columns));
}

/* KEY:VERSION; the version is never left out. */
struct key_ref {
    char name[NAME_TEXT];
    Holdfast__V1__KeyVersionRef ref;
};

static enum cli_exit take_key(struct cli *cli, const char *option,
                              struct key_ref *out)
{
    const char *text = args_text(cli->args, option);
    const char *colon = strrchr(text, ':');
    char name[NAME_TEXT] = "";
    int64_t version = 0;
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    if (len == 0 || len >= sizeof name ||
        number_parse(colon + 1, 1, UINT32_MAX, &version) != HF_OK) {
        return cli_usage(cli, "--%s is KEY:VERSION, like root-a:1", option);
    }
    memcpy(name, text, len);
    enum cli_exit code = cli_name(cli, "customerKeys", name, out->name);
    out->ref = (Holdfast__V1__KeyVersionRef)HOLDFAST__V1__KEY_VERSION_REF__INIT;
    out->ref.customer_key = out->name;
    out->ref.version = (uint32_t)version;
    return code;
}

static enum cli_exit take_residency(struct cli *cli,
                                    Holdfast__V1__Residency *out)
{
    const char *word = args_text(cli->args, "residency");
    int value = 0;
    *out = HOLDFAST__V1__RESIDENCY__RESIDENCY_UNSPECIFIED;
    if (word != NULL && enum_parse(&holdfast__v1__residency__descriptor,
                                   "RESIDENCY_", word, &value) != HF_OK) {
        return cli_usage(cli, "--residency is token or memory");
    }
    *out = (Holdfast__V1__Residency)value;
    return CLI_OK;
}

/* What register and restore take alike. */
struct pair {
    struct key_ref primary;
    struct key_ref secondary;
    Holdfast__V1__Residency residency;
};

static enum cli_exit take_pair(struct cli *cli, struct pair *pair)
{
    enum cli_exit code = take_key(cli, "primary", &pair->primary);
    if (code == CLI_OK) {
        code = take_key(cli, "secondary", &pair->secondary);
    }
    if (code == CLI_OK) {
        code = take_residency(cli, &pair->residency);
    }
    return code;
}

static enum cli_exit run_register(struct cli *cli, const struct args *args)
{
    struct pair pair;
    char parent[NAME_TEXT];
    struct cli_words words;
    Holdfast__V1__RegisterGeoRequest request =
        HOLDFAST__V1__REGISTER_GEO_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    if (code == CLI_OK) {
        code = take_pair(cli, &pair);
    }
    if (code == CLI_OK) {
        code = cli_order(cli, "geos", &request.base, &words);
    }
    if (code != CLI_OK) {
        return code;
    }
    request.parent = parent;
    request.geo_id = proto_text(args->operands[0]);
    request.primary = &pair.primary.ref;
    request.secondary = &pair.secondary.ref;
    request.workload_identity =
        proto_text(args_text(args, "workload-identity"));
    request.residency = pair.residency;
    request.evict_on_denied = args_flag(args, "evict-on-denied");
    return operation_order(cli, &register_method, &request.base);
}

static enum cli_exit run_restore(struct cli *cli, const struct args *args)
{
    struct pair pair;
    struct cli_words words;
    Holdfast__V1__RestoreGeoRequest request =
        HOLDFAST__V1__RESTORE_GEO_REQUEST__INIT;
    enum cli_exit code = cli_order(cli, "geos", &request.base, &words);
    if (code == CLI_OK) {
        code = take_pair(cli, &pair);
    }
    if (code != CLI_OK) {
        return code;
    }
    request.primary = &pair.primary.ref;
    request.secondary = &pair.secondary.ref;
    request.workload_identity =
        proto_text(args_text(args, "workload-identity"));
    request.residency = pair.residency;
    return operation_order(cli, &restore_method, &request.base);
}

static enum cli_exit run_roll(struct cli *cli, const struct args *args)
{
    struct key_ref key;
    struct cli_words words;
    int slot = 0;
    Holdfast__V1__RollGeoKeyRequest request =
        HOLDFAST__V1__ROLL_GEO_KEY_REQUEST__INIT;
    if (enum_parse(&holdfast__v1__geo_key_slot__descriptor, "GEO_KEY_SLOT_",
                   args_text(args, "slot"), &slot) != HF_OK) {
        return cli_usage(cli, "--slot is primary or secondary");
    }
    enum cli_exit code = cli_order(cli, "geos", &request.base, &words);
    if (code == CLI_OK) {
        code = take_key(cli, "customer-key", &key);
    }
    if (code != CLI_OK) {
        return code;
    }
    request.slot = (Holdfast__V1__GeoKeySlot)slot;
    request.key = &key.ref;
    request.workload_identity =
        proto_text(args_text(args, "workload-identity"));
    return operation_order(cli, &roll_method, &request.base);
}

static enum cli_exit run_get(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    Holdfast__V1__GetGeoRequest request = HOLDFAST__V1__GET_GEO_REQUEST__INIT;
    enum cli_exit code = cli_name(cli, "geos", args->operands[0], name);
    request.name = name;
    return code == CLI_OK ? show_geo(cli, &get_method, &request.base) : code;
}

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    Holdfast__V1__ListGeosRequest request =
        HOLDFAST__V1__LIST_GEOS_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    (void)args;
    request.parent = parent;
    const struct cli_list list = {
        .method = {"holdfast.v1.GeoService/ListGeos",
                   &holdfast__v1__list_geos_response__descriptor},
        .request = &request.base,
        .items = "geos",
        .names_deps = true,
    };
    return code == CLI_OK ? cli_show_list(cli, &list, columns, LIST_COLUMNS)
                          : code;
}

static enum cli_exit run_flush(struct cli *cli, const struct args *args)
{
    struct cli_words words;
    Holdfast__V1__FlushTikRequest request =
        HOLDFAST__V1__FLUSH_TIK_REQUEST__INIT;
    enum cli_exit code = cli_order(cli, "geos", &request.base, &words);
    (void)args;
    return code == CLI_OK ? show_geo(cli, &flush_method, &request.base) : code;
}

static enum cli_exit run_request(struct cli *cli, const struct args *args)
{
    struct cli_words words;
    Holdfast__V1__RequestRecoveryRequest request =
        HOLDFAST__V1__REQUEST_RECOVERY_REQUEST__INIT;
    enum cli_exit code = cli_order(cli, "geos", &request.base, &words);
    (void)args;
    return code == CLI_OK ? show_geo(cli, &request_method, &request.base)
                          : code;
}

static enum cli_exit run_confirm(struct cli *cli, const struct args *args)
{
    struct cli_words words;
    Holdfast__V1__ConfirmRecoveryRequest request =
        HOLDFAST__V1__CONFIRM_RECOVERY_REQUEST__INIT;
    enum cli_exit code = cli_order(cli, "geos", &request.base, &words);
    (void)args;
    return code == CLI_OK ? show_geo(cli, &confirm_method, &request.base)
                          : code;
}

static enum cli_exit run_enable(struct cli *cli, const struct args *args)
{
    struct cli_words words;
    const char *hours = args_text(args, "window-hours");
    int64_t number = 0;
    Google__Protobuf__Duration window = GOOGLE__PROTOBUF__DURATION__INIT;
    Holdfast__V1__EnableRecoveryRequest request =
        HOLDFAST__V1__ENABLE_RECOVERY_REQUEST__INIT;
    if (hours != NULL &&
        number_parse(hours, 1, WINDOW_MAX_H, &number) != HF_OK) {
        return cli_usage(cli, "--window-hours is 1 to %d", WINDOW_MAX_H);
    }
    enum cli_exit code = cli_order(cli, "geos", &request.base, &words);
    if (hours != NULL) {
        window.seconds = number * 3600;
        request.window = &window;
    }
    request.ticket = proto_text(args_text(args, "ticket"));
    return code == CLI_OK ? show_geo(cli, &enable_method, &request.base) : code;
}

#define OPTIONS_OF_A_PAIR                                                      \
    {"primary", "KEY:VERSION", "exactly this version", true, false},           \
        {"secondary", "KEY:VERSION", "exactly this version", true, false},     \
        {"workload-identity", "URI", "whose permissions on both are checked",  \
         true, false},                                                         \
    {                                                                          \
        "residency", "WHERE", "token (default) or memory", false, false        \
    }
static const struct option register_options[] = {
    OPTIONS_OF_A_PAIR,
    {"evict-on-denied", NULL, "a revocation ends the cached TIK at once", false,
      false},
    OPTIONS_OF_AN_OPERATION,
};
static const struct option restore_options[] = {OPTIONS_OF_A_PAIR,
                                                OPTIONS_OF_AN_OPERATION};
static const struct option roll_options[] = {
    {"slot",              "WHICH",       "primary or secondary",        true,  false},
    {"customer-key",      "KEY:VERSION", "to use from now on",          true,  false},
    {"workload-identity", "URI",
     "whose permissions are checked; default: one that may unwrap now", false,
     false                                                                          },
    OPTIONS_OF_AN_OPERATION,
};
static const struct option enable_options[] = {
    {"ticket",       "TEXT",  "on whose order",                            true, false},
    {"window-hours", "HOURS", "how long a restore may begin; default: 24",
     false,                                                                      false},
    OPTIONS_OF_A_CHANGE,
};
static const struct option plain_options[] = {OPTIONS_OF_A_CHANGE};

#define COMMAND(word, what, takes, list, sample, function)                     \
    {                                                                          \
        .group = "geo", .verb = (word), .summary = (what), .operands = takes,  \
        .options = (list), .option_count = HF_COUNT(list),                     \
        .example = (sample), .run = (function),                                \
    }

static const struct command register_command = COMMAND(
    "register",
    "Bring a geo's sites under two customer keys. It cannot be taken back.",
    "GEO", register_options,
    "holdfast --as admin geo register EMEA --primary root-a:1 --secondary "
    "root-b:1 --workload-identity spiffe://contoso.example/sharepoint",
    run_register);
static const struct command roll_command = COMMAND(
    "roll", "Exchange one of a geo's keys; one at a time.", "GEO", roll_options,
    "holdfast --as admin geo roll EMEA --slot primary --customer-key root-a:2",
    run_roll);
static const struct command restore_command = COMMAND(
    "restore",
    "Bring a geo whose keys are lost under a new pair, while a recovery is "
    "open.",
    "GEO", restore_options,
    "holdfast --as admin geo restore EMEA --primary root-c:1 --secondary "
    "root-d:1 --workload-identity spiffe://contoso.example/sharepoint",
    run_restore);
static const struct command get_command = {
    .group = "geo",
    .verb = "get",
    .summary = "Show one geo.",
    .operands = "GEO",
    .example = "holdfast --as admin geo get EMEA",
    .run = run_get,
};
static const struct command list_command = {
    .group = "geo",
    .verb = "list",
    .summary = "List the geos.",
    .example = "holdfast --as admin geo list",
    .run = run_list,
};
static const struct command flush_command = COMMAND(
    "flush", "End the cached TIK: the next read asks the customer keys.", "GEO",
    plain_options, "holdfast --as admin geo flush EMEA", run_flush);
static const struct command request_command =
    COMMAND("request-recovery",
            "Ask for a recovery, the customer's step. Two operators follow.",
            "GEO", plain_options,
            "holdfast --as admin geo request-recovery EMEA", run_request);
static const struct command enable_command =
    COMMAND("enable-recovery", "Enable a recovery that was asked for.", "GEO",
            enable_options,
            "holdfast --as operator geo enable-recovery EMEA --ticket INC-42",
            run_enable);
static const struct command confirm_command = COMMAND(
    "confirm-recovery", "Agree, as a second operator: a restore may begin.",
    "GEO", plain_options,
    "holdfast --as second-operator geo confirm-recovery EMEA", run_confirm);

static const struct command *const commands[] = {
    &register_command, &roll_command,   &restore_command,
    &get_command,      &list_command,   &flush_command,
    &request_command,  &enable_command, &confirm_command};
const struct command_set commands_of_geo = {commands, HF_COUNT(commands)};
