/* status: is everything well? One page: server, DEPs, keys, tokens; for the
 * operator, who sees no customer's keys, the tenants and the tokens of the
 * availability keys. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/advice.h"
#include "client/cli/cli.h"
#include "client/cli/json.h"
#include "client/cli/words.h"

#include "holdfast/v1/customer_key_service.pb-c.h"
#include "holdfast/v1/dep_service.pb-c.h"
#include "holdfast/v1/tenant_service.pb-c.h"
#include "holdfast/v1/token_service.pb-c.h"

#include <stdlib.h>

static const struct column dep_columns[] = {
    {"DEP",       "depId",                    NULL,          COLUMN_TEXT },
    {"STATE",     "state",                    "DEP_STATE_",  COLUMN_TEXT },
    {"HEALTH",    "health",                   "DEP_HEALTH_", COLUMN_TEXT },
    {"KEYS",      "customerKeys.customerKey", NULL,          COLUMN_LEAF },
    {"MAILBOXES", "assignedCount",            NULL,          COLUMN_RIGHT},
};
static const struct column key_columns[] = {
    {"KEY",          "name",                   NULL,                COLUMN_LEAF},
    {"TOKEN",        "token",                  NULL,                COLUMN_LEAF},
    {"DOMAIN",       "custodyDomain",          NULL,                COLUMN_TEXT},
    {"HEALTH",       "health.state",           "KEY_HEALTH_STATE_", COLUMN_TEXT},
    {"LAST SUCCESS", "health.lastSuccessTime", NULL,                COLUMN_TEXT},
    {"LAST FAILURE", "health.lastFailureTime", NULL,                COLUMN_TEXT},
};
static const struct column token_columns[] = {
    {"TOKEN",     "name",          NULL, COLUMN_LEAF},
    {"DOMAIN",    "custodyDomain", NULL, COLUMN_TEXT},
    {"REACHABLE", "reachable",     NULL, COLUMN_TEXT},
    {"WRAP",      "wrapAlgorithm", NULL, COLUMN_TEXT},
    {"TEST ONLY", "testOnly",      NULL, COLUMN_TEXT},
};

static const struct column tenant_columns[] = {
    {"TENANT",     "name",       NULL, COLUMN_LEAF},
    {"PRODUCTION", "production", NULL, COLUMN_TEXT},
    {"LICENSED",   "licensed",   NULL, COLUMN_TEXT},
    {"DELETED",    "deleted",    NULL, COLUMN_TEXT},
};

static const struct column ak_columns[] = {
    {"SHAREPOINT", "sharepoint",      NULL,              COLUMN_TEXT },
    {"CAPACITY",   "level",           "CAPACITY_LEVEL_", COLUMN_TEXT },
    {"% USED",     "percent",         NULL,              COLUMN_RIGHT},
    {"OBJECTS",    "objectCount",     NULL,              COLUMN_RIGHT},
    {"OF",         "capacityObjects", NULL,              COLUMN_RIGHT},
    {"FREE BYTES", "freeBytes",       NULL,              COLUMN_RIGHT},
    {"REACHABLE",  "reachable",       NULL,              COLUMN_TEXT },
};

/* The page as it is gathered. A section that this caller may not see is named
 * as such; it does not spoil the others. */
struct page {
    json_t *document;
    enum cli_exit worst;
    bool keys_shown;   /* the customer keys: to a tenant's own people */
    bool keys_refused; /* which is as it should be for an operator */
};

static const char *serving_word(enum hf_serving serving)
{
    switch (serving) {
    case HF_SERVING:
        return "SERVING";
    case HF_NOT_SERVING:
        return "NOT_SERVING";
    case HF_SERVING_UNKNOWN:
        break;
    }
    return "UNKNOWN";
}

static void text_freep(char **text)
{
    free(*text);
}

static enum cli_exit add_section(struct cli *cli, struct page *page,
                                 const struct cli_list *list, const char *title,
                                 const struct column *columns, size_t count)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    json_t *items = NULL;
    enum cli_exit code = cli_gather(cli, list, &items, &error);
    if (code != CLI_OK && error.code == HF_CODE_OK) {
        return code; /* said already */
    }
    if (!cli->json) {
        (void)fprintf(cli->out, "\n%s\n", title);
    }
    if (code != CLI_OK) {
        page->worst = advice_exit(&error);
        (void)json_object_set_new(page->document, list->items, json_null());
        if (!cli->json) {
            HF_OWNED(text_freep)
            char *text =
                words_of_text(error.message != NULL ? error.message : "");
            (void)fprintf(cli->out, "  not shown: %s %s\n",
                          hf_code_text(error.code), text != NULL ? text : "");
        }
        return CLI_OK;
    }
    (void)json_object_set_new(page->document, list->items, items);
    return cli->json ? CLI_OK : output_table(cli->out, items, columns, count);
}

static enum cli_exit add_deps(struct cli *cli, struct page *page, char *parent)
{
    Holdfast__V1__ListDepsRequest request =
        HOLDFAST__V1__LIST_DEPS_REQUEST__INIT;
    request.parent = parent;
    const struct cli_list list = {
        .method = {"holdfast.v1.DepService/ListDeps",
                   &holdfast__v1__list_deps_response__descriptor},
        .request = &request.base,
        .items = "deps",
    };
    return add_section(cli, page, &list, "Data encryption policies",
                       dep_columns, HF_COUNT(dep_columns));
}

