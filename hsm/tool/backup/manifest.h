/* manifest: which keys a token held, by name, CKA_ID and fingerprint: what a
 * restored token is held against. No secret is in it. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include "hsm/token/token.h"

#include <jansson.h>

#include <stddef.h>

#define MANIFEST_MAX_BYTES (1u << 20)

/* manifest_make: of these keys; NULL without memory. */
json_t *manifest_make(const struct token_profile *profile,
                      const struct token_key_report *keys, size_t count);

/* manifest_read: HF_OK; HF_E_CORRUPT for what is none. */
HF_STATUS manifest_read(struct bytes text, json_t **out_manifest);

/* manifest_compare: what is there against what should be.
 * Gives     *out_missing, the names of keys that are missing or are another
 *           under the same CKA_ID; *out_more, of those that are not in the
 *           manifest: arrays of text, the caller's.
 * Returns   HF_OK, whatever they hold; HF_E_NO_MEMORY. */
HF_STATUS manifest_compare(const json_t *manifest,
                           const struct token_key_report *keys, size_t count,
                           json_t **out_missing, json_t **out_more);
