/* package: a customer's own key on its way into a token, as its owner wraps it,
 * without the token and without the service.
 *
 *   wrapped_aes_key      RSA-OAEP, under the transport key, of a fresh AES-256
 *                        key, in the suite of the statement
 *   wrapped_private_key  AES-KWP (RFC 5649), under that key, of the PKCS#8
 *
 * Who has the transport's public key could wrap another key: so its owner tells
 * the fingerprint by another way, and the custodian types it. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include "hsm/token/token.h"
#include "hsm/tool/byok/prepared.h"

#include <stddef.h>
#include <stdint.h>

#define PACKAGE_KEY_MAX_BYTES 4096
#define PACKAGE_FILE_MAX      32768

struct package {
    uint8_t transport_id[HF_CKA_ID_MAX_BYTES];
    size_t transport_id_len;
    enum token_suite suite;
    uint8_t fingerprint[HF_SHA256_BYTES]; /* of the key, as its owner saw it */
    uint8_t wrapped_kek[HF_RSA_MAX_BYTES];
    size_t wrapped_kek_len;
    uint8_t wrapped_key[PACKAGE_KEY_MAX_BYTES];
    size_t wrapped_key_len;
};

/* package_wrap: pem is an RSA private key of 2048, 3072 or 4096 bits, not
 * encrypted.
 * HF_OK; HF_E_INVALID when it is none; HF_E_INTERNAL; HF_E_NO_MEMORY. */
HF_STATUS package_wrap(const struct prepared *prepared,
                       const struct secret *pem, struct package *out);

/* package_write: to be freed with free(); HF_E_NO_MEMORY. package_read:
 * HF_E_CORRUPT for what is no such file. */
HF_STATUS package_write(const struct package *package, char **out_text);
HF_STATUS package_read(struct bytes text, struct package *out);
