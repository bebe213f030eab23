/* audit checkpoints: the signed heads of the audit chains. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/created.h"
#include "client/cli/file.h"
#include "client/cli/json.h"
#include "client/cli/purge_sign.h"
#include "client/lib/message.h"

#include "holdfast/v1/audit_service.pb-c.h"

#include <inttypes.h>

#define PAGE          200
#define PEM_MAX_BYTES 4096

static const struct cli_method method = {
    "holdfast.v1.AuditService/ListCheckpoints",
    &holdfast__v1__list_checkpoints_response__descriptor};

static const struct column columns[] = {
    {"INDEX",  "auditIndex", NULL, COLUMN_RIGHT},
    {"SIGNED", "createTime", NULL, COLUMN_TEXT },
};

/* The one that signed the newest comes first: openssl reads that alone. */
static HF_STATUS keys_to_pem(const Holdfast__V1__ListCheckpointsResponse *reply,
                             struct byte_writer *out)
{
    for (size_t i = 0; i < reply->n_public_keys; i++) {
        HF_OWNED(file_data_clear) struct file_data one = {0};
        HF_TRY(purge_key_to_pem((struct bytes){reply->public_keys[i].data,
                                               reply->public_keys[i].len},
                                &one));
        put_raw(out, one.bytes, one.len);
    }
    return out->len > 0 && !out->overrun ? HF_OK : HF_E_LIMIT;
}

static enum cli_exit
write_newest(struct cli *cli,
             const Holdfast__V1__ListCheckpointsResponse *reply)
{
    uint8_t pem[PEM_MAX_BYTES];
    struct byte_writer keys = byte_writer_on(pem, sizeof pem);
    if (reply->n_checkpoints == 0) {
        return cli_fail(cli, CLI_MISSING, "nothing was signed yet");
    }
    const Holdfast__V1__Checkpoint *newest = reply->checkpoints[0];
    if (keys_to_pem(reply, &keys) != HF_OK) {
        return cli_fail(cli, CLI_OTHER, "the public key cannot be written");
    }
    const struct {
        const char *suffix;
        struct bytes data;
        const char *what;
    } parts[] = {
        {".txt",
         {newest->statement.data, newest->statement.len},
         "the checkpoint"                                                  },
        {".sig",
         {newest->signature.data, newest->signature.len},
         "its signature"                                                   },
        {".pem", {pem, keys.len},                         "the public keys"},
    };
    for (size_t i = 0; i < HF_COUNT(parts); i++) {
        enum cli_exit code = created_write_part(cli, parts[i].suffix,
                                                parts[i].data, parts[i].what);
        if (code != CLI_OK) {
            return code;
        }
    }
    (void)fwrite(newest->statement.data, 1, newest->statement.len,
                 cli->json ? cli->err : cli->out);
    return CLI_OK;
}

static enum cli_exit write_out(struct cli *cli,
                               Holdfast__V1__ListCheckpointsRequest *request)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    ProtobufCMessage *reply = NULL;
    request->page_size = PAGE; /* for the keys of all who signed these */
    enum cli_exit code = cli_ask(cli, &method, &request->base, &reply, &error);
    if (code != CLI_OK) {
        return cli_error(cli, &error);
    }
    code =
        write_newest(cli, (const Holdfast__V1__ListCheckpointsResponse *)reply);
    hf_message_free(reply);
    return code;
}

static enum cli_exit run_checkpoints(struct cli *cli, const struct args *args)
{
    char parent[NAME_TEXT] = "";
    Holdfast__V1__ListCheckpointsRequest request =
        HOLDFAST__V1__LIST_CHECKPOINTS_REQUEST__INIT;
    const struct cli_list list = {
        .method = method,
        .request = &request.base,
        .items = "checkpoints",
    };
    enum cli_exit code =
        args_flag(args, "service") ? CLI_OK : cli_parent(cli, parent);
    if (code != CLI_OK) {
        return code;
    }
    request.parent = parent;
    request.page_size = PAGE;
    if (args_text(args, "out") != NULL) {
        return write_out(cli, &request);
    }
    if (!args_flag(args, "lines")) {
        return cli_show_list(cli, &list, columns, HF_COUNT(columns));
    }
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    HF_OWNED(json_freep) json_t *checkpoints = NULL;
    code = cli_gather(cli, &list, &checkpoints, &error);
    if (code != CLI_OK) {
        return error.code != HF_CODE_OK ? cli_error(cli, &error) : code;
    }
    return json_lines(cli->out, checkpoints) ? CLI_OK : CLI_OTHER;
}

static const struct option checkpoint_options[] = {
    {"out",     "PREFIX",
     "write the newest to PREFIX.txt, PREFIX.sig and, with the keys, "
     "PREFIX.pem",                                                              false, false},
    {"lines",   NULL,     "one JSON object a line, to be kept elsewhere",       false,
     false                                                                                  },
    {"service", NULL,     "as one of the service's own people (role operator)",
     false,                                                                            false},
};
static const struct command checkpoint_command = {
    .group = "audit",
    .verb = "checkpoints",
    .summary = "List what the service signed of its audit chains, newest "
               "first. \"openssl dgst -sha256 -verify\" checks one alone.",
    .options = checkpoint_options,
    .option_count = HF_COUNT(checkpoint_options),
    .example = "holdfast --as auditor audit checkpoints --out audit",
    .run = run_checkpoints,
};

static const struct command *const commands[] = {&checkpoint_command};
const struct command_set commands_of_checkpoint = {commands,
                                                   HF_COUNT(commands)};
