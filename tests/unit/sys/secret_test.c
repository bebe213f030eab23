/* Secrets: locked, not dumped, between guard pages, wiped when freed or
 * shortened. The kernel and the memory itself are asked, not our own code. */
#include "hsm/base/check.h"
#include "hsm/base/limits.h"

#include "hsm/sys/secret.h"

#include "tests/support/unit.h"
#include "tests/unit/sys/arena.h"

#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAP_BYTES (64 * 1024)

static int start_heap(void **state)
{
    (void)state;
    return secret_heap_start(HEAP_BYTES) == HF_OK ? 0 : -1;
}

/* A pattern that nothing else in the process holds: it is made when asked. */
static void make_pattern(uint8_t out[32], uint8_t seed)
{
    for (size_t i = 0; i < 32; i++) {
        out[i] = (uint8_t)((i * 37 + 11) ^ seed);
    }
}

static struct secret *secret_of(const uint8_t *bytes, size_t len)
{
    struct secret *secret = NULL;
    assert_ok(secret_new(len, &secret));
    memcpy(secret_writable(secret), bytes, len);
    return secret;
}

static void test_memory_is_locked_and_left_out_of_dumps(void **state)
{
    (void)state;
    struct secret *secret = NULL;
    assert_ok(secret_random(HF_KEY_BYTES, &secret));
    const struct arena arena = arena_of(secret_bytes(secret));
    assert_true(arena.locked);
    assert_true(arena.not_dumped);
    assert_true(arena.guarded);
    assert_int_equal(arena.to - arena.from, HEAP_BYTES);
    secret_free(secret);
    /* the same questions about ordinary memory, so that they can say no */
    static const uint8_t ordinary[1] = {1};
    const struct arena other = arena_of(ordinary);
    assert_false(other.locked);
    assert_false(other.not_dumped);
}

static void test_wiped_when_freed(void **state)
{
    (void)state;
    uint8_t pattern[32];
    make_pattern(pattern, 0x5a);
    struct secret *secret = secret_of(pattern, sizeof pattern);
    const struct arena arena = arena_of(secret_bytes(secret));
    assert_true(arena_holds(&arena, pattern, sizeof pattern));
    secret_free(secret);
    assert_false(arena_holds(&arena, pattern, sizeof pattern));
    assert_false(arena_holds(&arena, pattern, 8));
    assert_false(arena_holds(&arena, pattern + 24, 8));
}

static void test_wiped_when_freed_after_shortening(void **state)
{
    (void)state;
    uint8_t pattern[32];
    make_pattern(pattern, 0xc3);
    struct secret *secret = secret_of(pattern, sizeof pattern);
    const struct arena arena = arena_of(secret_bytes(secret));
    secret_shorten(secret, 16);
    assert_int_equal(secret_len(secret), 16);
    assert_true(arena_holds(&arena, pattern, 16));
    assert_false(arena_holds(&arena, pattern + 16, 8));
    assert_false(arena_holds(&arena, pattern + 24, 8));
    secret_free(secret);
    assert_false(arena_holds(&arena, pattern, 8));
}

static void test_lengths(void **state)
{
    (void)state;
    struct secret *secret = NULL;
    assert_status(secret_new(0, &secret), HF_E_INVALID);
    assert_status(secret_new(HF_SECRET_MAX_BYTES + 1, &secret), HF_E_INVALID);
    assert_status(secret_new(SIZE_MAX, &secret), HF_E_INVALID);
    assert_status(secret_random(0, &secret), HF_E_INVALID);
    assert_null(secret);
    static const size_t good[] = {1, 32, 33, HF_SECRET_MAX_BYTES};
    for (size_t i = 0; i < HF_COUNT(good); i++) {
        assert_ok(secret_new(good[i], &secret));
        assert_int_equal(secret_len(secret), good[i]);
        for (size_t at = 0; at < good[i]; at++) {
            assert_int_equal(secret_bytes(secret)[at], 0);
        }
        secret_freep(&secret);
        assert_null(secret);
    }
    secret_free(NULL);
}

