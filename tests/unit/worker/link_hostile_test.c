/* A worker that has been taken over says whatever hurts: does the link end at
 * the first thing that cannot be, is every request answered exactly once, and
 * is nothing written where nobody gave it room? */
#include "hsm/base/check.h"

#include "hsm/worker/link.h"

#include "tests/support/unit.h"
#include "tests/unit/worker/scene.h"

#include <dirent.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct scene scene;
static struct call call;

/* What may follow once a link is lost: nothing. */
static void check_lost(void)
{
    struct call after;
    struct token_counters counters;
    wait_until(scene.lost == 1);
    assert_true(worker_link_is_lost(scene.link));
    call_prepare(&after, TOKEN_OP_HEALTH);
    call_submit(&scene, &after);
    assert_status(call_wait(&after), HF_E_UNREACHABLE);
    worker_link_counters(scene.link, &counters);
    assert_int_equal(counters.objects, 0);
    wait_until(worker_link_outstanding(scene.link) == 0);
    assert_int_equal(scene.lost, 1);
    assert_int_equal(call.answered, 1);
}

/* --- packets that cannot be ----------------------------------------------- */

/* Each makes a packet in scene.packet about the one request that was asked and
 * gives its length. */
typedef size_t evil_fn(void);

static size_t good(void)
{
    struct frame_writer writer = scene_begin(&scene);
    scene_put(&writer, &scene.asked[0]);
    return frame_end(&writer);
}

static size_t numbered(uint64_t number)
{
    struct frame_writer writer = scene_begin(&scene);
    struct asked asked = {.number = number, .op = scene.asked[0].op};
    scene_put(&writer, &asked);
    return frame_end(&writer);
}

static size_t twice(void)
{
    struct frame_writer writer = scene_begin(&scene);
    scene_put(&writer, &scene.asked[0]);
    scene_put(&writer, &scene.asked[0]);
    return frame_end(&writer);
}

static size_t number_before(void)
{
    return numbered(scene.asked[0].number - (UINT64_C(1) << 13));
}

static size_t number_to_come(void)
{
    return numbered(scene.asked[0].number + (UINT64_C(1) << 13));
}

static size_t number_of_a_free_place(void)
{
    return numbered(scene.asked[0].number + 1);
}

static size_t number_of_no_place(void)
{
    return numbered(scene.asked[0].number | 8191);
}

static size_t number_zero(void)
{
    return numbered(0);
}

static size_t number_of_all_ones(void)
{
    return numbered(UINT64_MAX);
}

static size_t another_op(void)
{
    struct frame_writer writer = scene_begin(&scene);
    struct asked asked = {.number = scene.asked[0].number,
                          .op = TOKEN_OP_HEALTH};
    scene_put(&writer, &asked);
    return frame_end(&writer);
}

static size_t another_op_that_failed(void)
{
    struct frame_writer writer = scene_begin(&scene);
    struct asked asked = {.number = scene.asked[0].number,
                          .op = TOKEN_OP_HEALTH};
    scene_put_status(&writer, &asked, HF_E_DENIED);
    return frame_end(&writer);
}

#define ENTRY_AT (4 + 5 * 8)

static size_t changed(size_t at, uint8_t value)
{
    size_t len = good();
    scene.packet[at] = value;
    return len;
}

static size_t status_of_no_kind(void)
{
    return changed(ENTRY_AT + 9, HF_STATUS_COUNT);
}

static size_t op_of_no_kind(void)
{
    return changed(ENTRY_AT + 8, 200);
}

static size_t more_to_come(void)
{
    return changed(ENTRY_AT + 10, 1);
}

static size_t no_entry(void)
{
    return changed(3, 0);
}

static size_t fewer_entries(void)
{
    return changed(3, 2);
}

static size_t too_many_entries(void)
{
    return changed(2, 255);
}

static size_t another_version(void)
{
    return changed(0, FRAME_VERSION + 1);
}

static size_t requests(void)
{
    return changed(1, FRAME_REQUESTS);
}

static size_t another_hello(void)
{
    const struct worker_hello hello = {
        .worker = SCENE_WORKER,
        .queue_max = 1024,
        .profile = {.label = "scene"},
    };
    return hello_encode(&hello, scene.packet);
}

