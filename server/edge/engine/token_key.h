/* token_key: the server's own TLS key where it lies in a PKCS#11 token, through
 * libp11's OpenSSL engine. Off unless configured, because it loads the vendor's
 * module into the daemon: this is the only file of the service that knows
 * OpenSSL's ENGINE interface (deprecated in OpenSSL 3, and still the one there
 * is in Debian 12).
 *
 * What libp11 0.4.12 does, and what follows here:
 *   it asks on the terminal when its PIN was refused     UI_null: it cannot,
 *                                                        and tries once
 *   a token it has logged in to is not asked again       a reload needs no PIN
 *   it keeps the PIN in memory that is not locked        README, known limits
 *   its unload finalises the module under others         never unloaded; the
 *                                                        module is no token's
 *                                                        that this process has
 *   a signature runs inside the handshake                README, known limits
 */
#pragma once

#include "hsm/base/status.h"

#include <openssl/evp.h>

#include <stddef.h>

struct token_key_source {
    const char *uri;      /* RFC 7512, without pin-value: token, object or id */
    const char *module;   /* the vendor's; one for the life of the process */
    const char *pin_file; /* owner-only, one line */
};

/* token_key_load
 *
 * Gives     *out_key, freed with EVP_PKEY_free; why, in words, on failure,
 *           without a secret.
 * Returns   HF_OK; HF_E_INVALID: the engine, the module, the token or the key
 *           is not there, or the PIN file is not to be used; HF_E_DENIED: the
 *           PIN was refused.
 * Blocks    as long as the module does.
 * Threads   safe from any thread, one at a time.
 */
HF_STATUS token_key_load(const struct token_key_source *from,
                         EVP_PKEY **out_key, char *why, size_t cap);
