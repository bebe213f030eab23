#include "client/cli/purge.h"

#include "hsm/base/check.h"

const struct column purge_columns[] = {
    {"PURGE",      "name",          NULL,           COLUMN_LEAF },
    {"DEP",        "depId",         NULL,           COLUMN_TEXT },
    {"TENANT",     "wholeTenant",   NULL,           COLUMN_TEXT },
    {"PHASE",      "phase",         "PURGE_PHASE_", COLUMN_TEXT },
    {"PAUSED",     "paused",        NULL,           COLUMN_TEXT },
    {"MAILBOXES",  "resourceCount", NULL,           COLUMN_RIGHT},
    {"VERSION",    "version",       NULL,           COLUMN_RIGHT},
    {"HOLD UNTIL", "holdUntilTime", NULL,           COLUMN_TEXT },
    {"PURGED",     "purgeTime",     NULL,           COLUMN_TEXT },
};

const size_t purge_column_count = HF_COUNT(purge_columns);

enum cli_exit purge_show(struct cli *cli, const struct cli_method *method,
                         const ProtobufCMessage *request)
{
    return cli_show(cli, method, request, purge_columns, purge_column_count);
}

enum cli_exit purge_fetch(struct cli *cli, char *name, struct hf_error *error,
                          Holdfast__V1__Purge **out)
{
    static const struct cli_method method = PURGE_METHOD("GetPurge");
    ProtobufCMessage *reply = NULL;
    Holdfast__V1__GetPurgeRequest request =
        HOLDFAST__V1__GET_PURGE_REQUEST__INIT;
    request.name = name;
    enum cli_exit code = cli_ask(cli, &method, &request.base, &reply, error);
    *out = (Holdfast__V1__Purge *)reply;
    return code;
}
