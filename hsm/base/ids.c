#include "hsm/base/ids.h"

#include "hsm/base/bytes.h"

#include <string.h>

static bool dash_at(size_t position)
{
    return position == 8 || position == 13 || position == 18 || position == 23;
}

bool id_equal(const struct hf_id *a, const struct hf_id *b)
{
    return bytes_equal(BYTES_OF(a->bytes), BYTES_OF(b->bytes));
}

bool id_is_nil(const struct hf_id *id)
{
    static const struct hf_id nil;
    return id_equal(id, &nil);
}

struct hf_id id_from_random(const uint8_t random[HF_ID_BYTES])
{
    struct hf_id id;
    memcpy(id.bytes, random, HF_ID_BYTES);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

void id_format(const struct hf_id *id, char out[HF_ID_TEXT])
{
    char hex[2 * HF_ID_BYTES + 1];
    size_t from = 0;
    hex_encode(id->bytes, HF_ID_BYTES, hex, sizeof hex);
    for (size_t to = 0; to < HF_ID_TEXT - 1; to++) {
        out[to] = dash_at(to) ? '-' : hex[from++];
    }
    out[HF_ID_TEXT - 1] = '\0';
}

HF_STATUS id_parse(const char *text, struct hf_id *out_id)
{
    char hex[2 * HF_ID_BYTES + 1];
    size_t to = 0;
    size_t len = 0;
    struct hf_id id;
    if (strlen(text) != HF_ID_TEXT - 1) {
        return HF_E_INVALID;
    }
    for (size_t from = 0; from < HF_ID_TEXT - 1; from++) {
        if (!dash_at(from)) {
            hex[to++] = text[from]; /* a stray dash is no hex digit */
        } else if (text[from] != '-') {
            return HF_E_INVALID;
        }
    }
    hex[to] = '\0';
    if (hex_decode(hex, id.bytes, sizeof id.bytes, &len) != HF_OK) {
        return HF_E_INVALID;
    }
    *out_id = id;
    return HF_OK;
}
