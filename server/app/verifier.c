#include "server/app/verifier.h"

#include "hsm/base/check.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/secret_file.h"

#include "server/app/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM_NAME "holdfast-hsm"
#define PIN_FD       3
#define PIN_FD_TEXT  "3"
#define WORDS_MAX    20
#define DEADLINE_MS  60000
#define LOOK_MS      20
/* tool_exit: part of holdfast-hsm's interface */
#define EXIT_GONE  0
#define EXIT_THERE 5

extern char **environ;

/* What the command line is made of. */
struct words {
    const char *at[WORDS_MAX + 1];
    size_t count;
    char id_prefix[2 * HF_ID_BYTES + 1];
    char id[2 * HF_CKA_ID_MAX_BYTES + 1];
    char wrapped[2 * HF_RSA_MAX_BYTES + 1];
};

static void add(struct words *words, const char *word, const char *value)
{
    CHECK(words->count + 2 <= WORDS_MAX);
    words->at[words->count++] = word;
    words->at[words->count++] = value;
}

static void fill_words(const struct app_verifier *verifier,
                       const struct config_token *token,
                       const struct absence_question *question,
                       struct words *words)
{
    hex_encode(question->dep.bytes, HF_ID_BYTES, words->id_prefix,
               sizeof words->id_prefix);
    hex_encode(question->key.id, question->key.id_len, words->id,
               sizeof words->id);
    hex_encode(question->wrapped.data, question->wrapped.len, words->wrapped,
               sizeof words->wrapped);
    words->at[words->count++] = verifier->program;
    add(words, "ak", "verify-absent");
    add(words, "--module", token->module);
    add(words, "--token", token->label);
    /* of a token that has a record, the serial it was enrolled with */
    if (question->serial[0] != '\0' || token->serial[0] != '\0') {
        add(words, "--serial",
            question->serial[0] != '\0' ? question->serial : token->serial);
    }
    add(words, "--pin-fd", PIN_FD_TEXT);
    add(words, "--label-prefix", question->label_prefix);
    add(words, "--id-prefix", words->id_prefix);
    add(words, "--id", words->id);
    add(words, "--wrapped", words->wrapped);
    words->at[words->count] = NULL;
}

/* A descriptor that holds the PIN and nothing else; the kernel's buffer takes
 * it whole. */
static HF_STATUS pin_descriptor(const struct config_token *token, int *out_fd)
{
    int ends[2];
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    HF_TRY(secret_from_file(token->pin_file, &pin));
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return HF_E_RESOURCES;
    }
    ssize_t len = (ssize_t)secret_len(pin);
    bool whole = write(ends[1], secret_bytes(pin), secret_len(pin)) == len;
    close(ends[1]);
    if (!whole) {
        close(ends[0]);
        return HF_E_IO;
    }
    *out_fd = ends[0];
    return HF_OK;
}

/* Only the PIN's descriptor, no output, and no signal kept back. */
static bool set_up(posix_spawn_file_actions_t *files, posix_spawnattr_t *how,
                   int pin)
{
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    return posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY,
                                            0) == 0 &&
           posix_spawn_file_actions_addopen(files, 1, "/dev/null", O_WRONLY,
                                            0) == 0 &&
           posix_spawn_file_actions_addopen(files, 2, "/dev/null", O_WRONLY,
                                            0) == 0 &&
           posix_spawn_file_actions_adddup2(files, pin, PIN_FD) == 0 &&
           posix_spawn_file_actions_addclosefrom_np(files, PIN_FD + 1) == 0 &&
           posix_spawnattr_setsigmask(how, &none) == 0 &&
           posix_spawnattr_setsigdefault(how, &all) == 0 &&
           posix_spawnattr_setflags(how, POSIX_SPAWN_SETSIGMASK |
                                             POSIX_SPAWN_SETSIGDEF) == 0;
}

static HF_STATUS spawn(const struct words *words, int pin, pid_t *out_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    /* the words are not written to: the type is an old one */
    char *at[WORDS_MAX + 1];
    memcpy(at, words->at, sizeof at);
    if (posix_spawn_file_actions_init(&files) != 0) {
        return HF_E_NO_MEMORY;
    }
    if (posix_spawnattr_init(&how) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return HF_E_NO_MEMORY;
    }
    bool started = set_up(&files, &how, pin) &&
                   posix_spawn(out_pid, at[0], &files, &how, at, environ) == 0;
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return started ? HF_OK : HF_E_RESOURCES;
}

static HF_STATUS wait_for(pid_t pid, int *out_code)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
    int status = 0;
    for (int waited_ms = 0; waited_ms < DEADLINE_MS; waited_ms += LOOK_MS) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) {
            *out_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
            return HF_OK;
        }
        if (ended < 0 && errno != EINTR) {
            return HF_E_INTERNAL;
        }
        nanosleep(&look, NULL);
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return HF_E_TIMEOUT;
}

static void tell(const struct config_token *token, pid_t pid,
                 struct absence_answer *answer)
{
    char time_text[CLOCK_UTC_TEXT];
    clock_format_utc(clock_wall_ms(clock_system()), time_text);
    snprintf(answer->evidence, sizeof answer->evidence,
             "holdfast-hsm, process %ld, at %s: no object of this name in the "
             "token %s, and the copy does not open",
             (long)pid, time_text, token->label);
}

static HF_STATUS verify(void *self, const struct absence_question *question,
                        struct absence_answer *out_answer)
{
    const struct app_verifier *verifier = self;
    const struct config_token *token = config_ak_token(
        verifier->config, question->type == DEP_TYPE_SHAREPOINT_GEO,
        question->token);
    struct words words = {.count = 0};
    int pin = -1;
    int code = -1;
    pid_t pid = 0;
    if (question->wrapped.len == 0 ||
        question->wrapped.len > HF_RSA_MAX_BYTES) {
        return HF_E_INVALID;
    }
    if (token == NULL || token->pin_file[0] == '\0') {
        return HF_E_MISUSE; /* not configured, or its PIN is a person's */
    }
    fill_words(verifier, token, question, &words);
    HF_TRY(pin_descriptor(token, &pin));
    enum hf_status status = spawn(&words, pin, &pid);
    close(pin);
    HF_TRY(status);
    HF_TRY(wait_for(pid, &code));
    *out_answer = (struct absence_answer){.left = code == EXIT_THERE ? 1 : 0};
    if (code == EXIT_GONE) {
        out_answer->process = (uint32_t)pid;
        tell(token, pid, out_answer);
    }
    return code == EXIT_GONE || code == EXIT_THERE ? HF_OK : HF_E_UNREACHABLE;
}

bool app_verifier_set(struct app_verifier *verifier,
                      const struct config *config)
{
    verifier->config = config;
    verifier->port = (struct verifier){verify, verifier};
    return program_find(config->hsm_program, PROGRAM_NAME, verifier->program);
}

size_t app_verifier_shut_out(const struct config *config,
                             const char *out_names[APP_AK_TOKENS_MAX])
{
    size_t count = 0;
    if (config->ak_token.pin_file[0] == '\0') {
        out_names[count++] = config_ak_name(config, false);
    }
    if (config->has_sharepoint_ak &&
        config->sharepoint_ak_token.pin_file[0] == '\0') {
        out_names[count++] = config_ak_name(config, true);
    }
    for (size_t i = 0; i < config->ak_mirror_count; i++) {
        if (config->ak_mirrors[i].pin_file[0] == '\0') {
            out_names[count++] = config->ak_mirrors[i].name;
        }
    }
    return count;
}
