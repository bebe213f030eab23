/* When may a scenario be enabled, and what may be created without (R-11.4,
 * )? Every combination. */
#include "hsm/base/check.h"

#include "server/domain/onboarding.h"

#include "tests/support/unit.h"

#define NOW 1800000000000ll
#define DAY 86400000ll

static const struct {
    int64_t validated_ms;
    bool fresh;
} times[] = {
    {NOW,           true },
    {NOW - 1,       true },
    {NOW - DAY,     true },
    {NOW - DAY - 1, false},
    {0,             false},
    {NOW + 1,       false}, /* the clock was set back */
};

static void enabling_needs_a_fresh_passing_validation(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_COUNT(times); i++) {
        for (int bits = 0; bits < 8; bits++) {
            const struct onboarding_facts facts = {
                .mode = bits & 1 ? ONBOARDING_ENABLE : ONBOARDING_VALIDATE,
                .validated = (bits & 2) != 0,
                .passed = (bits & 4) != 0,
                .validated_ms = times[i].validated_ms,
                .now_ms = NOW,
            };
            bool may = (bits & 1) == 0 || (bits == 7 && times[i].fresh);
            assert_int_equal(onboarding_may_run(&facts),
                             may ? REASON_NONE : REASON_VALIDATION_REQUIRED);
        }
    }
}

static void what_comes_of_it(void **state)
{
    (void)state;
    assert_int_equal(onboarding_outcome(ONBOARDING_VALIDATE, true),
                     ENABLEMENT_NOT_ASKED);
    assert_int_equal(onboarding_outcome(ONBOARDING_VALIDATE, false),
                     ENABLEMENT_NOT_ASKED);
    assert_int_equal(onboarding_outcome(ONBOARDING_ENABLE, true),
                     ENABLEMENT_ENABLED);
    assert_int_equal(onboarding_outcome(ONBOARDING_ENABLE, false),
                     ENABLEMENT_REFUSED);
}

/* for production tenants. */
static void creating_needs_the_scenario(void **state)
{
    static const struct {
        enum dep_type type;
        bool scenario;
    } types[] = {
        {DEP_TYPE_EXCHANGE_MAILBOX, true },
        {DEP_TYPE_MULTI_WORKLOAD,   true },
        {DEP_TYPE_SHAREPOINT_GEO,   false},
        {DEP_TYPE_SERVICE_MANAGED,  false},
        {(enum dep_type)99,         false},
    };
    (void)state;
    for (size_t i = 0; i < HF_COUNT(types); i++) {
        assert_int_equal(onboarding_has_scenario(types[i].type),
                         types[i].scenario);
        for (int bits = 0; bits < 4; bits++) {
            bool production = (bits & 1) != 0;
            bool enabled = (bits & 2) != 0;
            bool refused = production && !enabled && types[i].scenario;
            assert_int_equal(
                onboarding_may_create(types[i].type, production, enabled),
                refused ? REASON_SCENARIO_NOT_ENABLED : REASON_NONE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enabling_needs_a_fresh_passing_validation),
        cmocka_unit_test(what_comes_of_it),
        cmocka_unit_test(creating_needs_the_scenario),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
