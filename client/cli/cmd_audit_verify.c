/* audit verify: whether the log was touched, by nothing but the log, the
 * service's signed checkpoints and its public key. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/audit_chain.h"
#include "client/cli/cli.h"
#include "client/cli/file.h"
#include "client/cli/json.h"
#include "client/cli/spool_check.h"

#include "holdfast/v1/audit_service.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define KEY_FILE_MAX_BYTES 8192

/* Called for each line. */
typedef enum cli_exit line_fn(void *context, const json_t *line);

struct verification {
    struct cli *cli;
    struct file_data public_key;
    struct checkpoint_set kept;    /* elsewhere */
    struct checkpoint_set vouched; /* those, and what the file has */
    struct audit_chain chain;
    const char *spool; /* folder; NULL: not asked for */
    struct spool_check spool_found;
};

static enum cli_exit bad(struct verification *verification)
{
    return cli_fail(verification->cli, CLI_DATA_LOSS,
                    "the audit chain is broken: index %" PRIu64 " %s",
                    verification->chain.bad_index, verification->chain.problem);
}

static enum cli_exit add(void *context, const json_t *line)
{
    struct verification *verification = context;
    return audit_chain_add(&verification->chain, line) == HF_OK
               ? CLI_OK
               : bad(verification);
}

/* --- reading ---------------------------------------------------------------
 */

static void stream_closep(FILE **stream)
{
    if (*stream != NULL && *stream != stdin) {
        (void)fclose(*stream);
    }
}

static void text_freep(char **text)
{
    free(*text);
}

static enum cli_exit read_line(struct verification *verification,
                               const char *where, struct bytes text,
                               line_fn *each)
{
    json_error_t error;
    HF_OWNED(json_freep)
    json_t *line = json_loadb((const char *)text.data, text.len,
                              JSON_REJECT_DUPLICATES, &error);
    if (line == NULL) {
        return cli_fail(verification->cli, CLI_DATA_LOSS, "%s: no JSON: %s",
                        where, error.text);
    }
    return each(verification, line);
}

static enum cli_exit read_lines(struct verification *verification,
                                const char *path, line_fn *each)
{
    HF_OWNED(stream_closep)
    FILE *stream = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (stream == NULL) {
        return cli_usage(verification->cli, "%s: %s", path, strerror(errno));
    }
    HF_OWNED(text_freep) char *text = NULL;
    size_t cap = 0;
    ssize_t len = 0;
    for (size_t number = 1; (len = getline(&text, &cap, stream)) >= 0;
         number++) {
        char where[NAME_TEXT];
        (void)snprintf(where, sizeof where, "%s:%zu", path, number);
        if (text[strspn(text, " \t\r\n")] == '\0') {
            continue;
        }
        enum cli_exit code =
            read_line(verification, where,
                      (struct bytes){(const uint8_t *)text, (size_t)len}, each);
        if (code != CLI_OK) {
            return code;
        }
    }
    return ferror(stream) == 0 ? CLI_OK
                               : cli_fail(verification->cli, CLI_OTHER,
                                          "%s: %s", path, strerror(errno));
}

static enum cli_exit read_server(struct verification *verification)
{
    struct cli *cli = verification->cli;
    char parent[NAME_TEXT] = "";
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    HF_OWNED(json_freep) json_t *records = NULL;
    Holdfast__V1__ListAuditRecordsRequest request =
        HOLDFAST__V1__LIST_AUDIT_RECORDS_REQUEST__INIT;
    const struct cli_list list = {
        .method = {"holdfast.v1.AuditService/ListAuditRecords",
                   &holdfast__v1__list_audit_records_response__descriptor},
        .request = &request.base,
        .items = "records",
    };
    request.parent = parent;
    request.page_size = 1000;
    enum cli_exit code =
        args_flag(cli->args, "service") ? CLI_OK : cli_parent(cli, parent);
    if (code == CLI_OK) {
        code = cli_gather(cli, &list, &records, &error);
    }
    if (code != CLI_OK) {
        return error.code != HF_CODE_OK ? cli_error(cli, &error) : code;
    }
    size_t index = 0;
    const json_t *record = NULL;
    json_array_foreach(records, index, record)
    {
        code = add(verification, record);
        if (code != CLI_OK) {
            return code;
        }
    }
    return CLI_OK;
}

