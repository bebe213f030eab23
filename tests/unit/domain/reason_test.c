/* Reasons: every word and its canonical code, as clients know them. */
#include "hsm/base/check.h"

#include "server/domain/reason.h"

#include "tests/support/unit.h"

struct expected {
    enum reason reason;
    const char *word;
    int code; /* google.rpc.Code */
};

/* clang-format off: a longer word must not move every line */
static const struct expected reasons[] = {
    {REASON_NONE,                      "NONE",                      0 },
    {REASON_FIELD_INVALID,             "FIELD_INVALID",             3 },
    {REASON_KEY_TYPE,                  "KEY_TYPE",                  3 },
    {REASON_WORKLOAD_NOT_COVERED,      "WORKLOAD_NOT_COVERED",      3 },
    {REASON_REQUEST_ID_REUSED,         "REQUEST_ID_REUSED",         3 },
    {REASON_NOT_FOUND,                 "NOT_FOUND",                 5 },
    {REASON_NAME_TAKEN,                "NAME_TAKEN",                6 },
    {REASON_ALREADY_REGISTERED,        "ALREADY_REGISTERED",        6 },
    {REASON_METHOD_UNKNOWN,            "METHOD_UNKNOWN",            12},
    {REASON_REQUEST_TOO_LARGE,         "REQUEST_TOO_LARGE",         8 },
    {REASON_IDENTITY_UNKNOWN,          "IDENTITY_UNKNOWN",          16},
    {REASON_ROLE_REQUIRED,             "ROLE_REQUIRED",             7 },
    {REASON_SYSTEM_NOT_ALLOWED,        "SYSTEM_NOT_ALLOWED",        7 },
    {REASON_KEY_ACCESS_DENIED,         "KEY_ACCESS_DENIED",         7 },
    {REASON_VALIDATION_FAILED,         "VALIDATION_FAILED",         9 },
    {REASON_DEP_LIMIT,                 "DEP_LIMIT",                 8 },
    {REASON_AK_TOKEN_FULL,             "AK_TOKEN_FULL",             8 },
    {REASON_DEP_NOT_ENABLED,           "DEP_NOT_ENABLED",           9 },
    {REASON_DEP_IN_USE,                "DEP_IN_USE",                9 },
    {REASON_STATE_CONFLICT,            "STATE_CONFLICT",            9 },
    {REASON_KEY_OPS,                   "KEY_OPS",                   9 },
    {REASON_KEY_DESTROYED,             "KEY_DESTROYED",             9 },
    {REASON_TENANT_DELETED,            "TENANT_DELETED",            9 },
    {REASON_KEY_RETIRED,               "KEY_RETIRED",               9 },
    {REASON_KEY_IN_USE,                "KEY_IN_USE",                9 },
    {REASON_LICENCE_REQUIRED,          "LICENCE_REQUIRED",          9 },
    {REASON_TOKEN_OF_TENANT,           "TOKEN_OF_TENANT",           5 },
    {REASON_TEST_TOKEN,                "TEST_TOKEN",                9 },
    {REASON_SEALS_EXHAUSTED,           "SEALS_EXHAUSTED",           9 },
    {REASON_OPERATION_NOT_CANCELLABLE, "OPERATION_NOT_CANCELLABLE", 9 },
    {REASON_KEY_MISMATCH,              "KEY_MISMATCH",              9 },
    {REASON_VALIDATION_REQUIRED,       "VALIDATION_REQUIRED",       9 },
    {REASON_SCENARIO_NOT_ENABLED,      "SCENARIO_NOT_ENABLED",      9 },
    {REASON_NOTHING_TO_REFRESH,        "NOTHING_TO_REFRESH",        9 },
    {REASON_GENERATION_LIMIT,          "GENERATION_LIMIT",          9 },
    {REASON_GEO_NOT_REGISTERED,        "GEO_NOT_REGISTERED",        9 },
    {REASON_ROLL_IN_PROGRESS,          "ROLL_IN_PROGRESS",          9 },
    {REASON_RECOVERY_NOT_ENABLED,      "RECOVERY_NOT_ENABLED",      9 },
    {REASON_SECOND_PERSON_REQUIRED,    "SECOND_PERSON_REQUIRED",    9 },
    {REASON_ROLLBACK_UNSUPPORTED,      "ROLLBACK_UNSUPPORTED",      9 },
    {REASON_CUSTOMER_KEY_DENIED,       "CUSTOMER_KEY_DENIED",
     ANSWER_FAILED_PRECONDITION                                       },
    {REASON_KEYS_STILL_USABLE,         "KEYS_STILL_USABLE",         9 },
    {REASON_EARLIER_WRAPS,             "EARLIER_WRAPS",             9 },
    {REASON_HOLD_RUNNING,              "HOLD_RUNNING",              9 },
    {REASON_APPROVERS_MISSING,         "APPROVERS_MISSING",         9 },
    {REASON_APPROVER_REFUSED,          "APPROVER_REFUSED",          7 },
    {REASON_APPROVAL_INVALID,          "APPROVAL_INVALID",          7 },
    {REASON_ETAG_MISMATCH,             "ETAG_MISMATCH",             10},
    {REASON_CONFLICT,                  "CONFLICT",                  10},
    {REASON_BLOB_INVALID,              "BLOB_INVALID",              15},
    {REASON_RECORD_INVALID,            "RECORD_INVALID",            15},
    {REASON_KEY_UNAVAILABLE,           "KEY_UNAVAILABLE",           14},
    {REASON_SERVICE_UNAVAILABLE,       "SERVICE_UNAVAILABLE",       14},
    {REASON_OVERLOADED,                "OVERLOADED",                8 },
    {REASON_DEADLINE_PASSED,           "DEADLINE_PASSED",           4 },
    {REASON_CANCELLED,                 "CANCELLED",                 1 },
    {REASON_INTERNAL,                  "INTERNAL",                  13},
};
/* clang-format on */

static void test_every_reason(void **state)
{
    (void)state;
    assert_int_equal(HF_COUNT(reasons), REASON_COUNT);
    for (size_t i = 0; i < HF_COUNT(reasons); i++) {
        assert_int_equal(reasons[i].reason, i);
        assert_string_equal(reason_word(reasons[i].reason), reasons[i].word);
        assert_int_equal(reason_code(reasons[i].reason), reasons[i].code);
    }
}

static void test_no_reason_is_internal(void **state)
{
    (void)state;
    const int none[] = {REASON_COUNT, REASON_COUNT + 1, -1};
    for (size_t i = 0; i < HF_COUNT(none); i++) {
        assert_string_equal(reason_word((enum reason)none[i]), "INTERNAL");
        assert_int_equal(reason_code((enum reason)none[i]), ANSWER_INTERNAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_reason),
        cmocka_unit_test(test_no_reason_is_internal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
