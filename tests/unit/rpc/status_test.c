/* Every reason as a status with its details, read back by protobuf-c. */
#include "server/rpc/status_map.h"

#include "tests/support/unit.h"

#include <google/rpc/error_details.pb-c.h>
#include <google/rpc/status.pb-c.h>
#include <holdfast/v1/common.pb-c.h>
#include <stdlib.h>
#include <string.h>

/* The message of this type among the details, unpacked; NULL: none. */
static void *detail(const Google__Rpc__Status *status,
                    const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < status->n_details; i++) {
        const char *name = strchr(status->details[i]->type_url, '/') + 1;
        if (strcmp(name, type->name) == 0) {
            ProtobufCBinaryData value = status->details[i]->value;
            void *out =
                protobuf_c_message_unpack(type, NULL, value.len, value.data);
            assert_non_null(out);
            return out;
        }
    }
    return NULL;
}

static Google__Rpc__Status *unpack(const struct status_details *details)
{
    assert_true(details->len > 0);
    Google__Rpc__Status *status =
        google__rpc__status__unpack(NULL, details->len, details->bytes);
    assert_non_null(status);
    return status;
}

static void test_every_reason(void **state)
{
    (void)state;
    for (int i = REASON_NONE; i < REASON_COUNT; i++) {
        enum reason reason = (enum reason)i;
        struct problem problem = {.reason = REASON_NONE};
        enum hf_status ignored = problem_set(&problem, reason, "why %d", i);
        (void)ignored;
        struct status_details details;
        status_details_of(&problem, NULL, &details);
        enum reason told = reason == REASON_NONE ? REASON_INTERNAL : reason;
        assert_int_equal(details.code, reason_code(told));
        assert_int_not_equal(details.code, ANSWER_OK);
        Google__Rpc__Status *status = unpack(&details);
        assert_int_equal(status->code, reason_code(told));
        assert_string_equal(status->message, problem.text);
        Google__Rpc__ErrorInfo *info =
            detail(status, &google__rpc__error_info__descriptor);
        assert_string_equal(info->reason, reason_word(told));
        assert_string_equal(info->domain, "holdfast");
        Google__Rpc__RetryInfo *retry =
            detail(status, &google__rpc__retry_info__descriptor);
        assert_int_equal(retry != NULL, problem.retry_ms > 0);
        protobuf_c_message_free_unpacked((ProtobufCMessage *)info, NULL);
        protobuf_c_message_free_unpacked((ProtobufCMessage *)retry, NULL);
        google__rpc__status__free_unpacked(status, NULL);
    }
}

static void test_retry(void **state)
{
    (void)state;
    struct problem problem = {.reason = REASON_OVERLOADED, .retry_ms = 61234};
    struct status_details details;
    status_details_of(&problem, NULL, &details);
    Google__Rpc__Status *status = unpack(&details);
    Google__Rpc__RetryInfo *retry =
        detail(status, &google__rpc__retry_info__descriptor);
    assert_int_equal(retry->retry_delay->seconds, 61);
    assert_int_equal(retry->retry_delay->nanos, 234000000);
    protobuf_c_message_free_unpacked((ProtobufCMessage *)retry, NULL);
    google__rpc__status__free_unpacked(status, NULL);
}

static void test_field(void **state)
{
    (void)state;
    struct problem problem = {.reason = REASON_NONE};
    assert_status(problem_field(&problem, "dep.key_lease", "too %s", "long"),
                  HF_E_INVALID);
    struct status_details details;
    status_details_of(&problem, NULL, &details);
    Google__Rpc__Status *status = unpack(&details);
    Google__Rpc__BadRequest *bad =
        detail(status, &google__rpc__bad_request__descriptor);
    assert_int_equal(bad->n_field_violations, 1);
    assert_string_equal(bad->field_violations[0]->field, "dep.key_lease");
    assert_string_equal(bad->field_violations[0]->description, "too long");
    protobuf_c_message_free_unpacked((ProtobufCMessage *)bad, NULL);
    google__rpc__status__free_unpacked(status, NULL);
}

/* A report of the worst size keeps every check, and what failed longest. */
static void test_reports_fit(void **state)
{
    (void)state;
    static struct validation_report report;
    char *keys[2] = {NULL, NULL};
    for (size_t name_len = 5; name_len <= 150; name_len += 29) {
        for (size_t fails = 0; fails <= CHECK_RESULTS_MAX; fails += 10) {
            char name[160];
            memset(name, 'n', name_len);
            name[name_len] = '\0';
            keys[0] = keys[1] = name;
            report.count = CHECK_RESULTS_MAX;
            for (size_t i = 0; i < report.count; i++) {
                struct check_result *check = &report.results[i];
                check->code = (enum check_code)(i / 2);
                check->key = (int)(i % 2);
                check->status = i < fails ? CHECK_FAIL : CHECK_PASS;
                check->evidence = EVIDENCE_MEASURED;
                memset(check->text, 't', sizeof check->text - 1);
            }
            struct problem problem = {.reason = REASON_VALIDATION_FAILED,
                                      .report = &report,
                                      .has_report = true};
            memset(problem.text, 'p', sizeof problem.text - 1);
            struct status_details details;
            status_details_of(&problem, keys, &details);
            Google__Rpc__Status *status = unpack(&details);
            Holdfast__V1__ValidationReport *told =
                detail(status, &holdfast__v1__validation_report__descriptor);
            assert_non_null(told);
            assert_int_equal(told->n_results, CHECK_RESULTS_MAX);
            for (size_t i = 0; i < fails; i++) {
                assert_int_equal(told->results[i]->status,
                                 HOLDFAST__V1__CHECK_RESULT__STATUS__FAIL);
            }
            if (fails == 10 && name_len < 40) {
                assert_string_equal(told->results[0]->text,
                                    report.results[0].text);
            }
            protobuf_c_message_free_unpacked((ProtobufCMessage *)told, NULL);
            google__rpc__status__free_unpacked(status, NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_reason),
        cmocka_unit_test(test_retry),
        cmocka_unit_test(test_field),
        cmocka_unit_test(test_reports_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
