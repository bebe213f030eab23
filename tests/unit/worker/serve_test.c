/* The worker's own end: what it refuses, how it ends, and that it keeps no key
 * that went through its hands. */
#include "hsm/base/check.h"

#include "hsm/worker/frame.h"
#include "hsm/worker/hello.h"
#include "hsm/worker/serve.h"
#include "hsm/worker/serve_desk.h"

#include "tests/fakes/token_fake.h"
#include "tests/support/unit.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BOUND 4

/* --- a worker on a thread ------------------------------------------------- */

struct worker {
    pthread_t thread;
    int socket; /* the worker's */
    int peer;   /* ours */
    struct token token;
    struct token_fake *fake;
    enum hf_status ended;
};

static uint8_t packet[FRAME_PACKET_MAX + 64];

static void *serve(void *argument)
{
    struct worker *worker = argument;
    worker->ended = worker_serve(worker->socket, 9, BOUND, &worker->token);
    return NULL;
}

static void worker_start(struct worker *worker)
{
    const struct token_fake_settings settings = {.label = "served"};
    struct worker_hello hello;
    int ends[2];
    assert_ok(token_fake_new(&settings, &worker->token, &worker->fake));
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    worker->socket = ends[0];
    worker->peer = ends[1];
    assert_int_equal(pthread_create(&worker->thread, NULL, serve, worker), 0);
    ssize_t len = recv(worker->peer, packet, FRAME_PACKET_MAX, 0);
    assert_true(len > 0);
    assert_ok(hello_decode((struct bytes){packet, (size_t)len}, &hello));
    assert_int_equal(hello.worker, 9);
    assert_int_equal(hello.queue_max, BOUND);
    assert_string_equal(hello.profile.label, "served");
}

static void worker_join(struct worker *worker, enum hf_status expected)
{
    uint8_t byte = 0;
    pthread_join(worker->thread, NULL);
    assert_status(worker->ended, expected);
    assert_null(worker->token.port); /* closed */
    while (recv(worker->peer, packet, sizeof packet, 0) > 0) {
    }
    assert_true(recv(worker->peer, &byte, 1, 0) <= 0);
    close(worker->peer);
}

static struct frame_writer begin(void)
{
    return frame_begin(packet, FRAME_REQUESTS);
}

static void put_health(struct frame_writer *writer, uint64_t number)
{
    const struct token_request health = {.op = TOKEN_OP_HEALTH};
    assert_ok(frame_request_put(writer, number, &health));
}

static void send_bytes(const struct worker *worker, size_t len)
{
    assert_int_equal(send(worker->peer, packet, len, MSG_NOSIGNAL), len);
}

/* The next answer, one a packet or not. */
static size_t read_answers(const struct worker *worker)
{
    struct frame_reader reader;
    ssize_t len = recv(worker->peer, packet, FRAME_PACKET_MAX, 0);
    assert_true(len > 0);
    assert_ok(frame_open((struct bytes){packet, (size_t)len}, FRAME_REPLIES,
                         &reader));
    return reader.left;
}

static void ends_with_the_other_end(void **state)
{
    struct worker worker;
    (void)state;
    worker_start(&worker);
    struct frame_writer writer = begin();
    put_health(&writer, 1);
    put_health(&writer, 2);
    send_bytes(&worker, frame_end(&writer));
    for (size_t seen = 0; seen < 2;) {
        seen += read_answers(&worker);
    }
    shutdown(worker.peer, SHUT_RDWR);
    worker_join(&worker, HF_OK);
}

/* What is in the token when the other end goes is not answered, and nothing of
 * it is touched afterwards. */
static void ends_with_requests_in_the_token(void **state)
{
    struct worker worker;
    (void)state;
    worker_start(&worker);
    token_fake_hold(worker.fake, TOKEN_OP_HEALTH);
    struct frame_writer writer = begin();
    for (uint64_t i = 0; i < BOUND; i++) {
        put_health(&writer, i);
    }
    send_bytes(&worker, frame_end(&writer));
    assert_true(
        token_fake_wait_held(worker.fake, TOKEN_OP_HEALTH, BOUND, 20000));
    close(worker.peer);
    pthread_join(worker.thread, NULL);
    assert_ok(worker.ended);
}

