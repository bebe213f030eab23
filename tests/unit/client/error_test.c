/* The rich error, decoded from bytes that anybody may have written. */
#include "client/lib/error.h"

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "holdfast/v1/common.pb-c.h"
#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_MAX   8
#define TRAILER_MAX (128u << 10)
#define REASON      "VALIDATION_FAILED"
#define TYPE(name)  "type.googleapis.com/" name
#define INFO_TYPE   TYPE("google.rpc.ErrorInfo")
#define RETRY_TYPE  TYPE("google.rpc.RetryInfo")
#define FIELDS_TYPE TYPE("google.rpc.BadRequest")
#define REPORT_TYPE TYPE("holdfast.v1.ValidationReport")

/* A google.rpc.Status under construction. */
struct trailer {
    Google__Rpc__Status status;
    Google__Protobuf__Any parts[PARTS_MAX];
    Google__Protobuf__Any *list[PARTS_MAX];
    uint8_t bytes[TRAILER_MAX];
    size_t len;
};

static struct trailer *trailer_new(void)
{
    struct trailer *trailer = calloc(1, sizeof *trailer);
    assert_non_null(trailer);
    google__rpc__status__init(&trailer->status);
    trailer->status.details = trailer->list;
    return trailer;
}

static void trailer_free(struct trailer *trailer)
{
    for (size_t i = 0; i < trailer->status.n_details; i++) {
        free(trailer->parts[i].value.data);
    }
    free(trailer);
}

static void add(struct trailer *trailer, const char *type,
                const ProtobufCMessage *message)
{
    size_t n = trailer->status.n_details++;
    Google__Protobuf__Any *part = &trailer->parts[n];
    assert_true(n < PARTS_MAX);
    google__protobuf__any__init(part);
    trailer->list[n] = part;
    part->type_url = (char *)(uintptr_t)type;
    part->value.data = malloc(protobuf_c_message_get_packed_size(message) + 1);
    assert_non_null(part->value.data);
    part->value.len = protobuf_c_message_pack(message, part->value.data);
}

static void add_info(struct trailer *trailer, const char *domain,
                     const char *reason)
{
    Google__Rpc__ErrorInfo__MetadataEntry entry =
        GOOGLE__RPC__ERROR_INFO__METADATA_ENTRY__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry *entries[] = {&entry};
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    entry.key = (char *)(uintptr_t) "dep";
    entry.value = (char *)(uintptr_t) "mail";
    info.domain = (char *)(uintptr_t)domain;
    info.reason = (char *)(uintptr_t)reason;
    info.metadata = entries;
    info.n_metadata = 1;
    add(trailer, INFO_TYPE, &info.base);
}

static void add_retry(struct trailer *trailer, int64_t seconds, int32_t nanos)
{
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
    delay.seconds = seconds;
    delay.nanos = nanos;
    retry.retry_delay = &delay;
    add(trailer, RETRY_TYPE, &retry.base);
}

static void add_fields(struct trailer *trailer, size_t count)
{
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *list[200];
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    violation.field = (char *)(uintptr_t) "dep_id";
    violation.description = (char *)(uintptr_t) "too long";
    for (size_t i = 0; i < count; i++) {
        list[i] = &violation;
    }
    bad.field_violations = list;
    bad.n_field_violations = count;
    add(trailer, FIELDS_TYPE, &bad.base);
}

static void add_report(struct trailer *trailer, size_t count)
{
    Holdfast__V1__CheckResult result = HOLDFAST__V1__CHECK_RESULT__INIT;
    Holdfast__V1__CheckResult *list[200];
    Holdfast__V1__ValidationReport report =
        HOLDFAST__V1__VALIDATION_REPORT__INIT;
    result.code = (char *)(uintptr_t) "TWO_TOKENS";
    result.customer_key = (char *)(uintptr_t) "tenants/t/customerKeys/a";
    result.text = (char *)(uintptr_t) "both in one";
    result.status = HOLDFAST__V1__CHECK_RESULT__STATUS__FAIL;
    result.evidence = HOLDFAST__V1__CHECK_RESULT__EVIDENCE__MEASURED;
    for (size_t i = 0; i < count; i++) {
        list[i] = &result;
    }
    report.results = list;
    report.n_results = count;
    add(trailer, REPORT_TYPE, &report.base);
}

static void pack(struct trailer *trailer)
{
    assert_true(google__rpc__status__get_packed_size(&trailer->status) <=
                sizeof trailer->bytes);
    trailer->len = google__rpc__status__pack(&trailer->status, trailer->bytes);
}

