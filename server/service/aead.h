/* aead: AES-256-GCM in the daemon, for MEMORY residency and for
 * proving round trips. Tags are always 16 bytes.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

/* aead_seal: out has in.len + 16 bytes. HF_OK; HF_E_INTERNAL.
 * aead_open: out has in.len - 16 bytes, wiped on failure. HF_OK; HF_E_BAD_BLOB;
 * HF_E_INTERNAL. Threads: safe from any. */
HF_STATUS aead_seal(const struct secret *key, const uint8_t iv[HF_GCM_IV_BYTES],
                    struct bytes aad, struct bytes in, uint8_t *out);
HF_STATUS aead_open(const struct secret *key, const uint8_t iv[HF_GCM_IV_BYTES],
                    struct bytes aad, struct bytes in, uint8_t *out);
