/* hash: SHA-256 for keys of records and for the audit chain. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"

/* sha256: of one view.
 * Returns   HF_OK; HF_E_NO_MEMORY (the only way it can fail). */
HF_STATUS sha256(struct bytes data, uint8_t out[HF_SHA256_BYTES]);