typedef size_t rubbish_fn(void);

static size_t more_than_it_takes(void)
{
    struct frame_writer writer = begin();
    for (uint64_t i = 0; i <= BOUND; i++) {
        put_health(&writer, i);
    }
    return frame_end(&writer);
}

static size_t cut_short(void)
{
    struct frame_writer writer = begin();
    put_health(&writer, 1);
    put_health(&writer, 2);
    return frame_end(&writer) - 1;
}

static size_t followed_by_more(void)
{
    struct frame_writer writer = begin();
    put_health(&writer, 1);
    packet[frame_end(&writer)] = 0;
    return writer.bytes.len + 1;
}

static size_t replies(void)
{
    struct frame_writer writer = begin();
    put_health(&writer, 1);
    packet[1] = FRAME_REPLIES;
    return frame_end(&writer);
}

static size_t too_long(void)
{
    cut_short();
    return FRAME_PACKET_MAX + 1;
}

static size_t one_byte(void)
{
    return 1;
}

/* Nothing of a packet that cannot be reaches the token. */
static void rubbish_ends_it(void **state)
{
    static rubbish_fn *const cases[] = {more_than_it_takes, cut_short,
                                        followed_by_more,   replies,
                                        too_long,           one_byte};
    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct worker worker;
        worker_start(&worker);
        send_bytes(&worker, cases[i]());
        worker_join(&worker, HF_E_CORRUPT);
    }
}

static void refusals_say_why(void **state)
{
    struct worker_hello hello;
    int ends[2];
    char why[600];
    (void)state;
    memset(why, 'w', sizeof why - 1);
    why[sizeof why - 1] = '\0';
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    assert_ok(worker_refuse(ends[0], 4, HF_E_UNSUPPORTED, why));
    ssize_t len = recv(ends[1], packet, FRAME_PACKET_MAX, 0);
    assert_true(len > 0);
    assert_ok(hello_decode((struct bytes){packet, (size_t)len}, &hello));
    assert_status(hello.status, HF_E_UNSUPPORTED);
    assert_int_equal(strlen(hello.why), 255);
    assert_int_equal(recv(ends[1], packet, 1, 0), 0);
    close(ends[1]);
}

/* --- how it answers ------------------------------------------------------- */

struct stand {
    struct serve_desk desk;
    struct token token;
    int peer;
};

static void stand_open(struct stand *stand, size_t bound)
{
    const struct token_fake_settings settings = {.label = "served"};
    struct token_fake *fake = NULL;
    int ends[2];
    assert_ok(token_fake_new(&settings, &stand->token, &fake));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    assert_ok(serve_desk_init(&stand->desk, ends[0], &stand->token, bound));
    stand->peer = ends[1];
}

static void stand_close(struct stand *stand)
{
    serve_desk_free(&stand->desk);
    token_close(&stand->token);
    close(stand->desk.socket);
    close(stand->peer);
}

static struct token_request *take(struct stand *stand, enum token_op op,
                                  uint64_t number)
{
    struct serve_desk_entry *entry = serve_desk_take(&stand->desk, op);
    assert_non_null(entry);
    entry->request = (struct token_request){.op = op};
    entry->number = number;
    return &entry->request;
}

/* The numbers of the next packet's answers, in order; how many. */
static size_t numbers_of_packet(struct stand *stand, uint64_t numbers[8])
{
    struct frame_reader reader;
    struct token_counters counters;
    size_t count = 0;
    ssize_t len = recv(stand->peer, packet, FRAME_PACKET_MAX, MSG_DONTWAIT);
    if (len <= 0) {
        return 0;
    }
    assert_ok(frame_open((struct bytes){packet, (size_t)len}, FRAME_REPLIES,
                         &reader));
    frame_counters_get(&reader, &counters);
    while (reader.left > 0 && count < 8) {
        struct frame_reply_head head;
        assert_ok(frame_reply_head_get(&reader, &head));
        get_u64(&reader.bytes); /* of a HEALTH; a MAC has four of them */
        for (int i = 0; head.op == TOKEN_OP_MAC && i < 3; i++) {
            get_u64(&reader.bytes);
        }
        numbers[count++] = head.number;
    }
    assert_ok(frame_close(&reader));
    return count;
}

