/* method: the table of everything that can be called.
 *
 * One row per RPC. The three kinds of handlers know no gRPC type: a data-plane
 * handler fills a key_call from a decoded request and writes the reply from a
 * done one; an administrative handler makes one blocking service call; a stream
 * handler makes one for each turn.
 */
#pragma once

#include "server/domain/access.h"

#include "server/rpc/arena.h"
#include "server/service/keys.h"
#include "server/service/service.h"
#include "server/service/topic.h"

enum rpc_lane {
    LANE_DATA,       /* keys_submit, collected over one turn of the loop */
    LANE_ADMIN,      /* blocking, on the service's slow lane */
    LANE_HEALTH,     /* Health.Check: on the polling thread */
    LANE_STREAM,     /* many messages, or a late one (stream.h) */
    LANE_WATCH,      /* Health.Watch: a stream of the server's */
    LANE_REFLECTION, /* both directions stream */
    LANE_EXTRA,      /* of the bench binary, on the polling thread */
    LANE_UNKNOWN,    /* no such method */
};

/* One administrative call. */
struct admin_work {
    struct service *service;
    const struct caller *caller;
    const ProtobufCMessage *request;
    struct rpc_arena *arena; /* for the reply; nothing is freed singly */
    struct problem *problem;
    struct cancellation cancellation; /* for the mutation, if it is one */
    ProtobufCMessage *reply;          /* result, in the arena */
    char *report_keys[2]; /* result: names of the keys a report is about */
};
typedef enum hf_status admin_fn(struct admin_work *work);

/* One turn of a stream: what there is to tell now, and what comes next. On the
 * slow lane, may block like an administrative call. */
#define STREAM_MESSAGES_MAX 16
enum stream_next {
    STREAM_END,   /* with OK, behind the messages */
    STREAM_AGAIN, /* the next turn as soon as they are written */
    STREAM_WAIT,  /* the next turn when topic changes, or at wake_ms */
};
struct stream_work {
    struct service *service;
    const struct caller *caller;
    const ProtobufCMessage *request;
    struct rpc_arena *arena; /* of this turn's messages */
    struct problem *problem;
    int64_t now_ms;      /* monotonic */
    int64_t deadline_ms; /* the client's */
    /* the method's own, from turn to turn; zero at first */
    uint64_t position;
    int64_t until_ms;
    /* results of a turn */
    enum stream_next next;
    struct topic topic;
    int64_t wake_ms; /* 0: by the topic alone */
    ProtobufCMessage *messages[STREAM_MESSAGES_MAX];
    size_t message_count;
};
typedef enum hf_status stream_fn(struct stream_work *work);

/* Decodes *request into *call (all but caller, deadline and callbacks). */
typedef enum hf_status data_decode_fn(const ProtobufCMessage *request,
                                      struct key_call *call,
                                      struct problem *problem);
/* The reply of a call that was answered HF_OK, from reply_pack; NULL: out of
 * memory. */
typedef uint8_t *data_encode_fn(const struct key_call *call, size_t *out_len);

/* reply_buffer: memory for a reply, which is wiped and freed once gRPC has let
 * go of it; NULL: out of memory. reply_pack: a message in such memory. */
uint8_t *reply_buffer(size_t len);
uint8_t *reply_pack(const ProtobufCMessage *reply, size_t *out_len);

struct rpc_method {
    const char *path;
    enum rpc_lane lane;
    enum verb verb;
    const ProtobufCMessageDescriptor *request; /* NULL: read by the lane */
    admin_fn *admin;
    stream_fn *stream;
    data_decode_fn *decode;
    data_encode_fn *encode;
    bool secret_request; /* the body holds a key: wiped after decoding */
};

/* rpc_method_at: all but the extra ones, from 0; NULL behind the last. */
const struct rpc_method *rpc_method_at(size_t index);

/* The handlers, one file per proto service. */
struct method_list {
    const struct rpc_method *methods;
    size_t count;
};
extern const struct method_list tenant_methods;
extern const struct method_list token_methods;
extern const struct method_list customer_key_methods;
extern const struct method_list dep_methods;
extern const struct method_list assignment_methods;
extern const struct method_list tenant_assignment_methods;
extern const struct method_list workload_methods;
extern const struct method_list key_methods;
extern const struct method_list notice_methods;
extern const struct method_list onboarding_methods;
extern const struct method_list operation_methods;
extern const struct method_list approval_methods;
extern const struct method_list purge_methods;
extern const struct method_list audit_methods;
extern const struct method_list geo_methods;
extern const struct method_list file_key_methods;
