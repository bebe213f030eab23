/* Shares: does each tenant have its own bucket (of few tenants, each), and may
 * one never hold more than half, yet always something? */
#include "server/domain/share.h"

#include "tests/support/unit.h"

static void a_name_has_one_bucket(void **state)
{
    static const char *const names[] = {"contoso", "fabrikam", "acme",
                                        "northwind"};
    const size_t count = sizeof names / sizeof names[0];
    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_true(share_of(names[i]) < SHARES);
        assert_int_equal(share_of(names[i]), share_of(names[i]));
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(share_of(names[i]), share_of(names[j]));
        }
    }
}

static void half_is_at_least_one(void **state)
{
    (void)state;
    assert_int_equal(share_half(1), 1);
    assert_int_equal(share_half(2), 1);
    assert_int_equal(share_half(7), 4);
    assert_int_equal(share_half(1024), 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_one_bucket),
        cmocka_unit_test(half_is_at_least_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
