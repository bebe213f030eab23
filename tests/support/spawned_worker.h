/* spawned_worker: a token behind a link, served by a real process: this
 * program, run anew. For tests and benches of hsm/worker itself.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/token/token.h"
#include "hsm/worker/link.h"

#include <stddef.h>
#include <sys/types.h>

/* In the worker: opens the token that `what` names. */
typedef HF_STATUS spawned_open_fn(const char *what, size_t queue_max,
                                  struct token *out_token);

/* spawned_worker_main: first thing in main. -1: this is not a worker; else the
 * exit status of one that has served. */
int spawned_worker_main(int argc, char **argv, spawned_open_fn *open);

struct spawned_settings {
    const char *what;
    size_t queue_max; /* of both ends */
    int64_t grace_ms; /* of the link */
    struct worker_link_owner owner;
};

/* spawned_worker_open: starts a worker; its token is used like any other.
 * Closing it waits for the process and aborts when that does not end well,
 * unless spawned_worker_kill was called. The first has number 1, and so on.
 * Returns   HF_OK; HF_E_RESOURCES; or as worker_link_new. */
HF_STATUS spawned_worker_open(const struct spawned_settings *settings,
                              struct token *out_token);
pid_t spawned_worker_pid(const struct token *token);
struct worker_link *spawned_worker_link(const struct token *token);
/* spawned_worker_kill: SIGKILL. */
void spawned_worker_kill(const struct token *token);
