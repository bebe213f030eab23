#include "client/cli/access.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include "client/cli/created.h"
#include "client/cli/json.h"
#include "client/cli/values.h"

#include "holdfast/v1/common.pb-c.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct column columns[] = {
    {"MAILBOX",     "mailbox",    NULL, COLUMN_TEXT },
    {"DEP",         "dep",        NULL, COLUMN_LEAF },
    {"GENERATION",  "generation", NULL, COLUMN_RIGHT},
    {"WRAPPED KEY", "wrappedKey", NULL, COLUMN_TEXT },
    {"REQUEST ID",  "requestId",  NULL, COLUMN_TEXT },
};

void access_clear(struct access *access)
{
    file_data_clear(&access->wrapped);
    wipe(access, sizeof *access);
}

static enum cli_exit take_initiator(struct cli *cli,
                                    struct hf_key_request *request)
{
    const char *word = args_text(cli->args, "initiator");
    const char *purpose = args_text(cli->args, "purpose");
    int value = HF_INITIATOR_USER;
    int what = HF_PURPOSE_NONE;
    if (word != NULL && enum_parse(&holdfast__v1__initiator__descriptor,
                                   "INITIATOR_", word, &value) != HF_OK) {
        return cli_usage(cli, "--initiator is user or system");
    }
    if (purpose != NULL &&
        enum_parse(&holdfast__v1__system_purpose__descriptor, "SYSTEM_PURPOSE_",
                   purpose, &what) != HF_OK) {
        return cli_usage(cli, "--purpose is one of those in --help, not \"%s\"",
                         purpose);
    }
    if (purpose != NULL && value != HF_INITIATOR_SYSTEM) {
        return cli_usage(cli, "--purpose is for --initiator system");
    }
    request->initiator = (enum hf_initiator)value;
    request->purpose = (enum hf_purpose)what;
    return CLI_OK;
}

enum cli_exit access_begin(struct cli *cli, const char *mailbox,
                           struct access *access)
{
    static const char workloads[] = "workloads/";
    bool is_workload = strncmp(mailbox, workloads, sizeof workloads - 1) == 0;
    enum cli_exit code =
        is_workload ? cli_name(cli, "workloads", mailbox + sizeof workloads - 1,
                               access->mailbox)
                    : cli_name(cli, "mailboxes", mailbox, access->mailbox);
    if (code == CLI_OK) {
        code = take_initiator(cli, &access->request);
    }
    if (code == CLI_OK) {
        code = cli_request_id(cli, access->request_id);
    }
    if (code == CLI_OK) {
        code = cli_connect(cli);
    }
    access->request.resource = access->mailbox;
    access->request.request_id = access->request_id;
    return code;
}

enum cli_exit access_take_wrapped(struct cli *cli, struct access *access)
{
    const char *path = args_text(cli->args, "wrapped");
    if (path == NULL) {
        return CLI_OK;
    }
    enum hf_status status =
        file_read(path, WRAPPED_FILE_MAX_BYTES, &access->wrapped);
    if (status != HF_OK) {
        return cli_usage(cli, "--wrapped %s: %s", path, file_problem(status));
    }
    if (access->wrapped.len == 0) {
        return cli_usage(cli, "--wrapped %s: the file is empty", path);
    }
    access->request.wrapped_key = access->wrapped.bytes;
    access->request.wrapped_len = access->wrapped.len;
    return CLI_OK;
}

enum cli_exit key_place_check(struct cli *cli, bool must)
{
    const struct args *args = cli->args;
    bool to_stdout = args_flag(args, "raw") || args_flag(args, "hex");
    int places = (args_text(args, "key-out") != NULL ? 1 : 0) +
                 (args_flag(args, "raw") ? 1 : 0) +
                 (args_flag(args, "hex") ? 1 : 0);
    if (places > 1) {
        return cli_usage(cli, "one of --key-out, --raw and --hex");
    }
    if (must && places == 0) {
        return cli_usage(cli, "say where the key may go: --key-out FILE (mode "
                              "0600), or --raw or --hex for standard output");
    }
    if (cli->json && to_stdout) {
        return cli_usage(cli, "--json and a key on standard output do not go "
                              "together: use --key-out FILE");
    }
    return CLI_OK;
}

