/* Is every request the same on the other side? Is everything refused that is
 * not exactly one? */
#include "hsm/base/check.h"

#include "hsm/worker/frame.h"

#include "tests/support/unit.h"
#include "tests/unit/worker/frame_cases.h"
#include "tests/unit/worker/frame_same.h"

#include <string.h>

#define NUMBER UINT64_C(0x0011223344556677)

static struct frame_case made;
static struct frame_room room;
static uint8_t packet[FRAME_PACKET_MAX];
static uint8_t again[FRAME_PACKET_MAX];

static size_t put_request(const struct token_request *request, uint8_t *into)
{
    struct frame_writer writer = frame_begin(into, FRAME_REQUESTS);
    assert_ok(frame_request_put(&writer, NUMBER, request));
    return frame_end(&writer);
}

static enum hf_status get_request(const uint8_t *from, size_t len,
                                  uint64_t *number,
                                  struct token_request *request)
{
    struct frame_reader reader;
    /* a copy that ends where the packet ends, for the address sanitizer */
    uint8_t *exact = test_malloc(len > 0 ? len : 1);
    memcpy(exact, from, len);
    enum hf_status status =
        frame_open((struct bytes){exact, len}, FRAME_REQUESTS, &reader);
    if (status == HF_OK) {
        status = frame_request_get(&reader, number, request, &room);
    }
    if (status == HF_OK) {
        status = frame_close(&reader);
    }
    test_free(exact);
    return status;
}

static void requests_are_the_same_on_the_other_side(void **state)
{
    (void)state;
    for (size_t i = 0; i < FRAME_CASE_COUNT; i++) {
        struct token_request got;
        uint64_t number = 0;
        frame_case_make(i, &made);
        size_t len = put_request(&made.request, packet);
        assert_ok(get_request(packet, len, &number, &got));
        assert_true(number == NUMBER);
        same_question(&made.request, &got);
        frame_case_clear(&made);
    }
}

static void request_is_refused(size_t len)
{
    struct token_request got;
    uint64_t number = 0;
    assert_status(get_request(packet, len, &number, &got), HF_E_CORRUPT);
}

static void broken_requests_are_refused(void **state)
{
    size_t lengths = 0;
    (void)state;
    for (size_t i = 0; i < FRAME_CASE_COUNT; i++) {
        frame_case_make(i, &made);
        size_t len = put_request(&made.request, packet);
        for (size_t shorter = 0; shorter < len; shorter++) {
            request_is_refused(shorter);
        }
        packet[len] = 0;
        request_is_refused(len + 1);
        lengths +=
            for_each_wrong_length(&made, packet, len, request_is_refused);
        frame_case_clear(&made);
    }
    assert_true(lengths > 20);
}

/* One meaning has one form: what is accepted is what would have been sent. */
static void no_flipped_bit_goes_unseen(void **state)
{
    (void)state;
    for (size_t i = 0; i < FRAME_CASE_COUNT; i++) {
        frame_case_make(i, &made);
        size_t len = put_request(&made.request, packet);
        size_t step = len > 1024 ? 97 : 1;
        for (size_t bit = 0; bit < 8 * len; bit += step) {
            struct token_request got;
            uint64_t number = 0;
            packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (get_request(packet, len, &number, &got) == HF_OK) {
                struct frame_writer writer = frame_begin(again, FRAME_REQUESTS);
                assert_ok(frame_request_put(&writer, number, &got));
                assert_int_equal(frame_end(&writer), len);
                assert_memory_equal(again, packet, len);
            }
            packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        frame_case_clear(&made);
    }
}

static void headers_are_checked(void **state)
{
    struct frame_reader reader;
    (void)state;
    frame_case_make(2 * TOKEN_OP_HEALTH, &made);
    size_t len = put_request(&made.request, packet);
    struct bytes whole = {packet, len};
    assert_status(frame_open(whole, FRAME_REPLIES, &reader), HF_E_CORRUPT);
    packet[0] = FRAME_VERSION + 1;
    assert_status(frame_open(whole, FRAME_REQUESTS, &reader), HF_E_CORRUPT);
    packet[0] = FRAME_VERSION;
    packet[3] = 2; /* more entries than there are */
    request_is_refused(len);
    packet[3] = 0;
    request_is_refused(len);
    packet[2] = 2; /* and more than there may be */
    request_is_refused(len);
    packet[2] = 0;
    packet[3] = 1;
    packet[12] = TOKEN_OP_HEALTH + 1;
    request_is_refused(len);
}

static void what_no_token_understands_is_not_sent(void **state)
{
    struct frame_writer writer = frame_begin(packet, FRAME_REQUESTS);
    size_t empty = writer.bytes.len;
    (void)state;
    frame_case_make(2 * TOKEN_OP_UNWRAP + 1, &made);
    made.request.u.unwrap.suite = (enum token_suite)9;
    assert_status(frame_request_put(&writer, NUMBER, &made.request),
                  HF_E_INVALID);
    frame_case_make(2 * TOKEN_OP_MAC, &made);
    made.request.u.mac.key.type = (enum token_key_type)0;
    assert_status(frame_request_put(&writer, NUMBER, &made.request),
                  HF_E_INVALID);
    frame_case_make(2 * TOKEN_OP_GENERATE, &made);
    made.request.u.generate.purpose = (enum token_purpose)99;
    assert_status(frame_request_put(&writer, NUMBER, &made.request),
                  HF_E_INVALID);
    frame_case_make(2 * TOKEN_OP_DATA_CREATE, &made);
    memset(made.items[0].label, 'x', sizeof made.items[0].label);
    assert_status(frame_request_put(&writer, NUMBER, &made.request),
                  HF_E_INVALID);
    assert_int_equal(writer.bytes.len, empty);
    assert_int_equal(writer.count, 0);
}

/* A packet takes what fits, and is whole whatever did not. */
static void packets_are_filled_and_not_more(void **state)
{
    struct frame_writer writer = frame_begin(packet, FRAME_REQUESTS);
    struct frame_reader reader;
    size_t put = 0;
    (void)state;
    frame_case_make(2 * TOKEN_OP_MAC + 1, &made);
    while (frame_request_put(&writer, put, &made.request) == HF_OK) {
        put += 1;
    }
    assert_int_equal(put, FRAME_PACKET_MAX / (TOKEN_MAC_MAX_BYTES + 93));
    size_t len = frame_end(&writer);
    assert_ok(frame_open((struct bytes){packet, len}, FRAME_REQUESTS, &reader));
    for (size_t i = 0; i < put; i++) {
        struct token_request got;
        uint64_t number = 0;
        assert_ok(frame_request_get(&reader, &number, &got, &room));
        assert_true(number == i);
    }
    assert_ok(frame_close(&reader));

    writer = frame_begin(packet, FRAME_REQUESTS);
    frame_case_make(2 * TOKEN_OP_HEALTH, &made);
    for (put = 0; frame_request_put(&writer, put, &made.request) == HF_OK;) {
        put += 1;
    }
    assert_int_equal(put, TOKEN_BATCH_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_the_same_on_the_other_side),
        cmocka_unit_test(broken_requests_are_refused),
        cmocka_unit_test(no_flipped_bit_goes_unseen),
        cmocka_unit_test(headers_are_checked),
        cmocka_unit_test(what_no_token_understands_is_not_sent),
        cmocka_unit_test(packets_are_filled_and_not_more),
    };
    if (secret_heap_start(1 << 18) != HF_OK) {
        return 1;
    }
    return cmocka_run_group_tests_name("worker_frame_request", tests, NULL,
                                       NULL);
}
