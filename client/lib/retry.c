#include "client/lib/retry.h"

static bool worth_repeating(const struct retry_facts *facts)
{
    if (facts->code == HF_CODE_UNAVAILABLE) {
        return true;
    }
    return facts->code == HF_CODE_RESOURCE_EXHAUSTED &&
           facts->retry_delay_ms >= 0;
}

/* part: a uniform share of span_ms, 0 to span_ms. */
static int64_t part(int64_t span_ms, uint32_t random)
{
    return (int64_t)(((uint64_t)span_ms * random) >> 32);
}

bool retry_next(const struct retry_facts *facts, int64_t *out_wait_ms)
{
    if (!worth_repeating(facts) || facts->attempts >= RETRY_ATTEMPTS_MAX ||
        facts->retry_delay_ms >= facts->left_ms) {
        return false;
    }
    int64_t pause_ms = RETRY_BASE_MS;
    for (unsigned i = 1; i < facts->attempts && pause_ms < RETRY_CAP_MS; i++) {
        pause_ms *= 2;
    }
    if (pause_ms > RETRY_CAP_MS) {
        pause_ms = RETRY_CAP_MS;
    }
    int64_t wait_ms = pause_ms / 2 + part(pause_ms / 2, facts->random);
    if (facts->retry_delay_ms > wait_ms) {
        /* asked for: never earlier; delay < left_ms, so this cannot overflow */
        wait_ms = facts->retry_delay_ms +
                  part(facts->retry_delay_ms / 4, facts->random);
    }
    if (wait_ms >= facts->left_ms) {
        return false;
    }
    *out_wait_ms = wait_ms;
    return true;
}