static enum cli_exit add_keys(struct cli *cli, struct page *page, char *parent)
{
    Holdfast__V1__ListCustomerKeysRequest request =
        HOLDFAST__V1__LIST_CUSTOMER_KEYS_REQUEST__INIT;
    request.parent = parent;
    const struct cli_list list = {
        .method = {"holdfast.v1.CustomerKeyService/ListCustomerKeys",
                   &holdfast__v1__list_customer_keys_response__descriptor},
        .request = &request.base,
        .items = "customerKeys",
    };
    enum cli_exit before = page->worst;
    enum cli_exit code = add_section(cli, page, &list, "Customer keys",
                                     key_columns, HF_COUNT(key_columns));
    page->keys_shown =
        json_is_array(json_object_get(page->document, list.items));
    if (page->worst == CLI_DENIED && before == CLI_OK) {
        page->keys_refused = true;
        page->worst = before;
    }
    return code;
}

static enum cli_exit add_tokens(struct cli *cli, struct page *page,
                                char *parent)
{
    Holdfast__V1__ListTokensRequest request =
        HOLDFAST__V1__LIST_TOKENS_REQUEST__INIT;
    request.parent = parent;
    const struct cli_list list = {
        .method = {"holdfast.v1.TokenService/ListTokens",
                   &holdfast__v1__list_tokens_response__descriptor},
        .request = &request.base,
        .items = "tokens",
    };
    return add_section(cli, page, &list, "Tokens", token_columns,
                       HF_COUNT(token_columns));
}

static enum cli_exit add_tenants(struct cli *cli, struct page *page)
{
    Holdfast__V1__ListTenantsRequest request =
        HOLDFAST__V1__LIST_TENANTS_REQUEST__INIT;
    const struct cli_list list = {
        .method = {"holdfast.v1.TenantService/ListTenants",
                   &holdfast__v1__list_tenants_response__descriptor},
        .request = &request.base,
        .items = "tenants",
    };
    enum cli_exit before = page->worst;
    enum cli_exit code = add_section(cli, page, &list, "Tenants",
                                     tenant_columns, HF_COUNT(tenant_columns));
    if (page->worst == CLI_DENIED) {
        page->worst = before; /* the others name theirs with --tenant */
    }
    return code;
}

/* The operator's alone: nobody else is told that there is more. Who has
 * seen customer keys is none, and does not ask: a refusal is in the audit. */
static enum cli_exit add_availability(struct cli *cli, struct page *page)
{
    static const struct cli_method method = {
        "holdfast.v1.TokenService/GetAvailabilityTokens",
        &holdfast__v1__availability_tokens__descriptor};
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    Holdfast__V1__GetAvailabilityTokensRequest request =
        HOLDFAST__V1__GET_AVAILABILITY_TOKENS_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    enum cli_exit code =
        cli_ask(cli, &method, &request.base, &response, &error);
    bool not_his = error.code == HF_CODE_PERMISSION_DENIED ||
                   error.code == HF_CODE_UNIMPLEMENTED;
    if (page->keys_refused && code != CLI_OK && page->worst == CLI_OK) {
        page->worst = CLI_DENIED; /* no operator either */
    }
    if (code != CLI_OK) {
        return not_his                    ? CLI_OK
               : error.code == HF_CODE_OK ? code
                                          : cli_error(cli, &error);
    }
    HF_OWNED(json_freep) json_t *shown = message_json(response);
    hf_message_free(response);
    json_t *tokens = json_object_get(shown, "tokens");
    (void)json_object_set(page->document, "availabilityTokens", tokens);
    if (cli->json) {
        return CLI_OK;
    }
    (void)fprintf(cli->out, "\nTokens of availability keys\n");
    return output_table(cli->out, tokens, ak_columns, HF_COUNT(ak_columns));
}

static enum cli_exit add_health(struct cli *cli, struct page *page)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    enum hf_serving serving = HF_SERVING_UNKNOWN;
    enum cli_exit code = cli_connect(cli);
    if (code != CLI_OK) {
        return code;
    }
    if (hf_health(cli->client, "", &serving, &error) != HF_CODE_OK) {
        return cli_error(cli, &error);
    }
    (void)json_object_set_new(page->document, "server",
                              json_string(serving_word(serving)));
    if (serving != HF_SERVING) {
        page->worst = CLI_UNAVAILABLE;
    }
    if (!cli->json) {
        (void)fprintf(cli->out, "Server %s: %s\n",
                      cli->settings.values[SETTING_TARGET],
                      serving_word(serving));
    }
    return CLI_OK;
}

static enum cli_exit run_status(struct cli *cli, const struct args *args)
{
    (void)args;
    HF_OWNED(json_freep) json_t *document = json_object();
    struct page page = {.document = document, .worst = CLI_OK};
    enum cli_exit code = add_health(cli, &page);
    if (code != CLI_OK) {
        return code;
    }
    if (cli->settings.values[SETTING_TENANT] != NULL) {
        char parent[NAME_TEXT];
        code = cli_parent(cli, parent);
        if (code == CLI_OK) {
            code = add_deps(cli, &page, parent);
        }
        if (code == CLI_OK) {
            code = add_keys(cli, &page, parent);
        }
        if (code == CLI_OK) {
            code = add_tokens(cli, &page, parent);
        }
    }
    if (code == CLI_OK && cli->settings.values[SETTING_TENANT] == NULL) {
        code = add_tenants(cli, &page);
    }
    if (code == CLI_OK && !page.keys_shown) {
        code = add_availability(cli, &page);
    }
    if (code == CLI_OK && cli->json) {
        code = output_json(cli->out, document);
    }
    return code != CLI_OK ? code : page.worst;
}

static const struct command status_command = {
    .group = "status",
    .summary = "Server, DEPs, customer keys and tokens on one page.",
    .example = "holdfast --as admin status",
    .run = run_status,
};

static const struct command *const commands[] = {&status_command};
const struct command_set commands_of_status = {commands, HF_COUNT(commands)};
