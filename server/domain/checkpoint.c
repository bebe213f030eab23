#include "server/domain/checkpoint.h"

bool checkpoint_is_due(const struct checkpoint_facts *facts, int64_t now_ms)
{
    if (facts->records == 0 && !facts->routine) {
        return false;
    }
    if (facts->failed) {
        return now_ms - facts->tried_ms >= CHECKPOINT_MS;
    }
    return facts->records >= CHECKPOINT_RECORDS_MAX ||
           now_ms - facts->since_ms >= CHECKPOINT_MS;
}
