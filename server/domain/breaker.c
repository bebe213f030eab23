#include "server/domain/breaker.h"

enum event {
    EV_ANSWERED,  /* whatever it said: the token answers */
    EV_TRANSIENT, /* it answered with a fault */
    EV_TIMED_OUT, /* it did not answer */
    EV_OURS,      /* it was not asked */
};
#define EVENT_COUNT 4

enum effect { FX_NONE, FX_RESET, FX_COUNT, FX_OPEN };

/* clang-format off */
static const enum effect rules[BREAKER_STATE_COUNT][EVENT_COUNT] = {
    /*                   ANSWERED   TRANSIENT  TIMED_OUT  OURS    */
    [BREAKER_CLOSED] = { FX_RESET,  FX_COUNT,  FX_OPEN,   FX_NONE },
    [BREAKER_OPEN] =   { FX_RESET,  FX_NONE,   FX_NONE,   FX_NONE },
};
/* clang-format on */

static enum event event_of(enum attempt attempt, bool timed_out)
{
    switch (attempt) {
    case ATTEMPT_OK:
    case ATTEMPT_DENIED:
    case ATTEMPT_BAD_BLOB: /* the canary answered */
    case ATTEMPT_MISSING:  /* for users a refusal, which must not be skipped */
        return EV_ANSWERED;
    case ATTEMPT_TRANSIENT:
        return timed_out ? EV_TIMED_OUT : EV_TRANSIENT;
    case ATTEMPT_OURS:
        return EV_OURS;
    }
    return EV_OURS;
}

enum breaker_change breaker_note(struct breaker *breaker, enum attempt attempt,
                                 bool timed_out, int64_t now_ms)
{
    enum effect effect = rules[breaker->state][event_of(attempt, timed_out)];
    if (effect == FX_RESET) {
        bool was_open = breaker_is_open(breaker);
        *breaker = (struct breaker){.state = BREAKER_CLOSED};
        return was_open ? BREAKER_CLOSED_AGAIN : BREAKER_UNCHANGED;
    }
    if (effect == FX_COUNT) {
        breaker->transient_count++;
    }
    if (effect == FX_OPEN ||
        breaker->transient_count >= BREAKER_TRANSIENT_MAX) {
        *breaker = (struct breaker){
            .state = BREAKER_OPEN,
            .backoff_ms = 2 * BREAKER_BACKOFF_MIN_MS,
            .probe_due_ms = now_ms + BREAKER_BACKOFF_MIN_MS,
        };
        return BREAKER_OPENED;
    }
    return BREAKER_UNCHANGED;
}

bool breaker_is_open(const struct breaker *breaker)
{
    return breaker->state == BREAKER_OPEN;
}

int64_t breaker_probe_due_ms(const struct breaker *breaker)
{
    return breaker_is_open(breaker) ? breaker->probe_due_ms : INT64_MAX;
}

bool breaker_take_probe(struct breaker *breaker, int64_t now_ms)
{
    if (!breaker_is_open(breaker) || now_ms < breaker->probe_due_ms) {
        return false;
    }
    int64_t backoff_ms = breaker->backoff_ms;
    breaker->probe_due_ms = now_ms + backoff_ms;
    breaker->backoff_ms = backoff_ms < BREAKER_BACKOFF_MAX_MS / 2
                              ? 2 * backoff_ms
                              : BREAKER_BACKOFF_MAX_MS;
    return true;
}

const char *breaker_state_text(enum breaker_state state)
{
    static const char *const texts[BREAKER_STATE_COUNT] = {
        [BREAKER_CLOSED] = "CLOSED",
        [BREAKER_OPEN] = "OPEN",
    };
    return (unsigned)state < BREAKER_STATE_COUNT ? texts[state] : "?";
}
