/* import: a key that its owner made elsewhere comes into the token, in
 * two steps that every token with OAEP and KWP can do:
 *
 *   the owner:   RSA-OAEP(transport key of the token, AES-256 key)
 *                AES-KWP(that AES-256 key, PKCS#8 of the RSA key)
 *   the token:   unwraps the one, and by it the other
 *
 * The transport pair is made in the token, leaves it as little as any other
 * key, and is destroyed when the key is in. The key is tried as a session
 * object first: what is not the key that its owner named never becomes a token
 * object, which could not be destroyed again.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "hsm/pkcs11/pkcs11.h"
#include "hsm/token/token.h"

#include <stdbool.h>

#define PKCS11_TRANSPORT_BITS 3072
/* PKCS#8 of RSA-4096 is 2.4 kB */
#define PKCS11_IMPORT_MAX_BYTES 4096

/* A token that this process has open and logged in. */
struct pkcs11_import_token {
    const char *module_path;
    const struct token_profile *profile;
};

/* pkcs11_transport_make: a pair with this id, named TOKEN_NAME_IMPORT, that can
 * only unwrap.
 * Returns   HF_OK; refused: HF_E_UNSUPPORTED; HF_E_UNREACHABLE. */
HF_STATUS pkcs11_transport_make(const struct pkcs11_import_token *token,
                                struct bytes id,
                                struct pkcs11_refusal *out_refusal);

/* pkcs11_transport_drop_half: destroys the public half of such a pair whose
 * private one is gone, and nothing of another name.
 * Returns   HF_OK, also when there is none; refused: as the token. */
HF_STATUS pkcs11_transport_drop_half(const struct pkcs11_import_token *token,
                                     struct bytes id,
                                     struct pkcs11_refusal *out_refusal);

struct pkcs11_import {
    struct bytes transport_id;
    enum token_suite suite;   /* of wrapped_kek */
    struct bytes wrapped_kek; /* the AES-256 key */
    struct bytes wrapped_key; /* PKCS#8 */
    struct bytes id;          /* of the key to be */
    const char *label;
    bool memory; /* residency MEMORY: DECRYPT as well */
    uint8_t fingerprint[HF_SHA256_BYTES]; /* as its owner told it */
};

/* pkcs11_import: SENSITIVE, not EXTRACTABLE, not MODIFIABLE, UNWRAP with an
 * unwrap template, as generated keys are. That it was made elsewhere
 * shows for ever: CKA_LOCAL is false.
 *
 * Returns   HF_OK; refused: HF_E_NOT_FOUND without the transport key;
 *           HF_E_BAD_BLOB when what came does not open, or is another key than
 *           the fingerprint's, and nothing was made; HF_E_UNSUPPORTED;
 *           HF_E_UNREACHABLE. */
HF_STATUS pkcs11_import(const struct pkcs11_import_token *token,
                        const struct pkcs11_import *import,
                        struct pkcs11_refusal *out_refusal);
