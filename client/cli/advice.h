/* advice: what an error means for whoever typed the command. Pure tables. */
#pragma once

#include "client/cli/args.h"
#include "client/cli/exit.h"
#include "client/lib/holdfast.h"

/* advice_exit: the exit code of an error (exit.h). */
enum cli_exit advice_exit(const struct hf_error *error);

/* advice_text: what to do next, one sentence, with the command to type; NULL
 * when nothing sensible can be said (or without memory). By the command that
 * failed and the reason, then by reason, then by code. Freed with free. */
char *advice_text(const struct hf_error *error, const struct args *args);
