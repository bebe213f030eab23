/* purge_sign: an approver's signature, and the service's, by OpenSSL. */
#pragma once

#include "hsm/base/bytes.h"

#include "client/cli/file.h"

/* purge_sign: by the private key in a PEM file (ECDSA P-256 or Ed25519).
 * Gives     *out, cleared with file_data_clear.
 * Returns   HF_OK; HF_E_INVALID for another key; what file_read returns. */
HF_STATUS purge_sign(const char *key_path, struct bytes text,
                     struct file_data *out);
/* purge_verify: by one of the keys: DER, or PEM of one or more (tokens of the
 * service that mirror each other sign with keys of their own).
 * HF_OK; HF_E_DENIED; HF_E_INVALID. */
HF_STATUS purge_verify(struct bytes public_keys, struct bytes text,
                       struct bytes signature);
/* purge_key_to_pem: of a DER public key. */
HF_STATUS purge_key_to_pem(struct bytes public_key, struct file_data *out);
