/* log: one structured line per event, on standard error.
 *
 *   log_event(LOG_WARN, "token.session_lost", LOG_TEXT("token", name),
 *             LOG_NUMBER("rv", rv));
 *
 * writes one JSON object per line: time, level, event, then the fields. Ids
 * and codes yes, payloads and secrets never. Only adapters, edges and the app
 * log; rules and ports return (style, section 10).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *key;
    const char *text; /* NULL: the number counts */
    int64_t number;
};

#define LOG_TEXT(k, value)                                                     \
    {                                                                          \
        .key = (k), .text = (value)                                            \
    }
#define LOG_NUMBER(k, value)                                                   \
    {                                                                          \
        .key = (k), .number = (int64_t)(value)                                 \
    }

/* log_level_set: lines below it are not written; LOG_INFO at start. The one
 * global of the code base. */
void log_level_set(enum log_level level);

/* log_write: one line of JSON in one write. Text is escaped, text that is not
 * UTF-8 is replaced, and it ends at the first character beyond 512 bytes; a
 * field that does not fit into the line is left out. A line that lost anything
 * ends with "cut":true. Threads: safe from any thread. */
void log_write(enum log_level level, const char *event,
               const struct log_field *fields, size_t count);

#define log_event(level, event, ...)                                           \
    log_write((level), (event), (const struct log_field[]){__VA_ARGS__},       \
              sizeof((const struct log_field[]){__VA_ARGS__}) /                \
                  sizeof(struct log_field))
