/* The port of randomness: fills what it says, fails as it fails. */
#include "hsm/sys/rng.h"

#include "tests/support/unit.h"

#include <string.h>

struct source {
    enum hf_status answer;
    uint8_t fill;
    size_t asked;
};

static enum hf_status source_fill(void *self, void *out, size_t len)
{
    struct source *source = self;
    source->asked += len;
    if (source->answer == HF_OK) {
        memset(out, source->fill, len);
    }
    return source->answer;
}

static void test_system_fills_exactly(void **state)
{
    (void)state;
    uint8_t a[34] = {0};
    uint8_t b[34] = {0};
    assert_ok(rng_fill(rng_system(), a + 1, 32));
    assert_ok(rng_fill(rng_system(), b + 1, 32));
    assert_memory_not_equal(a + 1, b + 1, 32);
    assert_int_equal(a[0] | a[33] | b[0] | b[33], 0);
    assert_ok(rng_fill(rng_system(), a, 0));
}

static void test_id_is_a_version_4_uuid(void **state)
{
    (void)state;
    struct source source = {.answer = HF_OK, .fill = 0xff};
    const struct rng rng = {.fill = source_fill, .self = &source};
    struct hf_id id = {{0}};
    char text[HF_ID_TEXT];
    assert_ok(rng_id(&rng, &id));
    id_format(&id, text);
    assert_string_equal(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_int_equal(source.asked, HF_ID_BYTES);
}

static void test_failure_is_passed_on_and_no_id_made(void **state)
{
    (void)state;
    struct source source = {.answer = HF_E_INTERNAL};
    const struct rng rng = {.fill = source_fill, .self = &source};
    uint8_t out[4] = {1, 2, 3, 4};
    struct hf_id id = {{0}};
    assert_status(rng_fill(&rng, out, sizeof out), HF_E_INTERNAL);
    assert_status(rng_id(&rng, &id), HF_E_INTERNAL);
    assert_true(id_is_nil(&id));
}

static void test_system_ids_differ(void **state)
{
    (void)state;
    struct hf_id a = {{0}};
    struct hf_id b = {{0}};
    assert_ok(rng_id(rng_system(), &a));
    assert_ok(rng_id(rng_system(), &b));
    assert_false(id_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_system_fills_exactly),
        cmocka_unit_test(test_id_is_a_version_4_uuid),
        cmocka_unit_test(test_failure_is_passed_on_and_no_id_made),
        cmocka_unit_test(test_system_ids_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
