#include "hsm/tool/ceremony/transcript.h"

#include "hsm/base/own.h"

#include "hsm/sys/clock.h"

#include "hsm/tool/file.h"

#include <openssl/sha.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_TEXT (2 * HF_SHA256_BYTES + 1)
/* Canonical: see the header. */
#define FORM (JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII)

static void text_free(char **text)
{
    free(*text);
}

static void json_free(json_t **json)
{
    json_decref(*json);
}

HF_STATUS transcript_sha256(struct bytes text, uint8_t out[HF_SHA256_BYTES])
{
    return SHA256(text.data, text.len, out) != NULL ? HF_OK : HF_E_NO_MEMORY;
}

__attribute__((format(printf, 3, 4))) static enum hf_status
wrong(struct transcript_fault *fault, size_t line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(fault->why, sizeof fault->why, format, args);
    va_end(args);
    fault->line = line + 1;
    return HF_E_CORRUPT;
}

/* The line's own text must be the one text of its meaning. */
static bool is_canonical(const json_t *line, struct bytes text)
{
    HF_OWNED(text_free) char *again = json_dumps(line, FORM);
    return again != NULL && bytes_equal(bytes_of_text(again), text);
}

static enum hf_status line_check(struct bytes text, size_t number,
                                 const char *prev, json_t **out_line,
                                 struct transcript_fault *fault)
{
    HF_OWNED(json_free)
    json_t *line = json_loadb((const char *)text.data, text.len,
                              JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(line) || !is_canonical(line, text)) {
        return wrong(fault, number, "it is not a line that Holdfast wrote");
    }
    const char *given = json_string_value(json_object_get(line, "prev"));
    const json_t *n = json_object_get(line, "n");
    if (json_string_value(json_object_get(line, "event")) == NULL ||
        json_string_value(json_object_get(line, "at")) == NULL ||
        !json_is_integer(n) || given == NULL) {
        return wrong(fault, number, "it lacks what every line has");
    }
    if (json_integer_value(n) != (json_int_t)number) {
        return wrong(fault, number,
                     "it is line %lld of its transcript: lines are missing, "
                     "added, or in another order",
                     (long long)json_integer_value(n) + 1);
    }
    if (strcmp(given, prev) != 0) {
        return wrong(fault, number,
                     "the line before it is not the one it was written after");
    }
    *out_line = HF_GIVE(line);
    return HF_OK;
}

static HF_STATUS hash_text(struct bytes line, char out[HASH_TEXT])
{
    uint8_t hash[HF_SHA256_BYTES];
    HF_TRY(transcript_sha256(line, hash));
    hex_encode(hash, sizeof hash, out, HASH_TEXT);
    return HF_OK;
}

HF_STATUS transcript_check(struct bytes text, json_t **out_lines,
                           size_t *out_len, struct transcript_fault *fault)
{
    HF_OWNED(json_free) json_t *lines = json_array();
    char prev[HASH_TEXT];
    size_t at = 0;
    memset(prev, '0', sizeof prev - 1);
    prev[sizeof prev - 1] = '\0';
    if (lines == NULL) {
        return HF_E_NO_MEMORY;
    }
    for (size_t number = 0; at < text.len; number++) {
        const uint8_t *begin = text.data + at;
        const uint8_t *end = memchr(begin, '\n', text.len - at);
        json_t *line = NULL;
        if (end == NULL) {
            break;
        }
        if (number == TRANSCRIPT_LINES_MAX) {
            return wrong(fault, number, "there are too many lines");
        }
        size_t len = (size_t)(end - begin);
        HF_TRY(
            line_check((struct bytes){begin, len}, number, prev, &line, fault));
        if (json_array_append_new(lines, line) != 0) {
            return HF_E_NO_MEMORY;
        }
        HF_TRY(hash_text((struct bytes){begin, len + 1}, prev));
        at += len + 1;
    }
    *out_lines = HF_GIVE(lines);
    *out_len = at;
    return HF_OK;
}

static HF_STATUS open_file(const char *path, int flags, int *out_fd)
{
    int fd = open(path, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        switch (errno) {
        case EEXIST:
            return HF_E_EXISTS;
        case ENOENT:
        case ENOTDIR:
            return HF_E_NOT_FOUND;
        case EACCES:
        case EPERM:
        case EROFS:
            return HF_E_DENIED;
        default:
            return HF_E_IO;
        }
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return HF_E_CONFLICT;
    }
    *out_fd = fd;
    return HF_OK;
}

