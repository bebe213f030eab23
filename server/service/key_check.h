/* key_check: what tells the key that went into an envelope from every other,
 * without telling it (crypto.md). A token that opens an envelope of suite 2
 * with CKR_OK and gives a wrong plaintext is found out before anybody gets it;
 * the tag cannot do that, since the token alone looks at it.
 *
 *   check = the first 16 bytes of SHA-256("HFK1" | context 77 | key)
 *
 * Of 32 random bytes the check is of no use to who guesses. A key that a caller
 * brought and that is not random can be guessed by it (README, known limits).
 */
#pragma once

#include "hsm/sys/secret.h"

#include "server/domain/envelope.h"

/* key_check_make: of a key that is about to be sealed in this context.
 * Returns   HF_OK; HF_E_NO_MEMORY (the only way it can fail). */
HF_STATUS key_check_make(const struct context *context,
                         const struct secret *key,
                         uint8_t out[KEY_CHECK_BYTES]);

/* key_check_look: whether the key that was opened under this binding is the one
 * that went in.
 * Returns   HF_OK: it is, or the envelope is of a suite that cannot say;
 *           HF_E_BAD_BLOB: it is another; HF_E_NO_MEMORY.
 * Threads   safe from any thread. */
HF_STATUS key_check_look(const struct key_binding *binding,
                         const struct secret *key);