static void decode(struct trailer *trailer, int status, struct hf_error *error)
{
    pack(trailer);
    error_from_status(error, status, "told", trailer->bytes, trailer->len);
}

/* --- what is there ------------------------------------------------------- */

static void test_everything_is_decoded(void **state)
{
    (void)state;
    struct hf_error error = {0};
    struct trailer *trailer = trailer_new();
    add_info(trailer, "holdfast", REASON);
    add_retry(trailer, 1, 250000000);
    add_fields(trailer, 2);
    add_report(trailer, 3);
    decode(trailer, HF_CODE_FAILED_PRECONDITION, &error);
    assert_int_equal(error.code, HF_CODE_FAILED_PRECONDITION);
    assert_string_equal(error.reason, REASON);
    assert_string_equal(error.message, "told");
    assert_int_equal(error.retry_delay_ms, 1250);
    assert_int_equal(error.metadata_count, 1);
    assert_string_equal(error.metadata[0].key, "dep");
    assert_string_equal(error.metadata[0].value, "mail");
    assert_int_equal(error.violation_count, 2);
    assert_string_equal(error.violations[1].field, "dep_id");
    assert_string_equal(error.violations[1].description, "too long");
    assert_int_equal(error.check_count, 3);
    assert_string_equal(error.checks[2].code, "TWO_TOKENS");
    assert_string_equal(error.checks[2].customer_key,
                        "tenants/t/customerKeys/a");
    assert_string_equal(error.checks[2].text, "both in one");
    assert_int_equal(error.checks[2].status, HF_CHECK_FAIL);
    assert_int_equal(error.checks[2].evidence, HF_EVIDENCE_MEASURED);
    hf_error_free(&error);
    assert_null(error.message);
    trailer_free(trailer);
}

static void test_no_details(void **state)
{
    (void)state;
    struct hf_error error = {0};
    error_from_status(&error, HF_CODE_NOT_FOUND, "gone", NULL, 0);
    assert_int_equal(error.code, HF_CODE_NOT_FOUND);
    assert_string_equal(error.reason, "");
    assert_string_equal(error.message, "gone");
    assert_int_equal(error.retry_delay_ms, -1);
    hf_error_free(&error);
}

static void test_the_header_beats_the_details(void **state)
{
    (void)state;
    struct hf_error error = {0};
    struct trailer *trailer = trailer_new();
    trailer->status.code = HF_CODE_OK;
    trailer->status.message = (char *)(uintptr_t) "other words";
    decode(trailer, HF_CODE_PERMISSION_DENIED, &error);
    assert_int_equal(error.code, HF_CODE_PERMISSION_DENIED);
    assert_string_equal(error.message, "told");
    error_from_status(&error, HF_CODE_ABORTED, "", trailer->bytes,
                      trailer->len);
    assert_string_equal(error.message, "other words");
    hf_error_free(&error);
    trailer_free(trailer);
}

static void test_codes_out_of_range(void **state)
{
    (void)state;
    static const int codes[] = {-1, 0, 17, INT32_MAX};
    struct hf_error error = {0};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        error_from_status(&error, codes[i], "x", NULL, 0);
        assert_int_equal(error.code, HF_CODE_UNKNOWN);
    }
    hf_error_free(&error);
}

/* --- what somebody else may have put there ------------------------------- */

static void test_reasons_of_others_are_not_ours(void **state)
{
    (void)state;
    struct hf_error error = {0};
    struct trailer *trailer = trailer_new();
    add_info(trailer, "googleapis.com", "QUOTA");
    add_info(trailer, "holdfast", "FIRST");
    add_info(trailer, "holdfast", "SECOND");
    decode(trailer, HF_CODE_ABORTED, &error);
    assert_string_equal(error.reason, "FIRST");
    assert_int_equal(error.metadata_count, 1);
    hf_error_free(&error);
    trailer_free(trailer);
}

static void test_delays_that_cannot_be(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        int32_t nanos;
        int64_t expected_ms;
    } cases[] = {
        {-1,        0,         0       },
        {0,         -1,        0       },
        {INT64_MIN, INT32_MIN, 0       },
        {INT64_MAX, 999999999, 86400999},
        {0,         999999,    0       },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hf_error error = {0};
        struct trailer *trailer = trailer_new();
        add_retry(trailer, cases[i].seconds, cases[i].nanos);
        decode(trailer, HF_CODE_UNAVAILABLE, &error);
        assert_int_equal(error.retry_delay_ms, cases[i].expected_ms);
        hf_error_free(&error);
        trailer_free(trailer);
    }
}

