#include "hsm/sys/log.h"

#include "hsm/sys/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096
#define TEXT_MAX_BYTES 512

static atomic_int lowest = LOG_INFO;

struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
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
    /* two bytes stay free for the end of the line */
    if (len <= sizeof line->text - 2 - line->len) {
        memcpy(line->text + line->len, text, len);
        line->len += len;
    }
}

static void add_quoted(struct line *line, const char *text)
{
    add(line, "\"", 1);
    for (size_t i = 0; text[i] != '\0' && i < TEXT_MAX_BYTES; i++) {
        unsigned char c = (unsigned char)text[i];
        char escaped[8];
        if (c == '"' || c == '\\') {
            escaped[0] = '\\';
            escaped[1] = (char)c;
            add(line, escaped, 2);
        } else if (c < 0x20 || c == 0x7f) {
            int len = snprintf(escaped, sizeof escaped, "\\u%04x", c);
            add(line, escaped, (size_t)len);
        } else {
            add(line, (const char *)&text[i], 1);
        }
    }
    add(line, "\"", 1);
}

static void add_field(struct line *line, const struct log_field *field)
{
    char number[32];
    add(line, ",", 1);
    add_quoted(line, field->key);
    add(line, ":", 1);
    if (field->text != NULL) {
        add_quoted(line, field->text);
        return;
    }
    int len = snprintf(number, sizeof number, "%lld", (long long)field->number);
    add(line, number, (size_t)len);
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
    line.text[line.len++] = '}';
    line.text[line.len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line.text, line.len);
    (void)written; /* nowhere left to complain */
}
