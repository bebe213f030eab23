#include "hsm/base/bytes.h"

#include "hsm/base/check.h"

#include <string.h>

struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

int bytes_order(struct bytes a, struct bytes b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < common; i++) {
        if (a.data[i] != b.data[i]) {
            return a.data[i] < b.data[i] ? -1 : 1;
        }
    }
    if (a.len == b.len) {
        return 0;
    }
    return a.len < b.len ? -1 : 1;
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return bytes_order(a, b) == 0;
}

struct byte_writer byte_writer_on(uint8_t *data, size_t cap)
{
    return (struct byte_writer){.data = data, .cap = cap};
}

void put_raw(struct byte_writer *writer, const void *data, size_t len)
{
    if (writer->overrun || len > writer->cap - writer->len) {
        writer->overrun = true;
        return;
    }
    if (len > 0) {
        memcpy(writer->data + writer->len, data, len);
        writer->len += len;
    }
}

static void put_number(struct byte_writer *writer, uint64_t value, size_t width)
{
    uint8_t raw[8];
    for (size_t i = 0; i < width; i++) {
        raw[width - 1 - i] = (uint8_t)(value >> (8 * i));
    }
    put_raw(writer, raw, width);
}

void put_u8(struct byte_writer *writer, uint8_t value)
{
    put_number(writer, value, 1);
}

void put_u16(struct byte_writer *writer, uint16_t value)
{
    put_number(writer, value, 2);
}

void put_u32(struct byte_writer *writer, uint32_t value)
{
    put_number(writer, value, 4);
}

void put_u64(struct byte_writer *writer, uint64_t value)
{
    put_number(writer, value, 8);
}

void put_lp(struct byte_writer *writer, const void *data, size_t len)
{
    if (len > UINT32_MAX) {
        writer->overrun = true;
        return;
    }
    put_u32(writer, (uint32_t)len);
    put_raw(writer, data, len);
}

void put_text(struct byte_writer *writer, const char *text)
{
    put_lp(writer, text, strlen(text));
}

struct byte_reader byte_reader_on(struct bytes from)
{
    return (struct byte_reader){.data = from.data, .len = from.len};
}

static const uint8_t *take(struct byte_reader *reader, size_t len)
{
    if (reader->bad || len > reader->len - reader->at) {
        reader->bad = true;
        return NULL;
    }
    if (len == 0) {
        return reader->data; /* may be NULL, which takes no offset */
    }
    const uint8_t *at = reader->data + reader->at;
    reader->at += len;
    return at;
}

static uint64_t get_number(struct byte_reader *reader, size_t width)
{
    const uint8_t *at = take(reader, width);
    uint64_t value = 0;
    if (at == NULL) {
        return 0;
    }
    for (size_t i = 0; i < width; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

uint8_t get_u8(struct byte_reader *reader)
{
    return (uint8_t)get_number(reader, 1);
}

uint16_t get_u16(struct byte_reader *reader)
{
    return (uint16_t)get_number(reader, 2);
}

uint32_t get_u32(struct byte_reader *reader)
{
    return (uint32_t)get_number(reader, 4);
}

uint64_t get_u64(struct byte_reader *reader)
{
    return get_number(reader, 8);
}

void get_raw(struct byte_reader *reader, void *out, size_t len)
{
    const uint8_t *at = take(reader, len);
    if (at != NULL && len > 0) {
        memcpy(out, at, len);
    }
}

struct bytes get_lp(struct byte_reader *reader)
{
    size_t len = get_u32(reader);
    const uint8_t *at = take(reader, len);
    return at == NULL ? BYTES_NONE : (struct bytes){at, len};
}

void get_text(struct byte_reader *reader, char *out, size_t out_cap)
{
    CHECK(out_cap > 0);
    out[0] = '\0';
    struct bytes text = get_lp(reader);
    if (reader->bad || text.len == 0) {
        return;
    }
    if (text.len >= out_cap || memchr(text.data, 0, text.len) != NULL) {
        reader->bad = true;
        return;
    }
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
}

HF_STATUS byte_reader_done(const struct byte_reader *reader)
{
    return reader->bad || reader->at != reader->len ? HF_E_CORRUPT : HF_OK;
}

void hex_encode(const uint8_t *data, size_t len, char *out, size_t out_cap)
{
    static const char digits[] = "0123456789abcdef";
    CHECK(out_cap / 2 >= len && out_cap > 2 * len);
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * len] = '\0';
}

#define NO_DIGIT 16u

static unsigned digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return (unsigned)(c - '0');
    }
    if (c >= 'a' && c <= 'f') {
        return (unsigned)(c - 'a') + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return (unsigned)(c - 'A') + 10;
    }
    return NO_DIGIT;
}

HF_STATUS hex_decode(const char *text, uint8_t *out, size_t out_cap,
                     size_t *out_len)
{
    size_t len = strlen(text);
    if (len % 2 != 0 || len / 2 > out_cap) {
        return HF_E_INVALID;
    }
    for (size_t i = 0; i < len; i++) {
        if (digit_of(text[i]) == NO_DIGIT) {
            return HF_E_INVALID;
        }
    }
    for (size_t i = 0; i < len / 2; i++) {
        out[i] =
            (uint8_t)(digit_of(text[2 * i]) << 4 | digit_of(text[2 * i + 1]));
    }
    *out_len = len / 2;
    return HF_OK;
}

HF_STATUS text_copy(char *out, size_t out_cap, const char *text)
{
    size_t len = strlen(text);
    if (len >= out_cap) {
        return HF_E_INVALID;
    }
    memcpy(out, text, len + 1);
    return HF_OK;
}
