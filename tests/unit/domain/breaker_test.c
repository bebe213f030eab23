/* The breaker: both states, every attempt, timed out or not. */
#include "hsm/base/check.h"

#include "server/domain/breaker.h"

#include "tests/support/unit.h"

#define NOW 5000000

static struct breaker opened(int64_t now_ms)
{
    struct breaker breaker = {0};
    assert_int_equal(breaker_note(&breaker, ATTEMPT_TRANSIENT, true, now_ms),
                     BREAKER_OPENED);
    return breaker;
}

struct rule {
    enum breaker_state from;
    uint32_t count_before;
    enum attempt attempt;
    bool timed_out;
    enum breaker_state to;
    uint32_t count_after;
    enum breaker_change change;
};

#define SHUT BREAKER_CLOSED
#define OPEN BREAKER_OPEN
#define SAME BREAKER_UNCHANGED

static const struct rule rules[] = {
  /* an answer of any kind, also a refusal, is an answer */
    {SHUT, 2, ATTEMPT_OK,        false, SHUT, 0, SAME                },
    {SHUT, 2, ATTEMPT_DENIED,    false, SHUT, 0, SAME                },
    {SHUT, 2, ATTEMPT_BAD_BLOB,  false, SHUT, 0, SAME                },
    {SHUT, 2, ATTEMPT_MISSING,   false, SHUT, 0, SAME                },
    {OPEN, 0, ATTEMPT_OK,        false, SHUT, 0, BREAKER_CLOSED_AGAIN},
    {OPEN, 0, ATTEMPT_DENIED,    false, SHUT, 0, BREAKER_CLOSED_AGAIN},
    {OPEN, 0, ATTEMPT_BAD_BLOB,  false, SHUT, 0, BREAKER_CLOSED_AGAIN},
    {OPEN, 0, ATTEMPT_MISSING,   false, SHUT, 0, BREAKER_CLOSED_AGAIN},
 /* timed_out is only ever said of TRANSIENT */
    {SHUT, 2, ATTEMPT_OK,        true,  SHUT, 0, SAME                },
    {SHUT, 2, ATTEMPT_DENIED,    true,  SHUT, 0, SAME                },
    {SHUT, 2, ATTEMPT_BAD_BLOB,  true,  SHUT, 0, SAME                },
    {SHUT, 2, ATTEMPT_MISSING,   true,  SHUT, 0, SAME                },
    {OPEN, 0, ATTEMPT_OK,        true,  SHUT, 0, BREAKER_CLOSED_AGAIN},
    {OPEN, 0, ATTEMPT_DENIED,    true,  SHUT, 0, BREAKER_CLOSED_AGAIN},
    {OPEN, 0, ATTEMPT_BAD_BLOB,  true,  SHUT, 0, BREAKER_CLOSED_AGAIN},
    {OPEN, 0, ATTEMPT_MISSING,   true,  SHUT, 0, BREAKER_CLOSED_AGAIN},
 /* three in a row, or one time-out */
    {SHUT, 0, ATTEMPT_TRANSIENT, false, SHUT, 1, SAME                },
    {SHUT, 1, ATTEMPT_TRANSIENT, false, SHUT, 2, SAME                },
    {SHUT, 2, ATTEMPT_TRANSIENT, false, OPEN, 0, BREAKER_OPENED      },
    {SHUT, 0, ATTEMPT_TRANSIENT, true,  OPEN, 0, BREAKER_OPENED      },
    {SHUT, 2, ATTEMPT_TRANSIENT, true,  OPEN, 0, BREAKER_OPENED      },
    {OPEN, 0, ATTEMPT_TRANSIENT, false, OPEN, 0, SAME                },
    {OPEN, 0, ATTEMPT_TRANSIENT, true,  OPEN, 0, SAME                },
 /* says nothing about the key */
    {SHUT, 2, ATTEMPT_OURS,      false, SHUT, 2, SAME                },
    {SHUT, 2, ATTEMPT_OURS,      true,  SHUT, 2, SAME                },
    {OPEN, 0, ATTEMPT_OURS,      false, OPEN, 0, SAME                },
    {OPEN, 0, ATTEMPT_OURS,      true,  OPEN, 0, SAME                },
    {SHUT, 2, (enum attempt)99,  true,  SHUT, 2, SAME                },
    {OPEN, 0, (enum attempt)99,  false, OPEN, 0, SAME                },
};