static void test_lists_are_bounded(void **state)
{
    (void)state;
    struct hf_error error = {0};
    struct trailer *trailer = trailer_new();
    add_fields(trailer, 200);
    add_report(trailer, 200);
    decode(trailer, HF_CODE_INVALID_ARGUMENT, &error);
    assert_int_equal(error.violation_count, ERROR_VIOLATIONS_MAX);
    assert_int_equal(error.check_count, ERROR_CHECKS_MAX);
    hf_error_free(&error);
    trailer_free(trailer);
}

static void test_texts_are_bounded_and_clean(void **state)
{
    (void)state;
    char text[3 * ERROR_TEXT_MAX_BYTES];
    struct hf_error error = {0};
    struct trailer *trailer = trailer_new();
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memcpy(text, "\x1b[2J\xff", 5);
    add_info(trailer, "holdfast", text);
    decode(trailer, HF_CODE_ABORTED, &error);
    assert_int_equal(strlen(error.reason), ERROR_TEXT_MAX_BYTES);
    assert_memory_equal(error.reason, "?[2J?a", 6);
    hf_error_free(&error);
    trailer_free(trailer);
}

static void test_a_trailer_too_long_is_left_alone(void **state)
{
    (void)state;
    struct hf_error error = {0};
    struct trailer *trailer = trailer_new();
    char *filler = malloc(ERROR_DETAILS_MAX_BYTES);
    assert_non_null(filler);
    memset(filler, 'f', ERROR_DETAILS_MAX_BYTES - 1);
    filler[ERROR_DETAILS_MAX_BYTES - 1] = '\0';
    trailer->status.message = filler;
    add_info(trailer, "holdfast", REASON);
    decode(trailer, HF_CODE_ABORTED, &error);
    assert_true(trailer->len > ERROR_DETAILS_MAX_BYTES);
    assert_string_equal(error.reason, "");
    hf_error_free(&error);
    free(filler);
    trailer_free(trailer);
}

static struct trailer *full_trailer(void)
{
    struct trailer *trailer = trailer_new();
    add_info(trailer, "holdfast", REASON);
    add_retry(trailer, 3, 0);
    add_fields(trailer, 2);
    add_report(trailer, 2);
    pack(trailer);
    return trailer;
}

/* Whatever bytes come, the code and the message stand, and nothing is read or
 * written where it should not be (the sanitizers see to that). */
static void check_stands(const uint8_t *bytes, size_t len)
{
    struct hf_error error = {0};
    error_from_status(&error, HF_CODE_NOT_FOUND, "gone", bytes, len);
    assert_int_equal(error.code, HF_CODE_NOT_FOUND);
    assert_string_equal(error.message, "gone");
    assert_non_null(error.reason);
    assert_true(error.retry_delay_ms >= -1);
    hf_error_free(&error);
}

static void test_every_truncation(void **state)
{
    (void)state;
    struct trailer *trailer = full_trailer();
    for (size_t len = 0; len < trailer->len; len++) {
        /* a block of its own, so that reading past its end is seen */
        uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, trailer->bytes, len);
        check_stands(copy, len);
        free(copy);
    }
    trailer_free(trailer);
}

static void test_every_bit(void **state)
{
    (void)state;
    struct trailer *trailer = full_trailer();
    for (size_t bit = 0; bit < 8 * trailer->len; bit++) {
        trailer->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_stands(trailer->bytes, trailer->len);
        trailer->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    trailer_free(trailer);
}

static void test_set_replaces(void **state)
{
    (void)state;
    struct hf_error error = {0};
    struct trailer *trailer = full_trailer();
    error_from_status(&error, HF_CODE_ABORTED, "x", trailer->bytes,
                      trailer->len);
    assert_int_equal(
        error_set(&error, HF_CODE_INTERNAL, "CLIENT_RESPONSE", "y"),
        HF_CODE_INTERNAL);
    assert_string_equal(error.reason, "CLIENT_RESPONSE");
    assert_int_equal(error.check_count, 0);
    assert_int_equal(error_set(NULL, HF_CODE_ABORTED, "", ""), HF_CODE_ABORTED);
    hf_error_free(&error);
    hf_error_free(NULL);
    trailer_free(trailer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_decoded),
        cmocka_unit_test(test_no_details),
        cmocka_unit_test(test_the_header_beats_the_details),
        cmocka_unit_test(test_codes_out_of_range),
        cmocka_unit_test(test_reasons_of_others_are_not_ours),
        cmocka_unit_test(test_delays_that_cannot_be),
        cmocka_unit_test(test_lists_are_bounded),
        cmocka_unit_test(test_texts_are_bounded_and_clean),
        cmocka_unit_test(test_a_trailer_too_long_is_left_alone),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_set_replaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
