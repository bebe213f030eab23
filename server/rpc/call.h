/* call: one gRPC call, from being taken in to being recycled.
 *
 *   posted -> taken in -> (in work) -> replying -> recycled -> posted ...
 *
 * The polling thread makes, takes in and recycles. While it is in work it
 * belongs to whoever does the work, who ends that, on any thread, with exactly
 * one of the call_reply functions and does not touch it afterwards.
 *
 * Whether the client is still there is told by a batch of its own
 * (RECV_CLOSE_ON_SERVER), which costs 0.5 to 0.9 us: a call that has side
 * effects arms it before any work; a hot unwrap only when it did not end within
 * a millisecond or the service asks, else it rides in the reply's batch.
 */
#pragma once

#include "server/rpc/arena.h"
#include "server/rpc/identity.h"
#include "server/rpc/method.h"
#include "server/rpc/status_map.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>

#include <stdatomic.h>

struct rpc_call;

/* What the completion queue says happened. */
enum call_event {
    CALL_TAKEN_IN,
    CALL_CLOSED, /* RECV_CLOSE_ON_SERVER: done or cancelled */
    CALL_REPLIED,
    CALL_READ,    /* streams */
    CALL_WRITTEN, /* streams */
};
struct call_tag {
    struct rpc_call *call;
    enum call_event event;
};

/* A method at work: what is posted for it and what is free. */
struct call_slot {
    struct rpc *rpc;
    const struct rpc_method *method;
    const struct rpc_extra_method *extra;
    void *registered; /* NULL: unknown methods */
    struct rpc_call *free_calls;
    uint32_t posted;
    uint32_t live; /* calls that exist, free ones not counted */
    uint32_t live_max;
    uint32_t posted_want;
};

struct watch;
struct reflection;
struct stream;

struct rpc_call {
    struct call_slot *slot;
    struct rpc_call *next; /* free list, batch */
    struct call_tag tags[CALL_WRITTEN + 1];
    /* ends at zero: 1 for the work and then its reply, 1 for each other batch
     * that is under way. Only the polling thread lets go. */
    atomic_uint refs;
    atomic_bool close_armed;
    atomic_bool cancelled;
    int cancelled_raw; /* gRPC's, valid at CALL_CLOSED */

    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_call_details details; /* unknown methods alone */
    grpc_byte_buffer *payload;
    grpc_byte_buffer *reply;
    grpc_slice status_text;
    grpc_slice status_details;
    grpc_metadata trailer;
    bool has_status;
    bool ended; /* a stream: its status is under way, or it was dropped */

    struct peer *peer;
    uint64_t id;
    int64_t start_ms;
    int64_t deadline_ms; /* monotonic; never 0 */
    bool counted;        /* in the admission of its lane */
    uint32_t share;      /* of its tenant, while it is counted */
    bool metadata_sent;  /* a stream's initial metadata */

    /* waiting to be armed; the polling thread's */
    struct rpc_call *wait_next;
    struct rpc_call *wait_prev;
    bool waiting;

    enum reason reason; /* of the answer, for the log line */
    struct problem problem;
    char *report_keys[2]; /* of a validation report; NULL: not known */
    struct rpc_arena arena;
    union {
        struct key_call key;
        struct watch *watch;
        struct reflection *reflection;
        struct stream *stream;
    } u;
};

/* call_reply_bytes: success; bytes are a reply_buffer and are wiped and
 * freed when gRPC has let go of them.
 * call_reply_problem: refusal. status HF_OK in *problem is our own bug.
 * Threads   any, once, while the call is in work. */
void call_reply_bytes(struct rpc_call *call, uint8_t *bytes, size_t len);
void call_reply_problem(struct rpc_call *call, const struct problem *problem);

/* call_arm_close: start the batch that tells of the client's end, if it was not
 * yet. Threads: any, while the call is in work. */
void call_arm_close(struct rpc_call *call);

/* call_body: the request's bytes as one run, until the call is recycled.
 * HF_E_NO_MEMORY; HF_E_INVALID when there was none. */
HF_STATUS call_body(struct rpc_call *call, struct bytes *out_body);
/* call_wipe_body: overwrites the request where it lies. */
void call_wipe_body(struct rpc_call *call);

/* call_slice_of: a slice that owns a reply_buffer. */
grpc_slice call_slice_of(uint8_t *bytes, size_t len);
/* call_status_op: fills the op that ends a call with this problem; what it
 * needs lives in the call until it is recycled. NULL problem: OK. */
void call_status_op(struct rpc_call *call, const struct problem *problem,
                    grpc_op *out_op);

/* Streams, on the polling thread. call_stream_write: initial metadata with the
 * first, then one message at a time; CALL_WRITTEN follows. call_stream_read:
 * CALL_READ follows, with the message in payload or NULL at its end.
 * call_stream_end: the status; once, unless dropped. call_stream_drop: the
 * client is gone, nothing is sent; only within an event of the call.
 * call_stream_write may be called by whoever does the stream's work. */
void call_stream_write(struct rpc_call *call, uint8_t *bytes, size_t len);
void call_stream_read(struct rpc_call *call);
void call_stream_end(struct rpc_call *call, const struct problem *problem);
void call_stream_drop(struct rpc_call *call);

/* call_make, call_destroy, call_clear: for the server's loop. */
struct rpc_call *call_make(struct call_slot *slot);
void call_destroy(struct rpc_call *call);
/* call_clear: gives everything of the last call back; ready to be posted. */
void call_clear(struct rpc_call *call);

/* RPC_REQUEST_CAP_BYTES: what decoding one request may take. */
#define RPC_REQUEST_CAP_BYTES ((size_t)256 * 1024)
/* RPC_MESSAGE_MAX_BYTES: of a request on the wire; a page of replies is
 * bounded by its size instead. */
/* RPC_REPLY_CAP_BYTES: of the arena once the reply is made. */
#define RPC_REPLY_CAP_BYTES   ((size_t)64 * 1024 * 1024)
#define RPC_MESSAGE_MAX_BYTES (64 * 1024)
#define RPC_DEADLINE_MAX_MS   30000
/* Of a stream, which gRPC ends at the client's own. */
#define RPC_STREAM_DEADLINE_MAX_MS ((int64_t)24 * 3600 * 1000)
