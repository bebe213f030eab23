#include "client/cli/seal_key.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void seal_key_clear(struct seal_key *key)
{
    access_clear(&key->access);
    hf_key_answer_clear(&key->answer);
    if (key->folder >= 0) {
        close(key->folder); /* the lock goes with it */
        key->folder = -1;
    }
}

/* --- the folder ------------------------------------------------------------
 */

static enum cli_exit open_folder(struct cli *cli, int dir, bool make,
                                 struct seal_key *key)
{
    if (make && mkdirat(dir, SEAL_FOLDER, S_IRWXU) != 0 && errno != EEXIST) {
        return cli_fail(cli, CLI_OTHER, "%s: %s", SEAL_FOLDER, strerror(errno));
    }
    key->folder = openat(dir, SEAL_FOLDER,
                         O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (key->folder < 0) {
        return errno == ENOENT && !make
                   ? CLI_OK
                   : cli_fail(cli, CLI_OTHER, "%s: %s", SEAL_FOLDER,
                              strerror(errno));
    }
    if (flock(key->folder, LOCK_EX | LOCK_NB) != 0) {
        return cli_fail(cli, CLI_CONFLICT,
                        "another seal or open works on this folder; wait for "
                        "it to end");
    }
    return CLI_OK;
}

/* kept_mailbox: the name that lies there; "" when none does. */
static enum cli_exit kept_mailbox(struct cli *cli, const struct seal_key *key,
                                  char out[NAME_TEXT])
{
    HF_OWNED(file_data_clear) struct file_data data = {0};
    out[0] = '\0';
    if (key->folder < 0) {
        return CLI_OK;
    }
    enum hf_status status =
        file_read_at(key->folder, SEAL_MAILBOX_FILE, NAME_TEXT - 1, &data);
    if (status == HF_E_NOT_FOUND) {
        return CLI_OK;
    }
    if (status != HF_OK) {
        return cli_fail(cli, CLI_OTHER, "%s/%s: %s", SEAL_FOLDER,
                        SEAL_MAILBOX_FILE, file_problem(status));
    }
    size_t len = strcspn((const char *)data.bytes, "\n");
    (void)snprintf(out, NAME_TEXT, "%.*s", (int)len, (const char *)data.bytes);
    return CLI_OK;
}

static enum cli_exit keep_file(struct cli *cli, const struct seal_key *key,
                               const char *name, struct file_data data)
{
    enum hf_status status =
        file_replace_at(key->folder, name, data, S_IRUSR | S_IWUSR);
    return status == HF_OK ? CLI_OK
                           : cli_fail(cli, CLI_OTHER, "%s/%s: %s", SEAL_FOLDER,
                                      name, file_problem(status));
}

static enum cli_exit keep_mailbox(struct cli *cli, const struct seal_key *key)
{
    char line[NAME_TEXT + 1];
    int len = snprintf(line, sizeof line, "%s\n", key->access.mailbox);
    CHECK(len > 0 && (size_t)len < sizeof line);
    return keep_file(
        cli, key, SEAL_MAILBOX_FILE,
        (struct file_data){.bytes = (uint8_t *)line, .len = (size_t)len});
}

enum cli_exit seal_key_begin(struct cli *cli, int dir, bool make,
                             struct seal_key *key)
{
    char kept[NAME_TEXT];
    const char *asked = args_text(cli->args, "mailbox");
    enum cli_exit code = open_folder(cli, dir, make, key);
    if (code == CLI_OK) {
        code = kept_mailbox(cli, key, kept);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (asked == NULL && kept[0] == '\0') {
        return cli_usage(cli, "nothing here says which mailbox this is: use "
                              "--mailbox MAILBOX");
    }
    code = access_begin(cli, asked != NULL ? asked : kept, &key->access);
    if (code != CLI_OK) {
        return code;
    }
    if (kept[0] != '\0' && strcmp(kept, key->access.mailbox) != 0) {
        return cli_usage(cli, "this folder was sealed as %s, not as %s", kept,
                         key->access.mailbox);
    }
    return make && kept[0] == '\0' ? keep_mailbox(cli, key) : CLI_OK;
}

/* --- the key ---------------------------------------------------------------
 */

/* load_wrapped: the wrapped key kept, if there is one. */
static enum cli_exit load_wrapped(struct cli *cli, struct seal_key *key)
{
    if (key->folder < 0) {
        return CLI_OK;
    }
    struct file_data *wrapped = &key->access.wrapped;
    enum hf_status status =
        file_read_at(key->folder, SEAL_KEY_FILE, HF_WRAPPED_MAX_BYTES, wrapped);
    if (status == HF_E_NOT_FOUND) {
        return CLI_OK;
    }
    if (status != HF_OK || wrapped->len == 0) {
        return cli_fail(cli, CLI_DATA_LOSS,
                        "%s/%s is damaged; remove it to use the key the "
                        "service stores",
                        SEAL_FOLDER, SEAL_KEY_FILE);
    }
    key->access.request.wrapped_key = wrapped->bytes;
    key->access.request.wrapped_len = wrapped->len;
    return CLI_OK;
}

static enum cli_exit keep_wrapped(struct cli *cli, const struct seal_key *key,
                                  struct hf_key_answer *from)
{
    return keep_file(cli, key, SEAL_KEY_FILE,
                     (struct file_data){.bytes = from->wrapped_key,
                                        .len = from->wrapped_len});
}

static enum cli_exit unwrap(struct cli *cli, struct seal_key *key)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    if (hf_unwrap_key(cli->client, &key->access.request, &key->answer,
                      &error) != HF_CODE_OK) {
        return cli_error(cli, &error);
    }
    return CLI_OK;
}

/* adopt: the mailbox has a key already, only not here: take the one the
 * service stores, and wrap it once more to have what opens it. */
static enum cli_exit adopt(struct cli *cli, struct seal_key *key)
{
    struct hf_key_answer wrapped = {0};
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    key->access.request.request_id = NULL; /* each call has its own */
    enum cli_exit code = unwrap(cli, key);
    if (code != CLI_OK) {
        return code;
    }
    struct hf_key_request request = key->access.request;
    request.key = key->answer.key;
    if (hf_wrap_key(cli->client, &request, &wrapped, &error) != HF_CODE_OK) {
        return cli_error(cli, &error);
    }
    code = keep_wrapped(cli, key, &wrapped);
    hf_key_answer_clear(&wrapped);
    return code;
}

static enum cli_exit generate(struct cli *cli, struct seal_key *key)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    enum hf_code code = hf_generate_key(cli->client, &key->access.request,
                                        &key->answer, &error);
    if (code == HF_CODE_ALREADY_EXISTS || code == HF_CODE_FAILED_PRECONDITION) {
        return adopt(cli, key);
    }
    if (code != HF_CODE_OK) {
        return cli_error(cli, &error);
    }
    key->generated = true;
    return keep_wrapped(cli, key, &key->answer);
}

