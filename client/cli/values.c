#include "client/cli/values.h"

#include "client/lib/message.h"

#include <openssl/evp.h>

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENUM_NAME_MAX_BYTES 96

HF_STATUS number_parse(const char *text, int64_t min, int64_t max,
                       int64_t *out_number)
{
    bool starts = isdigit((unsigned char)text[0]) || text[0] == '-';
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (!starts || errno != 0 || *end != '\0' || number < min || number > max) {
        return HF_E_INVALID;
    }
    *out_number = number;
    return HF_OK;
}

/* exact_date: strptime takes "2030-02-31"; the round trip does not. */
static HF_STATUS exact_seconds(const struct tm *parts, int64_t *out_seconds)
{
    struct tm copy = *parts;
    time_t seconds = timegm(&copy);
    if (copy.tm_mday != parts->tm_mday || copy.tm_mon != parts->tm_mon ||
        copy.tm_year != parts->tm_year) {
        return HF_E_INVALID;
    }
    *out_seconds = (int64_t)seconds;
    return HF_OK;
}

HF_STATUS time_parse(const char *text, int64_t *out_seconds)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (end == NULL) {
        parts = (struct tm){0};
        end = strptime(text, "%Y-%m-%d", &parts);
    }
    if (end == NULL || *end != '\0' || !isdigit((unsigned char)text[0])) {
        return HF_E_INVALID;
    }
    return exact_seconds(&parts, out_seconds);
}

/* is_base64: OpenSSL skips what is no base64 in front and behind, and takes a
 * '-' for the end; a strict reader does none of that. */
static bool is_base64(const char *text, size_t len)
{
    size_t body = len;
    while (body > 0 && len - body < 2 && text[body - 1] == '=') {
        body--;
    }
    for (size_t i = 0; i < body; i++) {
        unsigned char c = (unsigned char)text[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool digit = c >= '0' && c <= '9';
        if (!letter && !digit && c != '+' && c != '/') {
            return false;
        }
    }
    return len > 0 && len % 4 == 0 && len <= INT_MAX;
}

HF_STATUS base64_decode(const char *text, size_t len, struct file_data *out)
{
    if (!is_base64(text, len)) {
        return HF_E_INVALID;
    }
    uint8_t *data = wiped_alloc(len / 4 * 3 + 1);
    if (data == NULL) {
        return HF_E_NO_MEMORY;
    }
    int decoded = EVP_DecodeBlock(data, (const unsigned char *)text, (int)len);
    size_t padding = text[len - 1] != '=' ? 0 : text[len - 2] != '=' ? 1 : 2;
    if (decoded < 0 || (size_t)decoded < padding) {
        wiped_free(data);
        return HF_E_INVALID;
    }
    *out = (struct file_data){data, (size_t)decoded - padding};
    data[out->len] = '\0';
    return HF_OK;
}

char *base64_encode(const uint8_t *data, size_t len)
{
    char *text = calloc(1, (len + 2) / 3 * 4 + 1);
    if (text != NULL && len > 0) {
        (void)EVP_EncodeBlock((unsigned char *)text, data, (int)len);
    }
    return text;
}

HF_STATUS enum_parse(const ProtobufCEnumDescriptor *descriptor,
                     const char *prefix, const char *word, int *out_value)
{
    char name[ENUM_NAME_MAX_BYTES];
    int len = snprintf(name, sizeof name, "%s%s", prefix, word);
    if (len < 0 || (size_t)len >= sizeof name) {
        return HF_E_INVALID;
    }
    for (char *at = name + strlen(prefix); *at != '\0'; at++) {
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    }
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value_by_name(descriptor, name);
    if (value == NULL || value->value == 0) {
        return HF_E_INVALID;
    }
    *out_value = value->value;
    return HF_OK;
}
