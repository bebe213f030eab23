/* app: everything holdfastd is made of, put together and taken apart in order.
 *
 *   up:    tokens, store, service, rpc, edge
 *   down:  edge listens no more, rpc drains, edge, rpc, service, store, tokens
 *
 * The only module that names concrete adapters. app_main is the daemon; the
 * bench binary is the same with a method more.
 */
#pragma once

#include "hsm/base/own.h"
#include "hsm/base/status.h"

#include "server/app/config.h"
#include "server/rpc/rpc.h"

struct app;

/* What a program has beside the daemon's own. */
struct app_extras {
    const struct rpc_extra_method *methods;
    size_t method_count;
    struct service **service; /* told before the first call; NULL: not asked */
    /* what time it is for the service, its tokens and its callers' deadlines;
     * NULL: clock_system(). Connections always live in real time. */
    const struct clock *clock;
};

/* Why it did not start: one line that says what and what to do. */
struct app_failure {
    char text[1024];
};

/* app_start: from a checked configuration, which the app then owns (whatever
 * comes of it). secret_heap_start was called.
 *
 * Gives     *out_app, ended by app_stop; *out_failure on failure.
 * Returns   HF_OK; else the status of the part that did not start.
 * Blocks    for the tokens' self-tests: seconds.
 */
HF_STATUS app_start(struct config *config, const struct app_extras *extras,
                    struct app **out_app, struct app_failure *out_failure);

uint16_t app_port(const struct app *app);
const struct config *app_config(const struct app *app);

/* app_reload: identities and roles, certificates and revocation list, log
 * level, from the files as they are now. All or nothing: with a mistake
 * anywhere the old ones stay. Logs either way.
 * Blocks    for reading files. */
void app_reload(struct app *app);

/* app_stop: graceful: no new connections, calls in flight finish within
 * limits.drain_ms, then everything ends. NULL-safe. */
void app_stop(struct app *app);

/* app_main: the whole life of the daemon. Returns the exit code: 0 ended by a
 * signal, 1 could not start, 2 wrong options. */
int app_main(int argc, char **argv, const struct app_extras *extras);
