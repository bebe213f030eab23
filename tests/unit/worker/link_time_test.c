/* A worker that is slow, silent, or does not read: who is answered when, and
 * what becomes of what comes late? */
#include "hsm/base/check.h"

#include "hsm/sys/clock.h"

#include "hsm/worker/link.h"

#include "tests/support/unit.h"
#include "tests/unit/worker/scene.h"

#include <time.h>

#define CALLS_MAX 2048

static struct scene scene;
static struct call calls[CALLS_MAX];

static int64_t now_ms(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(int64_t ms)
{
    int64_t until_ms = now_ms() + ms;
    while (now_ms() < until_ms) {
        scene_pause();
    }
}

static struct call *ask(size_t index, enum token_op op, int64_t attempt_ms)
{
    struct call *call = &calls[index];
    call_prepare(call, op);
    call->request.attempt_ms = attempt_ms;
    call_submit(&scene, call);
    return call;
}

/* the token has its own time and a grace, then it is a time-out. */
static void silence_is_a_time_out(void **state)
{
    (void)state;
    scene_open(&scene, 0, 50);
    int64_t began_ms = now_ms();
    struct call *call = ask(0, TOKEN_OP_MAC, 100);
    scene_read(&scene);
    assert_status(call_wait(call), HF_E_TIMEOUT);
    assert_true(now_ms() - began_ms >= 150);
    assert_int_equal(worker_link_late(scene.link), 1);
    assert_int_equal(worker_link_outstanding(scene.link), 0);

    /* it comes after all, and disturbs nobody */
    scene_answer(&scene);
    call = ask(1, TOKEN_OP_MAC, 60000);
    scene_read(&scene);
    assert_int_equal(scene.asked_count, 1);
    scene_answer(&scene);
    assert_ok(call_wait(call));
    assert_int_equal(calls[0].answered, 1);
    assert_false(worker_link_is_lost(scene.link));
    scene_close(&scene);
}

/* Late answers of every kind are read to their end; the object of an UNWRAP,
 * which nobody knows of, is forgotten. */
static void what_comes_late_is_undone(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_OPEN, TOKEN_OP_MAC,
                                        TOKEN_OP_UNWRAP, TOKEN_OP_LIST,
                                        TOKEN_OP_HEALTH};
    (void)state;
    scene_open(&scene, 0, 20);
    for (size_t i = 0; i < HF_COUNT(ops); i++) {
        ask(i, ops[i], 20);
        scene_read(&scene);
        assert_status(call_wait(&calls[i]), HF_E_TIMEOUT);
        scene_answer(&scene);
        if (ops[i] == TOKEN_OP_UNWRAP) {
            scene_read(&scene);
            assert_int_equal(scene.asked_count, 1);
            assert_int_equal(scene.asked[0].op, TOKEN_OP_FORGET);
            scene_answer(&scene);
        }
    }
    assert_int_equal(worker_link_late(scene.link), HF_COUNT(ops));
    /* a failure made nothing */
    ask(0, TOKEN_OP_UNWRAP, 20);
    scene_read(&scene);
    assert_status(call_wait(&calls[0]), HF_E_TIMEOUT);
    struct frame_writer writer = scene_begin(&scene);
    scene_put_status(&writer, &scene.asked[0], HF_E_UNREACHABLE);
    scene_send(&scene, &writer);
    ask(0, TOKEN_OP_HEALTH, 10000);
    scene_read(&scene);
    assert_int_equal(scene.asked[0].op, TOKEN_OP_HEALTH);
    scene_answer(&scene);
    assert_ok(call_wait(&calls[0]));
    scene_close(&scene);
}

/* Also the late answer must be one to what was asked. */
static void a_late_answer_is_checked_too(void **state)
{
    (void)state;
    scene_open(&scene, 0, 20);
    ask(0, TOKEN_OP_MAC, 20);
    scene_read(&scene);
    assert_status(call_wait(&calls[0]), HF_E_TIMEOUT);
    scene.asked[0].op = TOKEN_OP_UNWRAP;
    scene_answer(&scene);
    wait_until(scene.lost == 1);
    scene_close(&scene);
}

