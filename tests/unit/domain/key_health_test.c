/* Health of a key: every state, every attempt. */
#include "hsm/base/check.h"

#include "server/domain/key_health.h"

#include "tests/support/unit.h"

#define EARLIER_OK  1000
#define EARLIER_BAD 2000
#define NOW         3000

struct rule {
    enum attempt attempt;
    int to; /* -1: as it was */
    int64_t success_ms;
    int64_t failure_ms;
};

static const struct rule rules[] = {
    {ATTEMPT_OK,         KEY_HEALTH_OK,        NOW,        EARLIER_BAD},
    {ATTEMPT_DENIED,     KEY_HEALTH_DENIED,    EARLIER_OK, NOW        },
    {ATTEMPT_MISSING,    KEY_HEALTH_DENIED,    EARLIER_OK, NOW        },
    {ATTEMPT_TRANSIENT,  KEY_HEALTH_TRANSIENT, EARLIER_OK, NOW        },
    {ATTEMPT_BAD_BLOB,   KEY_HEALTH_OK,        EARLIER_OK, NOW        },
    {ATTEMPT_OURS,       -1,                   EARLIER_OK, EARLIER_BAD},
    {ATTEMPT_COUNT,      -1,                   EARLIER_OK, EARLIER_BAD},
    {(enum attempt) - 1, -1,                   EARLIER_OK, EARLIER_BAD},
};

static void test_every_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(rules); i++) {
        for (int from = 0; from < KEY_HEALTH_STATE_COUNT; from++) {
            struct key_health health = {
                .state = (enum key_health_state)from,
                .last_success_ms = EARLIER_OK,
                .last_failure_ms = EARLIER_BAD,
            };
            int to = rules[i].to < 0 ? from : rules[i].to;
            bool changed = key_health_note(&health, rules[i].attempt, NOW);
            assert_int_equal(health.state, to);
            assert_int_equal(changed, from != to);
            assert_int_equal(health.last_success_ms, rules[i].success_ms);
            assert_int_equal(health.last_failure_ms, rules[i].failure_ms);
        }
    }
}

/* withdrawn grants and disabled keys are seen without a token. */
static void test_class_of_a_key(void **state)
{
    (void)state;
    static const struct {
        int state;
        enum attempt attempt;
    } classes[] = {
        {KEY_HEALTH_UNKNOWN,     ATTEMPT_OK       },
        {KEY_HEALTH_OK,          ATTEMPT_OK       },
        {KEY_HEALTH_TRANSIENT,   ATTEMPT_TRANSIENT},
        {KEY_HEALTH_DENIED,      ATTEMPT_DENIED   },
        {KEY_HEALTH_STATE_COUNT, ATTEMPT_DENIED   },
    };
    for (size_t i = 0; i < HF_COUNT(classes); i++) {
        struct key_health health = {
            .state = (enum key_health_state)classes[i].state,
        };
        assert_int_equal(key_health_attempt(&health, true), classes[i].attempt);
        assert_int_equal(key_health_attempt(&health, false), ATTEMPT_DENIED);
    }
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {"UNKNOWN", "OK", "TRANSIENT", "DENIED",
                                        "?"};
    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        assert_string_equal(key_health_text((enum key_health_state)i),
                            texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_rule),
        cmocka_unit_test(test_class_of_a_key),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
