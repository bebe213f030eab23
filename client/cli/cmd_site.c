/* site, blob: SharePoint sites, their keys and those of their blobs
 * (specification 5.3, 6.3). */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/access.h"
#include "client/cli/cli.h"
#include "client/cli/created.h"

#include "holdfast/v1/file_key_service.pb-c.h"
#include "holdfast/v1/geo_service.pb-c.h"

#include <string.h>

static const struct column columns[] = {
    {"SITE",          "name",                NULL,          COLUMN_LEAF },
    {"GEO",           "geo",                 NULL,          COLUMN_LEAF },
    {"STATE",         "state",               "SITE_STATE_", COLUMN_TEXT },
    {"ENCRYPTED",     "isEncrypted",         NULL,          COLUMN_TEXT },
    {"EFFECTIVE DEP", "effectiveDep",        NULL,          COLUMN_LEAF },
    {"GENERATION",    "effectiveGeneration", NULL,          COLUMN_RIGHT},
    {"EFFECTIVE",     "effectiveTime",       NULL,          COLUMN_TEXT },
    {"CREATED",       "createTime",          NULL,          COLUMN_TEXT },
    {"ETAG",          "etag",                NULL,          COLUMN_TEXT },
};
#define LIST_COLUMNS 6

static const struct cli_method register_method = {
    "holdfast.v1.GeoService/RegisterSite", &holdfast__v1__site__descriptor};
static const struct cli_method get_method = {"holdfast.v1.GeoService/GetSite",
                                             &holdfast__v1__site__descriptor};

/* A site may be known before its geo is registered, and then has no
 * key: who mistyped the geo should learn it now. */
static void warn_of_geo(struct cli *cli, const char *geo)
{
    char name[NAME_TEXT];
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    ProtobufCMessage *site = NULL;
    Holdfast__V1__GetSiteRequest request = HOLDFAST__V1__GET_SITE_REQUEST__INIT;
    request.name = name;
    if (cli_name(cli, "sites", cli->args->operands[0], name) == CLI_OK &&
        cli_ask(cli, &get_method, &request.base, &site, &error) != CLI_OK &&
        error.reason != NULL &&
        strcmp(error.reason, "GEO_NOT_REGISTERED") == 0) {
        (void)fprintf(cli->err,
                      "holdfast: warning: no customer keys are registered for "
                      "geo %s: the site has no key until \"holdfast geo "
                      "register %s\". Was the name mistyped? \"holdfast geo "
                      "list\" shows those there are\n",
                      geo, geo);
    }
    hf_message_free(site);
}

static enum cli_exit run_register(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    char geo[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    Holdfast__V1__RegisterSiteRequest request =
        HOLDFAST__V1__REGISTER_SITE_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    if (code == CLI_OK) {
        code = cli_name(cli, "geos", args_text(args, "geo"), geo);
    }
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code != CLI_OK) {
        return code;
    }
    request.parent = parent;
    request.site_id = proto_text(args->operands[0]);
    request.geo = geo;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    code = cli_show(cli, &register_method, &request.base, columns,
                    HF_COUNT(columns));
    if (code == CLI_OK && !args_flag(args, "validate-only")) {
        warn_of_geo(cli, args_text(args, "geo"));
    }
    return code;
}

static enum cli_exit run_get(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    Holdfast__V1__GetSiteRequest request = HOLDFAST__V1__GET_SITE_REQUEST__INIT;
    enum cli_exit code = cli_name(cli, "sites", args->operands[0], name);
    request.name = name;
    return code == CLI_OK ? cli_show(cli, &get_method, &request.base, columns,
                                     HF_COUNT(columns))
                          : code;
}

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT];
    char geo[NAME_TEXT] = "";
    const char *id = args_text(args, "geo");
    Holdfast__V1__ListSitesRequest request =
        HOLDFAST__V1__LIST_SITES_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    if (code == CLI_OK && id != NULL) {
        code = cli_name(cli, "geos", id, geo);
    }
    request.parent = parent;
    request.geo = geo;
    const struct cli_list list = {
        .method = {"holdfast.v1.GeoService/ListSites",
                   &holdfast__v1__list_sites_response__descriptor},
        .request = &request.base,
        .items = "sites",
        .names_deps = true,
    };
    return code == CLI_OK ? cli_show_list(cli, &list, columns, LIST_COLUMNS)
                          : code;
}

/* --- keys --------------------------------------------------------------- */

static void secret_clear(struct hf_secret **secret)
{
    hf_secret_free(*secret);
}

static enum cli_exit place_key(struct cli *cli, ProtobufCBinaryData plaintext)
{
    HF_OWNED(secret_clear) struct hf_secret *key = NULL;
    if (plaintext.len == 0) {
        return CLI_OK;
    }
    if (hf_secret_new(plaintext.data, plaintext.len, &key) != HF_CODE_OK) {
        return cli_fail(cli, CLI_OTHER, "no locked memory left");
    }
    return key_place(cli, key);
}