static size_t one_byte_less(void)
{
    return good() - 1;
}

static size_t one_byte_more(void)
{
    return good() + 1;
}

static size_t one_byte(void)
{
    return 1;
}

static size_t garbage(void)
{
    for (size_t i = 0; i < 1000; i++) {
        scene.packet[i] = (uint8_t)(i * 167 + 13);
    }
    return 1000;
}

static size_t too_long(void)
{
    good();
    return FRAME_PACKET_MAX + 1;
}

/* Of OPEN: another length than its text has. */
static size_t opened(size_t len)
{
    struct call longer;
    size_t listed = 0;
    struct frame_writer writer = scene_begin(&scene);
    call_prepare(&longer, TOKEN_OP_OPEN);
    longer.request.status = HF_OK;
    longer.request.u.aead.out_len = len;
    assert_ok(frame_reply_put(&writer, scene.asked[0].number, &longer.request,
                              0, &listed));
    return frame_end(&writer);
}

static size_t opened_longer(void)
{
    return opened(5);
}

static size_t opened_much_longer(void)
{
    return opened(HF_SEALED_MAX_BYTES);
}

static size_t opened_shorter(void)
{
    return opened(3);
}

static size_t opened_to_nothing(void)
{
    return opened(0);
}

/* Of LIST: so many items in one part. */
static size_t listed_so_many(size_t count, bool more)
{
    struct call list;
    size_t listed = 0;
    struct frame_writer writer = scene_begin(&scene);
    call_prepare(&list, TOKEN_OP_LIST);
    memset(list.reports, 0, sizeof list.reports);
    for (size_t i = 0; i < count; i++) {
        list.reports[i].key.type = TOKEN_KEY_AES;
    }
    list.request.status = HF_OK;
    list.request.u.list.count = count;
    assert_ok(frame_reply_put(&writer, scene.asked[0].number, &list.request, 0,
                              &listed));
    size_t len = frame_end(&writer);
    scene.packet[ENTRY_AT + 10] = more ? 1 : 0;
    return len;
}

static size_t listed_more_than_asked(void)
{
    return listed_so_many(3, false);
}

static size_t listed_nothing_but_more(void)
{
    return listed_so_many(0, true);
}

static size_t listed_and_still_more(void)
{
    scene_send_bytes(&scene, listed_so_many(2, true));
    return listed_so_many(1, false);
}

static size_t listed_and_an_empty_part(void)
{
    scene_send_bytes(&scene, listed_so_many(1, true));
    return listed_so_many(0, false);
}

static size_t listed_and_then_failed(void)
{
    scene_send_bytes(&scene, listed_so_many(1, true));
    struct frame_writer writer = scene_begin(&scene);
    scene_put_status(&writer, &scene.asked[0], HF_E_LIMIT);
    return frame_end(&writer);
}

static void what_cannot_be_ends_the_link(void **state)
{
    static const struct {
        enum token_op op;
        evil_fn *evil;
        enum hf_status answer;
    } cases[] = {
        {TOKEN_OP_MAC,  twice,                    HF_OK           },
        {TOKEN_OP_MAC,  number_before,            HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  number_to_come,           HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  number_of_a_free_place,   HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  number_of_no_place,       HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  number_zero,              HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  number_of_all_ones,       HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  another_op,               HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  another_op_that_failed,   HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  status_of_no_kind,        HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  op_of_no_kind,            HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  more_to_come,             HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  no_entry,                 HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  fewer_entries,            HF_OK           },
        {TOKEN_OP_MAC,  too_many_entries,         HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  another_version,          HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  requests,                 HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  another_hello,            HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  one_byte_less,            HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  one_byte_more,            HF_OK           },
        {TOKEN_OP_MAC,  one_byte,                 HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  garbage,                  HF_E_UNREACHABLE},
        {TOKEN_OP_MAC,  too_long,                 HF_E_UNREACHABLE},
        {TOKEN_OP_OPEN, opened_longer,            HF_E_UNREACHABLE},
        {TOKEN_OP_OPEN, opened_much_longer,       HF_E_UNREACHABLE},
        {TOKEN_OP_OPEN, opened_shorter,           HF_E_UNREACHABLE},
        {TOKEN_OP_OPEN, opened_to_nothing,        HF_E_UNREACHABLE},
        {TOKEN_OP_LIST, listed_more_than_asked,   HF_E_UNREACHABLE},
        {TOKEN_OP_LIST, listed_nothing_but_more,  HF_E_UNREACHABLE},
        {TOKEN_OP_LIST, listed_and_still_more,    HF_E_UNREACHABLE},
        {TOKEN_OP_LIST, listed_and_an_empty_part, HF_E_UNREACHABLE},
        {TOKEN_OP_LIST, listed_and_then_failed,   HF_E_UNREACHABLE},
    };
    (void)state;
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        scene_open(&scene, 0, 0);
        call_prepare(&call, cases[i].op);
        call_submit(&scene, &call);
        scene_read(&scene);
        scene_send_bytes(&scene, cases[i].evil());
        assert_status(call_wait(&call), cases[i].answer);
        check_lost();
        scene_close(&scene);
    }
}