/* The wrapped key that lies here is what the mailbox had when the folder was
 * sealed or opened last. What it is under may be gone since, while the service
 * has the same key under what the mailbox is assigned to now. */
static void say_what_helps(struct cli *cli, const struct seal_key *key,
                           enum cli_exit code)
{
    bool may_be_old =
        code == CLI_DENIED || code == CLI_CONFLICT || code == CLI_DATA_LOSS;
    if (may_be_old && key->access.request.wrapped_len > 0) {
        cli_note(cli,
                 "this was the wrapped key kept in %s/%s/%s. If the mailbox "
                 "has come under other keys since, the service stores it under "
                 "those: rename that file, and type this again",
                 cli->args->operands[0], SEAL_FOLDER, SEAL_KEY_FILE);
    }
}

/* unwrap_kept: and keeps the new wrapped key, when there is one. */
static enum cli_exit unwrap_kept(struct cli *cli, struct seal_key *key)
{
    enum cli_exit code = unwrap(cli, key);
    say_what_helps(cli, key, code);
    if (code == CLI_OK && key->folder >= 0 && key->answer.wrapped_len > 0) {
        code = keep_wrapped(cli, key, &key->answer);
    }
    return code;
}

enum cli_exit seal_key_for_sealing(struct cli *cli, struct seal_key *key)
{
    enum cli_exit code = load_wrapped(cli, key);
    if (code != CLI_OK) {
        return code;
    }
    return key->access.request.wrapped_len > 0 ? unwrap_kept(cli, key)
                                               : generate(cli, key);
}

enum cli_exit seal_key_for_opening(struct cli *cli, struct seal_key *key)
{
    enum cli_exit code = load_wrapped(cli, key);
    return code == CLI_OK ? unwrap_kept(cli, key) : code;
}
