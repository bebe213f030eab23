/* clock: the port through which time comes in.
 *
 * Domain code takes now_ms as a value; everything else asks a struct clock, so
 * that a test can drive days in milliseconds. Monotonic time is for leases,
 * deadlines and time-outs; wall time (Unix epoch) is for records and people.
 */
#pragma once

#include <stdint.h>

struct clock {
    int64_t (*monotonic_ms)(void *self);
    int64_t (*wall_ms)(void *self);
    void *self;
};

/* clock_system: CLOCK_BOOTTIME and CLOCK_REALTIME. Never freed. */
const struct clock *clock_system(void);

int64_t clock_monotonic_ms(const struct clock *clock);
int64_t clock_wall_ms(const struct clock *clock);

/* clock_format_utc: RFC 3339 with milliseconds and Z; before the year 0 or
 * after 9999 the nearest instant that RFC 3339 can write. */
#define CLOCK_UTC_TEXT 32
void clock_format_utc(int64_t wall_ms, char out[CLOCK_UTC_TEXT]);
