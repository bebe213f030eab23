/* N60, R-9.14: whose approval counts: every combination of facts. */
#include "hsm/base/check.h"

#include "server/domain/approval.h"

#include "tests/support/unit.h"

static void every_combination(void **state)
{
    (void)state;
    static const uint32_t versions[] = {0, 1, 2, 3};
    static const int64_t ends[] = {0, 999, 1000, 1001, INT64_MAX};
    size_t allowed = 0;
    for (unsigned bits = 0; bits < 32; bits++) {
        for (size_t v = 0; v < HF_COUNT(versions); v++) {
            for (size_t e = 0; e < HF_COUNT(ends); e++) {
                const struct approval_facts facts = {
                    .registered = (bits & 1) != 0,
                    .registered_before = (bits & 2) != 0,
                    .is_requester = (bits & 4) != 0,
                    .given = (bits & 8) != 0,
                    .signature_good = (bits & 16) != 0,
                    .version = versions[v],
                    .current_version = 2,
                    .now_ms = 1000,
                    .expires_ms = ends[e],
                };
                enum reason wanted = REASON_NONE;
                if ((bits & 7) != 3) {
                    wanted = REASON_APPROVER_REFUSED;
                } else if (versions[v] != 2 || ends[e] <= 1000 ||
                           (bits & 16) == 0) {
                    wanted = REASON_APPROVAL_INVALID;
                } else if ((bits & 8) != 0) {
                    wanted = REASON_STATE_CONFLICT;
                }
                assert_int_equal(approval_decide(&facts), wanted);
                assert_int_equal(approval_officer_stands(&facts),
                                 (bits & 7) == 3);
                allowed += wanted == REASON_NONE;
            }
        }
    }
    assert_int_equal(allowed, 2); /* the two ends behind now */
}

/* none of the three is another of them. */
static void three_people(void **state)
{
    (void)state;
    assert_true(approval_executor_allowed(false, false));
    assert_false(approval_executor_allowed(true, false));
    assert_false(approval_executor_allowed(false, true));
    assert_false(approval_executor_allowed(true, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination),
        cmocka_unit_test(three_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
