#include "client/cli/progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define BAR_COLUMNS     24
#define MILLISECONDS    1000
#define RATE_AFTER_MS   500 /* before it, a rate would be a guess */
#define SECONDS_OF_MIN  60
#define SECONDS_OF_HOUR 3600

struct line {
    char *text;
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line,
                                                      const char *format, ...)
{
    va_list values;
    va_start(values, format);
    size_t room = PROGRESS_TEXT_BYTES - line->len;
    int len = vsnprintf(line->text + line->len, room, format, values);
    va_end(values);
    if (len > 0) {
        line->len += (size_t)len < room ? (size_t)len : room - 1;
    }
}

static void add_bar(struct line *line, uint32_t percent, size_t columns)
{
    size_t full = columns * (percent < 100 ? percent : 100) / 100;
    add(line, "  [");
    for (size_t i = 0; i < columns; i++) {
        add(line, "%c", i < full ? '#' : '.');
    }
    add(line, "]");
}

static void add_time(struct line *line, uint64_t seconds)
{
    if (seconds < SECONDS_OF_MIN) {
        add(line, "  %" PRIu64 " s left", seconds);
    } else if (seconds < SECONDS_OF_HOUR) {
        add(line, "  %" PRIu64 " min %" PRIu64 " s left",
            seconds / SECONDS_OF_MIN, seconds % SECONDS_OF_MIN);
    } else {
        add(line, "  %" PRIu64 " h %" PRIu64 " min left",
            seconds / SECONDS_OF_HOUR,
            seconds % SECONDS_OF_HOUR / SECONDS_OF_MIN);
    }
}

static void add_rate(struct line *line, const struct progress *from,
                     const struct progress_facts *facts)
{
    int64_t took_ms = facts->now_ms - from->first_ms;
    if (took_ms < RATE_AFTER_MS || facts->done <= from->first_done) {
        return;
    }
    double a_second = (double)(facts->done - from->first_done) * MILLISECONDS /
                      (double)took_ms;
    add(line, a_second < 10 ? "  %.1f/s" : "  %.0f/s", a_second);
    if (facts->total > facts->done) {
        double left = (double)(facts->total - facts->done) / a_second;
        add_time(line, (uint64_t)left + 1);
    }
}

void progress_text(const struct progress *from,
                   const struct progress_facts *facts, size_t bar_columns,
                   char out[PROGRESS_TEXT_BYTES])
{
    struct line line = {.text = out};
    add(&line, "%s", facts->kind);
    if (bar_columns > 0) {
        add_bar(&line, facts->percent, bar_columns);
    }
    add(&line, "  %" PRIu32 " %%", facts->percent);
    if (facts->total > 0) {
        add(&line, "  %" PRIu64 " of %" PRIu64, facts->done, facts->total);
    }
    add_rate(&line, from, facts);
    if (facts->waiting > 0) {
        add(&line, "  %" PRIu64 " waiting", facts->waiting);
    }
}

static void draw(struct progress *progress, const char *text)
{
    size_t len = strlen(text);
    size_t over = progress->drawn > len ? progress->drawn - len : 0;
    (void)fprintf(progress->to, "\r%s%*s", text, (int)over, "");
    (void)fflush(progress->to);
    progress->drawn = len;
}

void progress_show(struct progress *progress,
                   const struct progress_facts *facts)
{
    char text[PROGRESS_TEXT_BYTES];
    bool first = !progress->begun;
    if (first) {
        progress->begun = true;
        progress->first_done = facts->done;
        progress->first_ms = facts->now_ms;
    }
    if (progress->terminal) {
        progress_text(progress, facts, BAR_COLUMNS, text);
        draw(progress, text);
    } else if (first || facts->percent > progress->told_percent) {
        progress_text(progress, facts, 0, text);
        (void)fprintf(progress->to, "%s\n", text);
    }
    progress->told_percent = facts->percent;
}

void progress_end(struct progress *progress)
{
    if (progress->terminal && progress->drawn > 0) {
        draw(progress, "");
        (void)fprintf(progress->to, "\r");
        (void)fflush(progress->to);
    }
}
