/* retry: whether a failed call is sent again, and when. A pure rule.
 *
 * only UNAVAILABLE, and RESOURCE_EXHAUSTED when RetryInfo is present.
 * Nothing else, ever: an answer that says "no" stays "no", and a call whose
 * outcome is unknown for any other reason is the caller's to judge.
 *
 * The pause doubles from RETRY_BASE_MS up to RETRY_CAP_MS and is spread by
 * jitter over its upper half, so that clients that failed together do not come
 * back together. A delay that the service asked for is a lower bound, spread
 * upwards by up to a quarter.
 */
#pragma once

#include "client/lib/holdfast.h"

#include <stdbool.h>
#include <stdint.h>

#define RETRY_ATTEMPTS_MAX 6
#define RETRY_BASE_MS      100
#define RETRY_CAP_MS       5000

struct retry_facts {
    enum hf_code code;      /* of the attempt that just ended */
    int64_t retry_delay_ms; /* of RetryInfo; -1: there was none */
    unsigned attempts;      /* made so far, from 1 */
    int64_t left_ms;        /* until the deadline of the whole call */
    uint32_t random;        /* uniform */
};

/* retry_next: true, with the pause before the next attempt, or false. A pause
 * that would end at or behind the deadline is no retry. */
bool retry_next(const struct retry_facts *facts, int64_t *out_wait_ms);
