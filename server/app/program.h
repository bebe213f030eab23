/* program: where the daemon finds another program of Holdfast. */
#pragma once

#include "server/app/config.h"

#include <stdbool.h>

/* program_find: configured, or "": called name, beside this one. False when it
 * cannot be executed; out then says what was looked for. */
bool program_find(const char *configured, const char *name,
                  char out[CONFIG_PATH_BYTES]);
