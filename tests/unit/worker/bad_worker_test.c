/* Is the supervisor told which worker cannot be worked with, and goes what
 * waits to the next one? The test is the supervisor, and its workers. */
#include "hsm/base/check.h"

#include "hsm/worker/control.h"
#include "hsm/worker/door.h"
#include "hsm/worker/worker.h"

#include "tests/support/unit.h"
#include "tests/unit/worker/scene.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000

static struct scene scene; /* a worker: only its peer and packet are used */
/* more than are handed over at once */
#define WAITING 150

static struct call calls[WAITING];
static char folder[64];
static char path[80];
static int listener = -1;
static int control = -1;
static struct token token;

static void wait_to_read(int socket)
{
    struct pollfd fd = {.fd = socket, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
}

static int start(void **state)
{
    uint32_t uid = 0;
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/holdfast-bad-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tokend", folder);
    assert_ok(door_open(path, 0600, &listener));
    const struct worker_settings settings = {.socket = path,
                                             .label = "scene",
                                             .name = "scene",
                                             .wait_ms = PATIENCE_MS};
    assert_ok(worker_open(&settings, &token));
    wait_to_read(listener);
    assert_ok(door_accept(listener, &control, &uid));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    scene_hang_up(&scene);
    token_close(&token);
    close(control);
    close(listener);
    unlink(path);
    rmdir(folder);
    return 0;
}

/* A worker that says this first; the peer stays open until scene_hang_up. */
static void give_worker(uint32_t number, const struct worker_hello *hello)
{
    const struct control_message message = {.kind = CONTROL_WORKER,
                                            .state = {.worker = number}};
    int ends[2];
    scene_hang_up(&scene);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    scene.peer = ends[1];
    if (hello != NULL) {
        scene_send_bytes(&scene, hello_encode(hello, scene.packet));
    }
    assert_ok(control_send(control, &message, ends[0]));
    close(ends[0]);
}

static struct worker_hello good_hello(uint32_t number)
{
    return (struct worker_hello){.worker = number,
                                 .queue_max = SCENE_QUEUE_MAX,
                                 .profile = {.label = "scene"}};
}

static void wait_for_open(void)
{
    struct token_state how;
    assert_ok(worker_token_wait(&token, PATIENCE_MS, &how));
    assert_int_equal(how.condition, TOKEN_OPEN);
}

static void assert_kill(uint32_t number)
{
    struct control_message message;
    int descriptor = -1;
    wait_to_read(control);
    assert_ok(control_receive(control, &message, &descriptor));
    assert_int_equal(descriptor, -1);
    assert_int_equal(message.kind, CONTROL_KILL);
    assert_int_equal(message.state.worker, number);
}

static void assert_quiet(int time_ms)
{
    struct pollfd fd = {.fd = control, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, time_ms), 0);
}

static void ask(size_t index)
{
    struct token_request *request = &calls[index].request;
    call_prepare(&calls[index], TOKEN_OP_MAC);
    request->attempt_ms = 50;
    token_submit(&token, &request, 1);
}

/* Its heart may beat; nothing is answered any more. */
static void one_that_serves_nobody(void **state)
{
    (void)state;
    const struct worker_hello hello = good_hello(1);
    give_worker(1, &hello);
    wait_for_open();
    for (size_t i = 0; i < 2; i++) {
        ask(i);
        scene_read(&scene);
        assert_status(call_wait(&calls[i]), HF_E_TIMEOUT);
    }
    assert_quiet(500);
    /* late, but an answer: it is counted from there on again */
    scene_answer(&scene);
    ask(0);
    scene_read(&scene);
    assert_status(call_wait(&calls[0]), HF_E_TIMEOUT);
    assert_quiet(500);
    ask(1);
    ask(2);
    assert_status(call_wait(&calls[1]), HF_E_TIMEOUT);
    assert_status(call_wait(&calls[2]), HF_E_TIMEOUT);
    assert_kill(1);
    assert_quiet(500);
    /* what it died of is told once more when its link has ended */
    scene_hang_up(&scene);
    assert_kill(1);
    assert_quiet(500);
}

static void one_whose_hello_cannot_be(void **state)
{
    (void)state;
    const struct worker_hello another = good_hello(77);
    give_worker(1, &another);
    assert_kill(1);
    give_worker(2, NULL); /* says nothing */
    assert_kill(2);
    struct worker_hello foreign = good_hello(3);
    snprintf(foreign.profile.label, sizeof foreign.profile.label, "other");
    give_worker(3, &foreign);
    assert_kill(3);
    const struct worker_hello hello = good_hello(4);
    give_worker(4, &hello);
    wait_for_open();
    assert_quiet(1500);
}

/* The link is closed here; a good worker ends by that, this one does not. */
static void one_that_talks_rubbish(void **state)
{
    (void)state;
    const struct worker_hello hello = good_hello(1);
    give_worker(1, &hello);
    wait_for_open();
    memset(scene.packet, 0x5a, 100);
    scene_send_bytes(&scene, 100);
    assert_quiet(500); /* it has a moment */
    assert_kill(1);
    assert_quiet(500);
}

/* In the order in which they came. */
static void what_waits_goes_to_the_next_one(void **state)
{
    struct token_state how = {.condition = TOKEN_OPEN};
    (void)state;
    struct worker_hello hello = good_hello(1);
    give_worker(1, &hello);
    wait_for_open();
    scene_hang_up(&scene);
    for (int i = 0; how.condition == TOKEN_OPEN && i < PATIENCE_MS; i++) {
        scene_pause();
        token_state_get(&token, &how);
    }
    for (size_t i = 0; i < WAITING; i++) {
        struct token_request *request = &calls[i].request;
        call_prepare(&calls[i], TOKEN_OP_MAC);
        /* every third is not waited for any more */
        request->drop_dead_ms = i % 3 == 0 ? 1 : 0;
        token_submit(&token, &request, 1);
    }
    for (size_t i = 0; i < WAITING; i += 3) {
        assert_status(call_wait(&calls[i]), HF_E_EXPIRED);
    }
    assert_true(call_is_open(&calls[1]));
    hello = good_hello(2);
    give_worker(2, &hello);
    size_t next = 1;
    while (next < WAITING) {
        scene_read(&scene);
        const size_t count = scene.asked_count;
        for (size_t i = 0; i < count; i++) {
            struct frame_writer writer = scene_begin(&scene);
            scene_put(&writer, &scene.asked[i]);
            scene_send(&scene, &writer);
            assert_ok(call_wait(&calls[next]));
            next += next % 3 == 2 ? 2 : 1;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_that_serves_nobody, start, stop),
        cmocka_unit_test_setup_teardown(one_whose_hello_cannot_be, start, stop),
        cmocka_unit_test_setup_teardown(one_that_talks_rubbish, start, stop),
        cmocka_unit_test_setup_teardown(what_waits_goes_to_the_next_one, start,
                                        stop),
    };
    scene.peer = -1;
    return cmocka_run_group_tests_name("worker_bad_worker", tests, NULL, NULL);
}
