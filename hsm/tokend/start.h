/* start: one worker process: this program again, with the descriptors of
 * beat.h and no other. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include <stdint.h>
#include <sys/types.h>

struct start {
    int argc; /* of this program; a worker gets a few words more */
    char **argv;
    uint32_t number;
    const struct secret *pin; /* NULL: none */
};

struct started {
    pid_t pid;
    int beat; /* our end of each */
    int link;
};

/* start_worker: the PIN goes through a pipe, never through words or
 * environment. HF_OK; HF_E_RESOURCES; HF_E_IO. */
HF_STATUS start_worker(const struct start *start, struct started *out);
