#include "hsm/sys/clock.h"

#include "hsm/base/check.h"

#include <stdio.h>
#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec now = {0};
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_monotonic_ms(void *self)
{
    (void)self;
    return read_ms(CLOCK_BOOTTIME);
}

static int64_t system_wall_ms(void *self)
{
    (void)self;
    return read_ms(CLOCK_REALTIME);
}

const struct clock *clock_system(void)
{
    static const struct clock system = {
        .monotonic_ms = system_monotonic_ms,
        .wall_ms = system_wall_ms,
    };
    return &system;
}

int64_t clock_monotonic_ms(const struct clock *clock)
{
    return clock->monotonic_ms(clock->self);
}

int64_t clock_wall_ms(const struct clock *clock)
{
    return clock->wall_ms(clock->self);
}

/* RFC 3339 knows four digits of a year: what lies outside is written as the
 * nearest instant inside. */
#define YEAR_0_MS    INT64_C(-62167219200000)
#define YEAR_9999_MS INT64_C(253402300799999)

void clock_format_utc(int64_t wall_ms, char out[CLOCK_UTC_TEXT])
{
    int64_t known_ms = wall_ms < YEAR_0_MS ? YEAR_0_MS : wall_ms;
    known_ms = known_ms > YEAR_9999_MS ? YEAR_9999_MS : known_ms;
    int64_t millis = (known_ms % 1000 + 1000) % 1000;
    time_t when = (time_t)((known_ms - millis) / 1000);
    struct tm parts = {.tm_mday = 1};
    char text[16];
    CHECK(gmtime_r(&when, &parts) != NULL);
    CHECK(strftime(text, sizeof text, "%m-%dT%H:%M:%S", &parts) == 14);
    /* strftime would not pad the year; the remainder tells GCC its range */
    snprintf(out, CLOCK_UTC_TEXT, "%04u-%s.%03uZ",
             ((unsigned)parts.tm_year + 1900) % 10000, text,
             (unsigned)millis % 1000);
}