/* The number of a place that has been used comes once and never again. */
static void an_old_number_answers_nothing(void **state)
{
    (void)state;
    scene_open(&scene, 1, 0);
    call_prepare(&call, TOKEN_OP_MAC);
    call_submit(&scene, &call);
    scene_read(&scene);
    size_t len = good();
    scene_send_bytes(&scene, len);
    assert_ok(call_wait(&call));
    call_prepare(&call, TOKEN_OP_MAC); /* in the very same place */
    call_submit(&scene, &call);
    scene_send_bytes(&scene, len);
    assert_status(call_wait(&call), HF_E_UNREACHABLE);
    check_lost();
    scene_close(&scene);
}

static size_t descriptors(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count += 1;
    }
    closedir(folder);
    return count;
}

/* Descriptors that a worker slips in stay outside. */
static void descriptors_are_not_taken(void **state)
{
    (void)state;
    scene_open(&scene, 0, 0);
    call_prepare(&call, TOKEN_OP_MAC);
    call_submit(&scene, &call);
    scene_read(&scene);
    size_t before = descriptors();
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    struct iovec part = {.iov_base = scene.packet, .iov_len = good()};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.head), &scene.peer, sizeof(int));
    assert_true(sendmsg(scene.peer, &message, MSG_NOSIGNAL) > 0);
    assert_ok(call_wait(&call));
    assert_int_equal(descriptors(), before);
    scene_close(&scene);
}

/* The handle of one worker never addresses another's key. */
static void another_workers_object_is_refused(void **state)
{
    static const enum token_op ops[] = {TOKEN_OP_OPEN, TOKEN_OP_FORGET};
    (void)state;
    scene_open(&scene, 0, 0);
    assert_true(worker_link_owns(scene.link, SCENE_OBJECT.generation));
    for (size_t i = 0; i < HF_COUNT(ops); i++) {
        call_prepare(&call, ops[i]);
        struct token_object *object = ops[i] == TOKEN_OP_OPEN
                                          ? &call.request.u.aead.key
                                          : &call.request.u.forget;
        object->generation += UINT64_C(1) << 32;
        assert_false(worker_link_owns(scene.link, object->generation));
        call_submit(&scene, &call);
        assert_status(call_wait(&call), HF_E_PRECONDITION);
    }
    call_prepare(&call, TOKEN_OP_UNWRAP);
    call_submit(&scene, &call);
    scene_read(&scene);
    assert_int_equal(scene.asked_count, 1); /* the others were not asked */
    scene_answer(&scene);
    assert_ok(call_wait(&call));
    assert_true(call.request.u.unwrap.object.generation ==
                SCENE_OBJECT.generation);
    assert_int_equal(worker_link_objects(scene.link), 9); /* as it says */
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_ends_the_link),
        cmocka_unit_test(an_old_number_answers_nothing),
        cmocka_unit_test(descriptors_are_not_taken),
        cmocka_unit_test(another_workers_object_is_refused),
    };
    return cmocka_run_group_tests_name("worker_link_hostile", tests, NULL,
                                       NULL);
}