/* Answers that are told together go in one packet, the data lane's first. */
static void answers_are_packed(void **state)
{
    struct stand stand;
    uint64_t numbers[8];
    (void)state;
    stand_open(&stand, BOUND);
    struct token_request *first = take(&stand, TOKEN_OP_HEALTH, 11);
    struct token_request *second = take(&stand, TOKEN_OP_MAC, 12);
    struct token_request *last = take(&stand, TOKEN_OP_MAC, 13);
    first->link = second;
    second->link = last;
    serve_desk_done(first);
    serve_desk_done(second);
    assert_int_equal(numbers_of_packet(&stand, numbers), 0);
    serve_desk_done(last);
    assert_int_equal(numbers_of_packet(&stand, numbers), 3);
    assert_true(numbers[0] == 12 && numbers[1] == 13 && numbers[2] == 11);
    assert_int_equal(numbers_of_packet(&stand, numbers), 0);
    stand_close(&stand);
}

/* As many as it says, not one more, and again when they are answered. */
static void entries_are_bounded(void **state)
{
    struct stand stand;
    struct token_request *requests[BOUND];
    (void)state;
    stand_open(&stand, BOUND);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < BOUND; i++) {
            requests[i] = take(&stand, TOKEN_OP_MAC, i);
        }
        assert_null(serve_desk_take(&stand.desk, TOKEN_OP_OPEN));
        struct token_request *root = take(&stand, TOKEN_OP_FORGET, 9);
        serve_desk_done(root);
        for (size_t i = 0; i < BOUND; i++) {
            serve_desk_done(requests[i]);
        }
    }
    stand_close(&stand);
}

static void *done_in_thread(void *request)
{
    serve_desk_done(request);
    return NULL;
}

/* Whoever reads an answer may ask anew at once: its entry is free by then. Here
 * nobody reads, and the one who sends waits. */
static void entries_are_free_before_answers_are_read(void **state)
{
    struct stand stand;
    struct serve_desk_entry *next = NULL;
    pthread_t thread;
    uint64_t numbers[8];
    const uint8_t filler[1024] = {0};
    (void)state;
    stand_open(&stand, 1);
    while (send(stand.desk.socket, filler, sizeof filler, MSG_DONTWAIT) > 0) {
    }
    while (send(stand.desk.socket, filler, 1, MSG_DONTWAIT) > 0) {
    }
    struct token_request *request = take(&stand, TOKEN_OP_MAC, 7);
    assert_int_equal(pthread_create(&thread, NULL, done_in_thread, request), 0);
    for (int turns = 0; next == NULL && turns < 20000; turns++) {
        const struct timespec nap = {.tv_nsec = 1000000};
        nanosleep(&nap, NULL);
        next = serve_desk_take(&stand.desk, TOKEN_OP_MAC);
    }
    ssize_t len = 1;
    while (len == 1 || len == sizeof filler) {
        len = recv(stand.peer, packet, FRAME_PACKET_MAX, MSG_PEEK);
        if (len == 1 || len == sizeof filler) {
            assert_int_equal(recv(stand.peer, packet, FRAME_PACKET_MAX, 0),
                             len);
        }
    }
    assert_int_equal(numbers_of_packet(&stand, numbers), 1);
    assert_true(numbers[0] == 7);
    pthread_join(thread, NULL);
    assert_non_null(next);
    stand_close(&stand);
}

/* Lists bring as much as there is: only so many are in hand at once, and none
 * of them is longer than an adapter's longest. */
