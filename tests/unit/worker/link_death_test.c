/* A worker that ends, at every point: is every request answered exactly once,
 * with what is known? */
#include "hsm/base/check.h"

#include "hsm/worker/link.h"

#include "tests/support/unit.h"
#include "tests/unit/worker/scene.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALLS 10

static struct scene scene;
static struct call calls[CALLS];

/* --- before it is there --------------------------------------------------- */

static uint8_t hello_bytes[FRAME_PACKET_MAX];

/* What worker_link_new makes of a first packet of so many bytes (0: none), and
 * then the end, unless it stays. */
static enum hf_status greet(size_t len, bool stays, int64_t hello_ms,
                            struct worker_refusal *refusal)
{
    const struct worker_link_settings settings = {.hello_ms = hello_ms};
    const struct worker_link_owner owner = {.lost = NULL};
    struct worker_link *link = NULL;
    int ends[2];
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    if (len > 0) {
        assert_true(send(ends[1], hello_bytes, len, 0) > 0);
    }
    if (!stays) {
        close(ends[1]);
    }
    enum hf_status status = worker_link_new(ends[0], SCENE_WORKER, &settings,
                                            &owner, &link, refusal);
    if (stays) {
        /* whatever came of it, the socket was taken */
        uint8_t byte = 0;
        worker_link_free(link);
        assert_int_equal(recv(ends[1], &byte, 1, 0), 0);
        close(ends[1]);
    } else {
        worker_link_free(link);
    }
    return status;
}

static void hello_is_needed(void **state)
{
    struct worker_refusal refusal;
    struct worker_hello hello = {
        .worker = SCENE_WORKER,
        .queue_max = 1,
        .profile = {.label = "scene"},
    };
    (void)state;
    assert_status(greet(0, false, 20000, &refusal), HF_E_UNREACHABLE);
    assert_status(greet(0, true, 20, &refusal), HF_E_TIMEOUT);
    size_t len = hello_encode(&hello, hello_bytes);
    assert_ok(greet(len, true, 20000, &refusal));
    assert_status(greet(len - 1, true, 20000, &refusal), HF_E_CORRUPT);
    assert_status(greet(1, true, 20000, &refusal), HF_E_CORRUPT);
    hello.worker = SCENE_WORKER + 1;
    len = hello_encode(&hello, hello_bytes);
    assert_status(greet(len, true, 20000, &refusal), HF_E_CORRUPT);
    assert_string_equal(refusal.text, "");

    hello = (struct worker_hello){.worker = SCENE_WORKER,
                                  .status = HF_E_DENIED,
                                  .why = "the PIN is locked"};
    len = hello_encode(&hello, hello_bytes);
    assert_status(greet(len, true, 20000, &refusal), HF_E_DENIED);
    assert_string_equal(refusal.text, "the PIN is locked");
}

/* --- afterwards ----------------------------------------------------------- */

static void ask_all(void)
{
    for (size_t i = 0; i < CALLS; i++) {
        call_prepare(&calls[i], i % 2 == 0 ? TOKEN_OP_MAC : TOKEN_OP_HEALTH);
        call_submit(&scene, &calls[i]);
    }
}

static void check_ended(size_t answered)
{
    for (size_t i = 0; i < CALLS; i++) {
        assert_status(call_wait(&calls[i]),
                      i < answered ? HF_OK : HF_E_UNREACHABLE);
    }
    wait_until(scene.lost == 1);
    assert_int_equal(worker_link_outstanding(scene.link), 0);
    scene_close(&scene);
    for (size_t i = 0; i < CALLS; i++) {
        assert_int_equal(calls[i].answered, 1);
    }
    assert_int_equal(scene.lost, 1);
}

static void with_nothing_asked(void **state)
{
    (void)state;
    scene_open(&scene, 0, 0);
    scene_hang_up(&scene);
    wait_until(scene.lost == 1);
    ask_all();
    check_ended(0);
}

static void with_everything_unread(void **state)
{
    (void)state;
    scene_open(&scene, 0, 0);
    ask_all();
    scene_hang_up(&scene);
    check_ended(0);
}

/* What was answered was answered, wherever it ends: also while requests lie
 * unread, which the socket reports as an error before the answers. */
static void after_each_answer(void **state)
{
    (void)state;
    for (size_t answered = 0; answered <= CALLS; answered++) {
        scene_open(&scene, 0, 0);
        ask_all();
        for (size_t i = 0; i < answered;) {
            scene_read(&scene);
            for (size_t n = 0; n < scene.asked_count; n++) {
                struct asked asked = scene.asked[n];
                if (i < answered) {
                    struct frame_writer writer = scene_begin(&scene);
                    scene_put(&writer, &asked);
                    scene_send(&scene, &writer);
                }
                i += 1;
            }
        }
        scene_hang_up(&scene);
        check_ended(answered);
    }
}

static void in_the_middle_of_a_list(void **state)
{
    struct call *list = &calls[0];
    struct call part;
    size_t listed = 0;
    (void)state;
    scene_open(&scene, 0, 0);
    call_prepare(list, TOKEN_OP_LIST);
    call_submit(&scene, list);
    scene_read(&scene);
    struct frame_writer writer = scene_begin(&scene);
    call_prepare(&part, TOKEN_OP_LIST);
    memset(part.reports, 0, sizeof part.reports);
    part.reports[0].key.type = TOKEN_KEY_AES;
    part.request.status = HF_OK;
    part.request.u.list.count = 1;
    assert_ok(frame_reply_put(&writer, scene.asked[0].number, &part.request, 0,
                              &listed));
    size_t len = frame_end(&writer);
    scene.packet[4 + 5 * 8 + 10] = 1; /* more to come */
    scene_send_bytes(&scene, len);
    scene_hang_up(&scene);
    assert_status(call_wait(list), HF_E_UNREACHABLE);
    wait_until(scene.lost == 1);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_is_needed),
        cmocka_unit_test(with_nothing_asked),
        cmocka_unit_test(with_everything_unread),
        cmocka_unit_test(after_each_answer),
        cmocka_unit_test(in_the_middle_of_a_list),
    };
    return cmocka_run_group_tests_name("worker_link_death", tests, NULL, NULL);
}
