/* statement: canonical text that is signed or kept in a token.
 *
 *   holdfast-enrolment-v1
 *   tenant=contoso
 *   ...
 *
 * A title, then key=value lines in a fixed order, each ended by one LF and
 * nothing else. There is exactly one text for one meaning: values are plain
 * text (text.h), numbers have no leading zeros, and a reader that does not find
 * the next line just so refuses the whole. Both sides remember the first
 * trouble, so a caller looks once, at the end.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 2000-01-01 to 9999-12-31, in seconds of Unix time */
#define STATEMENT_TIME_MIN_S 946684800
#define STATEMENT_TIME_MAX_S 253402300799

struct statement_writer {
    char *text;
    size_t cap;
    size_t len;
    bool bad;
};

/* statement_begin: writes the title. text is not NUL-terminated. */
struct statement_writer statement_begin(char *text, size_t cap,
                                        const char *title);
/* statement_put_text: 1 to max_len bytes of plain text. */
void statement_put_text(struct statement_writer *writer, const char *key,
                        const char *value, size_t max_len);
void statement_put_number(struct statement_writer *writer, const char *key,
                          uint32_t value);
void statement_put_flag(struct statement_writer *writer, const char *key,
                        bool value);
/* statement_put_time: RFC 3339, whole seconds, UTC. */
void statement_put_time(struct statement_writer *writer, const char *key,
                        int64_t unix_s);
/* statement_end: HF_OK; HF_E_INVALID when a value may not stand in a statement
 * or the whole does not fit. */
HF_STATUS statement_end(const struct statement_writer *writer, size_t *out_len);

struct statement_reader {
    struct bytes rest;
    bool bad;
};

struct statement_reader statement_read(struct bytes text, const char *title);
/* statement_get_text: out holds up to out_cap - 1 bytes and a NUL. */
void statement_get_text(struct statement_reader *reader, const char *key,
                        char *out, size_t out_cap);
uint32_t statement_get_number(struct statement_reader *reader, const char *key);
bool statement_get_flag(struct statement_reader *reader, const char *key);
int64_t statement_get_time(struct statement_reader *reader, const char *key);
/* statement_done: HF_OK when all of the text was read and nothing was bad; else
 * HF_E_INVALID. */
HF_STATUS statement_done(const struct statement_reader *reader);