/* Time behind others is not attempt time, as long as they are answered. */
static void waiting_for_others_is_not_late(void **state)
{
    enum { COUNT = 8 };
    static struct asked asked[COUNT];
    (void)state;
    scene_open(&scene, 0, 1500);
    for (size_t i = 0; i < COUNT; i++) {
        ask(i, TOKEN_OP_UNWRAP, 1500);
        scene_read(&scene);
        asked[i] = scene.asked[0];
    }
    int64_t began_ms = now_ms();
    for (size_t i = 0; i < COUNT; i++) {
        pause_ms(500);
        struct frame_writer writer = scene_begin(&scene);
        scene_put(&writer, &asked[i]);
        scene_send(&scene, &writer);
        assert_ok(call_wait(&calls[i]));
    }
    assert_true(now_ms() - began_ms > 3000);
    assert_int_equal(worker_link_late(scene.link), 0);
    scene_close(&scene);
}

/* what nobody waits for any more is not sent. */
static void who_is_too_late_already_is_not_sent(void **state)
{
    (void)state;
    scene_open(&scene, 0, 0);
    struct call *expired = &calls[0];
    call_prepare(expired, TOKEN_OP_MAC);
    expired->request.drop_dead_ms = clock_monotonic_ms(clock_system()) - 1;
    call_submit(&scene, expired);
    assert_status(call_wait(expired), HF_E_EXPIRED);
    ask(1, TOKEN_OP_HEALTH, 60000);
    scene_read(&scene);
    assert_int_equal(scene.asked_count, 1);
    assert_int_equal(scene.asked[0].op, TOKEN_OP_HEALTH);
    scene_answer(&scene);
    assert_ok(call_wait(&calls[1]));
    scene_close(&scene);
}

/* But one that is passed over was begun, and its time runs: a worker cannot
 * keep it for ever by answering others. */
static void who_is_passed_over_is_late(void **state)
{
    (void)state;
    scene_open(&scene, 0, 50);
    ask(0, TOKEN_OP_MAC, 100);
    scene_read(&scene);
    for (int i = 0; call_is_open(&calls[0]) && i < 2000; i++) {
        ask(1, TOKEN_OP_MAC, 60000);
        scene_read(&scene);
        scene_answer(&scene);
        assert_ok(call_wait(&calls[1]));
        scene_pause();
    }
    assert_false(call_is_open(&calls[0])); /* while the others were answered */
    assert_status(call_wait(&calls[0]), HF_E_TIMEOUT);
    scene_close(&scene);
}

/* --- a socket that is full ------------------------------------------------ */

/* Until nothing more goes into the socket: large ones. */
static size_t fill(void)
{
    static const uint8_t text[TOKEN_MAC_MAX_BYTES];
    size_t count = 0;
    for (; count < 64; count++) {
        call_prepare(&calls[count], TOKEN_OP_MAC);
        calls[count].request.u.mac.in = BYTES_OF(text);
        calls[count].request.attempt_ms = 60000;
        call_submit(&scene, &calls[count]);
    }
    return count;
}

/* submit does not wait for a worker that does not read; what nobody waits for
 * any more is not sent; and all goes on when it reads again. */
static void a_full_socket_holds_nobody_up(void **state)
{
    (void)state;
    scene_open(&scene, 0, 0);
    size_t count = fill();
    struct call *expired = &calls[count];
    call_prepare(expired, TOKEN_OP_MAC);
    expired->request.drop_dead_ms = clock_monotonic_ms(clock_system()) + 100;
    call_submit(&scene, expired);
    assert_status(call_wait(expired), HF_E_EXPIRED);
    struct token_counters counters;
    worker_link_counters(scene.link, &counters);
    assert_int_equal(counters.refused, 1);
    for (size_t i = 0; i < count; i++) {
        assert_true(call_is_open(&calls[i]));
    }
    for (size_t seen = 0; seen < count; seen += scene.asked_count) {
        scene_read(&scene);
        scene_answer(&scene);
    }
    for (size_t i = 0; i < count; i++) {
        assert_ok(call_wait(&calls[i]));
    }
    scene_close(&scene);
}

static void a_worker_that_stops_reading_is_late(void **state)
{
    (void)state;
    scene_open(&scene, 0, 20);
    size_t count = fill();
    struct call *call = ask(count, TOKEN_OP_HEALTH, 50);
    assert_status(call_wait(call), HF_E_TIMEOUT);
    scene_hang_up(&scene);
    for (size_t i = 0; i < count; i++) {
        assert_status(call_wait(&calls[i]), HF_E_UNREACHABLE);
    }
    assert_int_equal(scene.lost, 1);
    scene_close(&scene);
}

