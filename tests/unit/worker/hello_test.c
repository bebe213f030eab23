/* What a worker says first: who is there, or why nobody is. */
#include "hsm/worker/frame.h"
#include "hsm/worker/hello.h"

#include "tests/support/unit.h"

#include <string.h>

static uint8_t packet[FRAME_PACKET_MAX];

static void hello_says_who_is_there(void **state)
{
    struct worker_hello got;
    struct worker_hello sent = {
        .worker = 3,
        .queue_max = 64,
        .profile = {.label = "a token",
                    .serial = "77",
                    .manufacturer = "Holdfast",
                    .model = "m",
                    .free_private_bytes = 5,
                    .total_private_bytes = 9},
    };
    (void)state;
    size_t len = hello_encode(&sent, packet);
    assert_ok(hello_decode((struct bytes){packet, len}, &got));
    assert_memory_equal(&got, &sent, sizeof sent);
    /* every flag there is, also those that are yet to come */
    memset(&sent.profile.login_required, 1,
           offsetof(struct token_profile, hardware) + 1 -
               offsetof(struct token_profile, login_required));
    len = hello_encode(&sent, packet);
    assert_ok(hello_decode((struct bytes){packet, len}, &got));
    assert_memory_equal(&got, &sent, sizeof sent);
    for (size_t shorter = 0; shorter < len; shorter++) {
        assert_status(hello_decode((struct bytes){packet, shorter}, &got),
                      HF_E_CORRUPT);
    }
    packet[len] = 0;
    assert_status(hello_decode((struct bytes){packet, len + 1}, &got),
                  HF_E_CORRUPT);
    sent.profile.label[0] = '\0'; /* nobody's token */
    len = hello_encode(&sent, packet);
    assert_status(hello_decode((struct bytes){packet, len}, &got),
                  HF_E_CORRUPT);
    sent.profile.label[0] = 'a';
    sent.queue_max = 0;
    len = hello_encode(&sent, packet);
    assert_status(hello_decode((struct bytes){packet, len}, &got),
                  HF_E_CORRUPT);
}

static void hello_says_why_not(void **state)
{
    struct worker_hello got;
    struct worker_hello sent = {
        .worker = 3, .status = HF_E_DENIED, .why = "the PIN is locked"};
    (void)state;
    size_t len = hello_encode(&sent, packet);
    assert_ok(hello_decode((struct bytes){packet, len}, &got));
    assert_status(got.status, HF_E_DENIED);
    assert_string_equal(got.why, "the PIN is locked");
    packet[8] = HF_STATUS_COUNT;
    assert_status(hello_decode((struct bytes){packet, len}, &got),
                  HF_E_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_says_who_is_there),
        cmocka_unit_test(hello_says_why_not),
    };
    return cmocka_run_group_tests_name("worker_hello", tests, NULL, NULL);
}
