/* A heap that cannot be locked is refused, however often it is asked for; one
 * that stands is not made twice. Each case in a process of its own, because a
 * process has one heap. */
#include "hsm/sys/secret.h"

#include "tests/support/unit.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAP_BYTES (64 * 1024)

/* Root may lock any amount: give that right up. */
static bool forbid_locking(void)
{
    struct __user_cap_header_struct head = {.version =
                                                _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    const struct rlimit nothing = {0, 0};
    return setrlimit(RLIMIT_MEMLOCK, &nothing) == 0 &&
           syscall(SYS_capset, &head, none) == 0;
}

/* The exit code names the first step that went wrong. */
static int unlockable(void)
{
    if (!forbid_locking()) {
        return 1;
    }
    if (secret_heap_start(HEAP_BYTES) != HF_E_RESOURCES) {
        return 2;
    }
    return secret_heap_start(HEAP_BYTES) == HF_E_RESOURCES ? 0 : 3;
}

static int twice(void)
{
    struct secret *secret = NULL;
    if (secret_heap_start(HEAP_BYTES) != HF_OK) {
        return 1;
    }
    if (secret_random(32, &secret) != HF_OK) {
        return 2;
    }
    if (secret_heap_start(HEAP_BYTES) != HF_OK) {
        return 3;
    }
    secret_free(secret);
    return 0;
}

static void run(int (*body)(void))
{
    int status = -1;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(body());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_unlockable_heap_is_refused_each_time(void **state)
{
    (void)state;
    run(unlockable);
}

static void test_second_start_keeps_the_first(void **state)
{
    (void)state;
    run(twice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unlockable_heap_is_refused_each_time),
        cmocka_unit_test(test_second_start_keeps_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
