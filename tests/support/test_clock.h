/* test_clock: the system's clock, ahead by as many milliseconds as a file says.
 *
 * Days pass in milliseconds: a test writes a number into the file, eight bytes
 * of the machine's own order, and every reader sees it at once. Only ahead, and
 * never back: monotonic time is monotonic here too.
 */
#pragma once

#include "hsm/sys/clock.h"

/* test_clock_open: path is made if missing; NULL when it cannot be shared.
 * Never freed. */
const struct clock *test_clock_open(const char *path);
