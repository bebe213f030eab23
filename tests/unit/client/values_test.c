/* Words of the command line, read strictly; and the advice table. */
#include "hsm/base/check.h"

#include "client/cli/advice.h"
#include "client/cli/values.h"

#include "holdfast/v1/assignment_service.pb-c.h"
#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

static void test_numbers(void **state)
{
    (void)state;
    static const char *const bad[] = {"",   " 1",  "1 ", "+1", "0x1",
                                      "1e", "--1", "-4", "11", "-"};
    int64_t number = 99;
    for (size_t i = 0; i < HF_COUNT(bad); i++) {
        assert_status(number_parse(bad[i], -3, 10, &number), HF_E_INVALID);
        assert_int_equal(number, 99);
    }
    assert_ok(number_parse("-3", -3, 10, &number));
    assert_int_equal(number, -3);
    assert_ok(number_parse("010", -3, 10, &number));
    assert_int_equal(number, 10);
}

static void test_times(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "2030",
                                      "2030-13-01",
                                      "2030-02-30",
                                      "2030-01-1x",
                                      " 2030-01-01",
                                      "2030-01-01T00:00:00",
                                      "tomorrow",
                                      "2030-01-01T25:00:00Z",
                                      "2030-01-01T00:00:00Zx"};
    int64_t seconds = 0;
    for (size_t i = 0; i < HF_COUNT(bad); i++) {
        if (time_parse(bad[i], &seconds) != HF_E_INVALID) {
            fail_msg("\"%s\" is a time", bad[i]);
        }
    }
    assert_ok(time_parse("1970-01-02", &seconds));
    assert_int_equal(seconds, 86400);
    assert_ok(time_parse("2028-02-29T12:00:01Z", &seconds));
    assert_int_equal(seconds, 1835438401);
}

static void test_base64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *plain;
    } good[] = {
        {"Zg==",     "f"   },
        {"Zm8=",     "fo"  },
        {"Zm9v",     "foo" },
        {"Zm9vYg==", "foob"}
    };
    static const char *const bad[] = {"",         "Zg",       "Zg=",  "Zm9v\n",
                                      "Z g=",     "Zm9v=",    "%%%%", "Zg==Zg",
                                      "Zm9v----", "Zm9=Zm9v", "====", "Z==="};
    for (size_t i = 0; i < HF_COUNT(good); i++) {
        struct file_data data = {0};
        assert_ok(base64_decode(good[i].text, strlen(good[i].text), &data));
        assert_int_equal(data.len, strlen(good[i].plain));
        assert_string_equal((const char *)data.bytes, good[i].plain);
        char *again = base64_encode(data.bytes, data.len);
        assert_string_equal(again, good[i].text);
        free(again);
        file_data_clear(&data);
    }
    for (size_t i = 0; i < HF_COUNT(bad); i++) {
        struct file_data data = {0};
        if (base64_decode(bad[i], strlen(bad[i]), &data) != HF_E_INVALID) {
            fail_msg("\"%s\" is base64", bad[i]);
        }
    }
}

static void test_words_of_enums(void **state)
{
    (void)state;
    const ProtobufCEnumDescriptor *kinds =
        &holdfast__v1__mailbox_kind__descriptor;
    int value = -1;
    assert_ok(enum_parse(kinds, "MAILBOX_KIND_", "mail-user", &value));
    assert_int_equal(value, HOLDFAST__V1__MAILBOX_KIND__MAILBOX_KIND_MAIL_USER);
    assert_status(enum_parse(kinds, "MAILBOX_KIND_", "unspecified", &value),
                  HF_E_INVALID);
    assert_status(enum_parse(kinds, "MAILBOX_KIND_", "", &value), HF_E_INVALID);
    assert_status(enum_parse(kinds, "MAILBOX_KIND_", "robot", &value),
                  HF_E_INVALID);
    char word[500];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_status(enum_parse(kinds, "MAILBOX_KIND_", word, &value),
                  HF_E_INVALID);
}

/* The whole table of exit codes. */
static void test_exit_codes(void **state)
{
    (void)state;
    static const int expected[] = {
        [HF_CODE_OK] = CLI_OK,
        [HF_CODE_CANCELLED] = CLI_OTHER,
        [HF_CODE_UNKNOWN] = CLI_OTHER,
        [HF_CODE_INVALID_ARGUMENT] = CLI_USAGE,
        [HF_CODE_DEADLINE_EXCEEDED] = CLI_UNAVAILABLE,
        [HF_CODE_NOT_FOUND] = CLI_MISSING,
        [HF_CODE_ALREADY_EXISTS] = CLI_CONFLICT,
        [HF_CODE_PERMISSION_DENIED] = CLI_DENIED,
        [HF_CODE_RESOURCE_EXHAUSTED] = CLI_CONFLICT,
        [HF_CODE_FAILED_PRECONDITION] = CLI_CONFLICT,
        [HF_CODE_ABORTED] = CLI_CONFLICT,
        [HF_CODE_OUT_OF_RANGE] = CLI_USAGE,
        [HF_CODE_UNIMPLEMENTED] = CLI_OTHER,
        [HF_CODE_INTERNAL] = CLI_OTHER,
        [HF_CODE_UNAVAILABLE] = CLI_UNAVAILABLE,
        [HF_CODE_DATA_LOSS] = CLI_DATA_LOSS,
        [HF_CODE_UNAUTHENTICATED] = CLI_DENIED,
    };
    struct hf_error error = {.retry_delay_ms = -1};
    for (size_t i = 0; i < HF_COUNT(expected); i++) {
        error.code = (enum hf_code)i;
        assert_int_equal(advice_exit(&error), expected[i]);
    }
    error.code = HF_CODE_RESOURCE_EXHAUSTED;
    error.retry_delay_ms = 0;
    assert_int_equal(advice_exit(&error), CLI_UNAVAILABLE);
}

/* said: the advice holds this word; NULL: there is none. */
static void assert_advice(const struct hf_error *error, const char *said)
{
    char *advice = advice_text(error, NULL);
    if (said == NULL) {
        assert_null(advice);
    } else {
        assert_non_null(advice);
        assert_non_null(strstr(advice, said));
    }
    free(advice);
}

static void test_advice_by_reason_then_by_code(void **state)
{
    (void)state;
    char known[] = "BLOB_INVALID";
    char unknown[] = "SOMETHING_NEW";
    struct hf_error error = {.code = HF_CODE_DATA_LOSS, .reason = known};
    assert_advice(&error, "wrapped key");
    error.reason = unknown;
    assert_advice(&error, "operator");
    error.code = HF_CODE_CANCELLED;
    assert_advice(&error, NULL);
    error.reason = NULL;
    assert_advice(&error, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_words_of_enums),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_advice_by_reason_then_by_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
