/* purge: what an approver reads and signs, and what an operator then begins. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/created.h"
#include "client/cli/file.h"
#include "client/cli/json.h"
#include "client/cli/operation.h"
#include "client/cli/purge.h"
#include "client/cli/purge_sign.h"
#include "client/cli/purge_text.h"

#include "holdfast/v1/operation_service.pb-c.h"

#include <stdio.h>

#define KEY_FILE_MAX_BYTES 4096
#define FILE_MAX_BYTES     65536

static const struct cli_method approve_method = PURGE_METHOD("ApprovePurge");
static const struct cli_method execute_method = {
    "holdfast.v1.PurgeService/ExecutePurge",
    &holdfast__v1__operation__descriptor};

/* The purge as it is now; freed with hf_message_free. */
static enum cli_exit fetch(struct cli *cli, char *name,
                           Holdfast__V1__Purge **out)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    enum cli_exit code = purge_fetch(cli, name, &error, out);
    return code != CLI_OK && error.code != HF_CODE_OK ? cli_error(cli, &error)
                                                      : code;
}

static ProtobufCBinaryData document_of(const Holdfast__V1__Purge *purge,
                                       bool accepting)
{
    CHECK(purge != NULL);
    return accepting ? purge->accepting_document : purge->document;
}

static enum cli_exit run_document(struct cli *cli, const struct args *args)
{
    char name[NAME_TEXT];
    Holdfast__V1__Purge *purge = NULL;
    const char *path = args_text(args, "out");
    enum cli_exit code = cli_name(cli, "purges", args->operands[0], name);
    if (code == CLI_OK) {
        code = fetch(cli, name, &purge);
    }
    if (code != CLI_OK) {
        return code;
    }
    CHECK(purge != NULL);
    ProtobufCBinaryData text =
        document_of(purge, args_flag(args, "accept-earlier-wraps"));
    if (text.len == 0) {
        code = cli_fail(cli, CLI_CONFLICT,
                        "this purge has no document to sign any more");
    } else if (path != NULL) {
        code = created_write(cli, path, (struct bytes){text.data, text.len},
                             "what an approver signs");
    } else {
        bool written = fwrite(text.data, 1, text.len, cli->out) == text.len &&
                       fflush(cli->out) == 0;
        code = written ? CLI_OK : CLI_OTHER;
    }
    hf_message_free(&purge->base);
    return code;
}

/* The same bytes as in the file that was read before. */
static enum cli_exit check_reviewed(struct cli *cli, const char *path,
                                    ProtobufCBinaryData text)
{
    HF_OWNED(file_data_clear) struct file_data reviewed = {NULL, 0};
    enum hf_status status = file_read(path, FILE_MAX_BYTES, &reviewed);
    if (status != HF_OK) {
        return cli_fail(cli, CLI_OTHER, "%s: %s", path, file_problem(status));
    }
    return bytes_equal((struct bytes){reviewed.bytes, reviewed.len},
                       (struct bytes){text.data, text.len})
               ? CLI_OK
               : cli_fail(cli, CLI_CONFLICT,
                          "%s is not the document to be signed now: fetch it "
                          "again, and read it",
                          path);
}

/* Nobody signs what is no document of this purge, or what he has not seen. */
static enum cli_exit check_document(struct cli *cli, const struct args *args,
                                    const struct purge_signing *signing,
                                    ProtobufCBinaryData text)
{
    const char *reviewed = args_text(args, "document");
    if (text.len == 0) {
        return cli_fail(cli, CLI_CONFLICT,
                        "this purge has no document to sign any more");
    }
    if (purge_document_check((struct bytes){text.data, text.len}, signing) !=
        HF_OK) {
        return cli_fail(cli, CLI_OTHER,
                        "what the service would have signed is not the "
                        "document of this purge");
    }
    if (reviewed != NULL) {
        return check_reviewed(cli, reviewed, text);
    }
    if (args_text(args, "key") == NULL) {
        return CLI_OK; /* it was signed elsewhere */
    }
    bool written = fwrite(text.data, 1, text.len, cli->err) == text.len;
    if (!written || !args_flag(args, "confirm")) {
        return cli_usage(cli, "this is what you would sign: give --confirm if "
                              "you agree, or --document with what you have "
                              "read before");
    }
    return CLI_OK;
}

/* What is signed here is what was fetched; what was signed elsewhere is read.
 */
static enum cli_exit take_signature(struct cli *cli, const struct args *args,
                                    ProtobufCBinaryData text,
                                    struct file_data *out)
{
    const char *key = args_text(args, "key");
    const char *signature = args_text(args, "signature");
    if ((key == NULL) == (signature == NULL)) {
        return cli_usage(cli, "give --key, to sign here, or --signature, made "
                              "elsewhere");
    }
    enum hf_status status =
        key == NULL ? file_read(signature, KEY_FILE_MAX_BYTES, out)
                    : purge_sign(key, (struct bytes){text.data, text.len}, out);
    return status == HF_OK
               ? CLI_OK
               : cli_fail(cli, CLI_OTHER, "%s: %s",
                          key == NULL ? signature : key, file_problem(status));
}

