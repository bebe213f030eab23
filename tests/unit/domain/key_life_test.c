/* What may happen to a customer key, when, and what its token's promise is
 * called: every state with every event, retention, recovery
 * levels. */
#include "hsm/base/check.h"

#include "server/domain/key_life.h"

#include "tests/support/unit.h"

#define NOW 1800000000000ll
#define DAY 86400000ll
#define NO  99

/* rows are states, columns events; NO: refused, nothing changes. */
static const int table[KEY_STATE_COUNT][KEY_EVENT_COUNT] = {
  /*                     DELETE            RECOVER     PURGE RETENTION_OVER */
    [KEY_ACTIVE] = {KEY_SOFT_DELETED, NO,         NO, NO      },
    [KEY_SOFT_DELETED] = {NO,               KEY_ACTIVE, NO, KEY_GONE},
    [KEY_GONE] = {NO,               NO,         NO, NO      },
};

static void every_state_and_event(void **state)
{
    (void)state;
    for (int from = 0; from < KEY_STATE_COUNT; from++) {
        for (int event = 0; event < KEY_EVENT_COUNT; event++) {
            enum key_state next = (enum key_state)77;
            bool allowed = key_life_next((enum key_state)from,
                                         (enum key_event)event, &next);
            assert_int_equal(allowed, table[from][event] != NO);
            assert_int_equal(next, allowed ? table[from][event] : 77);
        }
    }
}

/* purge is granted to nobody, with or without purge protection. */
static void nobody_purges_before_the_time(void **state)
{
    (void)state;
    for (int from = 0; from < KEY_STATE_COUNT; from++) {
        enum key_state next;
        assert_false(key_life_next((enum key_state)from, KEY_EV_PURGE, &next));
    }
}

static void states_have_names(void **state)
{
    (void)state;
    assert_string_equal(key_state_text(KEY_ACTIVE), "ACTIVE");
    assert_string_equal(key_state_text(KEY_SOFT_DELETED), "SOFT_DELETED");
    assert_string_equal(key_state_text(KEY_GONE), "GONE");
    assert_string_equal(key_state_text((enum key_state)3), "?");
}

static const struct {
    int protection;
    uint32_t declared;
    uint32_t kept;
    enum key_recovery_level level;
    const char *text;
} promises[] = {
    {PROTECTION_NONE,                        0,          90, RECOVERY_PURGEABLE,                        "Purgeable"                                  },
    {PROTECTION_NONE,                        90,         90, RECOVERY_PURGEABLE,                        "Purgeable"                                  },
    {PROTECTION_NONE,                        30,         90, RECOVERY_PURGEABLE,                        "Purgeable"                                  },
    {0,                                      90,         90, RECOVERY_PURGEABLE,                        "Purgeable"                                  },
    {9,                                      90,         90, RECOVERY_PURGEABLE,                        "Purgeable"                                  },
    {PROTECTION_SOFT_DELETE,                 0,          90, RECOVERY_PURGEABLE,                        "Purgeable"                                  },
    {PROTECTION_SOFT_DELETE,                 6,          90, RECOVERY_PURGEABLE,                        "Purgeable"                                  },
    {PROTECTION_SOFT_DELETE,                 7,          7,  RECOVERY_CUSTOMIZED_RECOVERABLE_PURGEABLE,
     "CustomizedRecoverable+Purgeable"                                                                                                               },
    {PROTECTION_SOFT_DELETE,                 89,         89, RECOVERY_CUSTOMIZED_RECOVERABLE_PURGEABLE,
     "CustomizedRecoverable+Purgeable"                                                                                                               },
    {PROTECTION_SOFT_DELETE,                 90,         90, RECOVERY_RECOVERABLE_PURGEABLE,
     "Recoverable+Purgeable"                                                                                                                         },
    {PROTECTION_SOFT_DELETE,                 UINT32_MAX, 90, RECOVERY_RECOVERABLE_PURGEABLE,
     "Recoverable+Purgeable"                                                                                                                         },
    {PROTECTION_SOFT_DELETE_PURGE_PROTECTED, 30,         30,
     RECOVERY_CUSTOMIZED_RECOVERABLE,                                                                   "CustomizedRecoverable"                      },
    {PROTECTION_SOFT_DELETE_PURGE_PROTECTED, 90,         90, RECOVERY_RECOVERABLE,
     "Recoverable"                                                                                                                                   },
    {PROTECTION_TOKEN_PROTECTED,             7,          7,
     RECOVERY_CUSTOMIZED_RECOVERABLE_PROTECTED,                                                         "CustomizedRecoverable+ProtectedSubscription"},
    {PROTECTION_TOKEN_PROTECTED,             90,         90, RECOVERY_RECOVERABLE_PROTECTED,
     "Recoverable+ProtectedSubscription"                                                                                                             },
};

static void promises_are_retention_and_level(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(promises); i++) {
        enum deletion_protection protection =
            (enum deletion_protection)promises[i].protection;
        enum key_recovery_level level =
            key_recovery_level_of(protection, promises[i].declared);
        assert_int_equal(key_retention_days(protection, promises[i].declared),
                         promises[i].kept);
        assert_int_equal(level, promises[i].level);
        assert_string_equal(key_recovery_level_text(level), promises[i].text);
    }
}

/* By the clock that is handed in, to the millisecond. */
static void retention_is_over_at_its_end(void **state)
{
    int64_t end = key_purge_ms(NOW, 90);
    (void)state;
    assert_int_equal(end, NOW + 90 * DAY);
    assert_false(key_life_plan(KEY_SOFT_DELETED, end, end - 1).retention_over);
    assert_int_equal(key_life_plan(KEY_SOFT_DELETED, end, NOW).next_due_ms,
                     end);
    assert_true(key_life_plan(KEY_SOFT_DELETED, end, end).retention_over);
    for (int other = 0; other < KEY_STATE_COUNT; other++) {
        if (other == KEY_SOFT_DELETED) {
            continue;
        }
        struct key_life_plan plan =
            key_life_plan((enum key_state)other, 0, NOW);
        assert_false(plan.retention_over);
        assert_int_equal(plan.next_due_ms, INT64_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_and_event),
        cmocka_unit_test(nobody_purges_before_the_time),
        cmocka_unit_test(states_have_names),
        cmocka_unit_test(promises_are_retention_and_level),
        cmocka_unit_test(retention_is_over_at_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