/* The key where it was asked to go, the wrapped one into --out. */
static enum cli_exit place(struct cli *cli, ProtobufCBinaryData plaintext,
                           ProtobufCBinaryData wrapped)
{
    const char *path = args_text(cli->args, "out");
    enum cli_exit code = CLI_OK;
    if (path != NULL && wrapped.len == 0) {
        cli_note(cli,
                 "%s was not written: the wrapped key there is stays as it is",
                 path);
    } else if (path != NULL) {
        code =
            created_write(cli, path, (struct bytes){wrapped.data, wrapped.len},
                          "the wrapped key");
    }
    return code == CLI_OK ? place_key(cli, plaintext) : code;
}

static enum cli_exit ask(struct cli *cli, const struct cli_method *method,
                         const ProtobufCMessage *request,
                         ProtobufCMessage **out_response)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    enum cli_exit code = cli_ask(cli, method, request, out_response, &error);
    return code != CLI_OK && error.code != HF_CODE_OK ? cli_error(cli, &error)
                                                      : code;
}

static void message_clear(ProtobufCMessage **message)
{
    hf_message_free(*message);
}

static enum cli_exit begin(struct cli *cli, bool must, char site[NAME_TEXT])
{
    enum cli_exit code = key_place_check(cli, must);
    return code == CLI_OK ? cli_name(cli, "sites", cli->args->operands[0], site)
                          : code;
}

static enum cli_exit run_create_key(struct cli *cli, const struct args *args)
{
    static const struct cli_method method = {
        "holdfast.v1.FileKeyService/CreateSiteKey",
        &holdfast__v1__create_site_key_response__descriptor};
    char site[NAME_TEXT];
    HF_OWNED(message_clear) ProtobufCMessage *response = NULL;
    Holdfast__V1__CreateSiteKeyRequest request =
        HOLDFAST__V1__CREATE_SITE_KEY_REQUEST__INIT;
    enum cli_exit code = begin(cli, false, site);
    (void)args;
    request.resource = site;
    if (code == CLI_OK) {
        code = ask(cli, &method, &request.base, &response);
    }
    if (code != CLI_OK) {
        return code;
    }
    const Holdfast__V1__CreateSiteKeyResponse *got =
        (const Holdfast__V1__CreateSiteKeyResponse *)response;
    cli_note(cli, "site %s has a key; the service stores it, wrapped",
             cli->args->operands[0]);
    return place(cli, got->plaintext_key, got->wrapped_key);
}

static enum cli_exit read_wrapped(struct cli *cli, struct file_data *out)
{
    const char *path = args_text(cli->args, "wrapped");
    if (path == NULL) {
        return CLI_OK; /* the stored one */
    }
    enum hf_status status = file_read(path, WRAPPED_FILE_MAX_BYTES, out);
    return status == HF_OK
               ? CLI_OK
               : cli_usage(cli, "--wrapped %s: %s", path, file_problem(status));
}

static enum cli_exit run_unwrap_key(struct cli *cli, const struct args *args)
{
    static const struct cli_method method = {
        "holdfast.v1.FileKeyService/UnwrapSiteKey",
        &holdfast__v1__unwrap_site_key_response__descriptor};
    char site[NAME_TEXT];
    HF_OWNED(file_data_clear) struct file_data wrapped = {0};
    HF_OWNED(message_clear) ProtobufCMessage *response = NULL;
    Holdfast__V1__UnwrapSiteKeyRequest request =
        HOLDFAST__V1__UNWRAP_SITE_KEY_REQUEST__INIT;
    enum cli_exit code = begin(cli, true, site);
    (void)args;
    if (code == CLI_OK) {
        code = read_wrapped(cli, &wrapped);
    }
    request.resource = site;
    request.wrapped_key = (ProtobufCBinaryData){wrapped.len, wrapped.bytes};
    if (code == CLI_OK) {
        code = ask(cli, &method, &request.base, &response);
    }
    if (code != CLI_OK) {
        return code;
    }
    const Holdfast__V1__UnwrapSiteKeyResponse *got =
        (const Holdfast__V1__UnwrapSiteKeyResponse *)response;
    return place(cli, got->plaintext_key, got->rewrapped_key);
}

static enum cli_exit run_wrap_blob(struct cli *cli, const struct args *args)
{
    static const struct cli_method method = {
        "holdfast.v1.FileKeyService/WrapBlobKey",
        &holdfast__v1__wrap_blob_key_response__descriptor};
    char site[NAME_TEXT];
    HF_OWNED(message_clear) ProtobufCMessage *response = NULL;
    Holdfast__V1__WrapBlobKeyRequest request =
        HOLDFAST__V1__WRAP_BLOB_KEY_REQUEST__INIT;
    enum cli_exit code = begin(cli, false, site);
    request.resource = site;
    request.blob_id = proto_text(args->operands[1]);
    if (code == CLI_OK) {
        code = ask(cli, &method, &request.base, &response);
    }
    if (code != CLI_OK) {
        return code;
    }
    const Holdfast__V1__WrapBlobKeyResponse *got =
        (const Holdfast__V1__WrapBlobKeyResponse *)response;
    return place(cli, got->plaintext_key, got->wrapped_key);
}