static void test_every_rule(void **state)
{
    (void)state;
    unsigned seen[BREAKER_STATE_COUNT][ATTEMPT_COUNT][2] = {0};
    for (size_t i = 0; i < HF_COUNT(rules); i++) {
        const struct rule *rule = &rules[i];
        struct breaker breaker = {.transient_count = rule->count_before};
        if (rule->from == BREAKER_OPEN) {
            breaker = opened(NOW);
        }
        struct breaker before = breaker;
        enum breaker_change change =
            breaker_note(&breaker, rule->attempt, rule->timed_out, NOW + 100);
        if (change != rule->change || breaker.state != rule->to ||
            breaker.transient_count != rule->count_after) {
            fail_msg("rule %zu: %s from %s", i, attempt_text(rule->attempt),
                     breaker_state_text(rule->from));
        }
        assert_int_equal(breaker_is_open(&breaker), rule->to == BREAKER_OPEN);
        int64_t due_ms = INT64_MAX;
        if (rule->from == BREAKER_OPEN && rule->to == BREAKER_OPEN) {
            due_ms = before.probe_due_ms; /* not put off by late answers */
        } else if (rule->to == BREAKER_OPEN) {
            due_ms = NOW + 100 + 1000;
        }
        assert_int_equal(breaker_probe_due_ms(&breaker), due_ms);
        if ((unsigned)rule->attempt < ATTEMPT_COUNT) {
            seen[rule->from][rule->attempt][rule->timed_out]++;
        }
    }
    for (int i = 0; i < BREAKER_STATE_COUNT * ATTEMPT_COUNT * 2; i++) {
        assert_true((&seen[0][0][0])[i] > 0);
    }
}

static void test_three_in_a_row(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    assert_false(breaker_is_open(&breaker));
    for (int i = 0; i < 10; i++) { /* never three without an answer between */
        assert_int_equal(breaker_note(&breaker, ATTEMPT_TRANSIENT, false, NOW),
                         SAME);
        assert_int_equal(breaker_note(&breaker, ATTEMPT_TRANSIENT, false, NOW),
                         SAME);
        assert_int_equal(breaker_note(&breaker, ATTEMPT_DENIED, false, NOW),
                         SAME);
        /* ours between two does not tell them apart */
        assert_int_equal(breaker_note(&breaker, ATTEMPT_OURS, false, NOW),
                         SAME);
    }
    assert_int_equal(breaker_note(&breaker, ATTEMPT_TRANSIENT, false, NOW),
                     SAME);
    assert_int_equal(breaker_note(&breaker, ATTEMPT_OURS, false, NOW), SAME);
    assert_int_equal(breaker_note(&breaker, ATTEMPT_TRANSIENT, false, NOW),
                     SAME);
    assert_int_equal(breaker_note(&breaker, ATTEMPT_TRANSIENT, false, NOW),
                     BREAKER_OPENED);
}

/* 1, 2, 4, 8, 16, 30, 30 ... seconds from one probe to the next. */
static void test_back_off(void **state)
{
    (void)state;
    static const int64_t waits_ms[] = {1000,  2000,  4000, 8000,
                                       16000, 30000, 30000};
    struct breaker breaker = opened(NOW);
    int64_t now_ms = NOW;
    for (size_t i = 0; i < HF_COUNT(waits_ms); i++) {
        assert_int_equal(breaker_probe_due_ms(&breaker) - now_ms, waits_ms[i]);
        assert_false(breaker_take_probe(&breaker, now_ms + waits_ms[i] - 1));
        now_ms += waits_ms[i];
        assert_true(breaker_take_probe(&breaker, now_ms));
        assert_false(breaker_take_probe(&breaker, now_ms)); /* once each */
        assert_int_equal(
            breaker_note(&breaker, ATTEMPT_TRANSIENT, true, now_ms), SAME);
    }
    assert_int_equal(breaker_note(&breaker, ATTEMPT_OK, false, now_ms),
                     BREAKER_CLOSED_AGAIN);
    /* a new outage begins with short waits again */
    breaker_note(&breaker, ATTEMPT_TRANSIENT, true, now_ms);
    assert_int_equal(breaker_probe_due_ms(&breaker), now_ms + 1000);
}

static void test_late_probe(void **state)
{
    (void)state;
    struct breaker breaker = opened(NOW);
    assert_true(breaker_take_probe(&breaker, NOW + 100000));
    assert_int_equal(breaker_probe_due_ms(&breaker), NOW + 102000);
}

static void test_closed_needs_no_probe(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    assert_int_equal(breaker_probe_due_ms(&breaker), INT64_MAX);
    assert_false(breaker_take_probe(&breaker, NOW));
    assert_false(breaker_take_probe(&breaker, INT64_MAX));
}

static void test_texts(void **state)
{
    (void)state;
    assert_string_equal(breaker_state_text(BREAKER_CLOSED), "CLOSED");
    assert_string_equal(breaker_state_text(BREAKER_OPEN), "OPEN");
    assert_string_equal(breaker_state_text((enum breaker_state)2), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_rule),
        cmocka_unit_test(test_three_in_a_row),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_late_probe),
        cmocka_unit_test(test_closed_needs_no_probe),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
