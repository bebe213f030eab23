/* token_fake_crypto: the cryptography of the fake token, on OpenSSL.
 *
 * Every function returns HF_OK; HF_E_BAD_BLOB for what does not open;
 * HF_E_INVALID for a key that cannot be used; HF_E_INTERNAL when OpenSSL
 * fails otherwise. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "hsm/token/token.h"

#include <openssl/evp.h>

#include <stdint.h>

/* out: in.len + 16 */
HF_STATUS fake_gcm_seal(const uint8_t key[HF_KEY_BYTES],
                        const struct token_aead *aead, uint8_t *out,
                        size_t *out_len);
/* out: in.len - 16 */
HF_STATUS fake_gcm_open(const uint8_t key[HF_KEY_BYTES],
                        const struct token_aead *aead, uint8_t *out,
                        size_t *out_len);
HF_STATUS fake_kwp_wrap(const uint8_t root[HF_KEY_BYTES],
                        const uint8_t key[HF_KEY_BYTES],
                        uint8_t out[HF_KWP_BYTES]);
/* The result is HF_KEY_BYTES long or the blob is bad. */
HF_STATUS fake_kwp_unwrap(const uint8_t root[HF_KEY_BYTES],
                          struct bytes wrapped, uint8_t out[HF_KEY_BYTES]);
HF_STATUS fake_hmac(const uint8_t key[HF_KEY_BYTES], struct bytes in,
                    uint8_t out[HF_SHA256_BYTES]);

/* suite: OAEP with SHA-256 or SHA-1. out: HF_RSA_MAX_BYTES. */
HF_STATUS fake_oaep_wrap(struct bytes spki, enum token_suite suite,
                         const uint8_t key[HF_KEY_BYTES], uint8_t *out,
                         size_t *out_len);
/* The result is HF_KEY_BYTES long or the blob is bad. */
HF_STATUS fake_oaep_unwrap(EVP_PKEY *pair, enum token_suite suite,
                           struct bytes wrapped, uint8_t out[HF_KEY_BYTES]);
HF_STATUS fake_ecdsa_sign(EVP_PKEY *pair, const uint8_t digest[HF_SHA256_BYTES],
                          uint8_t signature[64]);

HF_STATUS fake_rsa_new(uint32_t bits, EVP_PKEY **out_pair);
HF_STATUS fake_ec_new(EVP_PKEY **out_pair);
/* Fills spki, spki_len and key.fingerprint. */
HF_STATUS fake_public_part(EVP_PKEY *pair, struct token_key_report *report);
