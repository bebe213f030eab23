/* parent: the supervisor of one token's workers (supervisor.h), on one thread
 * that waits for nothing but its descriptors and the clock. */
#pragma once

#include "hsm/tokend/options.h"

/* parent_run: until holdfastd is gone (SIGTERM, when it listens). argc and argv
 * are those of the program: a worker is started with the same and a few words
 * more. The exit code. */
int parent_run(const struct tokend_options *options, int argc, char **argv);
