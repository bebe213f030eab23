/* Is every answer the same on the other side? Is everything refused that is not
 * exactly the answer to what was asked? */
#include "hsm/base/check.h"

#include "hsm/worker/frame.h"

#include "tests/support/unit.h"
#include "tests/unit/worker/frame_cases.h"
#include "tests/unit/worker/frame_same.h"

#include <string.h>

#define NUMBER UINT64_C(0x0011223344556677)
#define WORKER 7

static struct frame_case made;
static struct frame_case other;
static uint8_t packet[FRAME_PACKET_MAX];

static size_t put_reply(const struct token_request *request, uint8_t *into)
{
    struct frame_writer writer = frame_begin(into, FRAME_REPLIES);
    size_t listed = 0;
    assert_ok(
        frame_reply_put(&writer, NUMBER, request, FRAME_CASE_FREE, &listed));
    return frame_end(&writer);
}

static enum hf_status get_reply(size_t len, struct token_request *request,
                                uint64_t *free_bytes)
{
    struct frame_reader reader;
    struct frame_reply_head head;
    size_t listed = 0;
    uint8_t *exact = test_malloc(len > 0 ? len : 1);
    memcpy(exact, packet, len);
    enum hf_status status =
        frame_open((struct bytes){exact, len}, FRAME_REPLIES, &reader);
    if (status == HF_OK) {
        status = frame_reply_head_get(&reader, &head);
    }
    if (status == HF_OK) {
        assert_true(head.number == NUMBER);
        status = frame_reply_get(&reader, &head, WORKER, request, &listed,
                                 free_bytes);
    }
    if (status == HF_OK) {
        status = head.more ? HF_E_CORRUPT : frame_close(&reader);
    }
    test_free(exact);
    return status;
}

static void free_answer(struct token_request *request)
{
    if (request->op == TOKEN_OP_DECRYPT) {
        secret_free(request->u.unwrap.secret);
        request->u.unwrap.secret = NULL;
    }
}

static void answers_are_the_same_on_the_other_side(void **state)
{
    (void)state;
    for (size_t i = 0; i < FRAME_CASE_COUNT; i++) {
        uint64_t free_bytes = 0;
        frame_case_make(i, &made);
        struct token_request blank = frame_case_blank(&made, &other);
        size_t len = put_reply(&made.request, packet);
        assert_ok(get_reply(len, &blank, &free_bytes));
        assert_ok(blank.status);
        assert_int_equal(blank.rv, made.request.rv);
        same_answer(&made.request, &blank, WORKER);
        assert_true(free_bytes ==
                    (blank.op == TOKEN_OP_HEALTH ? FRAME_CASE_FREE : 0));
        free_answer(&blank);

        /* a failure has no body, whatever the op */
        made.request.status = HF_E_DENIED;
        blank = frame_case_blank(&made, &other);
        len = put_reply(&made.request, packet);
        assert_int_equal(len, 4 + 19);
        assert_ok(get_reply(len, &blank, &free_bytes));
        assert_status(blank.status, HF_E_DENIED);
        frame_case_clear(&made);
    }
}

static void reply_is_refused(size_t len)
{
    uint64_t free_bytes = 0;
    struct token_request blank = frame_case_blank(&made, &other);
    enum hf_status status = get_reply(len, &blank, &free_bytes);
    free_answer(&blank);
    assert_status(status, HF_E_CORRUPT);
}

static void broken_answers_are_refused(void **state)
{
    size_t lengths = 0;
    (void)state;
    for (size_t i = 0; i < FRAME_CASE_COUNT; i++) {
        frame_case_make(i, &made);
        size_t len = put_reply(&made.request, packet);
        for (size_t shorter = 0; shorter < len; shorter++) {
            reply_is_refused(shorter);
        }
        packet[len] = 0;
        reply_is_refused(len + 1);
        lengths += for_each_wrong_length(&made, packet, len, reply_is_refused);
        packet[13] = HF_STATUS_COUNT;
        reply_is_refused(len);
        packet[13] = HF_OK;
        packet[14] = 1; /* more is to come, and does not */
        reply_is_refused(len);
        packet[14] = 2;
        reply_is_refused(len);
        frame_case_clear(&made);
    }
    assert_true(lengths > 10);
}

/* does not ask the other side whom it answers: an answer that is
 * another op's, or another length's, is nobody's. */
static void an_answer_fits_its_question(void **state)
{
    uint64_t free_bytes = 0;
    (void)state;
    for (size_t i = 0; i < FRAME_CASE_COUNT; i++) {
        for (size_t j = 0; j < FRAME_CASE_COUNT; j++) {
            if (i / 2 == j / 2) {
                continue;
            }
            static struct frame_case asked;
            frame_case_make(i, &made);
            size_t len = put_reply(&made.request, packet);
            frame_case_clear(&made);
            frame_case_make(j, &asked);
            struct token_request blank = frame_case_blank(&asked, &other);
            assert_status(get_reply(len, &blank, &free_bytes), HF_E_CORRUPT);
            frame_case_clear(&asked);
        }
    }
    frame_case_make(2 * TOKEN_OP_OPEN + 1, &made);
    size_t len = put_reply(&made.request, packet);
    made.request.u.aead.in.len -= 1; /* one byte less was asked for */
    made.request.u.aead.out_cap = sizeof other.out;
    reply_is_refused(len);
}

