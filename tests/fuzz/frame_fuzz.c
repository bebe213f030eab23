/* frame_fuzz: what a token worker and its user send each other, in both
 * directions. What is accepted is what an honest peer would have sent: the same
 * bytes come out again; no result is written beyond its buffer.
 *
 *   input = direction: one of "qrh" | packet
 * Of replies ("r"), number n answers request n of the tests' own cases, worker
 * 0 made the objects, and whether its user still waits is bit 7 of n.
 */
#include "hsm/base/check.h"

#include "hsm/worker/frame.h"
#include "hsm/worker/hello.h"

#include "tests/unit/worker/frame_cases.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOBODY_WAITS 128

static struct frame_room room;
static struct frame_case asked;
static struct frame_case answered;
static uint8_t again[FRAME_PACKET_MAX];

static void look_at_requests(struct bytes packet)
{
    struct frame_reader reader;
    struct frame_writer writer = frame_begin(again, FRAME_REQUESTS);
    if (frame_open(packet, FRAME_REQUESTS, &reader) != HF_OK) {
        return;
    }
    while (reader.left > 0) {
        struct token_request request;
        uint64_t number = 0;
        if (frame_request_get(&reader, &number, &request, &room) != HF_OK) {
            return;
        }
        CHECK(frame_request_put(&writer, number, &request) == HF_OK);
    }
    if (frame_close(&reader) == HF_OK) {
        struct bytes same = {again, frame_end(&writer)};
        CHECK(bytes_equal(same, packet));
    }
}

static bool is_list(enum token_op op)
{
    return op == TOKEN_OP_LIST || op == TOKEN_OP_DATA_LIST;
}

/* One answer for the one who waits; false: it is none. */
static bool take(struct frame_reader *reader,
                 const struct frame_reply_head *head)
{
    const uint8_t *from = reader->bytes.data + reader->bytes.at - 19;
    struct token_request request = frame_case_blank(&asked, &answered);
    size_t listed = 0;
    uint64_t free_bytes = 0;
    if (frame_reply_get(reader, head, 0, &request, &listed, &free_bytes) !=
        HF_OK) {
        return false;
    }
    CHECK(request.status == head->status);
    if (!is_list(request.op)) {
        struct frame_writer writer = frame_begin(again, FRAME_REPLIES);
        size_t put = 0;
        CHECK(frame_reply_put(&writer, head->number, &request, free_bytes,
                              &put) == HF_OK);
        size_t len = (size_t)(reader->bytes.data + reader->bytes.at - from);
        CHECK(bytes_equal((struct bytes){again + 4, writer.bytes.len - 4},
                          (struct bytes){from, len}));
    } else if (request.status == HF_OK) {
        CHECK(listed <= FRAME_CASE_LISTED);
    }
    if (request.op == TOKEN_OP_DECRYPT && request.status == HF_OK) {
        secret_free(request.u.unwrap.secret);
    }
    return true;
}

static bool drop(struct frame_reader *reader,
                 const struct frame_reply_head *head)
{
    struct frame_late late = frame_late_of(&asked.request, 0);
    struct token_object object;
    return frame_reply_drop(reader, head, 0, &late, &object) == HF_OK;
}

static void look_at_replies(struct bytes packet)
{
    struct frame_reader reader;
    struct frame_reply_head head;
    struct token_counters counters;
    bool sound = frame_open(packet, FRAME_REPLIES, &reader) == HF_OK;
    if (sound) {
        frame_counters_get(&reader, &counters);
    }
    while (sound && reader.left > 0) {
        sound = frame_reply_head_get(&reader, &head) == HF_OK &&
                head.number % NOBODY_WAITS < FRAME_CASE_COUNT &&
                head.number < 2 * NOBODY_WAITS;
        if (!sound) {
            return;
        }
        frame_case_make(head.number % NOBODY_WAITS, &asked);
        sound = head.number >= NOBODY_WAITS ? drop(&reader, &head)
                                            : take(&reader, &head);
        frame_case_clear(&asked);
    }
}

static void look_at_hello(struct bytes packet)
{
    struct worker_hello hello;
    if (hello_decode(packet, &hello) == HF_OK) {
        struct bytes same = {again, hello_encode(&hello, again)};
        CHECK(bytes_equal(same, packet));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > FRAME_PACKET_MAX ||
        secret_heap_start(1 << 18) != HF_OK) {
        return 0;
    }
    /* a copy that ends where the packet ends, for the address sanitizer */
    uint8_t *packet = malloc(size);
    CHECK(packet != NULL);
    memcpy(packet, data + 1, size - 1);
    struct bytes exact = {packet, size - 1};
    if (data[0] == 'q') {
        look_at_requests(exact);
    } else if (data[0] == 'r') {
        look_at_replies(exact);
    } else if (data[0] == 'h') {
        look_at_hello(exact);
    }
    free(packet);
    return 0;
}