static void lists_are_bounded(void **state)
{
    struct stand stand;
    struct serve_desk_entry *lists[SERVE_LISTS_MAX];
    (void)state;
    stand_open(&stand, SERVE_LISTS_MAX + 1);
    for (size_t i = 0; i < SERVE_LISTS_MAX; i++) {
        lists[i] = (struct serve_desk_entry *)take(&stand, TOKEN_OP_LIST, i);
        lists[i]->request.u.list.cap = UINT32_MAX;
        assert_ok(serve_desk_make_room(&stand.desk, lists[i]));
        assert_int_equal(lists[i]->request.u.list.cap, SERVE_ITEMS_MAX);
    }
    struct serve_desk_entry *more =
        (struct serve_desk_entry *)take(&stand, TOKEN_OP_DATA_LIST, 99);
    assert_status(serve_desk_make_room(&stand.desk, more), HF_E_OVERLOAD);
    serve_desk_give_back(&stand.desk, lists[0]);
    assert_ok(serve_desk_make_room(&stand.desk, more));
    serve_desk_give_back(&stand.desk, more);
    for (size_t i = 1; i < SERVE_LISTS_MAX; i++) {
        serve_desk_give_back(&stand.desk, lists[i]);
    }
    stand_close(&stand);
}

/* --- what is kept --------------------------------------------------------- */

static bool holds(const void *memory, size_t len, struct bytes what)
{
    return memmem(memory, len, what.data, what.len) != NULL;
}

/* A key that is opened, sealed or decrypted goes through the entry and the
 * packet, and is in neither afterwards. */
static void keys_are_wiped(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_OPEN, TOKEN_OP_SEAL,
                                        TOKEN_OP_DECRYPT};
    static const uint8_t bytes[HF_KEY_BYTES] =
        "a key of thirty-two bytes, this";
    const struct bytes key = BYTES_OF(bytes);
    struct stand stand;
    (void)state;
    stand_open(&stand, BOUND);
    for (size_t i = 0; i < HF_COUNT(ops); i++) {
        struct serve_desk_entry *entry = serve_desk_take(&stand.desk, ops[i]);
        struct token_request *request = &entry->request;
        *request = (struct token_request){.op = ops[i]};
        if (ops[i] == TOKEN_OP_DECRYPT) {
            assert_ok(secret_new(key.len, &request->u.unwrap.secret));
            memcpy(secret_writable(request->u.unwrap.secret), bytes, key.len);
        } else {
            memcpy(entry->room.u.data.out, bytes, key.len);
            memcpy(entry->room.u.data.in, bytes, key.len);
            request->u.aead.out = entry->room.u.data.out;
            request->u.aead.out_len = key.len;
            request->u.aead.in = (struct bytes){
                entry->room.u.data.in,
                ops[i] == TOKEN_OP_OPEN ? key.len + HF_GCM_TAG_BYTES : key.len};
            if (ops[i] == TOKEN_OP_OPEN) {
                memset(entry->room.u.data.in, 0, key.len);
            } else {
                memset(entry->room.u.data.out, 0, key.len);
                request->u.aead.out_len = key.len + HF_GCM_TAG_BYTES;
            }
        }
        serve_desk_done(request);
        ssize_t len = recv(stand.peer, packet, FRAME_PACKET_MAX, 0);
        assert_true(len > 0);
        /* it did go over, and nothing of it stayed */
        assert_int_equal(holds(packet, (size_t)len, key),
                         ops[i] != TOKEN_OP_SEAL);
        assert_false(holds(stand.desk.out, FRAME_PACKET_MAX, key));
        assert_false(holds(stand.desk.entries,
                           2 * BOUND * sizeof *stand.desk.entries, key));
    }
    stand_close(&stand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_with_the_other_end),
        cmocka_unit_test(ends_with_requests_in_the_token),
        cmocka_unit_test(rubbish_ends_it),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(answers_are_packed),
        cmocka_unit_test(entries_are_bounded),
        cmocka_unit_test(entries_are_free_before_answers_are_read),
        cmocka_unit_test(lists_are_bounded),
        cmocka_unit_test(keys_are_wiped),
    };
    if (secret_heap_start(1 << 18) != HF_OK) {
        return 1;
    }
    return cmocka_run_group_tests_name("worker_serve", tests, NULL, NULL);
}
