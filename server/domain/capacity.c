#include "server/domain/capacity.h"

/* Divided first where multiplying would overflow. */
static uint32_t percent_of(uint64_t used, uint64_t max)
{
    if (used >= max) {
        return 100;
    }
    return used <= UINT64_MAX / 100 ? (uint32_t)(used * 100 / max)
                                    : (uint32_t)(used / (max / 100));
}

struct capacity capacity_of(const struct capacity_facts *facts)
{
    struct capacity capacity = {.level = CAPACITY_UNKNOWN};
    if (facts->objects_max == 0 && facts->total_bytes == 0) {
        return capacity;
    }
    if (facts->objects_max > 0) {
        capacity.percent = percent_of(facts->objects, facts->objects_max);
    }
    /* more free than there is: not a figure to rely on, but not full either */
    if (facts->total_bytes > facts->free_bytes) {
        uint32_t bytes = percent_of(facts->total_bytes - facts->free_bytes,
                                    facts->total_bytes);
        capacity.percent = bytes > capacity.percent ? bytes : capacity.percent;
    }
    capacity.level = CAPACITY_ENOUGH;
    if (capacity.percent >= CAPACITY_WARN_PERCENT) {
        capacity.level = CAPACITY_LOW;
    }
    if (capacity.percent >= CAPACITY_REFUSE_PERCENT) {
        capacity.level = CAPACITY_FULL;
    }
    return capacity;
}