static enum cli_exit write_out(struct cli *cli, const void *data, size_t len)
{
    if (isatty(fileno(cli->out)) == 1) {
        (void)fprintf(cli->err, "holdfast: warning: the key is shown on a "
                                "terminal; its scroll-back keeps it\n");
    }
    /* unbuffered, so that no copy stays behind in a buffer of stdio */
    const uint8_t *from = data;
    size_t done = 0;
    while (done < len) {
        ssize_t put = write(fileno(cli->out), from + done, len - done);
        if (put <= 0) {
            return cli_fail(cli, CLI_OTHER, "the key could not be written");
        }
        done += (size_t)put;
    }
    return CLI_OK;
}

enum cli_exit key_place(struct cli *cli, const struct hf_secret *key)
{
    const char *path = args_text(cli->args, "key-out");
    const uint8_t *bytes = hf_secret_bytes(key);
    size_t len = hf_secret_len(key);
    if (path != NULL) {
        return created_write(cli, path, (struct bytes){bytes, len}, "the key");
    }
    if (args_flag(cli->args, "raw")) {
        return write_out(cli, bytes, len);
    }
    if (args_flag(cli->args, "hex")) {
        char text[2 * HF_RESOURCE_KEY_BYTES + 2];
        CHECK(len == HF_RESOURCE_KEY_BYTES);
        hex_encode(bytes, len, text, sizeof text);
        text[sizeof text - 2] = '\n';
        enum cli_exit code = write_out(cli, text, sizeof text - 1);
        wipe(text, sizeof text);
        return code;
    }
    return CLI_OK;
}

/* answer_json: wrappedKey is null when there is none to tell. */
static json_t *answer_json(const struct access *access,
                           const struct hf_key_answer *answer)
{
    char *wrapped = answer->wrapped_len > 0 ? base64_encode(answer->wrapped_key,
                                                            answer->wrapped_len)
                                            : NULL;
    json_t *value = json_pack(
        "{sosososIss?}", "mailbox", json_text(access->mailbox), "dep",
        json_text(answer->dep), "requestId", json_text(answer->request_id),
        "generation", (json_int_t)answer->generation, "wrappedKey", wrapped);
    free(wrapped);
    return value;
}

static enum cli_exit keep_wrapped(struct cli *cli,
                                  const struct hf_key_answer *answer)
{
    const char *path = args_text(cli->args, "out");
    if (path == NULL) {
        return CLI_OK;
    }
    if (answer->wrapped_len == 0) {
        cli_note(cli,
                 "%s was not written: the wrapped key there is stays as it is",
                 path);
        return CLI_OK;
    }
    return created_write(
        cli, path, (struct bytes){answer->wrapped_key, answer->wrapped_len},
        "the wrapped key");
}

enum cli_exit access_show(struct cli *cli, const struct access *access,
                          const struct hf_key_answer *answer)
{
    enum cli_exit code = keep_wrapped(cli, answer);
    if (code != CLI_OK) {
        return code;
    }
    HF_OWNED(json_freep) json_t *value = answer_json(access, answer);
    if (value == NULL) {
        return cli_fail(cli, CLI_OTHER, "out of memory");
    }
    if (cli->json) {
        return output_json(cli->out, value);
    }
    /* standard output may hold the key itself; then the rest goes elsewhere */
    bool taken = answer->key != NULL &&
                 (args_flag(cli->args, "raw") || args_flag(cli->args, "hex"));
    return output_item(taken ? cli->err : cli->out, value, columns,
                       HF_COUNT(columns));
}
