/* capacity: how full the token of the availability keys is: object
 * capacity is shown; warn at 80 %, refuse CreateDep at 95 %.
 *
 * Two gauges, of which the fuller one counts: objects against the number that
 * the operator configured, and private memory as the token tells it. Some tell
 * nothing (SoftHSM), and one that is not told is no gauge.
 */
#pragma once

#include <stdint.h>

#define CAPACITY_WARN_PERCENT   80
#define CAPACITY_REFUSE_PERCENT 95

struct capacity_facts {
    uint64_t objects;
    uint64_t objects_max; /* 0: not configured */
    uint64_t free_bytes;
    uint64_t total_bytes; /* 0: not told */
};

enum capacity_level {
    CAPACITY_UNKNOWN = 0, /* no gauge */
    CAPACITY_ENOUGH = 1,
    CAPACITY_LOW = 2,  /* warn */
    CAPACITY_FULL = 3, /* no new DEP */
};

struct capacity {
    enum capacity_level level;
    uint32_t percent; /* used, of the fuller gauge, rounded down; at most 100 */
};

/* capacity_of: a total function. */
struct capacity capacity_of(const struct capacity_facts *facts);
