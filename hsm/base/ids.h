/* ids: 16-byte identifiers, written as RFC 9562 UUIDs.
 *
 * Tenants, DEPs, availability keys and records are named by them. They are not
 * secret and not unguessable by promise: permission never rests on an id.
 */
#pragma once

#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_ID_BYTES 16
#define HF_ID_TEXT  37 /* 36 characters and the NUL */

struct hf_id {
    uint8_t bytes[HF_ID_BYTES];
};

bool id_equal(const struct hf_id *a, const struct hf_id *b);
bool id_is_nil(const struct hf_id *id);
/* id_from_random: a version 4 UUID from 16 random bytes. */
struct hf_id id_from_random(const uint8_t random[HF_ID_BYTES]);
/* id_format: lower case, always HF_ID_TEXT bytes with the NUL. */
void id_format(const struct hf_id *id, char out[HF_ID_TEXT]);
/* id_parse: the 36-character form, either case; else HF_E_INVALID. */
HF_STATUS id_parse(const char *text, struct hf_id *out_id);
