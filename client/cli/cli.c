#include "client/cli/cli.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/ids.h"
#include "hsm/base/own.h"

#include "client/cli/dep_names.h"
#include "client/cli/json.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_MAX 100000

char *proto_text(const char *text)
{
    return (char *)(uintptr_t)(text != NULL ? text : protobuf_c_empty_string);
}

/* --- names -----------------------------------------------------------------
 */

static bool has_control(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f) {
            return true;
        }
    }
    return false;
}

enum cli_exit cli_parent(struct cli *cli, char out[NAME_TEXT])
{
    const char *tenant = cli->settings.values[SETTING_TENANT];
    if (tenant == NULL || tenant[0] == '\0') {
        return cli_usage(cli, "no tenant is named: use --tenant TENANT, a "
                              "profile (--as NAME) or HOLDFAST_TENANT");
    }
    int len = strncmp(tenant, "tenants/", 8) == 0
                  ? snprintf(out, NAME_TEXT, "%s", tenant)
                  : snprintf(out, NAME_TEXT, "tenants/%s", tenant);
    if (len < 0 || len >= NAME_TEXT || has_control(out)) {
        return cli_usage(cli, "the name of the tenant cannot be used");
    }
    return CLI_OK;
}

enum cli_exit cli_name(struct cli *cli, const char *collection, const char *id,
                       char out[NAME_TEXT])
{
    bool full = strncmp(id, "tenants/", 8) == 0;
    char parent[NAME_TEXT] = "";
    if (!full) {
        enum cli_exit code = cli_parent(cli, parent);
        if (code != CLI_OK) {
            return code;
        }
    }
    int len =
        full ? snprintf(out, NAME_TEXT, "%s", id)
             : snprintf(out, NAME_TEXT, "%s/%s/%s", parent, collection, id);
    if (len < 0 || len >= NAME_TEXT || id[0] == '\0' || has_control(id)) {
        return cli_usage(cli, "a name is empty, too long, or has control "
                              "characters");
    }
    return CLI_OK;
}

enum cli_exit cli_request_id(struct cli *cli, char out[HF_REQUEST_ID_TEXT])
{
    const char *given = args_text(cli->args, "request-id");
    struct hf_id id;
    if (given == NULL) {
        return hf_request_id(out) == HF_CODE_OK
                   ? CLI_OK
                   : cli_fail(cli, CLI_OTHER, "the random generator failed");
    }
    if (id_parse(given, &id) != HF_OK) {
        return cli_usage(cli, "--request-id is a UUID, like "
                              "5f0c7e0a-2a3c-4f0e-9b58-0c1d2e3f4a5b");
    }
    id_format(&id, out);
    return CLI_OK;
}

static void *member_of(ProtobufCMessage *request, const char *name,
                       ProtobufCType type)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(request->descriptor,
                                                        name);
    return field != NULL && field->type == type
               ? (uint8_t *)request + field->offset
               : NULL;
}

enum cli_exit cli_order(struct cli *cli, const char *collection,
                        ProtobufCMessage *request, struct cli_words *words)
{
    char **name = member_of(request, "name", PROTOBUF_C_TYPE_STRING);
    char **id = member_of(request, "request_id", PROTOBUF_C_TYPE_STRING);
    protobuf_c_boolean *validate_only =
        member_of(request, "validate_only", PROTOBUF_C_TYPE_BOOL);
    CHECK(id != NULL && validate_only != NULL);
    enum cli_exit code =
        cli_name(cli, collection, cli->args->operands[0], words->name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, words->request_id);
    }
    if (name != NULL) {
        *name = words->name;
    }
    *id = words->request_id;
    *validate_only = args_flag(cli->args, "validate-only");
    return code;
}

/* --- calling ---------------------------------------------------------------
 */

enum cli_exit cli_connect(struct cli *cli)
{
    if (cli->client != NULL) {
        return CLI_OK;
    }
    char *const *values = cli->settings.values;
    if (values[SETTING_TARGET] == NULL) {
        return cli_usage(cli, "no server is named: use --target HOST:PORT, a "
                              "profile (--as NAME) or HOLDFAST_TARGET");
    }
    struct hf_settings settings = {
        .target = values[SETTING_TARGET],
        .ca_file = values[SETTING_CA],
        .certificate_file = values[SETTING_CERT],
        .key_file = values[SETTING_KEY],
        .server_name = values[SETTING_SERVER_NAME],
        .transport_log = getenv("GRPC_VERBOSITY") != NULL,
    };
    if (settings_timeout_ms(&cli->settings, &settings.deadline_ms) != HF_OK) {
        return cli_usage(cli, "%s", cli->settings.mistake);
    }
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    if (hf_client_open(&settings, &cli->client, &error) != HF_CODE_OK) {
        return cli_error(cli, &error);
    }
    return CLI_OK;
}

