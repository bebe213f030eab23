#include "tests/support/spawned_worker.h"

#include "hsm/base/check.h"

#include "hsm/worker/serve.h"

#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKER_FD    3
#define HELLO_MAX_MS 60000

extern char **environ;

/* --- the worker ----------------------------------------------------------- */

/* PROGRAM --worker NUMBER QUEUE_MAX WHAT */
int spawned_worker_main(int argc, char **argv, spawned_open_fn *open)
{
    struct token token = {.port = NULL};
    if (argc != 5 || strcmp(argv[1], "--worker") != 0) {
        return -1;
    }
    uint32_t number = (uint32_t)strtoul(argv[2], NULL, 10);
    size_t queue_max = strtoul(argv[3], NULL, 10);
    enum hf_status status = secret_heap_start(1 << 18);
    if (status == HF_OK) {
        status = open(argv[4], queue_max, &token);
    }
    if (status != HF_OK) {
        return worker_refuse(WORKER_FD, number, status,
                             hf_status_text(status)) == HF_OK
                   ? 0
                   : 1;
    }
    return worker_serve(WORKER_FD, number, queue_max, &token) == HF_OK ? 0 : 1;
}

/* --- its user ------------------------------------------------------------- */

struct spawned {
    struct worker_link *link;
    pid_t pid;
    bool killed;
};

static void spawned_submit(void *self, struct token_request *const *requests,
                           size_t count)
{
    struct spawned *spawned = self;
    worker_link_submit(spawned->link, requests, count);
}

static void spawned_profile(void *self, struct token_profile *out)
{
    struct spawned *spawned = self;
    worker_link_profile(spawned->link, out);
}

static void spawned_counters(void *self, struct token_counters *out)
{
    struct spawned *spawned = self;
    worker_link_counters(spawned->link, out);
}

static void wait_for_end(const struct spawned *spawned)
{
    int status = 0;
    CHECK(waitpid(spawned->pid, &status, 0) == spawned->pid);
    CHECK(spawned->killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

static void spawned_close(void *self)
{
    struct spawned *spawned = self;
    worker_link_free(spawned->link);
    wait_for_end(spawned);
    free(spawned);
}

static const struct token_port port = {
    .submit = spawned_submit,
    .profile = spawned_profile,
    .counters = spawned_counters,
    .close = spawned_close,
};

static HF_STATUS spawn(struct spawned *spawned, int far, uint32_t number,
                       const struct spawned_settings *settings)
{
    char number_text[16];
    char queue_text[24];
    char program[] = "/proc/self/exe";
    char mode[] = "--worker";
    char *what = strdup(settings->what);
    char *const argv[] = {program, mode, number_text, queue_text, what, NULL};
    posix_spawn_file_actions_t actions;
    snprintf(number_text, sizeof number_text, "%u", number);
    snprintf(queue_text, sizeof queue_text, "%zu", settings->queue_max);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, far, WORKER_FD);
    int failed =
        posix_spawn(&spawned->pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    free(what);
    return failed == 0 ? HF_OK : HF_E_RESOURCES;
}

HF_STATUS spawned_worker_open(const struct spawned_settings *settings,
                              struct token *out_token)
{
    static atomic_uint numbers;
    const struct worker_link_settings link = {.hello_ms = HELLO_MAX_MS,
                                              .grace_ms = settings->grace_ms,
                                              .queue_max = settings->queue_max};
    struct worker_refusal refusal;
    uint32_t number = atomic_fetch_add(&numbers, 1) + 1;
    int ends[2];
    struct spawned *spawned = calloc(1, sizeof *spawned);
    if (spawned == NULL ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        free(spawned);
        return HF_E_RESOURCES;
    }
    enum hf_status status = spawn(spawned, ends[1], number, settings);
    close(ends[1]);
    if (status != HF_OK) {
        close(ends[0]);
        free(spawned);
        return status;
    }
    status = worker_link_new(ends[0], number, &link, &settings->owner,
                             &spawned->link, &refusal);
    if (status != HF_OK) {
        fprintf(stderr, "worker %u: %s: %s\n", number, hf_status_name(status),
                refusal.text);
        wait_for_end(spawned);
        free(spawned);
        return status;
    }
    *out_token = (struct token){.port = &port, .self = spawned};
    return HF_OK;
}

pid_t spawned_worker_pid(const struct token *token)
{
    const struct spawned *spawned = token->self;
    return spawned->pid;
}

struct worker_link *spawned_worker_link(const struct token *token)
{
    const struct spawned *spawned = token->self;
    return spawned->link;
}

void spawned_worker_kill(const struct token *token)
{
    struct spawned *spawned = token->self;
    spawned->killed = true;
    kill(spawned->pid, SIGKILL);
}
