/* catalogue: the signed backup of what the service knows. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/created.h"
#include "client/cli/file.h"
#include "client/cli/purge_sign.h"

#include "holdfast/v1/customer_key_service.pb-c.h"

#include <stdio.h>

#define FILE_MAX_BYTES (2 * 1024 * 1024)

static const struct cli_method backup_method = {
    "holdfast.v1.CustomerKeyService/BackupCatalogue",
    &holdfast__v1__catalogue_backup__descriptor};

static enum cli_exit write_all(struct cli *cli,
                               const Holdfast__V1__CatalogueBackup *backup)
{
    struct file_data pem = {NULL, 0};
    if (purge_key_to_pem(
            (struct bytes){backup->public_key.data, backup->public_key.len},
            &pem) != HF_OK) {
        return cli_fail(cli, CLI_OTHER, "the public key cannot be written");
    }
    enum cli_exit code = created_write_part(
        cli, ".json",
        (struct bytes){backup->document.data, backup->document.len},
        "the catalogue");
    if (code == CLI_OK) {
        code = created_write_part(
            cli, ".sig",
            (struct bytes){backup->signature.data, backup->signature.len},
            "its signature");
    }
    if (code == CLI_OK) {
        code = created_write_part(
            cli, ".pem", (struct bytes){pem.bytes, pem.len}, "the public key");
    }
    file_data_clear(&pem);
    return code;
}

static enum cli_exit run_backup(struct cli *cli, const struct args *args)
{
    (void)args;
    char parent[NAME_TEXT];
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    ProtobufCMessage *reply = NULL;
    Holdfast__V1__BackupCatalogueRequest request =
        HOLDFAST__V1__BACKUP_CATALOGUE_REQUEST__INIT;
    enum cli_exit code = cli_parent(cli, parent);
    if (code != CLI_OK) {
        return code;
    }
    request.parent = parent;
    code = cli_ask(cli, &backup_method, &request.base, &reply, &error);
    if (code != CLI_OK) {
        return error.code != HF_CODE_OK ? cli_error(cli, &error) : code;
    }
    code = write_all(cli, (const Holdfast__V1__CatalogueBackup *)reply);
    hf_message_free(reply);
    return code;
}

static enum cli_exit verify(struct cli *cli, struct file_data parts[3])
{
    static const char *const names[] = {"document", "signature", "public-key"};
    for (size_t i = 0; i < HF_COUNT(names); i++) {
        const char *path = args_text(cli->args, names[i]);
        enum hf_status status = file_read(path, FILE_MAX_BYTES, &parts[i]);
        if (status != HF_OK) {
            return cli_fail(cli, CLI_OTHER, "%s: %s", path,
                            file_problem(status));
        }
    }
    if (purge_verify((struct bytes){parts[2].bytes, parts[2].len},
                     (struct bytes){parts[0].bytes, parts[0].len},
                     (struct bytes){parts[1].bytes, parts[1].len}) != HF_OK) {
        return cli_fail(cli, CLI_CONFLICT,
                        "the signature is not this key's over this text");
    }
    (void)fprintf(cli->out, cli->json ? "{\"verified\":true}\n"
                                      : "The signature is good.\n");
    return CLI_OK;
}

static enum cli_exit run_verify(struct cli *cli, const struct args *args)
{
    (void)args;
    struct file_data parts[3] = {
        {NULL, 0},
        {NULL, 0},
        {NULL, 0}
    };
    enum cli_exit code = verify(cli, parts);
    for (size_t i = 0; i < HF_COUNT(parts); i++) {
        file_data_clear(&parts[i]);
    }
    return code;
}

static const struct option backup_options[] = {
    {"out", "NAME",
     "writes NAME.json, NAME.sig and NAME.pem (the service's audit key)", true,
     false},
};
static const struct option verify_options[] = {
    {"document",   "FILE", "the text",                               true, false},
    {"signature",  "FILE", "the signature (DER)",                    true, false},
    {"public-key", "FILE",
     "the service's audit key (PEM or DER), from a place you trust", true,
     false                                                                      },
};

static const struct command backup_command = {
    .group = "catalogue",
    .verb = "backup",
    .summary = "Save what the service knows of tokens, keys and DEPs, signed; "
               "no key is in it.",
    .options = backup_options,
    .option_count = HF_COUNT(backup_options),
    .example = "holdfast --as admin catalogue backup --out contoso",
    .run = run_backup,
};

static const struct command verify_command = {
    .group = "catalogue",
    .verb = "verify",
    .summary = "Check the signature of a saved catalogue, offline.",
    .options = verify_options,
    .option_count = HF_COUNT(verify_options),
    .example = "holdfast catalogue verify --document contoso.json --signature "
               "contoso.sig --public-key holdfast-audit.pem",
    .run = run_verify,
};

static const struct command *const commands[] = {&backup_command,
                                                 &verify_command};
const struct command_set commands_of_catalogue = {commands, HF_COUNT(commands)};
