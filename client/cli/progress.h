/* progress: how far a long-running operation is, for people.
 *
 * On a terminal one line that is drawn over itself; elsewhere a line whenever a
 * percent was gained. Rate and remaining time are those since it was first
 * looked at: what was done before says nothing about now.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct progress_facts {
    const char *kind; /* "rewrap" */
    uint64_t done;
    uint64_t total; /* 0: not known */
    uint64_t waiting;
    uint32_t percent;
    int64_t now_ms; /* monotonic */
};

struct progress {
    FILE *to;
    bool terminal;
    bool begun;
    uint64_t first_done;
    int64_t first_ms;
    uint32_t told_percent;
    size_t drawn; /* columns of the line that stands there */
};

/* progress_text: one line without its end:
 *   rewrap  42 %  4200 of 10000  350/s  17 s left  3 waiting
 * with a bar of bar_columns between kind and percent, 0: none. What is not
 * known is left out. first_done, first_ms: where the rate is reckoned from. */
#define PROGRESS_TEXT_BYTES 256
void progress_text(const struct progress *from,
                   const struct progress_facts *facts, size_t bar_columns,
                   char out[PROGRESS_TEXT_BYTES]);

/* progress_show: draws or writes. progress_end: the line on a terminal is taken
 * away, so that what follows stands alone. */
void progress_show(struct progress *progress,
                   const struct progress_facts *facts);
void progress_end(struct progress *progress);