static enum cli_exit approve(struct cli *cli, const struct args *args,
                             struct cli_words *words,
                             const Holdfast__V1__Purge *purge,
                             struct file_data *signature)
{
    Holdfast__V1__ApprovePurgeRequest request =
        HOLDFAST__V1__APPROVE_PURGE_REQUEST__INIT;
    CHECK(purge != NULL);
    request.accept_earlier_wraps = args_flag(args, "accept-earlier-wraps");
    const struct purge_signing signing = {
        .object = words->name,
        .version = purge->version,
        .accepts_earlier_wraps = request.accept_earlier_wraps != 0,
    };
    ProtobufCBinaryData text =
        document_of(purge, signing.accepts_earlier_wraps);
    enum cli_exit code = check_document(cli, args, &signing, text);
    if (code == CLI_OK) {
        code = take_signature(cli, args, text, signature);
    }
    if (code == CLI_OK) {
        code = cli_order(cli, "purges", &request.base, words);
    }
    request.version = purge->version;
    request.signature = (ProtobufCBinaryData){signature->len, signature->bytes};
    return code == CLI_OK ? purge_show(cli, &approve_method, &request.base)
                          : code;
}

static enum cli_exit run_approve(struct cli *cli, const struct args *args)
{
    struct cli_words words;
    struct file_data signature = {NULL, 0};
    Holdfast__V1__Purge *purge = NULL;
    enum cli_exit code = cli_name(cli, "purges", args->operands[0], words.name);
    if (code == CLI_OK) {
        code = fetch(cli, words.name, &purge);
    }
    if (code != CLI_OK) {
        return code;
    }
    code = approve(cli, args, &words, purge, &signature);
    file_data_clear(&signature);
    hf_message_free(&purge->base);
    return code;
}

/* --- the end begins ------------------------------------------------------- */

/* The operation says only that it waits: here, for how long, and what can be
 * typed meanwhile. */
static void say_hold(struct cli *cli, char *name)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    Holdfast__V1__Purge *purge = NULL;
    if (purge_fetch(cli, name, &error, &purge) != CLI_OK) {
        return;
    }
    HF_OWNED(json_freep) json_t *item = message_json(&purge->base);
    const char *until =
        json_string_value(json_object_get(item, "holdUntilTime"));
    if (purge->phase == HOLDFAST__V1__PURGE_PHASE__PURGE_PHASE_HOLDING &&
        until != NULL) {
        cli_note(cli,
                 "its hold ends at %s; until then \"holdfast purge pause %s\" "
                 "stops it, and \"holdfast purge show %s\" says how it stands",
                 until, cli->args->operands[0], cli->args->operands[0]);
    }
    hf_message_free(&purge->base);
}

static enum cli_exit run_execute(struct cli *cli, const struct args *args)
{
    struct cli_words words;
    Holdfast__V1__ExecutePurgeRequest request =
        HOLDFAST__V1__EXECUTE_PURGE_REQUEST__INIT;
    enum cli_exit code = cli_order(cli, "purges", &request.base, &words);
    request.confirm = args_flag(args, "confirm");
    if (code != CLI_OK) {
        return code;
    }
    code = operation_order(cli, &execute_method, &request.base);
    if (code == CLI_OK || code == CLI_CONFLICT) {
        say_hold(cli, words.name);
    }
    return code;
}

static const struct option document_options[] = {
    {"accept-earlier-wraps", NULL,   "the one that accepts them",           false, false},
    {"out",                  "FILE", "write it here instead of showing it", false, false},
};
static const struct option approve_options[] = {
    {"key",                  "FILE", "your private key (PEM): the document is signed here",
     false,                                                                                        false},
    {"signature",            "FILE", "a signature made elsewhere over the document",        false,
     false                                                                                              },
    {"document",             "FILE",
     "the document as you have read it: it must be the same",                               false, false},
    {"confirm",              NULL,   "yes: you agree to the document that is shown",        false,
     false                                                                                              },
    {"accept-earlier-wraps", NULL,
     "the earlier wraps named in it stay, and you accept that",                             false, false},
    OPTIONS_OF_A_CHANGE,
};
static const struct option execute_options[] = {
    {"confirm", NULL,
     "yes: after the hold nothing below the DEP can be opened by anybody", false, false},
    OPTIONS_OF_AN_OPERATION,
};

PURGE_COMMAND(document_command, "document",
              "Show what an approver signs, byte for byte.", "PURGE",
              document_options,
              "holdfast --as ada purge document PURGE --out purge.txt",
              run_document);
PURGE_COMMAND(approve_command, "approve",
              "Approve a purge by your signature over its document.", "PURGE",
              approve_options,
              "holdfast --as ada purge approve PURGE --key ada.key --document "
              "purge.txt",
              run_approve);
PURGE_COMMAND(
    execute_command, "execute",
    "Begin the end, as an operator: after the hold there is no way back.",
    "PURGE", execute_options,
    "holdfast --as operator --tenant contoso purge execute PURGE --confirm",
    run_execute);

static const struct command *const commands[] = {
    &document_command, &approve_command, &execute_command};
const struct command_set commands_of_purge_approve = {commands,
                                                      HF_COUNT(commands)};