static enum cli_exit run_unwrap_blob(struct cli *cli, const struct args *args)
{
    static const struct cli_method method = {
        "holdfast.v1.FileKeyService/UnwrapBlobKey",
        &holdfast__v1__unwrap_blob_key_response__descriptor};
    char site[NAME_TEXT];
    HF_OWNED(file_data_clear) struct file_data wrapped = {0};
    HF_OWNED(message_clear) ProtobufCMessage *response = NULL;
    Holdfast__V1__UnwrapBlobKeyRequest request =
        HOLDFAST__V1__UNWRAP_BLOB_KEY_REQUEST__INIT;
    enum cli_exit code = begin(cli, true, site);
    if (code == CLI_OK) {
        code = read_wrapped(cli, &wrapped);
    }
    request.resource = site;
    request.blob_id = proto_text(args->operands[1]);
    request.wrapped_key = (ProtobufCBinaryData){wrapped.len, wrapped.bytes};
    if (code == CLI_OK) {
        code = ask(cli, &method, &request.base, &response);
    }
    if (code != CLI_OK) {
        return code;
    }
    const Holdfast__V1__UnwrapBlobKeyResponse *got =
        (const Holdfast__V1__UnwrapBlobKeyResponse *)response;
    return place_key(cli, got->plaintext_key);
}

/* ------------------------------------------------------------------------ */

static const struct option register_options[] = {
    {"geo", "GEO", "where it is", true, false},
    OPTIONS_OF_A_CHANGE,
};
static const struct option list_options[] = {
    {"geo", "GEO", "only those of it", false, false},
};
#define OPTION_OUT                                                             \
    {                                                                          \
        "out", "FILE", "write the wrapped key to a new file", false, false     \
    }
static const struct option make_options[] = {OPTION_OUT, OPTIONS_OF_A_KEY};
static const struct option unwrap_options[] = {
    {"wrapped", "FILE",
     "the wrapped key; - is standard input; default: the one the service "
     "stores", false, false},
    OPTION_OUT,
    OPTIONS_OF_A_KEY,
};
static const struct option blob_options[] = {
    {"wrapped", "FILE", "the wrapped key; - is standard input", true, false},
    OPTIONS_OF_A_KEY,
};

#define COMMAND(what, word, text, takes, list, sample, function)               \
    {                                                                          \
        .group = (what), .verb = (word), .summary = (text), .operands = takes, \
        .options = (list), .option_count = HF_COUNT(list),                     \
        .example = (sample), .run = (function),                                \
    }

static const struct command register_command = COMMAND(
    "site", "register", "Make a site known, in a geo.", "SITE",
    register_options, "holdfast --as files site register finance --geo EMEA",
    run_register);
static const struct command get_command = {
    .group = "site",
    .verb = "get",
    .summary = "Show one site, once its geo is registered.",
    .operands = "SITE",
    .example = "holdfast --as admin site get finance",
    .run = run_get,
};
static const struct command list_command =
    COMMAND("site", "list", "List the sites.", NULL, list_options,
            "holdfast --as admin site list --geo EMEA", run_list);
static const struct command create_key_command =
    COMMAND("site", "create-key", "Make the key of a site that has none.",
            "SITE", make_options, "holdfast --as files site create-key finance",
            run_create_key);
static const struct command unwrap_key_command = COMMAND(
    "site", "unwrap-key", "Open a site's key. It goes only where you say.",
    "SITE", unwrap_options,
    "holdfast --as files site unwrap-key finance --key-out finance.key",
    run_unwrap_key);
static const struct command wrap_blob_command = COMMAND(
    "blob", "wrap", "Make a key for a blob (chunk) of a site, and wrap it.",
    "SITE BLOB", make_options,
    "holdfast --as files blob wrap finance chunk-1 --out chunk-1.hfe "
    "--key-out chunk-1.key",
    run_wrap_blob);
static const struct command unwrap_blob_command = COMMAND(
    "blob", "unwrap", "Open a blob's key. It goes only where you say.",
    "SITE BLOB", blob_options,
    "holdfast --as files blob unwrap finance chunk-1 --wrapped chunk-1.hfe "
    "--key-out chunk-1.key",
    run_unwrap_blob);

static const struct command *const commands[] = {
    &register_command,   &get_command,        &list_command,
    &create_key_command, &unwrap_key_command, &wrap_blob_command,
    &unwrap_blob_command};
const struct command_set commands_of_site = {commands, HF_COUNT(commands)};
