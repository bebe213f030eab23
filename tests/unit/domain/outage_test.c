/* how long an outage lasts, when its limit is reached, and what the
 * tenant is told when. */
#include "hsm/base/check.h"

#include "server/domain/outage.h"

#include "tests/support/unit.h"

#define T0   1700000000000LL
#define HOUR NOTICE_EVERY_MS

static void which_limits_there_are(void **state)
{
    static const struct {
        int64_t limit_ms;
        bool valid;
    } limits[] = {
        {INT64_MIN,                 false},
        {-1,                        false},
        {0,                         true },
        {1,                         false},
        {FALLBACK_LIMIT_MIN_MS - 1, false},
        {FALLBACK_LIMIT_MIN_MS,     true },
        {FALLBACK_LIMIT_MAX_MS,     true },
        {FALLBACK_LIMIT_MAX_MS + 1, false},
        {INT64_MAX,                 false},
    };
    (void)state;
    for (size_t i = 0; i < HF_COUNT(limits); i++) {
        assert_int_equal(fallback_limit_is_valid(limits[i].limit_ms),
                         limits[i].valid);
    }
}

static void how_long_it_lasts(void **state)
{
    const struct outage none = {.since_ms = 0};
    const struct outage outage = {.since_ms = T0};
    (void)state;
    assert_true(outage_lasts_ms(&none, T0) == 0);
    assert_true(outage_lasts_ms(&outage, T0) == 0);
    assert_true(outage_lasts_ms(&outage, T0 + 5) == 5);
    /* a clock that was set back ends nothing and lengthens nothing */
    assert_true(outage_lasts_ms(&outage, T0 - HOUR) == 0);
    assert_false(outage_limit_reached(0, 60000));
    assert_false(outage_limit_reached(59999, 60000));
    assert_true(outage_limit_reached(60000, 60000));
    assert_false(outage_limit_reached(INT64_MAX, 0));
}

/* What is due, whatever is true together: over first, then the limit, then the
 * hour. */
static void what_is_due(void **state)
{
    static const struct {
        int64_t since_ms;
        int64_t used_ms;
        int64_t told_ms;
        int64_t told_limit_ms;
        bool over;
        int64_t limit_ms;
        int64_t now_ms;
        enum notice_event due;
    } cases[] = {
  /* no outage */
        {0,  0,             0,         0,    true,  1,        T0 + HOUR,     NOTICE_NONE         },
        {0,  T0,            0,         0,    false, 1,        T0 + HOUR,     NOTICE_NONE         },
 /* within the hour, and when it is over */
        {T0, T0 + 1,        T0,        0,    false, 0,        T0 + HOUR - 1, NOTICE_NONE         },
        {T0, T0 + 1,        T0,        0,    false, 0,        T0 + HOUR,     NOTICE_GOES_ON      },
        {T0, T0 + 1,        T0 + HOUR, 0,    false, 0,        T0 + 2 * HOUR, NOTICE_NONE         },
 /* nobody used it since */
        {T0, T0,            T0,        0,    false, 0,        T0 + 9 * HOUR, NOTICE_NONE         },
 /* the limit, once for each that was set */
        {T0, T0,            T0,        0,    false, HOUR,     T0 + HOUR - 1, NOTICE_NONE         },
        {T0, T0,            T0,        0,    false, HOUR,     T0 + HOUR,     NOTICE_LIMIT_REACHED},
        {T0, T0 + 1,        T0,        0,    false, HOUR,     T0 + HOUR,     NOTICE_LIMIT_REACHED},
        {T0, T0,            T0 + HOUR, HOUR, false, HOUR,     T0 + 3 * HOUR, NOTICE_NONE         },
        {T0, T0 + HOUR + 1, T0 + HOUR, HOUR, false, HOUR,     T0 + 3 * HOUR,
         NOTICE_GOES_ON                                                                          },
        {T0, T0,            T0 + HOUR, HOUR, false, 2 * HOUR, T0 + 3 * HOUR,
         NOTICE_LIMIT_REACHED                                                                    },
        {T0, T0,            T0 + HOUR, HOUR, false, 0,        T0 + 3 * HOUR, NOTICE_NONE         },
 /* it is over, whatever else */
        {T0, T0,            T0,        0,    true,  0,        T0,            NOTICE_ENDED        },
        {T0, T0 + 1,        T0,        0,    true,  HOUR,     T0 + HOUR,     NOTICE_ENDED        },
    };
    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        const struct outage outage = {
            .since_ms = cases[i].since_ms,
            .used_ms = cases[i].used_ms,
            .told_ms = cases[i].told_ms,
            .told_limit_ms = cases[i].told_limit_ms,
        };
        enum notice_event due = outage_due(&outage, cases[i].over,
                                           cases[i].limit_ms, cases[i].now_ms);
        if (due != cases[i].due) {
            fail_msg("case %zu: %s, not %s", i, notice_event_text(due),
                     notice_event_text(cases[i].due));
        }
    }
}

static void what_was_told_is_not_told_again(void **state)
{
    struct outage outage = {.since_ms = 0};
    (void)state;
    outage_told(&outage, NOTICE_NONE, HOUR, T0);
    assert_true(outage.since_ms == 0 && outage.told_ms == 0);
    outage_told(&outage, NOTICE_BEGAN, HOUR, T0);
    assert_true(outage.since_ms == T0 && outage.used_ms == T0 &&
                outage.told_ms == T0);
    assert_int_equal(outage_due(&outage, false, HOUR, T0 + HOUR),
                     NOTICE_LIMIT_REACHED);
    outage_told(&outage, NOTICE_LIMIT_REACHED, HOUR, T0 + HOUR);
    assert_int_equal(outage_due(&outage, false, HOUR, T0 + HOUR), NOTICE_NONE);
    outage.used_ms = T0 + HOUR + 1;
    assert_int_equal(outage_due(&outage, false, HOUR, T0 + 2 * HOUR),
                     NOTICE_GOES_ON);
    outage_told(&outage, NOTICE_GOES_ON, HOUR, T0 + 2 * HOUR);
    assert_int_equal(outage_due(&outage, false, HOUR, T0 + 2 * HOUR),
                     NOTICE_NONE);
    assert_true(outage.since_ms == T0 && outage.told_limit_ms == HOUR);
    outage_told(&outage, NOTICE_ENDED, HOUR, T0 + 3 * HOUR);
    assert_true(outage.since_ms == 0 && outage.used_ms == 0 &&
                outage.told_ms == 0 && outage.told_limit_ms == 0);
    outage_told(&outage, (enum notice_event)9, HOUR, T0);
}

static void each_has_a_word(void **state)
{
    static const char *const words[] = {"NONE",          "BEGAN", "GOES_ON",
                                        "LIMIT_REACHED", "ENDED", "?"};
    (void)state;
    for (size_t i = 0; i < HF_COUNT(words); i++) {
        assert_string_equal(notice_event_text((enum notice_event)i), words[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_limits_there_are),
        cmocka_unit_test(how_long_it_lasts),
        cmocka_unit_test(what_is_due),
        cmocka_unit_test(what_was_told_is_not_told_again),
        cmocka_unit_test(each_has_a_word),
    };
    return cmocka_run_group_tests_name("outage", tests, NULL, NULL);
}
