/* oaep: RSA-OAEP under a pinned public key, in the daemon: for round trips of
 * random bytes. No DEP key is ever wrapped here. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"

#include "hsm/sys/secret.h"

#include "hsm/token/token.h"

/* HF_OK; HF_E_INVALID for a public key that is none; HF_E_UNSUPPORTED for a
 * suite that is not OAEP; HF_E_INTERNAL. */
HF_STATUS oaep_wrap(struct bytes spki, enum token_suite suite,
                    const struct secret *key, uint8_t out[HF_RSA_MAX_BYTES],
                    size_t *out_len);
