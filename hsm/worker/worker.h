/* worker: the token port on processes of its own (holdfast-tokend).
 *
 *   opening --> open --the worker is lost--> opening --> ...
 *               ^  |
 *               |  | another is opened beside it
 *               +--+ (and the one before drains)
 *
 * New work goes to the newest worker. SEAL, OPEN and FORGET go to the worker
 * that their object was made in, for as long as it lives: one that was replaced
 * as planned ends when nothing made in it is left, so leases move over without
 * a failed call. An object of a worker that is gone: HF_E_PRECONDITION.
 *
 * What was in flight when a worker is lost is answered HF_E_UNREACHABLE (table
 * 6-A: module crash), or asked again of the next one, once, where the settings
 * want it and it leaves nothing behind. What comes after waits for the next
 * worker, because that is there within a fraction of a second, but for no
 * longer than wait_ms from the loss on. While nothing is to be expected soon,
 * every request is answered at once with what the trouble means
 * (token_answer_while_shut).
 *
 * The supervisor, holdfast-tokend, is started here, and started again when it
 * ends or is stopped; or it is somebody else's, and listens at a socket.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/log.h"

#include "hsm/token/token.h"

#include <stdbool.h>
#include <stdint.h>

enum worker_pin {
    WORKER_PIN_FILE,
    WORKER_PIN_ACTIVATION,
    WORKER_PIN_PAD,
};

/* Texts are borrowed for the life of the token; NULL or "" where there is
 * none. */
struct worker_settings {
    const char *socket;  /* where holdfast-tokend listens; none: it is started,
                            and all of the following is for it */
    const char *program; /* holdfast-tokend */
    const char *module;
    const char *label;
    const char *serial;
    enum worker_pin pin;
    const char *pin_file;   /* PIN_FILE */
    const char *activation; /* PIN_ACTIVATION: a socket's path */
    const char *sync_path;  /* syncfs; none: the token is durable by itself */
    uint32_t max_sessions;
    uint32_t queue_max; /* per lane; 0: 1024 */
    uint32_t memory_mb;

    const char *name; /* for the log */
    uint32_t wait_ms; /* how long a request may wait for the next worker after
                         one was lost */
    bool
        repeat; /* what was in flight in a lost worker, as has a repair */
    const struct clock *clock; /* for drop_dead_ms; NULL: clock_system() */
    enum log_level log_level;
};

/* worker_open: begins to open a token.
 *
 * Gives     *out_token, to be closed with token_close, which ends the processes
 *           that were started; its profile is all zero until it is open.
 * Returns   HF_OK; HF_E_INVALID; HF_E_NO_MEMORY; HF_E_RESOURCES.
 * Blocks    no.
 */
HF_STATUS worker_open(const struct worker_settings *settings,
                      struct token *out_token);

/* worker_token_wait: until the token is open, or could not be.
 *
 * Returns   HF_OK; HF_E_TIMEOUT: neither within wait_ms (out_state says what it
 *           waits for); else why it cannot be opened.
 */
HF_STATUS worker_token_wait(const struct token *token, int64_t wait_ms,
                            struct token_state *out_state);

/* worker_token_look: the PIN file may have changed. */
void worker_token_look(const struct token *token);