enum cli_exit cli_ask(struct cli *cli, const struct cli_method *method,
                      const ProtobufCMessage *request,
                      ProtobufCMessage **out_response, struct hf_error *error)
{
    enum cli_exit code = cli_connect(cli);
    if (code != CLI_OK) {
        return code; /* said already: error->code is still OK */
    }
    const struct hf_unary unary = {
        .method = method->name,
        .request = request,
        .response = method->response,
    };
    if (hf_call(cli->client, &unary, out_response, error) != HF_CODE_OK) {
        return CLI_OTHER;
    }
    return CLI_OK;
}

/* say: an answer of the service; what failed before it was said already. */
static enum cli_exit say(struct cli *cli, enum cli_exit code,
                         const struct hf_error *error)
{
    return error->code != HF_CODE_OK ? cli_error(cli, error) : code;
}

enum cli_exit cli_show(struct cli *cli, const struct cli_method *method,
                       const ProtobufCMessage *request,
                       const struct column *columns, size_t count)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    ProtobufCMessage *response = NULL;
    enum cli_exit code = cli_ask(cli, method, request, &response, &error);
    if (code != CLI_OK) {
        return say(cli, code, &error);
    }
    HF_OWNED(json_freep) json_t *item = message_json(response);
    hf_message_free(response);
    if (item == NULL) {
        return cli_fail(cli, CLI_OTHER, "out of memory");
    }
    return cli_show_item(cli, item, columns, count);
}

static bool is_only_checked(const struct args *args)
{
    for (size_t i = 0; i < args->given_count; i++) {
        if (strcmp(args->given[i].option->name, "validate-only") == 0) {
            return true;
        }
    }
    return false;
}

enum cli_exit cli_show_item(struct cli *cli, const json_t *item,
                            const struct column *columns, size_t count)
{
    if (cli->json) {
        return output_json(cli->out, item);
    }
    if (!is_only_checked(cli->args)) {
        return output_item(cli->out, item, columns, count);
    }
    const struct command *command = cli->args->command;
    (void)fprintf(cli->out,
                  "The service checked the whole of \"%s%s%s\" and would do "
                  "it. Nothing was changed.\nIt would come to:\n",
                  command->group, command->verb != NULL ? " " : "",
                  command->verb != NULL ? command->verb : "");
    return output_preview(cli->out, item, columns, count);
}

/* --- lists: every one has page_token in and next_page_token out ------------
 */

static char **page_token_of(ProtobufCMessage *request)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(request->descriptor,
                                                        "page_token");
    CHECK(field != NULL && field->type == PROTOBUF_C_TYPE_STRING);
    return (char **)((uint8_t *)request + field->offset);
}

/* take_page: moves the items over; *out_token is the next page's, "" at the
 * end; freed with free. */
static bool take_page(const ProtobufCMessage *response,
                      const struct cli_list *list, json_t *into,
                      char **out_token)
{
    HF_OWNED(json_freep) json_t *page = message_json(response);
    const json_t *items = json_object_get(page, list->items);
    const char *token =
        json_string_value(json_object_get(page, "nextPageToken"));
    if (!json_is_array(items) || token == NULL) {
        return false;
    }
    size_t index = 0;
    json_t *item = NULL;
    json_array_foreach(items, index, item)
    {
        if (list->most != 0 && json_array_size(into) == list->most) {
            token = "";
            break;
        }
        if (json_array_append(into, item) != 0) {
            return false;
        }
    }
    *out_token = strdup(token);
    return *out_token != NULL;
}

static void text_freep(char **text)
{
    free(*text);
}

enum cli_exit cli_gather(struct cli *cli, const struct cli_list *list,
                         json_t **out_array, struct hf_error *error)
{
    HF_OWNED(json_freep) json_t *all = json_array();
    HF_OWNED(text_freep) char *token = strdup("");
    for (size_t page = 0; page < PAGES_MAX; page++) {
        ProtobufCMessage *response = NULL;
        *page_token_of(list->request) = proto_text(token);
        enum cli_exit code =
            cli_ask(cli, &list->method, list->request, &response, error);
        *page_token_of(list->request) = proto_text(NULL);
        if (code != CLI_OK) {
            return code;
        }
        char *next = NULL;
        bool taken = take_page(response, list, all, &next);
        hf_message_free(response);
        if (!taken) {
            return cli_fail(cli, CLI_OTHER, "out of memory");
        }
        free(token);
        token = next;
        if (token[0] == '\0') {
            *out_array = HF_GIVE(all);
            return CLI_OK;
        }
    }
    return cli_fail(cli, CLI_OTHER, "the list does not end");
}

enum cli_exit cli_show_list(struct cli *cli, const struct cli_list *list,
                            const struct column *columns, size_t count)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    HF_OWNED(json_freep) json_t *all = NULL;
    enum cli_exit code = cli_gather(cli, list, &all, &error);
    if (code != CLI_OK) {
        return say(cli, code, &error);
    }
    if (!cli->json) {
        if (list->names_deps) {
            dep_names_put(cli, all, columns, count);
        }
        return output_table(cli->out, all, columns, count);
    }
    HF_OWNED(json_freep) json_t *document = json_pack("{sO}", list->items, all);
    return output_json(cli->out, document);
}
