/* key_id: ids of keys that are made here (R-4.15: the version is the CKA_ID).
 */
#pragma once

#include "hsm/base/status.h"

#include <stdint.h>

#define KEY_ID_BYTES 16

/* key_id_make: begins with the time in milliseconds, so that the versions of a
 * key sort by age. HF_OK; HF_E_INTERNAL without randomness. */
HF_STATUS key_id_make(uint8_t out[KEY_ID_BYTES]);