/* --- what to hold it against -----------------------------------------------
 */

static enum cli_exit keep(void *context, const json_t *line)
{
    struct verification *verification = context;
    struct checkpoint checkpoint;
    if (!checkpoint_is_one(line)) {
        return CLI_OK; /* an earlier export has records, too */
    }
    if (checkpoint_read(line, verification->chain.public_key, &checkpoint) !=
        HF_OK) {
        return cli_fail(verification->cli, CLI_DATA_LOSS,
                        "a checkpoint of --checkpoints is malformed, or this "
                        "key did not sign it");
    }
    return checkpoint_set_add(&verification->kept, &checkpoint) == HF_OK &&
                   checkpoint_set_add(&verification->vouched, &checkpoint) ==
                       HF_OK
               ? CLI_OK
               : cli_fail(verification->cli, CLI_OTHER, "out of memory");
}

static enum cli_exit prepare(struct verification *verification,
                             const struct args *args)
{
    const char *key = args_text(args, "public-key");
    const char *kept = args_text(args, "checkpoints");
    if (key == NULL) {
        return kept == NULL ? CLI_OK
                            : cli_usage(verification->cli,
                                        "--checkpoints needs --public-key");
    }
    enum hf_status status =
        file_read(key, KEY_FILE_MAX_BYTES, &verification->public_key);
    if (status != HF_OK) {
        return cli_usage(verification->cli, "%s: %s", key,
                         file_problem(status));
    }
    verification->chain.public_key = (struct bytes){
        verification->public_key.bytes, verification->public_key.len};
    enum cli_exit code =
        kept == NULL ? CLI_OK : read_lines(verification, kept, keep);
    checkpoint_set_sort(&verification->kept);
    verification->chain.kept = &verification->kept;
    return code;
}

/* --- the spool -------------------------------------------------------------
 */

static enum cli_exit check_spool(struct verification *verification)
{
    struct cli *cli = verification->cli;
    struct spool_check *found = &verification->spool_found;
    found->kept =
        verification->chain.public_key.len > 0 ? &verification->vouched : NULL;
    enum hf_status status = spool_check_folder(verification->spool, found);
    if (status == HF_E_CORRUPT) {
        return cli_fail(cli, CLI_DATA_LOSS, "the spool is broken: %s",
                        found->problem);
    }
    if (status != HF_OK) {
        return cli_fail(cli, status == HF_E_NOT_FOUND ? CLI_MISSING : CLI_OTHER,
                        "%s: %s", verification->spool, file_problem(status));
    }
    return CLI_OK;
}

static json_t *spool_json(const struct spool_check *found)
{
    char spool[HF_ID_TEXT];
    id_format(&found->spool, spool);
    return json_pack(
        "{ss sI sI sI sI sI sI sI}", "spool", spool, "segments",
        (json_int_t)found->segments, "first", (json_int_t)found->first, "last",
        (json_int_t)found->last, "torn", (json_int_t)found->torn, "checkpoints",
        (json_int_t)found->checkpoints, "covered", (json_int_t)found->covered,
        "unseen", (json_int_t)found->unseen);
}

static void show_spool(FILE *out, const struct spool_check *found)
{
    (void)fprintf(out,
                  "spool: records %" PRIu64 " to %" PRIu64 " in %" PRIu64
                  " segments, every hash fits; %" PRIu64
                  " checkpoints, the last covers all up to record %" PRIu64
                  "\n",
                  found->first, found->last, found->segments,
                  found->checkpoints, found->covered);
    if (found->torn > 0) {
        (void)fprintf(out,
                      "torn: %" PRIu64 " segments end in a crash, which cut "
                      "off %" PRIu64 " bytes that were not yet on the disk\n",
                      found->torn, found->torn_bytes);
    }
}

/* --- what was found --------------------------------------------------------
 */

