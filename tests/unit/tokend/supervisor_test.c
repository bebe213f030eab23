/* What the parent of a token's workers does: every state, every event, and how
 * long it waits. */
#include "hsm/base/check.h"

#include "hsm/tokend/supervisor.h"

#include "tests/support/unit.h"

#define NOTHING SUP_DO_NOTHING
#define START   SUP_DO_START
#define PAUSE   SUP_DO_PAUSE
#define SERVE   SUP_DO_SERVE

/* clang-format off */
#define SAME { SUP_STATE_COUNT, NOTHING }

static const struct supervisor_step table[SUP_STATE_COUNT][SUP_EVENT_COUNT] = {
    [SUP_LOCKED] = {
        [SUP_EV_PIN]        = { SUP_STARTING, START },
        [SUP_EV_OPENED]     = SAME,
        [SUP_EV_PIN_BAD]    = SAME,
        [SUP_EV_FAILED]     = SAME,
        [SUP_EV_PAUSE_OVER] = SAME,
        [SUP_EV_LOST]       = SAME,
        [SUP_EV_RENEW]      = SAME,
    },
    /* a PIN that was refused is not tried again: only another one is */
    [SUP_PIN_REFUSED] = {
        [SUP_EV_PIN]        = { SUP_STARTING, START },
        [SUP_EV_OPENED]     = SAME,
        [SUP_EV_PIN_BAD]    = SAME,
        [SUP_EV_FAILED]     = SAME,
        [SUP_EV_PAUSE_OVER] = SAME,
        [SUP_EV_LOST]       = SAME,
        [SUP_EV_RENEW]      = SAME,
    },
    [SUP_PAUSED] = {
        [SUP_EV_PIN]        = { SUP_STARTING, START },
        [SUP_EV_OPENED]     = SAME,
        [SUP_EV_PIN_BAD]    = SAME,
        [SUP_EV_FAILED]     = SAME,
        [SUP_EV_PAUSE_OVER] = { SUP_STARTING, START },
        [SUP_EV_LOST]       = SAME,
        [SUP_EV_RENEW]      = SAME,
    },
    [SUP_STARTING] = {
        [SUP_EV_PIN]        = SAME,
        [SUP_EV_OPENED]     = { SUP_SERVING, SERVE },
        [SUP_EV_PIN_BAD]    = { SUP_PIN_REFUSED, NOTHING },
        [SUP_EV_FAILED]     = { SUP_PAUSED, PAUSE },
        [SUP_EV_PAUSE_OVER] = SAME,
        [SUP_EV_LOST]       = SAME,
        [SUP_EV_RENEW]      = SAME,
    },
    [SUP_SERVING] = {
        [SUP_EV_PIN]        = { SUP_MOVING, START },
        [SUP_EV_OPENED]     = SAME,
        [SUP_EV_PIN_BAD]    = SAME,
        [SUP_EV_FAILED]     = SAME,
        [SUP_EV_PAUSE_OVER] = SAME,
        [SUP_EV_LOST]       = { SUP_PAUSED, PAUSE },
        [SUP_EV_RENEW]      = { SUP_MOVING, START },
    },
    /* whatever comes of the other one, that which serves goes on */
    [SUP_MOVING] = {
        [SUP_EV_PIN]        = SAME,
        [SUP_EV_OPENED]     = { SUP_SERVING, SERVE },
        [SUP_EV_PIN_BAD]    = { SUP_SERVING, NOTHING },
        [SUP_EV_FAILED]     = { SUP_SERVING, NOTHING },
        [SUP_EV_PAUSE_OVER] = SAME,
        [SUP_EV_LOST]       = { SUP_PROVING, NOTHING },
        [SUP_EV_RENEW]      = SAME,
    },
    [SUP_PROVING] = {
        [SUP_EV_PIN]        = SAME,
        [SUP_EV_OPENED]     = { SUP_SERVING, SERVE },
        [SUP_EV_PIN_BAD]    = { SUP_PAUSED, PAUSE },
        [SUP_EV_FAILED]     = { SUP_PAUSED, PAUSE },
        [SUP_EV_PAUSE_OVER] = SAME,
        [SUP_EV_LOST]       = SAME,
        [SUP_EV_RENEW]      = SAME,
    },
};
/* clang-format on */

static void the_whole_table(void **unused)
{
    (void)unused;
    for (int state = 0; state < SUP_STATE_COUNT; state++) {
        for (int event = 0; event < SUP_EVENT_COUNT; event++) {
            struct supervisor_step wanted = table[state][event];
            struct supervisor_step step = supervisor_step(
                (enum supervisor_state)state, (enum supervisor_event)event);
            int next =
                wanted.next == SUP_STATE_COUNT ? state : (int)wanted.next;
            if ((int)step.next != next || step.action != wanted.action) {
                fail_msg("state %d, event %d: %d, %d instead of %d, %d", state,
                         event, (int)step.next, (int)step.action, next,
                         (int)wanted.action);
            }
        }
    }
}

/* One that dies once costs no time; one that dies again and again does. */
static void pauses_double(void **unused)
{
    static const long pauses[] = {0,    100,  200,   400,   800,   1600,
                                  3200, 6400, 12800, 25600, 30000, 30000};
    (void)unused;
    for (unsigned i = 0; i < HF_COUNT(pauses); i++) {
        assert_int_equal(supervisor_pause_ms(i), pauses[i]);
    }
    assert_int_equal(supervisor_pause_ms(4000000000u), SUP_PAUSE_MAX_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_table),
        cmocka_unit_test(pauses_double),
    };
    return cmocka_run_group_tests_name("tokend_supervisor", tests, NULL, NULL);
}
