/* public_key: the public half of a pair as DER SubjectPublicKeyInfo, which is
 * what fingerprints are made of, and encryption to it by OpenSSL. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_public_key_of: of the private key `handle`. RSA: from the private key's
 * own modulus and exponent, so that the fingerprint is of the key that unwraps,
 * not of a public object that merely has the same CKA_ID. EC: from the public
 * object with that CKA_ID (a private EC key does not show its point).
 *
 * Takes     spki of HF_SPKI_MAX_BYTES.
 * Returns   HF_OK; HF_E_UNSUPPORTED for another curve or a size out of range;
 *           HF_E_NOT_FOUND without a public object; else as the module.
 */
HF_STATUS p11_public_key_of(struct p11_work *work, CK_OBJECT_HANDLE handle,
                            const struct token_key *key, uint8_t *spki,
                            size_t *spki_len);

/* p11_rsa_spki: of an RSA key's two numbers, big endian. HF_OK;
 * HF_E_UNSUPPORTED for a size out of range. */
HF_STATUS p11_rsa_spki(struct bytes modulus, struct bytes exponent,
                       uint8_t *spki, size_t *spki_len);

/* p11_fingerprint: SHA-256 of the DER bytes. */
HF_STATUS p11_fingerprint(struct bytes spki, uint8_t out[HF_SHA256_BYTES]);

/* p11_public_bits: the size of the key in bits; 0 when it cannot be read. */
uint32_t p11_public_bits(struct bytes spki);

/* p11_public_parts: modulus and exponent of an RSA public key, big endian.
 * Takes     modulus of HF_RSA_MAX_BYTES, exponent of 8 bytes.
 * Returns   HF_OK; HF_E_INVALID for anything but RSA of 2048 to 4096 bits. */
struct p11_rsa_parts {
    uint8_t modulus[HF_RSA_MAX_BYTES];
    size_t modulus_len;
    uint8_t exponent[8];
    size_t exponent_len;
};
HF_STATUS p11_public_parts(struct bytes spki, struct p11_rsa_parts *out);

/* p11_oaep_encrypt: RSA-OAEP by OpenSSL, for canaries and the self-test.
 * Takes     out of HF_RSA_MAX_BYTES.
 * Returns   HF_OK; HF_E_INVALID; HF_E_INTERNAL. */
HF_STATUS p11_oaep_encrypt(struct bytes spki, enum token_suite suite,
                           struct bytes plain, uint8_t *out, size_t *out_len);

/* p11_verifies: the signature is one of the digest by the P-256 key. */
bool p11_verifies(struct bytes spki, const struct token_sign *sign);
