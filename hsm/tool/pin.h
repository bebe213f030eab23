/* pin: where a PIN comes from: --pin-file, --pin-fd, else the terminal. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include "hsm/tool/tool.h"

#include <stdbool.h>

enum pin_owner { PIN_USER, PIN_OFFICER };

/* pin_get: is_new asks twice on a terminal.
 * Gives     *out_pin, freed with secret_free.
 * Returns   HF_OK; else told: HF_E_INVALID, HF_E_DENIED, HF_E_NOT_FOUND,
 *           HF_E_CANCELLED, HF_E_IO, HF_E_NO_MEMORY. */
HF_STATUS pin_get(struct tool *tool, enum pin_owner owner, bool is_new,
                  struct secret **out_pin);