/* --- bounds --------------------------------------------------------------- */

/* A full root lane refuses, and never holds up the data lane. */
static void lanes_are_bounded_apart(void **state)
{
    enum { BOUND = 300 };
    (void)state;
    scene_open(&scene, BOUND, 0);
    for (size_t i = 0; i < BOUND; i++) {
        ask(i, TOKEN_OP_HEALTH, 60000);
    }
    assert_int_equal(worker_link_outstanding(scene.link), BOUND);
    ask(BOUND, TOKEN_OP_HEALTH, 60000);
    assert_status(call_wait(&calls[BOUND]), HF_E_OVERLOAD);
    struct token_counters counters;
    worker_link_counters(scene.link, &counters);
    assert_int_equal(counters.refused, 1);

    ask(BOUND + 1, TOKEN_OP_MAC, 60000);
    struct asked asked = {.op = TOKEN_OP_HEALTH};
    while (asked.op != TOKEN_OP_MAC) {
        scene_read(&scene);
        for (size_t i = 0; i < scene.asked_count; i++) {
            asked = scene.asked[i].op == TOKEN_OP_MAC ? scene.asked[i] : asked;
        }
    }
    struct frame_writer writer = scene_begin(&scene);
    scene_put(&writer, &asked);
    scene_send(&scene, &writer);
    assert_ok(call_wait(&calls[BOUND + 1]));
    assert_int_equal(worker_link_outstanding(scene.link), BOUND);

    worker_link_free(scene.link);
    for (size_t i = 0; i < BOUND; i++) {
        assert_status(call_wait(&calls[i]), HF_E_CANCELLED);
    }
    assert_int_equal(scene.lost, 0);
    scene_hang_up(&scene);
}

/* More than the worker says it takes is not sent, whatever is configured here.
 */
static void the_worker_says_how_many_it_takes(void **state)
{
    (void)state;
    scene_open(&scene, 2 * SCENE_QUEUE_MAX, 0);
    for (size_t i = 0; i < SCENE_QUEUE_MAX; i++) {
        ask(i, TOKEN_OP_HEALTH, 60000);
    }
    ask(SCENE_QUEUE_MAX, TOKEN_OP_HEALTH, 60000);
    assert_status(call_wait(&calls[SCENE_QUEUE_MAX]), HF_E_OVERLOAD);
    assert_int_equal(worker_link_outstanding(scene.link), SCENE_QUEUE_MAX);
    scene_close(&scene);
}

/* What waits in the link goes before the root lane once there is room. */
static void data_goes_first(void **state)
{
    (void)state;
    scene_open(&scene, 0, 0);
    size_t count = fill();
    static const uint8_t text[HF_RSA_MAX_BYTES];
    for (size_t i = count; i < count + 100; i++) {
        call_prepare(&calls[i], TOKEN_OP_UNWRAP);
        calls[i].request.u.unwrap.wrapped = BYTES_OF(text);
        call_submit(&scene, &calls[i]);
    }
    ask(count + 100, TOKEN_OP_OPEN, 60000);
    bool root_seen = false;
    bool open_seen = false;
    for (size_t seen = 0; seen < count + 101; seen += scene.asked_count) {
        scene_read(&scene);
        for (size_t i = 0; i < scene.asked_count; i++) {
            root_seen = root_seen || scene.asked[i].op == TOKEN_OP_UNWRAP;
            open_seen = open_seen || scene.asked[i].op == TOKEN_OP_OPEN;
            assert_true(scene.asked[i].op != TOKEN_OP_OPEN || !root_seen);
        }
    }
    assert_true(open_seen && root_seen);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_is_a_time_out),
        cmocka_unit_test(what_comes_late_is_undone),
        cmocka_unit_test(a_late_answer_is_checked_too),
        cmocka_unit_test(waiting_for_others_is_not_late),
        cmocka_unit_test(who_is_too_late_already_is_not_sent),
        cmocka_unit_test(who_is_passed_over_is_late),
        cmocka_unit_test(a_full_socket_holds_nobody_up),
        cmocka_unit_test(a_worker_that_stops_reading_is_late),
        cmocka_unit_test(lanes_are_bounded_apart),
        cmocka_unit_test(the_worker_says_how_many_it_takes),
        cmocka_unit_test(data_goes_first),
    };
    return cmocka_run_group_tests_name("worker_link_time", tests, NULL, NULL);
}
