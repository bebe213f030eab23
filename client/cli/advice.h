/* advice: what an error means for whoever typed the command. Pure tables. */
#pragma once

#include "client/cli/exit.h"
#include "client/lib/holdfast.h"

/* advice_exit: the exit code of an error (exit.h). */
enum cli_exit advice_exit(const struct hf_error *error);

/* advice_text: what to do next, one sentence; NULL when nothing sensible can
 * be said. By reason first, then by code. */
const char *advice_text(const struct hf_error *error);
