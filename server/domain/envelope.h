/* envelope: the wrapped key as callers hold it, and the context it is bound to
 * (crypto.md, R-2.16, R-15.8). Pure encoding: no key is seen here.
 *
 *   context  = "HFC1" | suite u8 | tenant 16 | dep 16 | generation u32
 *            | workload u16 | resource type u8 | purpose u8
 *            | SHA-256(resource id) 32                               77 bytes
 *   envelope = "HFE1" | suite u8 | dep 16 | generation u32 | iv 12
 *            | check 16 | ciphertext | tag 16
 *                      suite 2, for a 32-byte key:                  101 bytes
 *                      suite 1, which has no check:                  85 bytes
 *
 * DEP id and generation in an envelope are selectors only: the context is built
 * from the record they find and from the authenticated caller.
 *
 * The check tells the key that went in from every other (key_check.h): a token
 * that opens the envelope cannot give another one unnoticed. DEP keys seal in
 * suite 2. Suite 1 is what they sealed in before, and what a site key seals in,
 * in the daemon, where no token answers. Both are read for ever.
 */
#pragma once

#include "hsm/base/bytes.h"

#include "server/domain/types.h"

#define ENVELOPE_SUITE_AES256_GCM 1
#define ENVELOPE_SUITE_CHECKED    2 /* the same, with a key check */
#define CONTEXT_BYTES             77
#define KEY_CHECK_BYTES           16
#define ENVELOPE_HEAD_BYTES       37 /* up to and with the iv */
/* Of a key in suite 1 and in suite 2, which is as long as any gets. */
#define ENVELOPE_PLAIN_KEY_BYTES                                               \
    (ENVELOPE_HEAD_BYTES + HF_KEY_BYTES + HF_GCM_TAG_BYTES)
#define ENVELOPE_KEY_BYTES (ENVELOPE_PLAIN_KEY_BYTES + KEY_CHECK_BYTES)
#define ENVELOPE_MAX_BYTES                                                     \
    (ENVELOPE_HEAD_BYTES + KEY_CHECK_BYTES + HF_SEALED_MAX_BYTES)
/* What a sealed key is bound to: the context and, in suite 2, the check. */
#define BINDING_MAX_BYTES (CONTEXT_BYTES + KEY_CHECK_BYTES)

_Static_assert(ENVELOPE_PLAIN_KEY_BYTES == 85, "crypto.md");
_Static_assert(ENVELOPE_KEY_BYTES == 101, "crypto.md");
_Static_assert(BINDING_MAX_BYTES <= HF_CONTEXT_MAX_BYTES, "the token port's");

struct context {
    struct hf_id tenant;
    struct hf_id dep;
    uint32_t generation;
    uint16_t workload; /* an enum workload, or a row of the catalogue */
    enum resource_type resource_type;
    enum wrap_purpose purpose;
    uint8_t resource_hash[HF_SHA256_BYTES]; /* zero for the commitment */
};

/* context_encode: always CONTEXT_BYTES, as it is of this suite. */
void context_encode(const struct context *context, uint8_t suite,
                    uint8_t out[CONTEXT_BYTES]);

struct envelope {
    uint8_t suite;
    struct hf_id dep;
    uint32_t generation;
    uint8_t iv[HF_GCM_IV_BYTES];
    uint8_t check[KEY_CHECK_BYTES]; /* zero in suite 1 */
    struct bytes sealed;            /* ciphertext || tag; a view */
};

/* envelope_encode: head, check and sealed text into out.
 * Returns   HF_OK; HF_E_INVALID when out_cap is too small. */
HF_STATUS envelope_encode(const struct envelope *envelope, uint8_t *out,
                          size_t out_cap, size_t *out_len);

/* envelope_parse: a view of the caller's bytes; sealed text of exactly key_len
 * bytes and the tag. Every kind of malformed envelope (length, magic, suite) is
 * HF_E_BAD_BLOB, all alike: no oracle. */
HF_STATUS envelope_parse(struct bytes blob, size_t key_len,
                         struct envelope *out);

/* key_binding_of: what this envelope's key is bound to: the associated data of
 * the cipher. The check is part of it, so that one that was altered opens
 * nothing.
 */
struct key_binding {
    uint8_t bytes[BINDING_MAX_BYTES];
    size_t len;
};
void key_binding_of(const struct context *context,
                    const struct envelope *envelope, struct key_binding *out);
static inline struct bytes key_binding_view(const struct key_binding *binding)
{
    return (struct bytes){binding->bytes, binding->len};
}
