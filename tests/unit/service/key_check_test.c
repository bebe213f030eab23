/* The key check of suite 2: its bytes for ever (worked out by another
 * program), and that it tells a key, and the place it is for, from every other.
 */
#include "hsm/base/check.h"

#include "server/service/key_check.h"

#include "tests/support/unit.h"

#include <string.h>

/* SHA-256("HFK1" | the golden context of envelope_test.c in suite 2 |
 * 80 81 ... 9f) */
static const uint8_t golden[KEY_CHECK_BYTES] = {
    0x35, 0x4d, 0xcf, 0x55, 0x00, 0x76, 0xed, 0x21,
    0x31, 0x9d, 0x82, 0x54, 0x99, 0xc8, 0xc3, 0xc2,
};

static struct context context_of_golden(void)
{
    static const uint8_t dep[HF_ID_BYTES] = {
        0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x46, 0x17,
        0x98, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
    };
    struct context context = {
        .generation = 0x01020304,
        .workload = WORKLOAD_EXCHANGE,
        .resource_type = RESOURCE_MAILBOX,
        .purpose = PURPOSE_RESOURCE_KEY,
    };
    memcpy(context.dep.bytes, dep, sizeof dep);
    for (size_t i = 0; i < HF_ID_BYTES; i++) {
        context.tenant.bytes[i] = (uint8_t)(0x20 + i);
    }
    for (size_t i = 0; i < HF_SHA256_BYTES; i++) {
        context.resource_hash[i] = (uint8_t)(0x60 + i);
    }
    return context;
}

static struct secret *key_of_golden(void)
{
    struct secret *key = NULL;
    assert_ok(secret_new(HF_KEY_BYTES, &key));
    for (size_t i = 0; i < HF_KEY_BYTES; i++) {
        secret_writable(key)[i] = (uint8_t)(0x80 + i);
    }
    return key;
}

static struct key_binding bind(uint8_t suite, const uint8_t *check)
{
    const struct context context = context_of_golden();
    struct envelope envelope = {.suite = suite};
    struct key_binding binding;
    memcpy(envelope.check, check, sizeof envelope.check);
    key_binding_of(&context, &envelope, &binding);
    return binding;
}

static void the_bytes_are_what_they_always_were(void **state)
{
    (void)state;
    struct secret *key = key_of_golden();
    const struct context context = context_of_golden();
    const struct key_binding binding = bind(ENVELOPE_SUITE_CHECKED, golden);
    uint8_t check[KEY_CHECK_BYTES];
    assert_ok(key_check_make(&context, key, check));
    assert_memory_equal(check, golden, sizeof golden);
    assert_ok(key_check_look(&binding, key));
    secret_free(key);
}

static void every_other_key_is_known(void **state)
{
    (void)state;
    struct secret *key = key_of_golden();
    const struct key_binding binding = bind(ENVELOPE_SUITE_CHECKED, golden);
    for (size_t bit = 0; bit < 8 * (size_t)HF_KEY_BYTES; bit++) {
        secret_writable(key)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_status(key_check_look(&binding, key), HF_E_BAD_BLOB);
        secret_writable(key)[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_ok(key_check_look(&binding, key));
    secret_free(key);
}

/* Whatever bit of the context or of the check itself is another. */
static void every_other_place_is_known(void **state)
{
    (void)state;
    struct secret *key = key_of_golden();
    struct key_binding binding = bind(ENVELOPE_SUITE_CHECKED, golden);
    for (size_t bit = 0; bit < 8 * binding.len; bit++) {
        binding.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_status(key_check_look(&binding, key), HF_E_BAD_BLOB);
        binding.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    secret_free(key);
}

static void suite_1_has_none(void **state)
{
    (void)state;
    struct secret *key = key_of_golden();
    const struct key_binding binding = bind(ENVELOPE_SUITE_AES256_GCM, golden);
    assert_ok(key_check_look(&binding, key));
    secret_writable(key)[0] ^= 1;
    assert_ok(key_check_look(&binding, key));
    secret_free(key);
}

int main(void)
{
    if (secret_heap_start(64 * 1024) != HF_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_what_they_always_were),
        cmocka_unit_test(every_other_key_is_known),
        cmocka_unit_test(every_other_place_is_known),
        cmocka_unit_test(suite_1_has_none),
    };
    return cmocka_run_group_tests_name("service_key_check", tests, NULL, NULL);
}
