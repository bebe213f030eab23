/* When is a checkpoint of the audit chains due? */
#include "server/domain/checkpoint.h"

#include "tests/support/unit.h"

static void every_case(void **state)
{
    static const struct {
        struct checkpoint_facts facts;
        int64_t now_ms;
        bool due;
    } cases[] = {
  /* records, routine, since, failed, tried         now    due */
        {{0, false, 0, false, 0},            99999, false},
        {{0, false, 0, true, 0},             99999, false},
        {{1, false, 5000, false, 0},         14999, false},
        {{1, false, 5000, false, 0},         15000, true },
        {{0, true, 5000, false, 0},          14999, false},
        {{0, true, 5000, false, 0},          15000, true },
        {{999, true, 5000, false, 0},        5000,  false},
        {{1000, false, 5000, false, 0},      5000,  true },
        {{UINT64_MAX, true, 5000, false, 0}, 5000,  true },
        {{1000, false, 0, true, 5000},       14999, false},
        {{1000, false, 0, true, 5000},       15000, true },
        {{0, true, 0, true, 5000},           15000, true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(checkpoint_is_due(&cases[i].facts, cases[i].now_ms),
                         cases[i].due);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
