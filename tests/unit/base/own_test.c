/* The macros of ownership, early return and broken promises. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "tests/support/unit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct thing {
    int *freed;
};

static void thing_free(struct thing *thing)
{
    if (thing != NULL) {
        ++*thing->freed;
        free(thing);
    }
}
HF_DEFINE_FREEP(struct thing, thing)

static struct thing *thing_new(int *freed)
{
    struct thing *thing = malloc(sizeof *thing);
    assert_non_null(thing);
    thing->freed = freed;
    return thing;
}

struct trace {
    int calls;
    int freed;
};

static HF_STATUS step(struct trace *trace, enum hf_status result)
{
    trace->calls++;
    return result;
}

static HF_STATUS two_steps(struct trace *trace, enum hf_status first,
                           enum hf_status second, struct thing **out)
{
    HF_OWNED(thing_freep) struct thing *thing = thing_new(&trace->freed);
    HF_TRY(step(trace, first));
    HF_TRY(step(trace, second));
    *out = HF_GIVE(thing);
    return HF_OK;
}

static void test_try_returns_the_first_failure(void **state)
{
    (void)state;
    for (int i = 1; i < HF_STATUS_COUNT; i++) {
        struct trace trace = {0};
        struct thing *out = NULL;
        enum hf_status failure = (enum hf_status)i;
        assert_status(two_steps(&trace, failure, HF_E_IO, &out), failure);
        assert_int_equal(trace.calls, 1);
        assert_int_equal(trace.freed, 1);
        assert_null(out);
    }
}

static void test_owned_is_freed_on_a_late_failure(void **state)
{
    (void)state;
    struct trace trace = {0};
    struct thing *out = NULL;
    assert_status(two_steps(&trace, HF_OK, HF_E_LIMIT, &out), HF_E_LIMIT);
    assert_int_equal(trace.calls, 2);
    assert_int_equal(trace.freed, 1);
    assert_null(out);
}

static void test_given_is_not_freed(void **state)
{
    (void)state;
    struct trace trace = {0};
    struct thing *out = NULL;
    assert_ok(two_steps(&trace, HF_OK, HF_OK, &out));
    assert_int_equal(trace.freed, 0);
    thing_freep(&out);
    assert_int_equal(trace.freed, 1);
    assert_null(out);
    thing_freep(&out);
    assert_int_equal(trace.freed, 1);
}

static void test_ignore_calls_once(void **state)
{
    (void)state;
    struct trace trace = {0};
    HF_IGNORE(step(&trace, HF_E_IO), "the test counts calls only");
    assert_int_equal(trace.calls, 1);
}

static void test_kept_promise_is_looked_at_once(void **state)
{
    (void)state;
    int looked = 0;
    CHECK(++looked == 1);
    assert_int_equal(looked, 1);
}

static void break_promise(int says)
{
    const struct rlimit no_core = {0, 0};
    if (dup2(says, STDERR_FILENO) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0) {
        _exit(2);
    }
    signal(SIGABRT, SIG_DFL); /* cmocka and sanitizers catch it */
    volatile int two = 2;
    CHECK(two + two == 5);
    _exit(3);
}

static void test_broken_promise_stops_the_process(void **state)
{
    (void)state;
    int ends[2];
    char said[512] = "";
    int status = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        break_promise(ends[1]);
    }
    close(ends[1]);
    ssize_t len = read(ends[0], said, sizeof said - 1);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(len > 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(said, "two + two == 5"));
    assert_non_null(strstr(said, "own_test.c:"));
    assert_int_equal(said[len - 1], '\n');
}

static void test_count(void **state)
{
    (void)state;
    const long long array[7] = {0};
    assert_int_equal(HF_COUNT(array), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_try_returns_the_first_failure),
        cmocka_unit_test(test_owned_is_freed_on_a_late_failure),
        cmocka_unit_test(test_given_is_not_freed),
        cmocka_unit_test(test_ignore_calls_once),
        cmocka_unit_test(test_kept_promise_is_looked_at_once),
        cmocka_unit_test(test_broken_promise_stops_the_process),
        cmocka_unit_test(test_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
