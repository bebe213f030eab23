/* mailbox seal, mailbox open: a whole Maildir under its mailbox's key. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/cli.h"
#include "client/cli/json.h"
#include "client/cli/seal_job.h"
#include "client/cli/seal_key.h"
#include "client/lib/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_SUFFIX    ".sealed"
#define PROGRESS_EVERY 64

/* The whole run. */
struct run {
    struct cli *cli;
    int dir;  /* of the messages */
    int copy; /* DIR.sealed; -1: sealed in place */
    bool sealing;
    bool terminal;
    struct seal_job job;
    uint64_t done;
    uint64_t already;
    uint64_t failed;
    uint64_t bytes;
    enum cli_exit worst;
};

static void closep(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

/* --- what is said meanwhile --------------------------------------------------
 */

static const char *verb_of(const struct run *run)
{
    if (run->sealing) {
        return "sealed";
    }
    return run->job.check_only ? "verified" : "opened";
}

static void show_progress(const struct run *run, bool last)
{
    uint64_t count = run->done + run->already + run->failed;
    if (!run->terminal || (!last && count % PROGRESS_EVERY != 0)) {
        return;
    }
    (void)fprintf(run->cli->err, "\r  %" PRIu64 " messages%s", count,
                  last ? "\r\033[K" : "");
    (void)fflush(run->cli->err);
}

static void note_failure(struct run *run, const char *folder, const char *name,
                         enum hf_status status)
{
    bool damaged =
        hf_status_class(status) == HF_CLASS_BROKEN && status != HF_E_IO;
    enum cli_exit code = damaged ? CLI_DATA_LOSS : CLI_OTHER;
    run->failed++;
    if (run->worst != CLI_DATA_LOSS) {
        run->worst = code;
    }
    char *clean = text_clean_copy(name, NAME_MAX);
    (void)fprintf(
        run->cli->err, "%sholdfast: %s/%s: %s\n",
        run->terminal ? "\r\033[K" : "", folder, clean != NULL ? clean : "?",
        damaged ? "does not verify; left as it is" : file_problem(status));
    free(clean);
}

/* --- the messages
 * ------------------------------------------------------------- */

static void run_message(struct run *run, const char *folder,
                        const struct maildir_message *message)
{
    enum seal_outcome outcome = SEAL_ALREADY;
    enum hf_status status =
        run->sealing ? seal_job_seal(&run->job, message, &outcome, &run->bytes)
                     : seal_job_open(&run->job, message, &outcome, &run->bytes);
    if (status == HF_E_NOT_FOUND) {
        return; /* a mail reader took it away meanwhile */
    }
    if (status != HF_OK) {
        note_failure(run, folder, message->name, status);
    } else if (outcome == SEAL_DONE) {
        run->done++;
    } else {
        run->already++;
    }
    show_progress(run, false);
}

/* copy_folder: the folder of the same name in the copy. */
static int copy_folder(const struct run *run, const char *folder)
{
    const char *slash = strchr(folder, '/');
    if (slash != NULL) {
        char parent[NAME_MAX + 1];
        (void)snprintf(parent, sizeof parent, "%.*s", (int)(slash - folder),
                       folder);
        if (mkdirat(run->copy, parent, S_IRWXU) != 0 && errno != EEXIST) {
            return -1;
        }
    }
    if (mkdirat(run->copy, folder, S_IRWXU) != 0 && errno != EEXIST) {
        return -1;
    }
    return openat(run->copy, folder,
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static enum cli_exit run_folder(struct run *run, const char *folder)
{
    HF_OWNED(closep)
    int from = openat(run->dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    HF_OWNED(closep)
    int to = run->copy >= 0 && from >= 0 ? copy_folder(run, folder) : -1;
    if (from < 0 || (run->copy >= 0 && to < 0)) {
        return cli_fail(run->cli, CLI_OTHER, "%s: %s", folder, strerror(errno));
    }
    HF_OWNED(maildir_messages_clear) struct maildir_messages messages = {0};
    enum hf_status status = maildir_list_messages(from, &messages);
    if (status != HF_OK) {
        return cli_fail(run->cli, CLI_OTHER, "%s: %s", folder,
                        file_problem(status));
    }
    run->job.from = from;
    run->job.to = to >= 0 ? to : from;
    for (size_t i = 0; i < messages.count; i++) {
        run_message(run, folder, &messages.items[i]);
    }
    return CLI_OK;
}

static enum cli_exit run_folders(struct run *run, const struct maildir *maildir)
{
    for (size_t i = 0; i < maildir->folder_count; i++) {
        enum cli_exit code = run_folder(run, maildir->folders[i]);
        if (code != CLI_OK) {
            return code;
        }
    }
    show_progress(run, true);
    return CLI_OK;
}

static enum cli_exit show_end(const struct run *run, const struct seal_key *key)
{
    struct cli *cli = run->cli;
    const char *verb = verb_of(run);
    if (cli->json) {
        HF_OWNED(json_freep)
        json_t *value = json_pack(
            "{sososssIsIsIsIsbsosI}", "mailbox", json_text(run->job.mailbox),
            "requestId", json_text(key->answer.request_id), "what", verb,
            "messages", (json_int_t)run->done, "already",
            (json_int_t)run->already, "failed", (json_int_t)run->failed,
            "bytes", (json_int_t)run->bytes, "keyGenerated",
            key->generated ? 1 : 0, "dep", json_text(key->answer.dep),
            "generation", (json_int_t)key->answer.generation);
        enum cli_exit code = output_json(cli->out, value);
        return code != CLI_OK ? code : run->worst;
    }
    if (key->generated) {
        (void)fprintf(cli->out, "generated the key of %s\n", run->job.mailbox);
    }
    (void)fprintf(cli->out, "%s %" PRIu64 " messages (%" PRIu64 " bytes) of %s",
                  verb, run->done, run->bytes, run->job.mailbox);
    if (run->already > 0) {
        (void)fprintf(cli->out, "; nothing to do for %" PRIu64, run->already);
    }
    if (run->failed > 0) {
        (void)fprintf(cli->out, "; FAILED for %" PRIu64, run->failed);
    }
    (void)fprintf(cli->out, "\n");
    return fflush(cli->out) == 0 ? run->worst : CLI_OTHER;
}

/* --- the two commands
 * --------------------------------------------------------- */

static enum cli_exit open_maildir(struct cli *cli, const char *path,
                                  int *out_dir, struct maildir *out_maildir)
{
    *out_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*out_dir < 0) {
        return cli_usage(cli, "%s: %s", path, strerror(errno));
    }
    enum hf_status status = maildir_list_folders(*out_dir, out_maildir);
    if (status == HF_E_NOT_FOUND) {
        return cli_usage(cli, "%s is no Maildir: it has neither cur nor new",
                         path);
    }
    return status == HF_OK
               ? CLI_OK
               : cli_fail(cli, CLI_OTHER, "%s: %s", path, file_problem(status));
}

/* open_copy: DIR.sealed. */
static enum cli_exit open_copy(struct cli *cli, const char *path, int *out_copy)
{
    char copy[PATH_MAX];
    int len = (int)strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    int written = snprintf(copy, sizeof copy, "%.*s" COPY_SUFFIX, len, path);
    if (written < 0 || (size_t)written >= sizeof copy) {
        return cli_usage(cli, "the name of the folder is too long");
    }
    if (mkdir(copy, S_IRWXU) != 0 && errno != EEXIST) {
        return cli_fail(cli, CLI_OTHER, "%s: %s", copy, strerror(errno));
    }
    *out_copy = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *out_copy >= 0
               ? CLI_OK
               : cli_fail(cli, CLI_OTHER, "%s: %s", copy, strerror(errno));
}

static struct run run_of(struct cli *cli, bool sealing)
{
    return (struct run){
        .cli = cli,
        .dir = -1,
        .copy = -1,
        .sealing = sealing,
        .terminal = isatty(fileno(cli->err)) == 1 && !cli->json,
    };
}

static void run_clear(struct run *run)
{
    closep(&run->dir);
    closep(&run->copy);
}

static enum cli_exit run_all(struct run *run, const struct maildir *maildir,
                             const struct seal_key *key)
{
    run->job.key = key->answer.key;
    run->job.mailbox = key->access.mailbox;
    enum cli_exit code = run_folders(run, maildir);
    return code == CLI_OK ? show_end(run, key) : code;
}

static enum cli_exit run_seal(struct cli *cli, const struct args *args)
{
    const char *path = args->operands[0];
    HF_OWNED(maildir_clear) struct maildir maildir = {0};
    HF_OWNED(seal_key_clear) struct seal_key key = SEAL_KEY_INIT;
    HF_OWNED(run_clear) struct run run = run_of(cli, true);
    run.job.copy = args_flag(args, "copy");
    enum cli_exit code = open_maildir(cli, path, &run.dir, &maildir);
    if (code == CLI_OK && run.job.copy) {
        code = open_copy(cli, path, &run.copy);
    }
    if (code == CLI_OK) {
        code =
            seal_key_begin(cli, run.copy >= 0 ? run.copy : run.dir, true, &key);
    }
    if (code == CLI_OK) {
        code = seal_key_for_sealing(cli, &key);
    }
    return code == CLI_OK ? run_all(&run, &maildir, &key) : code;
}

static enum cli_exit run_open(struct cli *cli, const struct args *args)
{
    HF_OWNED(maildir_clear) struct maildir maildir = {0};
    HF_OWNED(seal_key_clear) struct seal_key key = SEAL_KEY_INIT;
    HF_OWNED(run_clear) struct run run = run_of(cli, false);
    run.job.check_only = args_flag(args, "verify");
    enum cli_exit code =
        open_maildir(cli, args->operands[0], &run.dir, &maildir);
    if (code == CLI_OK) {
        code = seal_key_begin(cli, run.dir, false, &key);
    }
    if (code == CLI_OK) {
        code = seal_key_for_opening(cli, &key);
    }
    return code == CLI_OK ? run_all(&run, &maildir, &key) : code;
}

static const struct option seal_options[] = {
    {"mailbox", "MAILBOX", "whose messages these are",                true,  false},
    {"copy",    NULL,      "seal into DIR.sealed; the messages stay", false, false},
    OPTIONS_OF_AN_ACCESS,
};
static const struct option open_options[] = {
    {"mailbox", "MAILBOX", "default: the one it was sealed as",       false, false},
    {"verify",  NULL,      "open each in memory only; write nothing", false, false},
    OPTIONS_OF_AN_ACCESS,
};

static const struct command seal_command = {
    .group = "mailbox",
    .verb = "seal",
    .summary = "Encrypt every message of a Maildir under its mailbox's key, "
               "which is made if there is none. Can be stopped and repeated.",
    .operands = "DIR",
    .options = seal_options,
    .option_count = HF_COUNT(seal_options),
    .example = "holdfast --as workload mailbox seal ~/Maildir --mailbox alice",
    .run = run_seal,
};

static const struct command open_command = {
    .group = "mailbox",
    .verb = "open",
    .summary = "Decrypt and verify every message of a sealed Maildir. Exit "
               "code 7 when one does not verify.",
    .operands = "DIR",
    .options = open_options,
    .option_count = HF_COUNT(open_options),
    .example = "holdfast --as workload mailbox open ~/Maildir --verify",
    .run = run_open,
};

static const struct command *const commands[] = {&seal_command, &open_command};
const struct command_set commands_of_seal = {commands, HF_COUNT(commands)};
