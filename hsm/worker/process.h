/* process: the supervisor of one token's workers, as holdfastd has it: started
 * by it, or connected to where it listens. For one thread; the process that it
 * starts ends with that thread at the latest. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/worker/worker.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct worker_process {
    const struct worker_settings *settings;
    int control;          /* -1: there is none */
    pid_t pid;            /* 0: none that was started here */
    uint32_t next_worker; /* no number is used twice */
    uint64_t refused_pin; /* control.h */
    unsigned failures;    /* in a row */
    int64_t next_start_ms;
};

void process_set_up(struct worker_process *process,
                    const struct worker_settings *settings);

/* process_start: there is none. HF_OK; or the status, and why in words. The
 * next try is due at next_start_ms, later each time. */
HF_STATUS process_start(struct worker_process *process, int64_t now_ms,
                        char why[TOKEN_WHY_BYTES]);

/* process_lives: false: it has ended, or was stopped, which is as good. */
bool process_lives(struct worker_process *process);

/* process_end: lets go of it; one that was started here has patience_ms to end,
 * and is killed then. Blocks up to that. */
void process_end(struct worker_process *process, int64_t patience_ms);
