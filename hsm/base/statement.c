#include "hsm/base/statement.h"

#include "hsm/base/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define TIME_TEXT_BYTES 20 /* 2026-11-24T09:00:00Z */

static void put(struct statement_writer *writer, struct bytes text)
{
    if (writer->bad || writer->cap - writer->len < text.len) {
        writer->bad = true;
        return;
    }
    memcpy(writer->text + writer->len, text.data, text.len);
    writer->len += text.len;
}

struct statement_writer statement_begin(char *text, size_t cap,
                                        const char *title)
{
    struct statement_writer writer = {.text = text, .cap = cap};
    put(&writer, bytes_of_text(title));
    put(&writer, bytes_of_text("\n"));
    return writer;
}

static void put_line(struct statement_writer *writer, const char *key,
                     struct bytes value)
{
    put(writer, bytes_of_text(key));
    put(writer, bytes_of_text("="));
    put(writer, value);
    put(writer, bytes_of_text("\n"));
}

void statement_put_text(struct statement_writer *writer, const char *key,
                        const char *value, size_t max_len)
{
    struct bytes text = bytes_of_text(value);
    if (text.len == 0 || text.len > max_len || !text_is_plain(text)) {
        writer->bad = true;
    }
    put_line(writer, key, text);
}

void statement_put_number(struct statement_writer *writer, const char *key,
                          uint32_t value)
{
    char text[16];
    int len = snprintf(text, sizeof text, "%u", (unsigned)value);
    put_line(writer, key, (struct bytes){(const uint8_t *)text, (size_t)len});
}

void statement_put_flag(struct statement_writer *writer, const char *key,
                        bool value)
{
    put_line(writer, key, bytes_of_text(value ? "true" : "false"));
}

/* False outside the years that four digits can say. */
static bool time_format(int64_t unix_s, char out[TIME_TEXT_BYTES + 1])
{
    if (unix_s < STATEMENT_TIME_MIN_S || unix_s > STATEMENT_TIME_MAX_S) {
        return false;
    }
    time_t seconds = (time_t)unix_s;
    struct tm parts = {0};
    return gmtime_r(&seconds, &parts) != NULL &&
           strftime(out, TIME_TEXT_BYTES + 1, "%Y-%m-%dT%H:%M:%SZ", &parts) ==
               TIME_TEXT_BYTES;
}

void statement_put_time(struct statement_writer *writer, const char *key,
                        int64_t unix_s)
{
    char text[TIME_TEXT_BYTES + 1] = "";
    writer->bad = writer->bad || !time_format(unix_s, text);
    put_line(writer, key, bytes_of_text(text));
}

HF_STATUS statement_end(const struct statement_writer *writer, size_t *out_len)
{
    if (writer->bad) {
        return HF_E_INVALID;
    }
    *out_len = writer->len;
    return HF_OK;
}

/* Takes what is expected next, or nothing. */
static bool take(struct statement_reader *reader, struct bytes expected)
{
    struct bytes *rest = &reader->rest;
    if (reader->bad || rest->len < expected.len ||
        !bytes_equal((struct bytes){rest->data, expected.len}, expected)) {
        reader->bad = true;
        return false;
    }
    rest->data += expected.len;
    rest->len -= expected.len;
    return true;
}

struct statement_reader statement_read(struct bytes text, const char *title)
{
    struct statement_reader reader = {.rest = text};
    if (take(&reader, bytes_of_text(title))) {
        reader.bad = !take(&reader, bytes_of_text("\n"));
    }
    return reader;
}

/* The value of the next line, which must be key's. */
static struct bytes take_line(struct statement_reader *reader, const char *key)
{
    if (!take(reader, bytes_of_text(key)) ||
        !take(reader, bytes_of_text("="))) {
        return BYTES_NONE;
    }
    const uint8_t *end = reader->rest.len == 0 ? NULL
                                               : memchr(reader->rest.data, '\n',
                                                        reader->rest.len);
    if (end == NULL) {
        reader->bad = true;
        return BYTES_NONE;
    }
    struct bytes value = {reader->rest.data, (size_t)(end - reader->rest.data)};
    reader->rest.data += value.len + 1;
    reader->rest.len -= value.len + 1;
    return value;
}

void statement_get_text(struct statement_reader *reader, const char *key,
                        char *out, size_t out_cap)
{
    struct bytes value = take_line(reader, key);
    if (value.len == 0 || value.len >= out_cap || !text_is_plain(value)) {
        reader->bad = true;
        out[0] = '\0';
        return;
    }
    memcpy(out, value.data, value.len);
    out[value.len] = '\0';
}

uint32_t statement_get_number(struct statement_reader *reader, const char *key)
{
    struct bytes value = take_line(reader, key);
    uint64_t number = 0;
    bool plain = value.len > 0 && value.len <= 10 &&
                 (value.len == 1 || value.data[0] != '0');
    for (size_t i = 0; plain && i < value.len; i++) {
        plain = value.data[i] >= '0' && value.data[i] <= '9';
        number = number * 10 + (uint64_t)(value.data[i] - '0');
    }
    if (!plain || number > UINT32_MAX) {
        reader->bad = true;
        return 0;
    }
    return (uint32_t)number;
}

bool statement_get_flag(struct statement_reader *reader, const char *key)
{
    struct bytes value = take_line(reader, key);
    bool yes = bytes_equal(value, bytes_of_text("true"));
    if (!yes && !bytes_equal(value, bytes_of_text("false"))) {
        reader->bad = true;
    }
    return yes;
}

/* Two or four digits at an offset; -1 for anything else. */
static int digits(const char *text, size_t at, size_t count)
{
    int value = 0;
    for (size_t i = at; i < at + count; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

int64_t statement_get_time(struct statement_reader *reader, const char *key)
{
    struct bytes value = take_line(reader, key);
    char text[TIME_TEXT_BYTES + 1] = "";
    char again[TIME_TEXT_BYTES + 1] = "";
    if (value.len != TIME_TEXT_BYTES) {
        reader->bad = true;
        return 0;
    }
    memcpy(text, value.data, TIME_TEXT_BYTES);
    struct tm parts = {.tm_year = digits(text, 0, 4) - 1900,
                       .tm_mon = digits(text, 5, 2) - 1,
                       .tm_mday = digits(text, 8, 2),
                       .tm_hour = digits(text, 11, 2),
                       .tm_min = digits(text, 14, 2),
                       .tm_sec = digits(text, 17, 2)};
    int64_t unix_s = (int64_t)timegm(&parts);
    /* the text of a moment is one text: anything else changes on the way back
     * (a 31st of June, a letter, a missing Z) */
    if (!time_format(unix_s, again) ||
        !bytes_equal(bytes_of_text(again), value)) {
        reader->bad = true;
        return 0;
    }
    return unix_s;
}

HF_STATUS statement_done(const struct statement_reader *reader)
{
    return reader->bad || reader->rest.len != 0 ? HF_E_INVALID : HF_OK;
}