/* With a full arena the ordinary heap must not step in. */
static void test_full_heap_is_an_error(void **state)
{
    (void)state;
    struct secret *all[HEAP_BYTES / HF_SECRET_MAX_BYTES] = {0};
    struct secret *last = NULL;
    enum hf_status status = HF_OK;
    size_t count = 0;
    while (status == HF_OK) {
        assert_true(count < HF_COUNT(all));
        status = secret_new(HF_SECRET_MAX_BYTES, &all[count]);
        count += status == HF_OK;
    }
    assert_true(count > 1);
    assert_status(status, HF_E_NO_MEMORY);
    assert_null(all[count]);
    assert_status(secret_random(HF_SECRET_MAX_BYTES, &last), HF_E_NO_MEMORY);
    assert_null(last);
    const struct arena arena = arena_of(secret_bytes(all[0]));
    for (size_t i = 0; i < count; i++) {
        uintptr_t at = (uintptr_t)secret_bytes(all[i]);
        assert_true(at >= arena.from && at < arena.to);
        secret_free(all[i]);
    }
    assert_ok(secret_new(HF_SECRET_MAX_BYTES, &last));
    secret_free(last);
}

static void test_random_secrets_differ(void **state)
{
    (void)state;
    struct secret *a = NULL;
    struct secret *b = NULL;
    struct secret *zero = NULL;
    assert_ok(secret_random(HF_KEY_BYTES, &a));
    assert_ok(secret_random(HF_KEY_BYTES, &b));
    assert_ok(secret_new(HF_KEY_BYTES, &zero));
    assert_false(secret_equal(a, b));
    assert_false(secret_equal(a, zero));
    assert_false(secret_equal(b, zero));
    secret_free(a);
    secret_free(b);
    secret_free(zero);
}

static void test_equality_sees_every_bit_and_the_length(void **state)
{
    (void)state;
    uint8_t pattern[32];
    make_pattern(pattern, 0x17);
    struct secret *a = secret_of(pattern, sizeof pattern);
    struct secret *b = secret_of(pattern, sizeof pattern);
    assert_true(secret_equal(a, b));
    for (size_t bit = 0; bit < 8 * sizeof pattern; bit++) {
        secret_writable(b)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(secret_equal(a, b));
        assert_false(equal_constant_time(secret_bytes(a), secret_bytes(b),
                                         sizeof pattern));
        secret_writable(b)[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    secret_shorten(b, 31);
    assert_false(secret_equal(a, b));
    assert_false(secret_equal(b, a));
    assert_true(equal_constant_time(secret_bytes(a), secret_bytes(b), 31));
    secret_free(a);
    secret_free(b);
}

static void test_wipe(void **state)
{
    (void)state;
    uint8_t bytes[33];
    memset(bytes, 0xff, sizeof bytes);
    wipe(bytes, 32);
    for (size_t i = 0; i < 32; i++) {
        assert_int_equal(bytes[i], 0);
    }
    assert_int_equal(bytes[32], 0xff);
}

static void *make_and_free(void *failures)
{
    for (int round = 0; round < 500; round++) {
        struct secret *secret = NULL;
        if (secret_random(64, &secret) != HF_OK || secret_len(secret) != 64) {
            ++*(int *)failures;
        }
        secret_free(secret);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    int failures[4] = {0};
    for (size_t i = 0; i < HF_COUNT(threads); i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, make_and_free, &failures[i]), 0);
    }
    for (size_t i = 0; i < HF_COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(failures[i], 0);
    }
}

static void harden_and_leave(void)
{
    struct rlimit core = {1, 1};
    bool good = prctl(PR_GET_DUMPABLE) == 1 && process_harden() == HF_OK &&
                prctl(PR_GET_DUMPABLE) == 0 &&
                getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 &&
                core.rlim_max == 0;
    _exit(good ? 0 : 1);
}

static void test_hardened_process_leaves_no_core(void **state)
{
    (void)state;
    int status = -1;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        harden_and_leave();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_locked_and_left_out_of_dumps),
        cmocka_unit_test(test_wiped_when_freed),
        cmocka_unit_test(test_wiped_when_freed_after_shortening),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_full_heap_is_an_error),
        cmocka_unit_test(test_random_secrets_differ),
        cmocka_unit_test(test_equality_sees_every_bit_and_the_length),
        cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_hardened_process_leaves_no_core),
    };
    return cmocka_run_group_tests(tests, start_heap, NULL);
}
