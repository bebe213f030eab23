/* Time as text, and the two clocks behind one port. */
#include "hsm/base/check.h"

#include "hsm/sys/clock.h"

#include "tests/support/unit.h"

#include <string.h>
#include <time.h>

static void test_format(void **state)
{
    static const struct {
        int64_t wall_ms;
        const char *text;
    } expected[] = {
        {0,               "1970-01-01T00:00:00.000Z"},
        {1,               "1970-01-01T00:00:00.001Z"},
        {999,             "1970-01-01T00:00:00.999Z"},
        {-1,              "1969-12-31T23:59:59.999Z"},
        {-1000,           "1969-12-31T23:59:59.000Z"},
        {-1001,           "1969-12-31T23:59:58.999Z"},
        {951782400000,    "2000-02-29T00:00:00.000Z"},
        {1709210096789,   "2024-02-29T12:34:56.789Z"},
        {2147483648000,   "2038-01-19T03:14:08.000Z"},
        {4107542400000,   "2100-03-01T00:00:00.000Z"},
        {-62135596800000, "0001-01-01T00:00:00.000Z"},
        {-62167219200000, "0000-01-01T00:00:00.000Z"},
        {-62167219200001, "0000-01-01T00:00:00.000Z"},
        {INT64_MIN,       "0000-01-01T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000, "9999-12-31T23:59:59.999Z"},
        {INT64_MAX,       "9999-12-31T23:59:59.999Z"},
    };
    (void)state;
    for (size_t i = 0; i < HF_COUNT(expected); i++) {
        char text[CLOCK_UTC_TEXT];
        memset(text, 'x', sizeof text);
        clock_format_utc(expected[i].wall_ms, text);
        assert_string_equal(text, expected[i].text);
    }
}

static void test_system_wall_is_unix_time(void **state)
{
    (void)state;
    int64_t before_s = time(NULL);
    int64_t wall_ms = clock_wall_ms(clock_system());
    int64_t after_s = time(NULL);
    assert_true(wall_ms >= (before_s - 1) * 1000);
    assert_true(wall_ms < (after_s + 1) * 1000);
}

static void test_system_monotonic_moves_on(void **state)
{
    (void)state;
    const struct timespec pause = {.tv_nsec = 20000000};
    int64_t last_ms = clock_monotonic_ms(clock_system());
    for (int i = 0; i < 1000; i++) {
        int64_t now_ms = clock_monotonic_ms(clock_system());
        assert_true(now_ms >= last_ms);
        last_ms = now_ms;
    }
    nanosleep(&pause, NULL);
    assert_true(clock_monotonic_ms(clock_system()) >= last_ms + 19);
}

struct hands {
    int64_t monotonic_ms;
    int64_t wall_ms;
};

static int64_t hands_monotonic_ms(void *self)
{
    return ((struct hands *)self)->monotonic_ms;
}

static int64_t hands_wall_ms(void *self)
{
    return ((struct hands *)self)->wall_ms;
}

static void test_port_asks_its_own_clock(void **state)
{
    (void)state;
    struct hands hands = {.monotonic_ms = 5, .wall_ms = -7};
    const struct clock clock = {hands_monotonic_ms, hands_wall_ms, &hands};
    assert_int_equal(clock_monotonic_ms(&clock), 5);
    assert_int_equal(clock_wall_ms(&clock), -7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_system_wall_is_unix_time),
        cmocka_unit_test(test_system_monotonic_moves_on),
        cmocka_unit_test(test_port_asks_its_own_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
