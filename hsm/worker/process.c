#include "hsm/worker/process.h"

#include "hsm/base/check.h"

#include "hsm/worker/door.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS_MAX    40
#define CONTROL_FD   3 /* hsm/tokend/beat.h */
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 30000
#define LOOK_MS      5

extern char **environ;

/* The command line of holdfast-tokend, and room for its numbers. */
struct words {
    const char *at[WORDS_MAX + 1];
    size_t count;
    char numbers[5][24];
    size_t number_count;
};

static void add(struct words *words, const char *option, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        CHECK(words->count + 2 <= WORDS_MAX);
        words->at[words->count++] = option;
        words->at[words->count++] = value;
    }
}

static void add_number(struct words *words, const char *option, uint64_t value)
{
    CHECK(words->number_count < HF_COUNT(words->numbers));
    char *text = words->numbers[words->number_count++];
    snprintf(text, sizeof words->numbers[0], "%llu", (unsigned long long)value);
    add(words, option, text);
}

static const char *level_text(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return "debug";
    case LOG_INFO:
        return "info";
    case LOG_WARN:
        return "warn";
    case LOG_ERROR:
        return "error";
    }
    return "info";
}

static void fill_words(const struct worker_process *process,
                       struct words *words)
{
    const struct worker_settings *settings = process->settings;
    words->at[words->count++] = settings->program;
    add(words, "--name", settings->name);
    add(words, "--token", settings->label);
    add(words, "--serial", settings->serial);
    add(words, "--module", settings->module);
    switch (settings->pin) {
    case WORKER_PIN_FILE:
        add(words, "--pin-file", settings->pin_file);
        break;
    case WORKER_PIN_ACTIVATION:
        add(words, "--activation", settings->activation);
        break;
    case WORKER_PIN_PAD:
        words->at[words->count++] = "--pin-pad";
        break;
    }
    add(words, "--syncfs", settings->sync_path);
    add_number(words, "--sessions", settings->max_sessions);
    add_number(words, "--queue", settings->queue_max);
    add_number(words, "--memory-mb", settings->memory_mb);
    add(words, "--log-level", level_text(settings->log_level));
    add_number(words, "--first-worker", process->next_worker);
    if (process->refused_pin != 0) {
        add_number(words, "--refused-pin", process->refused_pin);
    }
    words->at[words->count] = NULL;
}

/* A process group of its own: who interrupts the daemon from a terminal means
 * the daemon, which ends its workers when their calls are answered. */
static bool set_up(posix_spawn_file_actions_t *files, posix_spawnattr_t *how,
                   int control)
{
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    return posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null",
                                            O_RDONLY, 0) == 0 &&
           posix_spawn_file_actions_addopen(files, STDOUT_FILENO, "/dev/null",
                                            O_WRONLY, 0) == 0 &&
           posix_spawn_file_actions_adddup2(files, control, CONTROL_FD) == 0 &&
           posix_spawn_file_actions_addclosefrom_np(files, CONTROL_FD + 1) ==
               0 &&
           posix_spawnattr_setsigmask(how, &none) == 0 &&
           posix_spawnattr_setsigdefault(how, &all) == 0 &&
           posix_spawnattr_setpgroup(how, 0) == 0 &&
           posix_spawnattr_setflags(how, POSIX_SPAWN_SETSIGMASK |
                                             POSIX_SPAWN_SETSIGDEF |
                                             POSIX_SPAWN_SETPGROUP) == 0;
}

static int spawn(const struct words *words, int control, pid_t *out_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    /* the words are not written to: the type is an old one */
    char *at[WORDS_MAX + 1];
    memcpy(at, words->at, sizeof at);
    if (posix_spawn_file_actions_init(&files) != 0) {
        return ENOMEM;
    }
    if (posix_spawnattr_init(&how) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    int failed = set_up(&files, &how, control)
                     ? posix_spawn(out_pid, at[0], &files, &how, at, environ)
                     : ENOMEM;
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

void process_set_up(struct worker_process *process,
                    const struct worker_settings *settings)
{
    *process = (struct worker_process){
        .settings = settings, .control = -1, .next_worker = 1};
}

static HF_STATUS begin(struct worker_process *process,
                       char why[TOKEN_WHY_BYTES])
{
    struct words words = {.count = 0};
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        snprintf(why, TOKEN_WHY_BYTES, "no socket for its worker: %s",
                 strerror(errno));
        return HF_E_RESOURCES;
    }
    fill_words(process, &words);
    int failed = spawn(&words, ends[1], &process->pid);
    close(ends[1]);
    if (failed != 0) {
        close(ends[0]);
        process->pid = 0;
        snprintf(why, TOKEN_WHY_BYTES, "%.160s cannot be started: %s",
                 process->settings->program, strerror(failed));
        return HF_E_RESOURCES;
    }
    process->control = ends[0];
    return HF_OK;
}

/* It may be of any user: who may make a socket at this path is its folder's
 * affair, and no secret goes there. */
static HF_STATUS connect_to(struct worker_process *process,
                            char why[TOKEN_WHY_BYTES])
{
    uint32_t uid = 0;
    enum hf_status status =
        door_knock(process->settings->socket, &process->control, &uid);
    if (status != HF_OK) {
        process->control = -1;
        snprintf(why, TOKEN_WHY_BYTES, "nobody answers at %.160s: %s",
                 process->settings->socket, hf_status_text(status));
        return HF_E_UNREACHABLE;
    }
    return HF_OK;
}

HF_STATUS process_start(struct worker_process *process, int64_t now_ms,
                        char why[TOKEN_WHY_BYTES])
{
    int64_t pause_ms = PAUSE_MIN_MS;
    const char *socket = process->settings->socket;
    CHECK(process->control < 0 && process->pid == 0);
    for (unsigned i = 0; i < process->failures && pause_ms < PAUSE_MAX_MS;
         i++) {
        pause_ms *= 2;
    }
    process->failures += 1; /* until a worker has come from it */
    process->next_start_ms =
        now_ms + (pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
    return socket != NULL && socket[0] != '\0' ? connect_to(process, why)
                                               : begin(process, why);
}

/* Ended and taken away; false: not yet. */
static bool reap(struct worker_process *process, int flags, int *out_status)
{
    pid_t pid = 0;
    do {
        pid = waitpid(process->pid, out_status, flags);
    } while (pid < 0 && errno == EINTR);
    bool ended = pid < 0 || (pid == process->pid && !WIFSTOPPED(*out_status));
    if (ended) {
        process->pid = 0;
    }
    return ended;
}

bool process_lives(struct worker_process *process)
{
    int status = 0;
    if (process->pid == 0) {
        return true;
    }
    if (reap(process, WNOHANG | WUNTRACED, &status)) {
        return false;
    }
    return !WIFSTOPPED(status);
}

void process_end(struct worker_process *process, int64_t patience_ms)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
    int status = 0;
    if (process->control >= 0) {
        close(process->control);
        process->control = -1;
    }
    for (int64_t waited_ms = 0; process->pid != 0 && waited_ms < patience_ms;
         waited_ms += LOOK_MS) {
        if (!reap(process, WNOHANG, &status)) {
            nanosleep(&look, NULL);
        }
    }
    if (process->pid != 0) {
        kill(process->pid, SIGKILL);
        while (!reap(process, 0, &status)) {
        }
    }
}
