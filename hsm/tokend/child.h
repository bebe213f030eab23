/* child: the process that loads the module and serves one token. */
#pragma once

#include "hsm/tokend/options.h"

/* child_run: from the descriptors of beat.h; the exit code. */
int child_run(const struct tokend_options *options);
