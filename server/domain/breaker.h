/* breaker: a customer key known TRANSIENT is not asked by callers until a probe
 * finds it again (R-6.28, R-15.4b).
 *
 *            3 TRANSIENT in a row, or one time-out
 *   CLOSED ----------------------------------------> OPEN --+ probe due after
 *      ^                                              |  ^--+ 1, 2, 4 .. 30 s
 *      +----------------------------------------------+
 *          any answer of the token, from a probe or a
 *          call that was under way
 *
 * While OPEN an attempt is skipped and counts as TRANSIENT, so table 6-B does
 * not change. A refusal is an answer: DENIED never opens and always closes, so
 * that no outage of before can hide a refusal. Our own trouble (OURS) says
 * nothing about the key and changes nothing. All zero is CLOSED.
 */
#pragma once

#include "server/domain/fallback.h"

#define BREAKER_TRANSIENT_MAX  3
#define BREAKER_BACKOFF_MIN_MS 1000
#define BREAKER_BACKOFF_MAX_MS 30000

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN };
#define BREAKER_STATE_COUNT 2

struct breaker {
    enum breaker_state state;
    uint32_t transient_count; /* in a row, while CLOSED */
    int64_t backoff_ms;       /* to the probe after the next, while OPEN */
    int64_t probe_due_ms;     /* while OPEN; monotonic */
};

enum breaker_change {
    BREAKER_UNCHANGED,
    BREAKER_OPENED,
    BREAKER_CLOSED_AGAIN,
};

/* breaker_note: what an attempt that was made (not skipped) came to, of a call
 * or of a probe. timed_out: it was TRANSIENT for want of an answer. */
enum breaker_change breaker_note(struct breaker *breaker, enum attempt attempt,
                                 bool timed_out, int64_t now_ms);

/* breaker_is_open: skip the attempt; it counts as ATTEMPT_TRANSIENT. */
bool breaker_is_open(const struct breaker *breaker);

/* breaker_probe_due_ms: when to look again; INT64_MAX while CLOSED.
 * breaker_take_probe: true once for each probe that is due: the caller makes it
 * and notes what it came to; the next one is due a longer back-off later,
 * whether or not the note ever comes. */
int64_t breaker_probe_due_ms(const struct breaker *breaker);
bool breaker_take_probe(struct breaker *breaker, int64_t now_ms);

const char *breaker_state_text(enum breaker_state state);
