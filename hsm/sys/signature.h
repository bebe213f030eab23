/* signature: whose word it is. Detached signatures by keys that are not in a
 * token: a custodian's enrolment.
 *
 * Two kinds of key and nothing else: ECDSA P-256 with SHA-256, the signature
 * DER-encoded, and Ed25519. A public key is an X.509 SubjectPublicKeyInfo, in
 * PEM ("BEGIN PUBLIC KEY") or DER.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include <stdint.h>

#define SIGNATURE_MAX_BYTES 80 /* ECDSA P-256 in DER: 72 at most */

/* signature_verify: does signature say that the key's owner wrote message?
 *
 * Returns   HF_OK; HF_E_DENIED when it does not; HF_E_INVALID when the public
 *           key is none, or of another kind; HF_E_NO_MEMORY.
 * Threads   safe from any thread.
 */
HF_STATUS signature_verify(struct bytes public_key, struct bytes message,
                           struct bytes signature);

/* signature_key_fingerprint: the SHA-256 of the key's DER form; the same for
 * its PEM. HF_OK; HF_E_INVALID as above; HF_E_NO_MEMORY. */
HF_STATUS signature_key_fingerprint(struct bytes public_key,
                                    uint8_t out[HF_SHA256_BYTES]);

/* signature_key_der: the key in its DER form. HF_OK; HF_E_INVALID as above, or
 * when it is longer than out_cap; HF_E_NO_MEMORY. */
HF_STATUS signature_key_der(struct bytes public_key, uint8_t *out,
                            size_t out_cap, size_t *out_len);
