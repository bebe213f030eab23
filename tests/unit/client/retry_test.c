/* The whole table of what is repeated, and the pauses in between. */
#include "client/lib/retry.h"

#include "tests/support/unit.h"

#define LONG_MS 3600000

static const uint32_t randoms[] = {0, 1, UINT32_MAX / 2, UINT32_MAX};

static bool next(enum hf_code code, int64_t delay_ms, unsigned attempts,
                 int64_t left_ms, int64_t *out_wait_ms)
{
    const struct retry_facts facts = {.code = code,
                                      .retry_delay_ms = delay_ms,
                                      .attempts = attempts,
                                      .left_ms = left_ms,
                                      .random = UINT32_MAX / 2};
    return retry_next(&facts, out_wait_ms);
}

static void test_only_two_codes(void **state)
{
    (void)state;
    for (int code = 0; code <= HF_CODE_UNAUTHENTICATED; code++) {
        int64_t wait_ms = -1;
        bool plain = next((enum hf_code)code, -1, 1, LONG_MS, &wait_ms);
        bool told = next((enum hf_code)code, 5, 1, LONG_MS, &wait_ms);
        assert_int_equal(plain, code == HF_CODE_UNAVAILABLE);
        assert_int_equal(told, code == HF_CODE_UNAVAILABLE ||
                                   code == HF_CODE_RESOURCE_EXHAUSTED);
    }
}

static void test_a_refusal_writes_nothing(void **state)
{
    (void)state;
    int64_t wait_ms = 42;
    assert_false(next(HF_CODE_DATA_LOSS, 5, 1, LONG_MS, &wait_ms));
    assert_int_equal(wait_ms, 42);
}

static void test_attempts_are_bounded(void **state)
{
    (void)state;
    int64_t wait_ms = 0;
    assert_true(next(HF_CODE_UNAVAILABLE, -1, RETRY_ATTEMPTS_MAX - 1, LONG_MS,
                     &wait_ms));
    assert_false(
        next(HF_CODE_UNAVAILABLE, -1, RETRY_ATTEMPTS_MAX, LONG_MS, &wait_ms));
    assert_false(next(HF_CODE_UNAVAILABLE, 1, UINT32_MAX, LONG_MS, &wait_ms));
}

static void test_pauses_double_within_their_half(void **state)
{
    (void)state;
    int64_t full_ms = RETRY_BASE_MS;
    for (unsigned attempts = 1; attempts < RETRY_ATTEMPTS_MAX; attempts++) {
        for (size_t i = 0; i < sizeof randoms / sizeof randoms[0]; i++) {
            const struct retry_facts facts = {.code = HF_CODE_UNAVAILABLE,
                                              .retry_delay_ms = -1,
                                              .attempts = attempts,
                                              .left_ms = LONG_MS,
                                              .random = randoms[i]};
            int64_t wait_ms = 0;
            assert_true(retry_next(&facts, &wait_ms));
            assert_in_range(wait_ms, full_ms / 2, full_ms);
        }
        full_ms = full_ms * 2 < RETRY_CAP_MS ? full_ms * 2 : RETRY_CAP_MS;
    }
}

static void test_jitter_spreads(void **state)
{
    (void)state;
    struct retry_facts facts = {.code = HF_CODE_UNAVAILABLE,
                                .retry_delay_ms = -1,
                                .attempts = 1,
                                .left_ms = LONG_MS};
    int64_t low_ms = 0;
    int64_t high_ms = 0;
    assert_true(retry_next(&facts, &low_ms));
    facts.random = UINT32_MAX;
    assert_true(retry_next(&facts, &high_ms));
    assert_int_equal(low_ms, RETRY_BASE_MS / 2);
    assert_true(high_ms >= RETRY_BASE_MS - 1);
}

static void test_never_before_it_was_asked_for(void **state)
{
    (void)state;
    for (int64_t delay_ms = 0; delay_ms <= 20000; delay_ms += 500) {
        for (size_t i = 0; i < sizeof randoms / sizeof randoms[0]; i++) {
            const struct retry_facts facts = {.code =
                                                  HF_CODE_RESOURCE_EXHAUSTED,
                                              .retry_delay_ms = delay_ms,
                                              .attempts = 2,
                                              .left_ms = LONG_MS,
                                              .random = randoms[i]};
            int64_t wait_ms = 0;
            assert_true(retry_next(&facts, &wait_ms));
            assert_true(wait_ms >= delay_ms);
            assert_true(wait_ms <= delay_ms + delay_ms / 4 + 2 * RETRY_BASE_MS);
        }
    }
}

static void test_never_past_the_deadline(void **state)
{
    (void)state;
    int64_t wait_ms = 0;
    assert_true(next(HF_CODE_UNAVAILABLE, -1, 1, RETRY_BASE_MS, &wait_ms));
    assert_true(wait_ms < RETRY_BASE_MS);
    assert_false(next(HF_CODE_UNAVAILABLE, -1, 1, RETRY_BASE_MS / 2, &wait_ms));
    assert_false(next(HF_CODE_UNAVAILABLE, -1, 1, 0, &wait_ms));
    assert_false(next(HF_CODE_UNAVAILABLE, -1, 1, -5, &wait_ms));
    assert_false(next(HF_CODE_UNAVAILABLE, 1000, 1, 1000, &wait_ms));
    assert_false(
        next(HF_CODE_RESOURCE_EXHAUSTED, INT64_MAX, 1, LONG_MS, &wait_ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_two_codes),
        cmocka_unit_test(test_a_refusal_writes_nothing),
        cmocka_unit_test(test_attempts_are_bounded),
        cmocka_unit_test(test_pauses_double_within_their_half),
        cmocka_unit_test(test_jitter_spreads),
        cmocka_unit_test(test_never_before_it_was_asked_for),
        cmocka_unit_test(test_never_past_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
