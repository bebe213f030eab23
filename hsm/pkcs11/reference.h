/* reference: the same answers by OpenSSL, for the self-test to compare with. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

/* All: HF_OK; HF_E_INTERNAL when OpenSSL fails; HF_E_BAD_BLOB for a wrapping
 * that does not open or is not of 32 bytes. */
HF_STATUS reference_gcm(const uint8_t key[HF_KEY_BYTES],
                        const uint8_t iv[HF_GCM_IV_BYTES], struct bytes aad,
                        struct bytes plain, uint8_t *out_sealed);
HF_STATUS reference_kwp_open(const uint8_t key[HF_KEY_BYTES],
                             struct bytes wrapped, uint8_t out[HF_KEY_BYTES]);
/* reference_kwp_seal: out of in.len + 16 bytes. */
HF_STATUS reference_kwp_seal(const uint8_t key[HF_KEY_BYTES], struct bytes in,
                             uint8_t *out, size_t *out_len);
/* reference_ecdsa: signature is r || s; HF_E_BAD_BLOB when it is not the key's.
 */
HF_STATUS reference_ecdsa(struct bytes spki,
                          const uint8_t digest[HF_SHA256_BYTES],
                          const uint8_t signature[64]);
HF_STATUS reference_hmac(const uint8_t key[HF_KEY_BYTES], struct bytes text,
                         uint8_t out[HF_SHA256_BYTES]);
