/* base64: bytes in JSON files. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include <jansson.h>

#include <stddef.h>
#include <stdint.h>

#define BASE64_BYTES_MAX 8192

/* base64_json: NULL without memory, or for more than BASE64_BYTES_MAX. */
json_t *base64_json(struct bytes value);
/* base64_get: of a member of an object. HF_OK; HF_E_CORRUPT when it is missing,
 * no base64, empty, or longer than cap. */
HF_STATUS base64_get(const json_t *object, const char *key, uint8_t *out,
                     size_t cap, size_t *out_len);
