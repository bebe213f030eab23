/* How full may the token of the availability keys get? */
#include "hsm/base/check.h"

#include "server/domain/capacity.h"

#include "tests/support/unit.h"

struct row {
    struct capacity_facts facts; /* objects, of, free bytes, of */
    enum capacity_level level;
    uint32_t percent;
};

static const struct row rows[] = {
    {{0, 0, 0, 0},                                         CAPACITY_UNKNOWN, 0  },
    {{9, 0, 9, 0},                                         CAPACITY_UNKNOWN, 0  },
    {{0, 100, 0, 0},                                       CAPACITY_ENOUGH,  0  },
    {{79, 100, 0, 0},                                      CAPACITY_ENOUGH,  79 },
    {{80, 100, 0, 0},                                      CAPACITY_LOW,     80 },
    {{94, 100, 0, 0},                                      CAPACITY_LOW,     94 },
    {{949, 1000, 0, 0},                                    CAPACITY_LOW,     94 },
    {{95, 100, 0, 0},                                      CAPACITY_FULL,    95 },
    {{100, 100, 0, 0},                                     CAPACITY_FULL,    100},
    {{200, 100, 0, 0},                                     CAPACITY_FULL,    100},
    {{1, 1, 0, 0},                                         CAPACITY_FULL,    100},
 /* memory alone */
    {{9, 0, 21, 100},                                      CAPACITY_ENOUGH,  79 },
    {{9, 0, 20, 100},                                      CAPACITY_LOW,     80 },
    {{9, 0, 5, 100},                                       CAPACITY_FULL,    95 },
    {{9, 0, 0, 100},                                       CAPACITY_FULL,    100},
    {{9, 0, 100, 100},                                     CAPACITY_ENOUGH,  0  },
    {{9, 0, 101, 100},                                     CAPACITY_ENOUGH,  0  },
 /* the fuller one */
    {{10, 100, 10, 100},                                   CAPACITY_LOW,     90 },
    {{96, 100, 90, 100},                                   CAPACITY_FULL,    96 },
 /* no overflow */
    {{UINT64_MAX / 2, UINT64_MAX, 0, 0},                   CAPACITY_ENOUGH,  50 },
    {{0, 0, UINT64_MAX / 100 * 4, UINT64_MAX / 100 * 100}, CAPACITY_FULL,    96 },
};

static void every_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(rows); i++) {
        struct capacity got = capacity_of(&rows[i].facts);
        print_message("row %zu\n", i);
        assert_int_equal(got.level, rows[i].level);
        assert_int_equal(got.percent, rows[i].percent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_row)};
    return cmocka_run_group_tests_name("domain_capacity", tests, NULL, NULL);
}
