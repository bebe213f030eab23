/* Keys that go through a link are not kept in its buffers. */
#include "hsm/base/check.h"

#include "hsm/worker/link_inside.h"

#include "tests/support/unit.h"
#include "tests/unit/worker/scene.h"

#include <string.h>

static const uint8_t bytes[HF_KEY_BYTES] = "a key of thirty-two bytes, this";

static struct scene scene;
static struct call call;

static bool holds(const uint8_t *buffer)
{
    return memmem(buffer, FRAME_PACKET_MAX, bytes, sizeof bytes) != NULL;
}

static void sealed_keys_are_wiped(void **state)
{
    (void)state;
    scene_open(&scene, 0, 0);
    call_prepare(&call, TOKEN_OP_SEAL);
    call.request.u.aead = (struct token_aead){.key = SCENE_OBJECT,
                                              .in = BYTES_OF(bytes),
                                              .out = call.out,
                                              .out_cap = sizeof call.out};
    call_submit(&scene, &call);
    scene_read(&scene);
    assert_true(holds(scene.packet)); /* it did go over */
    assert_false(holds(scene.link->out));
    scene_close(&scene);
}

static bool held;

/* On the link's thread, which owns the buffer. */
static void look_then_count(struct token_request *request)
{
    held = holds(scene.link->in);
    atomic_fetch_add(&((struct call *)request->owner)->answered, 1);
}

static void answer_with_key(enum token_op op, struct token_request *answer)
{
    size_t listed = 0;
    call_prepare(&call, op);
    if (op == TOKEN_OP_OPEN) {
        static const uint8_t sealed[sizeof bytes + HF_GCM_TAG_BYTES];
        call.request.u.aead.in = BYTES_OF(sealed);
        call.request.u.aead.out_cap = sizeof call.out;
    } else {
        static const uint8_t wrapped[256];
        call.request.u.unwrap = (struct token_unwrap){
            .key = {.type = TOKEN_KEY_RSA, .id_len = 1},
            .suite = TOKEN_SUITE_OAEP_SHA256,
            .wrapped = BYTES_OF(wrapped),
        };
    }
    call.request.done = look_then_count;
    held = true;
    call_submit(&scene, &call);
    scene_read(&scene);
    struct frame_writer writer = scene_begin(&scene);
    assert_ok(
        frame_reply_put(&writer, scene.asked[0].number, answer, 0, &listed));
    scene_send(&scene, &writer);
    assert_true(holds(scene.packet));
    wait_until(!call_is_open(&call));
    assert_ok(call.request.status);
    assert_false(held);
}

static void opened_keys_are_wiped(void **state)
{
    uint8_t out[sizeof bytes];
    struct secret *secret = NULL;
    (void)state;
    memcpy(out, bytes, sizeof bytes);
    struct token_request answer = {
        .op = TOKEN_OP_OPEN,
        .u.aead = {.out = out, .out_len = sizeof out},
    };
    scene_open(&scene, 0, 0);
    answer_with_key(TOKEN_OP_OPEN, &answer);
    assert_memory_equal(call.out, bytes, sizeof bytes);

    assert_ok(secret_new(sizeof bytes, &secret));
    memcpy(secret_writable(secret), bytes, sizeof bytes);
    answer = (struct token_request){.op = TOKEN_OP_DECRYPT,
                                    .u.unwrap.secret = secret};
    answer_with_key(TOKEN_OP_DECRYPT, &answer);
    assert_true(secret_equal(call.request.u.unwrap.secret, secret));
    secret_free(call.request.u.unwrap.secret);
    secret_free(secret);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_keys_are_wiped),
        cmocka_unit_test(opened_keys_are_wiped),
    };
    if (secret_heap_start(1 << 18) != HF_OK) {
        return 1;
    }
    return cmocka_run_group_tests_name("worker_link_wipe", tests, NULL, NULL);
}
