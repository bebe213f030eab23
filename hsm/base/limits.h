/* limits: every bound that more than one module must agree on.
 *
 * A module's private bounds stay in the module. The unit is in the name.
 */
#pragma once

#include <stddef.h>

#define HF_KEY_BYTES         32 /* AES-256: DEP keys and resource keys */
#define HF_GCM_IV_BYTES      12
#define HF_GCM_TAG_BYTES     16
#define HF_SHA256_BYTES      32
#define HF_SECRET_MAX_BYTES  4096
#define HF_RSA_MIN_BITS      2048
#define HF_RSA_MAX_BITS      4096
#define HF_RSA_MAX_BYTES     (HF_RSA_MAX_BITS / 8)
#define HF_SPKI_MAX_BYTES    600 /* DER SubjectPublicKeyInfo of RSA-4096: 550 */
#define HF_KWP_BYTES         40  /* RFC 5649 wrap of 32 bytes */
#define HF_CKA_ID_MAX_BYTES  32
#define HF_LABEL_MAX_BYTES   96 /* CKA_LABEL of our own objects */
#define HF_CONTEXT_MAX_BYTES 128
#define HF_SEALED_MAX_BYTES  256

/* Names and resource ids, without the NUL. */
#define HF_NAME_MAX_BYTES        64
#define HF_RESOURCE_ID_MAX_BYTES 256
#define HF_DESCRIPTION_MAX_BYTES 1024
#define HF_URI_MAX_BYTES         512 /* RFC 7512, SPIFFE */

/* */
#define HF_CUSTOMER_KEYS_PER_DEP   2
#define HF_ACTIVE_MAILBOX_DEPS_MAX 50

/* Key lease, R-15.4 and R-15.4a. */
#define HF_KEY_LEASE_DEFAULT_MS 60000
#define HF_KEY_LEASE_MAX_MS     900000
#define HF_AK_LEASE_MAX_MS      10000

/* Token deadlines, architecture section 7. */
#define HF_TOKEN_DATA_DEADLINE_MS 250
#define HF_TOKEN_ROOT_DEADLINE_MS 2000
/* Not an attempt at a root key: looking for two large primes takes as long as
 * it takes. */
#define HF_TOKEN_GENERATE_DEADLINE_MS 30000

/* Seals under one DEP key generation (crypto.md): GCM with random IVs. */
#define HF_SEALS_WARN (1ull << 30)
#define HF_SEALS_MAX  (1ull << 31)

_Static_assert(HF_KWP_BYTES == HF_KEY_BYTES + 8, "RFC 5649");
_Static_assert(HF_SEALS_WARN < HF_SEALS_MAX, "warn before refusing");
