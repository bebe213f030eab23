#include "hsm/sys/log.h"

#include "hsm/sys/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096 /* PIPE_BUF: one write to a pipe is atomic */
#define TEXT_MAX_BYTES 512

static const char cut_mark[] = ",\"cut\":true";
#define LINE_END_BYTES (sizeof cut_mark - 1 + 2) /* and "}\n" */

static atomic_int lowest = LOG_INFO;

struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
    bool full; /* something did not fit since the field began */
    bool cut;  /* a field was left out or shortened           */
};

void log_level_set(enum log_level level)
{
    atomic_store(&lowest, (int)level);
}

static const char *level_text(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return "debug";
    case LOG_INFO:
        return "info";
    case LOG_WARN:
        return "warn";
    case LOG_ERROR:
        return "error";
    }
    return "error";
}

static void add(struct line *line, const char *text, size_t len)
{
    if (line->full || len > sizeof line->text - LINE_END_BYTES - line->len) {
        line->full = true;
        return;
    }
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

/* How many bytes the UTF-8 character at text has; 0 when it is none (cut short,
 * longer than needed, a surrogate, or beyond U+10FFFF). */
static size_t character_bytes(const char *text)
{
    static const struct {
        uint8_t mask;
        uint8_t mark;
        uint32_t least;
    } shapes[] = {
        {0x80, 0x00, 0      },
        {0xe0, 0xc0, 0x80   },
        {0xf0, 0xe0, 0x800  },
        {0xf8, 0xf0, 0x10000}
    };
    uint8_t first = (uint8_t)text[0];
    size_t more = 0;
    while (more < 4 && (first & shapes[more].mask) != shapes[more].mark) {
        more++;
    }
    if (more == 4) {
        return 0;
    }
    uint32_t point = first & (uint8_t)~shapes[more].mask;
    for (size_t i = 1; i <= more; i++) {
        uint8_t next = (uint8_t)text[i];
        if ((next & 0xc0) != 0x80) { /* the NUL too */
            return 0;
        }
        point = point << 6 | (next & 0x3f);
    }
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    if (point < shapes[more].least || point > 0x10ffff || surrogate) {
        return 0;
    }
    return more + 1;
}

/* add_character: one character as JSON wants it; gives its bytes in text. */
static size_t add_character(struct line *line, const char *text)
{
    unsigned char c = (unsigned char)text[0];
    size_t bytes = character_bytes(text);
    char escaped[8];
    if (bytes == 0) {
        add(line, "\\ufffd", 6);
        return 1;
    }
    if (c == '"' || c == '\\') {
        add(line, "\\", 1);
    } else if (c < 0x20 || c == 0x7f) {
        int len = snprintf(escaped, sizeof escaped, "\\u%04x", c);
        add(line, escaped, (size_t)len);
        return bytes;
    }
    add(line, text, bytes);
    return bytes;
}

static void add_quoted(struct line *line, const char *text)
{
    size_t at = 0;
    add(line, "\"", 1);
    while (at < TEXT_MAX_BYTES && text[at] != '\0') {
        at += add_character(line, text + at);
    }
    if (text[at] != '\0') {
        line->cut = true;
    }
    add(line, "\"", 1);
}

static void add_field(struct line *line, const struct log_field *field)
{
    char number[32];
    size_t before = line->len;
    add(line, ",", 1);
    add_quoted(line, field->key);
    add(line, ":", 1);
    if (field->text != NULL) {
        add_quoted(line, field->text);
    } else {
        int len =
            snprintf(number, sizeof number, "%lld", (long long)field->number);
        add(line, number, (size_t)len);
    }
    if (line->full) {
        /* half a field is no JSON; a later one may be short enough */
        line->len = before;
        line->full = false;
        line->cut = true;
    }
}

void log_write(enum log_level level, const char *event,
               const struct log_field *fields, size_t count)
{
    if ((int)level < atomic_load(&lowest)) {
        return;
    }
    struct line line = {.len = 0};
    char now[CLOCK_UTC_TEXT];
    clock_format_utc(clock_wall_ms(clock_system()), now);
    add(&line, "{\"time\":", 8);
    add_quoted(&line, now);
    const struct log_field head[] = {
        LOG_TEXT("level", level_text(level)),
        LOG_TEXT("event", event),
    };
    add_field(&line, &head[0]);
    add_field(&line, &head[1]);
    for (size_t i = 0; i < count; i++) {
        add_field(&line, &fields[i]);
    }
    if (line.cut) {
        memcpy(line.text + line.len, cut_mark, sizeof cut_mark - 1);
        line.len += sizeof cut_mark - 1;
    }
    memcpy(line.text + line.len, "}\n", 2);
    line.len += 2;
    ssize_t written = write(STDERR_FILENO, line.text, line.len);
    (void)written; /* nowhere left to complain */
}
