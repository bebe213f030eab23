/* scene: a link whose other end is the test itself, which may answer whatever
 * it likes. */
#pragma once

#include "hsm/token/token.h"
#include "hsm/worker/frame.h"
#include "hsm/worker/hello.h"
#include "hsm/worker/link.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SCENE_WORKER    5
#define SCENE_QUEUE_MAX 1024
#define SCENE_OBJECT                                                           \
    ((struct token_object){77, (uint64_t)SCENE_WORKER << 32 | 1})

/* One request and what became of it. */
struct call {
    struct token_request request;
    atomic_int answered;
    uint8_t out[HF_SEALED_MAX_BYTES + 64]; /* 0xee beyond out_cap */
    struct token_key_report reports[3];    /* cap 2 */
};

/* What came in the last packet that was read. */
struct asked {
    uint64_t number;
    enum token_op op;
};

struct scene {
    struct worker_link *link;
    int peer; /* our end as the worker */
    atomic_int lost;
    struct asked asked[TOKEN_BATCH_MAX];
    size_t asked_count;
    uint8_t packet[FRAME_PACKET_MAX + 4096];
};

/* scene_open: a link with these bounds (0: the usual ones), after its hello. */
void scene_open(struct scene *scene, size_t queue_max, int64_t grace_ms);
void scene_close(struct scene *scene);
/* scene_hang_up: the worker ends. */
void scene_hang_up(struct scene *scene);

/* call_prepare: a request of this op, on SCENE_OBJECT or any key; OPEN opens 4
 * bytes. */
void call_prepare(struct call *call, enum token_op op);
void call_submit(struct scene *scene, struct call *call);
/* call_wait: until it is answered, then its status; fails the test when it is
 * not, or twice, or beyond its buffers. */
enum hf_status call_wait(struct call *call);
bool call_is_open(struct call *call);

/* scene_read: the next packet, into asked. */
void scene_read(struct scene *scene);
/* scene_begin: a packet of replies; scene_put: the answer of a good worker in
 * it; scene_send. */
struct frame_writer scene_begin(struct scene *scene);
void scene_put(struct frame_writer *writer, const struct asked *asked);
void scene_put_status(struct frame_writer *writer, const struct asked *asked,
                      enum hf_status status);
void scene_send(struct scene *scene, struct frame_writer *writer);
void scene_send_bytes(struct scene *scene, size_t len);
/* scene_answer: all that was asked in the last packet, as it should be. */
void scene_answer(struct scene *scene);

/* wait_until: polls for a condition, at most 20 s. */
#define wait_until(condition)                                                  \
    do {                                                                       \
        for (int turns_ = 0; !(condition) && turns_ < 20000; turns_++) {       \
            scene_pause();                                                     \
        }                                                                      \
        assert_true(condition);                                                \
    } while (0)
void scene_pause(void);
