/* Long-running operations: every state and event of every kind; percentages
 * that never fall. */
#include "hsm/base/check.h"

#include "server/domain/operation.h"

#include "tests/support/unit.h"

static const struct {
    int kind;
    const char *text;
    bool may_cancel;
} kinds[] = {
    {OPERATION_REWRAP,          "rewrap",          true },
    {OPERATION_ASSIGN_TENANT,   "assign-tenant",   false},
    {OPERATION_OFFBOARD_TENANT, "offboard-tenant", false},
    {OPERATION_REGISTER_GEO,    "register-geo",    false},
    {OPERATION_ROLL_GEO,        "roll-geo",        false},
    {OPERATION_RESTORE_GEO,     "restore-geo",     false},
    {0,                         "?",               false},
    {255,                       "?",               false},
    {OPERATION_REWRAP,          "rewrap",          true },
    {OPERATION_PURGE,           "purge",           false},
    {OPERATION_DELETE_TENANT,   "delete-tenant",   false},
    {0,                         "?",               false},
    {255,                       "?",               false},
};

static const struct {
    int state;
    const char *text;
} states[] = {
    {OPERATION_RUNNING,   "RUNNING"  },
    {OPERATION_SUCCEEDED, "SUCCEEDED"},
    {OPERATION_FAILED,    "FAILED"   },
    {OPERATION_CANCELLED, "CANCELLED"},
    {0,                   "?"        },
    {5,                   "?"        },
};

static const int ends[OPERATION_EVENT_COUNT] = {
    [OPERATION_EV_FINISH] = OPERATION_SUCCEEDED,
    [OPERATION_EV_FAIL] = OPERATION_FAILED,
    [OPERATION_EV_CANCEL] = OPERATION_CANCELLED,
};

static void test_every_state_and_event(void **state)
{
    (void)state;
    for (size_t k = 0; k < HF_COUNT(kinds); k++) {
        for (size_t s = 0; s < HF_COUNT(states); s++) {
            for (int event = 0; event < OPERATION_EVENT_COUNT; event++) {
                enum operation_state next = (enum operation_state)77;
                enum reason reason = REASON_INTERNAL;
                enum hf_status status =
                    operation_next((enum operation_kind)kinds[k].kind,
                                   (enum operation_state)states[s].state,
                                   (enum operation_event)event, &next, &reason);
                if (states[s].state != OPERATION_RUNNING) {
                    assert_status(status, HF_E_PRECONDITION);
                    assert_int_equal(reason, REASON_STATE_CONFLICT);
                    assert_int_equal(next, 77);
                } else if (event == OPERATION_EV_CANCEL &&
                           !kinds[k].may_cancel) {
                    assert_status(status, HF_E_PRECONDITION);
                    assert_int_equal(reason, REASON_OPERATION_NOT_CANCELLABLE);
                    assert_int_equal(next, 77);
                } else {
                    assert_ok(status);
                    assert_int_equal(reason, REASON_NONE);
                    assert_int_equal(next, ends[event]);
                }
            }
        }
    }
}

static void test_percent(void **state)
{
    (void)state;
    const struct {
        enum operation_state state;
        uint64_t done;
        uint64_t total;
        uint32_t before;
        uint32_t percent;
    } rows[] = {
        {OPERATION_RUNNING,   0,    0,    0,  0  },
        {OPERATION_RUNNING,   0,    0,    7,  7  },
        {OPERATION_RUNNING,   1,    3,    0,  33 },
        {OPERATION_RUNNING,   1,    3,    40, 40 }, /* never falls */
        {OPERATION_RUNNING,   9999, 9999, 0,  99 }, /* 100 is for success */
        {OPERATION_RUNNING,   9,    3,    0,  99 },
        {OPERATION_SUCCEEDED, 0,    0,    0,  100},
        {OPERATION_SUCCEEDED, 1,    3,    33, 100},
        {OPERATION_FAILED,    3,    3,    50, 99 },
        {OPERATION_CANCELLED, 0,    3,    50, 50 },
    };
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        assert_int_equal(operation_percent(rows[i].state, rows[i].done,
                                           rows[i].total, rows[i].before),
                         rows[i].percent);
    }
}

static void test_pauses_grow(void **state)
{
    static const int64_t rows[][2] = {
        {-1,        5000  },
        {0,         5000  },
        {99999,     5000  },
        {100020,    5001  },
        {5999980,   299999},
        {6000000,   300000},
        {1LL << 50, 300000},
    };
    (void)state;
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        assert_int_equal(operation_pause_ms(rows[i][0], 5000, 300000),
                         rows[i][1]);
    }
}

static void test_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        assert_string_equal(
            operation_kind_text((enum operation_kind)kinds[i].kind),
            kinds[i].text);
        assert_int_equal(operation_kind_is_known(kinds[i].kind),
                         kinds[i].text[0] != '?');
    }
    for (size_t i = 0; i < HF_COUNT(states); i++) {
        assert_string_equal(
            operation_state_text((enum operation_state)states[i].state),
            states[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_state_and_event),
        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_pauses_grow),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
