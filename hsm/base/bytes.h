/* bytes: views, and bounded big-endian writing and reading.
 *
 * Canonical bytes (what is MACed, bound as associated data, or stored) are
 * written by struct byte_writer and read by struct byte_reader and nothing
 * else: fixed order, fixed width or a length prefix, big endian. Both remember
 * the first overrun and turn every later step into nothing, so a caller looks
 * once, at the end. Neither allocates.
 */
#pragma once

#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view of bytes that somebody else owns. */
struct bytes {
    const uint8_t *data;
    size_t len;
};

#define BYTES_OF(array) ((struct bytes){(array), sizeof(array)})
#define BYTES_NONE      ((struct bytes){NULL, 0})

struct bytes bytes_of_text(const char *text);
/* bytes_equal: not constant time; secrets are compared with secret_equal. */
bool bytes_equal(struct bytes a, struct bytes b);
/* bytes_order: like memcmp, a shorter prefix first. */
int bytes_order(struct bytes a, struct bytes b);

struct byte_writer {
    uint8_t *data;
    size_t cap;
    size_t len;
    bool overrun; /* something did not fit; data is not to be used */
};

struct byte_writer byte_writer_on(uint8_t *data, size_t cap);
void put_u8(struct byte_writer *writer, uint8_t value);
void put_u16(struct byte_writer *writer, uint16_t value);
void put_u32(struct byte_writer *writer, uint32_t value);
void put_u64(struct byte_writer *writer, uint64_t value);
/* put_raw: the bytes alone (fixed width fields); put_lp: u32 length first. */
void put_raw(struct byte_writer *writer, const void *data, size_t len);
void put_lp(struct byte_writer *writer, const void *data, size_t len);
void put_text(struct byte_writer *writer, const char *text); /* as put_lp */

struct byte_reader {
    const uint8_t *data;
    size_t len;
    size_t at;
    bool bad; /* read past the end, or a length that cannot be */
};

struct byte_reader byte_reader_on(struct bytes from);
uint8_t get_u8(struct byte_reader *reader);
uint16_t get_u16(struct byte_reader *reader);
uint32_t get_u32(struct byte_reader *reader);
uint64_t get_u64(struct byte_reader *reader);
void get_raw(struct byte_reader *reader, void *out, size_t len);
/* get_lp: a view into the reader's own bytes. */
struct bytes get_lp(struct byte_reader *reader);
/* get_text: a NUL-terminated copy; bad when it does not fit or holds a NUL. */
void get_text(struct byte_reader *reader, char *out, size_t out_cap);
/* byte_reader_done: HF_OK when all was read and nothing was bad; else
 * HF_E_CORRUPT. */
HF_STATUS byte_reader_done(const struct byte_reader *reader);

/* hex_encode: 2 * len digits and a NUL into out (out_cap at least 2*len+1).
 * hex_decode: exactly text_len/2 bytes; HF_E_INVALID for anything but pairs of
 *             hex digits or a result longer than out_cap. */
void hex_encode(const uint8_t *data, size_t len, char *out, size_t out_cap);
HF_STATUS hex_decode(const char *text, uint8_t *out, size_t out_cap,
                     size_t *out_len);

/* text_copy: copies with the NUL; HF_E_INVALID (out untouched) if too long. */
HF_STATUS text_copy(char *out, size_t out_cap, const char *text);
