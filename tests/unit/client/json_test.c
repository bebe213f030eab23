/* Messages as JSON, and JSON as columns. */
#include "client/cli/json.h"
#include "client/cli/output.h"

#include "holdfast/v1/customer_key_service.pb-c.h"
#include "holdfast/v1/dep_service.pb-c.h"
#include "holdfast/v1/token_service.pb-c.h"
#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

static const char *text_at(const json_t *object, const char *member)
{
    return json_string_value(json_object_get(object, member));
}

static json_t *key_json(void)
{
    static uint8_t fingerprint[] = {0xff, 0x00, 0x10};
    static Holdfast__V1__Permission permissions[] = {
        HOLDFAST__V1__PERMISSION__PERMISSION_GET,
        HOLDFAST__V1__PERMISSION__PERMISSION_UNWRAP};
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Holdfast__V1__KeyHealth health = HOLDFAST__V1__KEY_HEALTH__INIT;
    Holdfast__V1__CustomerKeyVersion version =
        HOLDFAST__V1__CUSTOMER_KEY_VERSION__INIT;
    Holdfast__V1__CustomerKeyVersion *versions[] = {&version, &version};
    Holdfast__V1__Grant grant = HOLDFAST__V1__GRANT__INIT;
    Holdfast__V1__Grant *grants[] = {&grant};
    Holdfast__V1__CustomerKey key = HOLDFAST__V1__CUSTOMER_KEY__INIT;
    time.seconds = 1;
    time.nanos = 500000000;
    health.state = (Holdfast__V1__KeyHealthState)99;
    health.last_success_time = &time;
    version.version = UINT32_MAX;
    version.bits = 3072;
    version.enabled = true;
    version.fingerprint.data = fingerprint;
    version.fingerprint.len = sizeof fingerprint;
    grant.identity = (char *)(uintptr_t) "spiffe://a\x1b";
    grant.permissions = permissions;
    grant.n_permissions = 2;
    key.name = (char *)(uintptr_t) "tenants/t/customerKeys/root-a";
    key.versions = versions;
    key.n_versions = 2;
    key.grants = grants;
    key.n_grants = 1;
    key.health = &health;
    return message_json(&key.base);
}

static void test_every_kind_of_field(void **state)
{
    (void)state;
    HF_OWNED(json_freep) json_t *key = key_json();
    assert_non_null(key);
    assert_string_equal(text_at(key, "name"), "tenants/t/customerKeys/root-a");
    assert_string_equal(text_at(key, "etag"), "");
    assert_true(json_is_null(json_object_get(key, "createTime")));
    const json_t *health = json_object_get(key, "health");
    assert_int_equal(json_integer_value(json_object_get(health, "state")), 99);
    assert_string_equal(text_at(health, "lastSuccessTime"),
                        "1970-01-01T00:00:01.500Z");
    const json_t *versions = json_object_get(key, "versions");
    assert_int_equal(json_array_size(versions), 2);
    const json_t *version = json_array_get(versions, 1);
    assert_int_equal(json_integer_value(json_object_get(version, "version")),
                     UINT32_MAX);
    assert_true(json_is_true(json_object_get(version, "enabled")));
    assert_string_equal(text_at(version, "fingerprint"), "/wAQ");
    assert_int_equal(json_array_size(json_object_get(version, "residencies")),
                     0);
    const json_t *grant = json_array_get(json_object_get(key, "grants"), 0);
    assert_string_equal(text_at(grant, "identity"), "spiffe://a?");
    const json_t *permissions = json_object_get(grant, "permissions");
    assert_string_equal(json_string_value(json_array_get(permissions, 1)),
                        "PERMISSION_UNWRAP");
}

static void test_big_numbers_and_spans_are_text(void **state)
{
    (void)state;
    Holdfast__V1__Token token = HOLDFAST__V1__TOKEN__INIT;
    token.free_bytes = UINT64_MAX;
    HF_OWNED(json_freep) json_t *value = message_json(&token.base);
    assert_string_equal(text_at(value, "freeBytes"), "18446744073709551615");
    Google__Protobuf__Duration span = GOOGLE__PROTOBUF__DURATION__INIT;
    Holdfast__V1__Dep dep = HOLDFAST__V1__DEP__INIT;
    dep.key_lease = &span;
    span.seconds = 60;
    HF_OWNED(json_freep) json_t *whole = message_json(&dep.base);
    assert_string_equal(text_at(whole, "keyLease"), "60s");
    span.nanos = 5;
    HF_OWNED(json_freep) json_t *part = message_json(&dep.base);
    assert_string_equal(text_at(part, "keyLease"), "60.000000005s");
}

static void test_times_that_cannot_be(void **state)
{
    (void)state;
    static const int64_t seconds[] = {-1, INT64_MIN, INT64_MAX};
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Holdfast__V1__Dep dep = HOLDFAST__V1__DEP__INIT;
    dep.create_time = &time;
    for (size_t i = 0; i < 3; i++) {
        time.seconds = seconds[i];
        HF_OWNED(json_freep) json_t *value = message_json(&dep.base);
        assert_true(json_is_null(json_object_get(value, "createTime")));
    }
}

static void test_columns(void **state)
{
    (void)state;
    static const struct {
        struct column column;
        const char *expected;
    } cases[] = {
        {{"", "name", NULL, COLUMN_LEAF},             "root-a"               },
        {{"", "name", "tenants/", COLUMN_TEXT},       "t/customerKeys/root-a"},
        {{"", "versions.bits", NULL, COLUMN_TEXT},    "3072, 3072"           },
        {{"", "versions.enabled", NULL, COLUMN_TEXT}, "yes, yes"             },
        {{"", "health.state", NULL, COLUMN_TEXT},     "99"                   },
        {{"", "createTime", NULL, COLUMN_TEXT},       ""                     },
        {{"", "no.such.path", NULL, COLUMN_TEXT},     ""                     },
    };
    HF_OWNED(json_freep) json_t *key = key_json();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *value = output_value(key, &cases[i].column);
        assert_string_equal(value, cases[i].expected);
        free(value);
    }
}

static void test_a_value_too_long_is_cut(void **state)
{
    (void)state;
    static const struct column column = {"", "x", NULL, COLUMN_TEXT};
    char *text = malloc(20000);
    assert_non_null(text);
    memset(text, 'x', 19999);
    text[19999] = '\0';
    HF_OWNED(json_freep) json_t *object = json_pack("{ss}", "x", text);
    char *value = output_value(object, &column);
    assert_in_range(strlen(value), 1000, 5000);
    free(value);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_field),
        cmocka_unit_test(test_big_numbers_and_spans_are_text),
        cmocka_unit_test(test_times_that_cannot_be),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_a_value_too_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
