/* tenant: the tenants of the service (for its operator). */
#include "hsm/base/check.h"

#include "client/cli/cli.h"
#include "client/cli/operation.h"

#include "holdfast/v1/operation_service.pb-c.h"
#include "holdfast/v1/purge_service.pb-c.h"
#include "holdfast/v1/tenant_service.pb-c.h"

#include <string.h>

static const struct column columns[] = {
    {"TENANT",     "name",       NULL, COLUMN_LEAF},
    {"UID",        "uid",        NULL, COLUMN_TEXT},
    {"PRODUCTION", "production", NULL, COLUMN_TEXT},
    {"LICENSED",   "licensed",   NULL, COLUMN_TEXT},
    {"CREATED",    "createTime", NULL, COLUMN_TEXT},
    {"DELETED",    "deleted",    NULL, COLUMN_TEXT},
    {"ETAG",       "etag",       NULL, COLUMN_TEXT},
};
#define LIST_COLUMNS 6

static const struct cli_method create_method = {
    "holdfast.v1.TenantService/CreateTenant",
    &holdfast__v1__tenant__descriptor};
static const struct cli_method get_method = {
    "holdfast.v1.TenantService/GetTenant", &holdfast__v1__tenant__descriptor};
static const struct cli_method update_method = {
    "holdfast.v1.TenantService/UpdateTenant",
    &holdfast__v1__tenant__descriptor};

/* tenant_name: of the operand, or of --tenant. */
static enum cli_exit tenant_name(struct cli *cli, const struct args *args,
                                 char name[NAME_TEXT])
{
    const char *id = args->operands[0];
    if (id == NULL) {
        return cli_parent(cli, name);
    }
    int len = strncmp(id, "tenants/", 8) == 0
                  ? snprintf(name, NAME_TEXT, "%s", id)
                  : snprintf(name, NAME_TEXT, "tenants/%s", id);
    return len > 0 && len < NAME_TEXT
               ? CLI_OK
               : cli_usage(cli, "the name of the tenant is too long");
}

