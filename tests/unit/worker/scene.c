#include "tests/unit/worker/scene.h"

#include "hsm/base/check.h"

#include "tests/support/unit.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define OPENED 4
#define GUARD  0xee

static void count_lost(void *self, struct worker_link *link)
{
    struct scene *scene = self;
    (void)link;
    atomic_fetch_add(&scene->lost, 1);
}

void scene_pause(void)
{
    const struct timespec time = {.tv_nsec = 1000000};
    nanosleep(&time, NULL);
}

void scene_open(struct scene *scene, size_t queue_max, int64_t grace_ms)
{
    const struct worker_link_settings settings = {
        .hello_ms = 20000, .grace_ms = grace_ms, .queue_max = queue_max};
    const struct worker_link_owner owner = {.lost = count_lost, .self = scene};
    const struct worker_hello hello = {
        .worker = SCENE_WORKER,
        .queue_max = SCENE_QUEUE_MAX,
        .profile = {.label = "scene"},
    };
    const struct timeval patience = {.tv_sec = 20};
    const int room = 128 * 1024; /* wherever the system's own bound stands */
    struct worker_refusal refusal;
    int ends[2];
    atomic_store(&scene->lost, 0);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    scene->peer = ends[1];
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    setsockopt(scene->peer, SOL_SOCKET, SO_RCVTIMEO, &patience,
               sizeof patience);
    scene_send_bytes(scene, hello_encode(&hello, scene->packet));
    assert_ok(worker_link_new(ends[0], SCENE_WORKER, &settings, &owner,
                              &scene->link, &refusal));
}

void scene_hang_up(struct scene *scene)
{
    if (scene->peer >= 0) {
        close(scene->peer);
        scene->peer = -1;
    }
}

void scene_close(struct scene *scene)
{
    worker_link_free(scene->link);
    scene_hang_up(scene);
}

static void count_answer(struct token_request *request)
{
    struct call *call = request->owner;
    atomic_fetch_add(&call->answered, 1);
}

void call_prepare(struct call *call, enum token_op op)
{
    static const uint8_t text[OPENED + HF_GCM_TAG_BYTES];
    const struct token_key key = {.type = TOKEN_KEY_GENERIC, .id_len = 1};
    memset(call, 0, sizeof *call);
    memset(call->out, GUARD, sizeof call->out);
    memset(call->reports, GUARD, sizeof call->reports);
    atomic_init(&call->answered, 0);
    struct token_request *request = &call->request;
    request->op = op;
    request->attempt_ms = 60000; /* however busy the machine is */
    request->done = count_answer;
    request->owner = call;
    if (op == TOKEN_OP_OPEN) {
        request->u.aead = (struct token_aead){.key = SCENE_OBJECT,
                                              .in = BYTES_OF(text),
                                              .out = call->out,
                                              .out_cap = OPENED};
    } else if (op == TOKEN_OP_MAC) {
        request->u.mac.key = key;
    } else if (op == TOKEN_OP_LIST) {
        request->u.list.reports = call->reports;
        request->u.list.cap = 2;
    } else if (op == TOKEN_OP_UNWRAP) {
        request->u.unwrap.key = key;
        request->u.unwrap.suite = TOKEN_SUITE_OAEP_SHA1;
        request->u.unwrap.wrapped = BYTES_OF(text);
    } else if (op == TOKEN_OP_FORGET) {
        request->u.forget = SCENE_OBJECT;
    }
}

void call_submit(struct scene *scene, struct call *call)
{
    struct token_request *request = &call->request;
    request->status = HF_E_INTERNAL;
    worker_link_submit(scene->link, &request, 1);
}

bool call_is_open(struct call *call)
{
    return atomic_load(&call->answered) == 0;
}

static void check_guard(const void *from, size_t len)
{
    const uint8_t *at = from;
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(at[i], GUARD);
    }
}

enum hf_status call_wait(struct call *call)
{
    wait_until(!call_is_open(call));
    assert_int_equal(call->answered, 1);
    check_guard(call->out + OPENED, sizeof call->out - OPENED);
    check_guard(&call->reports[2], sizeof call->reports[2]);
    return call->request.status;
}

void scene_read(struct scene *scene)
{
    static struct frame_room room;
    struct frame_reader reader;
    ssize_t len = recv(scene->peer, scene->packet, FRAME_PACKET_MAX, 0);
    assert_true(len > 0);
    assert_ok(frame_open((struct bytes){scene->packet, (size_t)len},
                         FRAME_REQUESTS, &reader));
    scene->asked_count = reader.left;
    for (size_t i = 0; i < scene->asked_count; i++) {
        struct token_request request;
        assert_ok(frame_request_get(&reader, &scene->asked[i].number, &request,
                                    &room));
        scene->asked[i].op = request.op;
    }
    assert_ok(frame_close(&reader));
}

struct frame_writer scene_begin(struct scene *scene)
{
    const struct token_counters counters = {.objects = 9};
    struct frame_writer writer = frame_begin(scene->packet, FRAME_REPLIES);
    frame_counters_put(&writer, &counters);
    return writer;
}

void scene_put_status(struct frame_writer *writer, const struct asked *asked,
                      enum hf_status status)
{
    struct call good;
    size_t listed = 0;
    call_prepare(&good, asked->op);
    good.request.status = status;
    if (asked->op == TOKEN_OP_OPEN) {
        good.request.u.aead.out_len = OPENED;
    } else if (asked->op == TOKEN_OP_UNWRAP) {
        good.request.u.unwrap.object =
            (struct token_object){.handle = 123, .generation = 1};
    }
    assert_ok(
        frame_reply_put(writer, asked->number, &good.request, 0, &listed));
}

void scene_put(struct frame_writer *writer, const struct asked *asked)
{
    scene_put_status(writer, asked, HF_OK);
}

void scene_send_bytes(struct scene *scene, size_t len)
{
    assert_int_equal(send(scene->peer, scene->packet, len, MSG_NOSIGNAL), len);
}

void scene_send(struct scene *scene, struct frame_writer *writer)
{
    scene_send_bytes(scene, frame_end(writer));
}

void scene_answer(struct scene *scene)
{
    struct frame_writer writer = scene_begin(scene);
    for (size_t i = 0; i < scene->asked_count; i++) {
        scene_put(&writer, &scene->asked[i]);
    }
    scene_send(scene, &writer);
}
