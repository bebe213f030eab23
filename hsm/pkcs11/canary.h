/* canary: is it the data or the key? Where a module answers bad data with a
 * general error, an operation with the same key on data that is known to be
 * good decides (specification, below table 6-A). */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_canary_decrypt / p11_canary_unwrap: 32 random bytes are encrypted to the
 * RSA key's own public half by OpenSSL and given to the token. For an AES root
 * p11_canary_kwp wraps a session key and unwraps it again.
 *
 * Takes     work->session open.
 * Returns   HF_OK: the key works; else as the module.
 */
HF_STATUS p11_canary_decrypt(struct p11_work *work,
                             const struct p11_cached_key *key,
                             enum token_suite suite);
HF_STATUS p11_canary_unwrap(struct p11_work *work,
                            const struct p11_cached_key *key,
                            enum token_suite suite);
HF_STATUS p11_canary_kwp(struct p11_work *work,
                         const struct p11_cached_key *key);

/* p11_canary_object: seals and opens under a session object. */
HF_STATUS p11_canary_object(struct p11_work *work, CK_OBJECT_HANDLE object);

/* p11_canary_session: with a session key made now. */
HF_STATUS p11_canary_session(struct p11_work *work);