static enum cli_exit show_json(struct verification *verification,
                               uint64_t absent)
{
    const struct audit_chain *chain = &verification->chain;
    HF_OWNED(json_freep)
    json_t *value = json_pack(
        "{sb sI sI sI sI sI sb sI sI}", "intact", 1, "records",
        (json_int_t)chain->records, "others", (json_int_t)chain->others,
        "links", (json_int_t)chain->links, "lastIndex",
        (json_int_t)chain->last_index, "absent", (json_int_t)absent, "signed",
        chain->public_key.len > 0, "checkpoints",
        (json_int_t)chain->checkpoints, "covered", (json_int_t)chain->covered);
    if (verification->spool != NULL) {
        (void)json_object_set_new(value, "spool",
                                  spool_json(&verification->spool_found));
    }
    return output_json(verification->cli->out, value);
}

static enum cli_exit show(struct verification *verification)
{
    const struct audit_chain *chain = &verification->chain;
    FILE *out = verification->cli->out;
    /* indexes count from 1 and only go up */
    uint64_t absent = chain->last_index - chain->records;
    if (verification->cli->json) {
        return show_json(verification, absent);
    }
    if (verification->spool != NULL) {
        show_spool(out, &verification->spool_found);
        if (chain->records == 0) {
            return CLI_OK;
        }
    }
    (void)fprintf(out,
                  "intact: %" PRIu64 " records, every hash fits; %" PRIu64
                  " links to the record before checked; last index %" PRIu64
                  "\n",
                  chain->records, chain->links, chain->last_index);
    if (absent > 0) {
        (void)fprintf(out,
                      "absent: %" PRIu64
                      " up to there; they belong to others, or were left out: "
                      "this cannot tell\n",
                      absent);
    }
    if (chain->public_key.len > 0) {
        (void)fprintf(out,
                      "signed: %" PRIu64 " checkpoints; the last covers all up "
                      "to index %" PRIu64 "\n",
                      chain->checkpoints, chain->covered);
    } else if (chain->checkpoints > 0) {
        (void)fprintf(out,
                      "not checked: who signed its %" PRIu64
                      " checkpoints (--public-key)\n",
                      chain->checkpoints);
    }
    return CLI_OK;
}

static enum cli_exit verify(struct verification *verification,
                            const struct args *args)
{
    struct audit_chain *chain = &verification->chain;
    const char *path = args->operands[0];
    enum cli_exit code = prepare(verification, args);
    bool chain_too = path != NULL || verification->spool == NULL;
    chain->met = &verification->vouched;
    if (code == CLI_OK && chain_too) {
        code = path != NULL ? read_lines(verification, path, add)
                            : read_server(verification);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (chain_too && audit_chain_end(chain) != HF_OK) {
        return bad(verification);
    }
    if (chain_too && chain->public_key.len > 0 && chain->checkpoints == 0) {
        return cli_fail(verification->cli, CLI_DATA_LOSS,
                        "no checkpoint is there: nothing signed says where the "
                        "chain was");
    }
    if (verification->spool != NULL) {
        code = check_spool(verification);
    }
    return code == CLI_OK ? show(verification) : code;
}

static enum cli_exit run_verify(struct cli *cli, const struct args *args)
{
    struct verification verification = {
        .cli = cli,
        .spool = args_text(args, "spool"),
    };
    enum cli_exit code = verify(&verification, args);
    checkpoint_set_clear(&verification.kept);
    checkpoint_set_clear(&verification.vouched);
    file_data_clear(&verification.public_key);
    return code;
}

static const struct option verify_options[] = {
    {"public-key",  "FILE",
     "the service's audit key (PEM or DER): checkpoints are looked at",    false,
     false                                                                             },
    {"checkpoints", "FILE",
     "checkpoints kept elsewhere, or an earlier export: the chain must "
     "still fit them",                                                     false, false},
    {"spool",       "FOLDER",
     "the spool of routine use as well; without FILE, it alone",           false, false},
    {"service",     NULL,     "the service's own records (role operator)", false,
     false                                                                             },
};
static const struct command verify_command = {
    .group = "audit",
    .verb = "verify",
    .summary = "Recompute the hash chain, from a file (offline) or from the "
               "server, and hold it against what the service signed. Exit code "
               "7 when it is broken.",
    .operands = "[FILE]",
    .options = verify_options,
    .option_count = HF_COUNT(verify_options),
    .example = "holdfast audit verify audit.jsonl --public-key audit.pem",
    .run = run_verify,
};

static const struct command *const commands[] = {&verify_command};
const struct command_set commands_of_audit_verify = {commands,
                                                     HF_COUNT(commands)};