static enum cli_exit run_create(struct cli *cli, const struct args *args)
{
    char request_id[HF_REQUEST_ID_TEXT];
    enum cli_exit code = cli_request_id(cli, request_id);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__Tenant tenant = HOLDFAST__V1__TENANT__INIT;
    tenant.production = args_flag(args, "production");
    tenant.licensed = args_flag(args, "licensed");
    Holdfast__V1__CreateTenantRequest request =
        HOLDFAST__V1__CREATE_TENANT_REQUEST__INIT;
    request.tenant_id = proto_text(args->operands[0]);
    request.tenant = &tenant;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &create_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_get(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    enum cli_exit code = tenant_name(cli, args, name);
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__GetTenantRequest request =
        HOLDFAST__V1__GET_TENANT_REQUEST__INIT;
    request.name = name;
    return cli_show(cli, &get_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_list(struct cli *cli, const struct args *args)
{
    (void)args;
    Holdfast__V1__ListTenantsRequest request =
        HOLDFAST__V1__LIST_TENANTS_REQUEST__INIT;
    const struct cli_list list = {
        .method = {"holdfast.v1.TenantService/ListTenants",
                   &holdfast__v1__list_tenants_response__descriptor},
        .request = &request.base,
        .items = "tenants",
    };
    return cli_show_list(cli, &list, columns, LIST_COLUMNS);
}

/* yes_or_no: adds the field to the mask when the option was given. */
static enum cli_exit yes_or_no(struct cli *cli, const char *option,
                               protobuf_c_boolean *out_value,
                               Google__Protobuf__FieldMask *mask)
{
    const char *text = args_text(cli->args, option);
    if (text == NULL) {
        return CLI_OK;
    }
    *out_value = strcmp(text, "yes") == 0;
    if (!*out_value && strcmp(text, "no") != 0) {
        return cli_usage(cli, "--%s is yes or no", option);
    }
    mask->paths[mask->n_paths++] = proto_text(option);
    return CLI_OK;
}

static enum cli_exit run_update(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    char *paths[2];
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    mask.paths = paths;
    Holdfast__V1__Tenant tenant = HOLDFAST__V1__TENANT__INIT;
    enum cli_exit code = tenant_name(cli, args, name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code == CLI_OK) {
        code = yes_or_no(cli, "production", &tenant.production, &mask);
    }
    if (code == CLI_OK) {
        code = yes_or_no(cli, "licensed", &tenant.licensed, &mask);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (mask.n_paths == 0) {
        return cli_usage(cli, "nothing to change: use --production or "
                              "--licensed");
    }
    tenant.name = name;
    tenant.etag = proto_text(args_text(args, "etag"));
    Holdfast__V1__UpdateTenantRequest request =
        HOLDFAST__V1__UPDATE_TENANT_REQUEST__INIT;
    request.tenant = &tenant;
    request.update_mask = &mask;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &update_method, &request.base, columns,
                    HF_COUNT(columns));
}

static enum cli_exit run_roll(struct cli *cli, const struct args *args)
{
    static const struct cli_method method = {
        "holdfast.v1.TenantService/RollServiceManagedKey",
        &holdfast__v1__operation__descriptor};
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    enum cli_exit code = tenant_name(cli, args, name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__RollServiceManagedKeyRequest request =
        HOLDFAST__V1__ROLL_SERVICE_MANAGED_KEY_REQUEST__INIT;
    request.name = name;
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return operation_order(cli, &method, &request.base);
}

static const struct column delete_columns[] = {
    {"PURGE",     "name",            NULL,           COLUMN_LEAF },
    {"PHASE",     "phase",           "PURGE_PHASE_", COLUMN_TEXT },
    {"RESOURCES", "resourceCount",   NULL,           COLUMN_RIGHT},
    {"APPROVERS", "approvalsNeeded", NULL,           COLUMN_RIGHT},
};

static enum cli_exit run_delete(struct cli *cli, const struct args *args)
{
    static const struct cli_method method = {
        "holdfast.v1.TenantService/DeleteTenant",
        &holdfast__v1__purge__descriptor};
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
    enum cli_exit code = tenant_name(cli, args, name);
    if (code == CLI_OK) {
        code = cli_request_id(cli, request_id);
    }
    if (code != CLI_OK) {
        return code;
    }
    Holdfast__V1__DeleteTenantRequest request =
        HOLDFAST__V1__DELETE_TENANT_REQUEST__INIT;
    request.name = name;
    request.reason = proto_text(args_text(args, "reason"));
    request.contact = proto_text(args_text(args, "contact"));
    request.confirm = args_flag(args, "confirm");
    request.request_id = request_id;
    request.validate_only = args_flag(args, "validate-only");
    return cli_show(cli, &method, &request.base, delete_columns,
                    HF_COUNT(delete_columns));
}

static const struct option delete_options[] = {
    {"reason",  "TEXT", "why; it stands in the certificate",         true,  false},
    {"contact", "TEXT", "who is asked about it",                     true,  false},
    {"confirm", NULL,
     "at its end nothing of the tenant opens any more, for anybody", false,
     false                                                                       },
    OPTIONS_OF_A_CHANGE
};

static const struct option roll_options[] = {OPTIONS_OF_AN_OPERATION};

static const struct option create_options[] = {
    {"production", NULL, "refuse test tokens and keys in software", false,
     false                                                                      },
    {"licensed",   NULL, "every mailbox counts as licensed",        false, false},
    OPTIONS_OF_A_CHANGE,
};
static const struct option update_options[] = {
    {"production", "yes|no", "refuse test tokens and keys in software", false,
     false                                                                          },
    {"licensed",   "yes|no", "every mailbox counts as licensed",        false, false},
    {"etag",       "ETAG",   "only if it is still this version",        false, false},
    OPTIONS_OF_A_CHANGE,
};

static const struct command create_command = {
    .group = "tenant",
    .verb = "create",
    .summary = "Create a tenant, with its service-managed root.",
    .operands = "TENANT",
    .options = create_options,
    .option_count = HF_COUNT(create_options),
    .example = "holdfast --as operator tenant create contoso --licensed",
    .run = run_create,
};

static const struct command get_command = {
    .group = "tenant",
    .verb = "get",
    .summary = "Show one tenant.",
    .operands = "[TENANT]",
    .example = "holdfast --as operator tenant get contoso",
    .run = run_get,
};

static const struct command list_command = {
    .group = "tenant",
    .verb = "list",
    .summary = "List all tenants.",
    .example = "holdfast --as operator tenant list",
    .run = run_list,
};

static const struct command update_command = {
    .group = "tenant",
    .verb = "update",
    .summary = "Change what a tenant is.",
    .operands = "[TENANT]",
    .options = update_options,
    .option_count = HF_COUNT(update_options),
    .example = "holdfast --as operator tenant update contoso --production yes",
    .run = run_update,
};

static const struct command delete_command = {
    .group = "tenant",
    .verb = "delete",
    .summary =
        "Ask for the end of a tenant, with every DEP of every type. Two "
        "approvers sign it (purge approve), an operator executes it (purge "
        "execute).",
    .operands = "[TENANT]",
    .options = delete_options,
    .option_count = HF_COUNT(delete_options),
    .example = "holdfast --as admin tenant delete contoso --reason 'we leave' "
               "--contact ciso@contoso.example --confirm",
    .run = run_delete,
};

static const struct command roll_command = {
    .group = "tenant",
    .verb = "roll-service-managed-key",
    .summary = "Roll the root of everything that no policy covers.",
    .operands = "[TENANT]",
    .options = roll_options,
    .option_count = HF_COUNT(roll_options),
    .example = "holdfast --as operator tenant roll-service-managed-key contoso",
    .run = run_roll,
};

static const struct command *const commands[] = {
    &create_command, &get_command,  &list_command,
    &update_command, &roll_command, &delete_command};
const struct command_set commands_of_tenant = {commands, HF_COUNT(commands)};