HF_STATUS transcript_begin(const char *path, struct transcript *out)
{
    *out = (struct transcript){.fd = -1};
    HF_TRY(open_file(path, O_CREAT | O_EXCL, &out->fd));
    return file_sync_folder(path);
}

/* HF_E_CORRUPT for a file that cannot be a transcript. */
static HF_STATUS read_file(int fd, char **out_text, size_t *out_len)
{
    struct stat info = {0};
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return HF_E_IO;
    }
    if (info.st_size > TRANSCRIPT_MAX_BYTES) {
        return HF_E_CORRUPT;
    }
    HF_OWNED(text_free) char *text = malloc((size_t)info.st_size + 1);
    if (text == NULL) {
        return HF_E_NO_MEMORY;
    }
    if (pread(fd, text, (size_t)info.st_size, 0) != info.st_size) {
        return HF_E_IO;
    }
    *out_len = (size_t)info.st_size;
    *out_text = HF_GIVE(text);
    return HF_OK;
}

/* The hash of the last of the whole lines. */
static HF_STATUS head_of(const char *text, size_t len,
                         uint8_t out[HF_SHA256_BYTES])
{
    size_t begin = len == 0 ? 0 : len - 1;
    while (begin > 0 && text[begin - 1] != '\n') {
        begin -= 1;
    }
    memset(out, 0, HF_SHA256_BYTES);
    return len == 0
               ? HF_OK
               : transcript_sha256(
                     (struct bytes){(const uint8_t *)text + begin, len - begin},
                     out);
}

HF_STATUS transcript_continue(const char *path, struct transcript *out,
                              json_t **out_lines, size_t *out_torn,
                              struct transcript_fault *fault)
{
    HF_OWNED(text_free) char *text = NULL;
    HF_OWNED(json_free) json_t *lines = NULL;
    size_t len = 0;
    *out = (struct transcript){.fd = -1};
    *fault = (struct transcript_fault){.line = 1, .why = "it is too long"};
    HF_TRY(open_file(path, 0, &out->fd));
    HF_TRY(read_file(out->fd, &text, &len));
    HF_TRY(transcript_check((struct bytes){(uint8_t *)text, len}, &lines,
                            &out->len, fault));
    HF_TRY(head_of(text, out->len, out->head));
    out->count = json_array_size(lines);
    *out_torn = len - out->len;
    if (*out_torn > 0 &&
        (ftruncate(out->fd, (off_t)out->len) != 0 || fsync(out->fd) != 0)) {
        return HF_E_IO;
    }
    *out_lines = HF_GIVE(lines);
    return HF_OK;
}

static bool is_complete(json_t *event, const struct transcript *transcript)
{
    char prev[HASH_TEXT];
    char at[CLOCK_UTC_TEXT];
    hex_encode(transcript->head, sizeof transcript->head, prev, sizeof prev);
    clock_format_utc(clock_wall_ms(clock_system()), at);
    return event != NULL &&
           json_object_set_new(
               event, "n", json_integer((json_int_t)transcript->count)) == 0 &&
           json_object_set_new(event, "prev", json_string(prev)) == 0 &&
           json_object_set_new(event, "at", json_string(at)) == 0;
}

HF_STATUS transcript_append(struct transcript *transcript, json_t *event)
{
    HF_OWNED(json_free) json_t *owned = event;
    if (!is_complete(owned, transcript)) {
        return HF_E_NO_MEMORY;
    }
    HF_OWNED(text_free) char *text = json_dumps(owned, FORM);
    if (text == NULL) {
        return HF_E_NO_MEMORY;
    }
    size_t len = strlen(text);
    if (transcript->len + len + 1 > TRANSCRIPT_MAX_BYTES ||
        transcript->count == TRANSCRIPT_LINES_MAX) {
        return HF_E_LIMIT;
    }
    text[len] = '\n'; /* over the NUL: it is bytes from here on */
    struct bytes line = {(const uint8_t *)text, len + 1};
    if (lseek(transcript->fd, (off_t)transcript->len, SEEK_SET) < 0 ||
        !file_write_all(transcript->fd, line) || fsync(transcript->fd) != 0) {
        return HF_E_IO;
    }
    transcript->len += line.len;
    transcript->count += 1;
    return transcript_sha256(line, transcript->head);
}

void transcript_end(struct transcript *transcript)
{
    if (transcript->fd >= 0) {
        close(transcript->fd);
    }
    transcript->fd = -1;
}
