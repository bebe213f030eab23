/* transcript: what happened in a ceremony, as lines that cannot be edited, cut,
 * put in another order or mixed with others without it being seen, once it has
 * ended and both signed. Until then whoever can write the file can make all of
 * its hashes anew.
 *
 *   {"at":"2026-11-29T09:00:00.000Z","event":"begin","n":0,"prev":"000..."}
 *   {"at":"...","event":"step","n":1,"prev":SHA-256 of the line before, ...}
 *
 * JSON, one object a line, keys sorted, no blanks: there is exactly one text
 * for one meaning. Each line holds the hash of the one before with its line
 * end; the signed statement (signed.h) holds that of the whole file, so that
 * the end counts as well. A line is on the disk before what follows it is done.
 * Only a last line without its line end may be missing a part: that is what a
 * kill leaves. It is cut off when the ceremony goes on.
 *
 * The events, in the only order there is:
 *
 *   begin (step (done | failed | resume)*)* [undo ...]* end
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include <jansson.h>

#include <stddef.h>
#include <stdint.h>

#define TRANSCRIPT_MAX_BYTES (4u << 20)
#define TRANSCRIPT_LINES_MAX 4096

/* Where a transcript is not what it should be. */
struct transcript_fault {
    size_t line; /* from 1 */
    char why[160];
};

/* transcript_check: is this a transcript, whole and untouched up to its end?
 *
 * Gives     *out_lines, an array of the lines; *out_len, the bytes of whole
 *           lines: what is behind them is a torn last line.
 * Returns   HF_OK; HF_E_CORRUPT with *fault; HF_E_NO_MEMORY.
 */
HF_STATUS transcript_check(struct bytes text, json_t **out_lines,
                           size_t *out_len, struct transcript_fault *fault);

/* transcript_sha256: of the whole text. HF_OK; HF_E_NO_MEMORY. */
HF_STATUS transcript_sha256(struct bytes text, uint8_t out[HF_SHA256_BYTES]);

/* A transcript that is being written, by this process alone. */
struct transcript {
    int fd;
    size_t count; /* lines */
    size_t len;
    uint8_t head[HF_SHA256_BYTES]; /* of the last line */
};

/* transcript_begin: a new file. HF_OK; HF_E_EXISTS; HF_E_NOT_FOUND (its
 * folder); HF_E_DENIED; HF_E_CONFLICT when another process has it; HF_E_IO. */
HF_STATUS transcript_begin(const char *path, struct transcript *out);

/* transcript_continue: one that is there; a torn last line is cut off.
 * Gives     *out_lines; *out_torn, how many bytes were cut off.
 * Returns   as above, and HF_E_CORRUPT with *fault; HF_E_NO_MEMORY. */
HF_STATUS transcript_continue(const char *path, struct transcript *out,
                              json_t **out_lines, size_t *out_torn,
                              struct transcript_fault *fault);

/* transcript_append: one more line; event is taken over and gets its number,
 * time and hash. On the disk when it returns HF_OK; HF_E_IO: the transcript
 * must not be written any more; HF_E_LIMIT; HF_E_NO_MEMORY (also for NULL). */
HF_STATUS transcript_append(struct transcript *transcript, json_t *event);
void transcript_end(struct transcript *transcript);
