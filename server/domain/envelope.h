/* envelope: the wrapped key as callers hold it, and the context it is bound to
 * (crypto.md, R-2.16, R-15.8). Pure encoding: no key is seen here.
 *
 *   context  = "HFC1" | suite u8 | tenant 16 | dep 16 | generation u32
 *            | workload u16 | resource type u8 | purpose u8
 *            | SHA-256(resource id) 32                               77 bytes
 *   envelope = "HFE1" | suite u8 | dep 16 | generation u32 | iv 12
 *            | ciphertext | tag 16                  85 bytes for a 32-byte key
 *
 * DEP id and generation in an envelope are selectors only: the context is built
 * from the record they find and from the authenticated caller.
 */
#pragma once

#include "hsm/base/bytes.h"

#include "server/domain/types.h"

#define ENVELOPE_SUITE_AES256_GCM 1
#define CONTEXT_BYTES             77
#define ENVELOPE_HEAD_BYTES       37 /* up to and with the iv */
#define ENVELOPE_KEY_BYTES                                                     \
    (ENVELOPE_HEAD_BYTES + HF_KEY_BYTES + HF_GCM_TAG_BYTES)
#define ENVELOPE_MAX_BYTES (ENVELOPE_HEAD_BYTES + HF_SEALED_MAX_BYTES)

_Static_assert(ENVELOPE_KEY_BYTES == 85, "crypto.md");
_Static_assert(CONTEXT_BYTES <= HF_CONTEXT_MAX_BYTES, "fits the token port");

struct context {
    struct hf_id tenant;
    struct hf_id dep;
    uint32_t generation;
    uint16_t workload; /* an enum workload, or a row of the catalogue */
    enum resource_type resource_type;
    enum wrap_purpose purpose;
    uint8_t resource_hash[HF_SHA256_BYTES]; /* zero for the commitment */
};

/* context_encode: always CONTEXT_BYTES. */
void context_encode(const struct context *context, uint8_t out[CONTEXT_BYTES]);

struct envelope {
    struct hf_id dep;
    uint32_t generation;
    uint8_t iv[HF_GCM_IV_BYTES];
    struct bytes sealed; /* ciphertext || tag; a view */
};

/* envelope_encode: head and sealed text into out.
 * Returns   HF_OK; HF_E_INVALID when out_cap is too small. */
HF_STATUS envelope_encode(const struct envelope *envelope, uint8_t *out,
                          size_t out_cap, size_t *out_len);

/* envelope_parse: a view of the caller's bytes; sealed text of exactly key_len
 * bytes and the tag. Every kind of malformed envelope (length, magic, suite) is
 * HF_E_BAD_BLOB, all alike: no oracle. */
HF_STATUS envelope_parse(struct bytes blob, size_t key_len,
                         struct envelope *out);