/* A list comes in as many packets as it needs, and never more than was asked
 * for. */
static void long_lists_come_in_parts(void **state)
{
    enum { COUNT = 300 };
    static struct token_key_report sent[COUNT];
    static struct token_key_report got[COUNT + 1];
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        frame_case_make(2 * TOKEN_OP_FIND + 1, &made);
        sent[i] = made.reports[0];
        sent[i].bits = (uint32_t)i;
    }
    memset(&got[COUNT], 0x99, sizeof got[COUNT]);
    struct token_request from = {
        .op = TOKEN_OP_LIST,
        .u.list = {.reports = sent, .cap = COUNT, .count = COUNT}
    };
    struct token_request to = {
        .op = TOKEN_OP_LIST, .u.list = {.reports = got, .cap = COUNT}
    };
    size_t put = 0;
    size_t listed = 0;
    size_t parts = 0;
    enum hf_status status = HF_E_LIMIT;
    while (status == HF_E_LIMIT) {
        struct frame_writer writer = frame_begin(packet, FRAME_REPLIES);
        struct frame_reader reader;
        struct frame_reply_head head;
        uint64_t free_bytes = 0;
        status = frame_reply_put(&writer, NUMBER, &from, 0, &put);
        struct bytes part = {packet, frame_end(&writer)};
        assert_ok(frame_open(part, FRAME_REPLIES, &reader));
        assert_ok(frame_reply_head_get(&reader, &head));
        assert_int_equal(head.more, status == HF_E_LIMIT);
        assert_ok(
            frame_reply_get(&reader, &head, 1, &to, &listed, &free_bytes));
        assert_ok(frame_close(&reader));
        assert_int_equal(listed, put);
        parts += 1;
    }
    assert_ok(status);
    assert_int_equal(parts, 4);
    assert_int_equal(to.u.list.count, COUNT);
    assert_memory_equal(got, sent, sizeof sent);
    for (size_t i = 0; i < sizeof got[COUNT]; i++) {
        assert_int_equal(((uint8_t *)&got[COUNT])[i], 0x99);
    }
}

/* What nobody waits for any more is read all the same, and an object that was
 * made is told of. */
static void late_answers_are_read_for_nobody(void **state)
{
    (void)state;
    for (size_t i = 0; i < FRAME_CASE_COUNT; i++) {
        struct frame_reader reader;
        struct frame_reply_head head;
        struct token_object object;
        frame_case_make(i, &made);
        struct frame_late late = frame_late_of(&made.request, 0);
        size_t len = put_reply(&made.request, packet);
        assert_ok(
            frame_open((struct bytes){packet, len}, FRAME_REPLIES, &reader));
        assert_ok(frame_reply_head_get(&reader, &head));
        assert_ok(frame_reply_drop(&reader, &head, WORKER, &late, &object));
        assert_ok(frame_close(&reader));
        assert_true((object.handle != 0) ==
                    (made.request.op == TOKEN_OP_UNWRAP));
        frame_case_clear(&made);
    }
}

/* An object whose generation has no room in the form is not given out. */
static void generations_must_fit(void **state)
{
    uint64_t free_bytes = 0;
    (void)state;
    frame_case_make(2 * TOKEN_OP_UNWRAP, &made);
    made.request.u.unwrap.object.generation = UINT64_C(1) << 32;
    struct token_request blank = frame_case_blank(&made, &other);
    size_t len = put_reply(&made.request, packet);
    assert_ok(get_reply(len, &blank, &free_bytes));
    assert_status(blank.status, HF_E_INTERNAL);
}

static void counters_come_along(void **state)
{
    const struct token_counters sent = {1, 2, 3, UINT64_C(4) << 40, 5};
    struct token_counters got;
    struct frame_reader reader;
    struct frame_writer writer = frame_begin(packet, FRAME_REPLIES);
    size_t listed = 0;
    (void)state;
    frame_counters_put(&writer, &sent);
    frame_case_make(2 * TOKEN_OP_HEALTH, &made);
    assert_ok(frame_reply_put(&writer, NUMBER, &made.request, 0, &listed));
    struct bytes whole = {packet, frame_end(&writer)};
    assert_ok(frame_open(whole, FRAME_REPLIES, &reader));
    frame_counters_get(&reader, &got);
    assert_memory_equal(&sent, &got, sizeof sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same_on_the_other_side),
        cmocka_unit_test(broken_answers_are_refused),
        cmocka_unit_test(an_answer_fits_its_question),
        cmocka_unit_test(long_lists_come_in_parts),
        cmocka_unit_test(late_answers_are_read_for_nobody),
        cmocka_unit_test(generations_must_fit),
        cmocka_unit_test(counters_come_along),
    };
    if (secret_heap_start(1 << 18) != HF_OK) {
        return 1;
    }
    return cmocka_run_group_tests_name("worker_frame_reply", tests, NULL, NULL);
}
