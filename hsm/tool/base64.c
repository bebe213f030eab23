#include "hsm/tool/base64.h"

#include <openssl/evp.h>

#include <string.h>

json_t *base64_json(struct bytes value)
{
    unsigned char text[4 * (BASE64_BYTES_MAX + 2) / 3 + 1];
    if (value.len > BASE64_BYTES_MAX) {
        return NULL;
    }
    int len = EVP_EncodeBlock(text, value.data, (int)value.len);
    return len < 0 ? NULL : json_stringn((const char *)text, (size_t)len);
}

/* EVP_DecodeBlock counts what stands for padding as bytes. */
static size_t padding_of(const char *text, size_t len)
{
    size_t padding = 0;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=') {
        padding += 1;
    }
    return padding;
}

HF_STATUS base64_get(const json_t *object, const char *key, uint8_t *out,
                     size_t cap, size_t *out_len)
{
    unsigned char whole[BASE64_BYTES_MAX + 3];
    const json_t *member = json_object_get(object, key);
    const char *text = json_string_value(member);
    size_t text_len = json_string_length(member);
    if (text == NULL || text_len == 0 || text_len % 4 != 0 ||
        text_len / 4 * 3 > sizeof whole) {
        return HF_E_CORRUPT;
    }
    int len =
        EVP_DecodeBlock(whole, (const unsigned char *)text, (int)text_len);
    size_t padding = padding_of(text, text_len);
    if (len < 0 || (size_t)len < padding + 1 || (size_t)len - padding > cap) {
        return HF_E_CORRUPT;
    }
    *out_len = (size_t)len - padding;
    memcpy(out, whole, *out_len);
    return HF_OK;
}
