/* softhsm: where SoftHSM keeps its tokens, so that what is made in them can be
 * made durable: it never calls fsync itself. */
#pragma once

#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>

bool softhsm_is(const char *manufacturer);

/* softhsm_token_dir: directories.tokendir of the configuration that SoftHSM
 * itself would read: SOFTHSM2_CONF, the user's own, the system's.
 * Returns   HF_OK; HF_E_NOT_FOUND without such a line; HF_E_LIMIT for a path
 *           longer than cap. */
HF_STATUS softhsm_token_dir(char *out, size_t cap);

/* softhsm_folder_of: the folder of the token with this serial, which is part of
 * the folder's name. HF_OK; HF_E_NOT_FOUND, also for two; HF_E_LIMIT. */
HF_STATUS softhsm_folder_of(const char *serial, char *out, size_t cap);
