/* server: what the files of this module share. Not for others.
 *
 *   loop.c    the polling thread: events, posting, recycling, turns
 *   lanes.c   what happens to a call that was let in
 *   stream.c  the lane of streams; health.c and reflection.c have their own
 *
 * Everything without another word belongs to the polling thread.
 */
#pragma once

#include "server/domain/share.h"

#include "server/rpc/call.h"
#include "server/rpc/rpc.h"

#include <pthread.h>

#define RPC_BATCH_MAX  256
#define RPC_EVENTS_MAX 512 /* of one turn, before what it brought is served */
#define RPC_SLOTS_MAX  256
/* How long a hot call may be out before its client is watched: longer than one
 * AES operation behind a full queue, about as long as a root key takes. */
#define RPC_ARM_AFTER_MS 3
/* How late a change made on another thread (health, shutdown) may be seen. */
#define RPC_TICK_MS 50

struct health;
struct descriptor_set;
struct streams;

enum admission { ADMIT_DATA, ADMIT_ADMIN, ADMIT_STREAM };
#define ADMISSIONS 3

struct rpc {
    struct rpc_settings settings;
    struct rpc_extra_method extra[RPC_EXTRA_METHODS_MAX];
    struct rpc_method extra_rows[RPC_EXTRA_METHODS_MAX];
    struct rpc_method unknown_row;
    char socket_uri[EDGE_BACKEND_PATH_MAX_BYTES + 8];

    grpc_server *server;
    grpc_completion_queue *queue;
    pthread_t thread;
    bool thread_runs;

    struct call_slot slots[RPC_SLOTS_MAX];
    size_t slot_count;
    struct identity_cache *identities;
    struct health *health;
    struct descriptor_set *descriptors;
    struct reflection *reflections; /* open streams */
    struct streams *streams;

    int64_t now_ms; /* monotonic, of this turn */
    struct rpc_call *batch[RPC_BATCH_MAX];
    size_t batch_count;
    struct rpc_call *wait_first; /* out, not armed, oldest first */
    struct rpc_call *wait_last;
    uint32_t in_flight[ADMISSIONS];
    uint32_t in_flight_max[ADMISSIONS];
    uint32_t in_flight_of[ADMISSIONS][SHARES]; /* tenants, see share.h */
    uint64_t last_id;
    int64_t overload_logged_ms;
    uint64_t overload_unlogged;
    bool draining_seen;
    bool grpc_is_down; /* shutdown_and_notify has been notified */

    atomic_bool draining;         /* no new calls; streams end */
    atomic_bool stopping;         /* and gRPC is shutting down */
    atomic_uint_fast64_t in_work; /* taken in and not yet recycled */
    atomic_uint_fast64_t calls;
    atomic_uint_fast64_t refused;
    atomic_uint_fast64_t overloaded;
    atomic_uint_fast64_t turns;
    atomic_uint_fast64_t batches;

    pthread_mutex_t drain_lock;
    pthread_cond_t drain_done;
    bool quiet;     /* draining, and nothing admitted is in flight */
    bool shut_down; /* stopping, and nothing at all is in work */
};

/* loop.c */
void *rpc_loop(void *argument); /* a struct rpc */
/* rpc_post: so many requests of the slot as are wanted and possible. */
void rpc_post(struct call_slot *slot);

/* rpc_let_go: one reference of the call less; the last one recycles it. */
void rpc_let_go(struct rpc_call *call);

/* lanes.c: the call is let in or answered. */
void lane_take_in(struct rpc_call *call);
/* lane_identify: who calls; call->peer. Fills call->problem otherwise. */
HF_STATUS lane_identify(struct rpc_call *call);
/* lane_submit: hands the collected data-plane calls over. */
void lane_submit(struct rpc *rpc);
enum admission lane_admission(enum rpc_lane lane);
/* lane_unpack: the body as the method's message, in the call's arena. */
HF_STATUS lane_unpack(struct rpc_call *call, ProtobufCMessage **out_request);
/* lane_reply_message: packs and replies. */
void lane_reply_message(struct rpc_call *call, const ProtobufCMessage *reply);
/* lane_log: the one line of a finished call. */
void lane_log(const struct rpc_call *call);
