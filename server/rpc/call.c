#include "server/rpc/call.h"

#include "hsm/base/check.h"

#include "server/rpc/stream.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/support/alloc.h>

#include <stdlib.h>
#include <string.h>

#define DETAILS_KEY "grpc-status-details-bin"

static void wipe_and_free(void *bytes, size_t len)
{
    wipe(bytes, len);
    free(bytes);
}

grpc_slice call_slice_of(uint8_t *bytes, size_t len)
{
    return grpc_slice_new_with_len(bytes, len, wipe_and_free);
}

static void start(struct rpc_call *call, const grpc_op *ops, size_t count,
                  enum call_event event)
{
    grpc_call_error error =
        grpc_call_start_batch(call->call, ops, count, &call->tags[event], NULL);
    CHECK(error == GRPC_CALL_OK); /* anything else is a misuse of ours */
}

void call_arm_close(struct rpc_call *call)
{
    if (atomic_exchange(&call->close_armed, true)) {
        return;
    }
    atomic_fetch_add(&call->refs, 1);
    const grpc_op op = {
        .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
        .data.recv_close_on_server.cancelled = &call->cancelled_raw,
    };
    start(call, &op, 1, CALL_CLOSED);
}

void call_status_op(struct rpc_call *call, const struct problem *problem,
                    grpc_op *out_op)
{
    *out_op = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
    call->reason = REASON_NONE;
    if (problem == NULL) {
        out_op->data.send_status_from_server.status = GRPC_STATUS_OK;
        return;
    }
    call->reason =
        problem->reason != REASON_NONE ? problem->reason : REASON_INTERNAL;
    struct status_details details;
    status_details_of(problem,
                      call->report_keys[0] != NULL ? call->report_keys : NULL,
                      &details);
    call->status_text = grpc_slice_from_copied_string(problem->text);
    call->status_details =
        grpc_slice_from_copied_buffer((const char *)details.bytes, details.len);
    call->has_status = true;
    call->trailer.key = grpc_slice_from_static_string(DETAILS_KEY);
    call->trailer.value = call->status_details;
    out_op->data.send_status_from_server.trailing_metadata = &call->trailer;
    out_op->data.send_status_from_server.trailing_metadata_count = 1;
    out_op->data.send_status_from_server.status =
        (grpc_status_code)details.code;
    out_op->data.send_status_from_server.status_details = &call->status_text;
}

/* The reply's batch; takes RECV_CLOSE along when nobody armed it. */
static void reply(struct rpc_call *call, grpc_op *ops, size_t count)
{
    if (!atomic_exchange(&call->close_armed, true)) {
        ops[count++] = (grpc_op){
            .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
            .data.recv_close_on_server.cancelled = &call->cancelled_raw,
        };
    }
    start(call, ops, count, CALL_REPLIED);
}

void call_reply_bytes(struct rpc_call *call, uint8_t *bytes, size_t len)
{
    grpc_slice slice = call_slice_of(bytes, len);
    call->reply = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    grpc_op ops[4] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA          },
        { .op = GRPC_OP_SEND_MESSAGE,
         .data.send_message.send_message = call->reply},
    };
    call_status_op(call, NULL, &ops[2]);
    reply(call, ops, 3);
}

void call_reply_problem(struct rpc_call *call, const struct problem *problem)
{
    grpc_op ops[3] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}};
    call_status_op(call, problem, &ops[1]);
    reply(call, ops, 2);
}

/* Starts a batch that holds a reference of its own. */
static void start_counted(struct rpc_call *call, const grpc_op *ops,
                          size_t count, enum call_event event)
{
    atomic_fetch_add(&call->refs, 1);
    start(call, ops, count, event);
}

void call_stream_write(struct rpc_call *call, uint8_t *bytes, size_t len)
{
    if (call->reply != NULL) {
        grpc_byte_buffer_destroy(call->reply);
    }
    grpc_slice slice = call_slice_of(bytes, len);
    call->reply = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    const grpc_op ops[2] = {
        {.op = GRPC_OP_SEND_MESSAGE,
         .data.send_message.send_message = call->reply},
        {.op = GRPC_OP_SEND_INITIAL_METADATA                         },
    };
    size_t count = call->metadata_sent ? 1 : 2;
    /* from here on the polling thread may be at it already */
    call->metadata_sent = true;
    start_counted(call, ops, count, CALL_WRITTEN);
}

void call_stream_read(struct rpc_call *call)
{
    if (call->payload != NULL) {
        grpc_byte_buffer_destroy(call->payload);
        call->payload = NULL;
    }
    const grpc_op ops[2] = {
        {.op = GRPC_OP_RECV_MESSAGE,
         .data.recv_message.recv_message = &call->payload},
        {.op = GRPC_OP_SEND_INITIAL_METADATA                         },
    };
    start_counted(call, ops, call->metadata_sent ? 1 : 2, CALL_READ);
    call->metadata_sent = true;
}

void call_stream_end(struct rpc_call *call, const struct problem *problem)
{
    if (call->ended) {
        return;
    }
    call->ended = true;
    grpc_op ops[2] = {{.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
                      {.op = GRPC_OP_SEND_INITIAL_METADATA}};
    call_status_op(call, problem, &ops[0]);
    /* the reference of the work goes to this batch */
    start(call, ops, call->metadata_sent ? 1 : 2, CALL_REPLIED);
}

void call_stream_drop(struct rpc_call *call)
{
    if (!call->ended) {
        call->ended = true;
        call->reason = REASON_CANCELLED;
        atomic_fetch_sub(&call->refs, 1);
    }
}

HF_STATUS call_body(struct rpc_call *call, struct bytes *out_body)
{
    grpc_byte_buffer *payload = call->payload;
    if (payload == NULL) {
        return HF_E_INVALID;
    }
    grpc_slice_buffer *slices = &payload->data.raw.slice_buffer;
    bool plain = payload->type == GRPC_BB_RAW &&
                 payload->data.raw.compression == GRPC_COMPRESS_NONE;
    if (!plain) {
        return HF_E_INVALID;
    }
    if (slices->count == 1) {
        *out_body = (struct bytes){GRPC_SLICE_START_PTR(slices->slices[0]),
                                   GRPC_SLICE_LENGTH(slices->slices[0])};
        return HF_OK;
    }
    size_t len = grpc_byte_buffer_length(payload);
    uint8_t *joined = rpc_arena_alloc(&call->arena, len);
    if (joined == NULL) {
        return HF_E_NO_MEMORY;
    }
    size_t at = 0;
    for (size_t i = 0; i < slices->count; i++) {
        size_t part = GRPC_SLICE_LENGTH(slices->slices[i]);
        memcpy(joined + at, GRPC_SLICE_START_PTR(slices->slices[i]), part);
        at += part;
    }
    *out_body = (struct bytes){joined, len};
    return HF_OK;
}

void call_wipe_body(struct rpc_call *call)
{
    if (call->payload == NULL || call->payload->type != GRPC_BB_RAW) {
        return;
    }
    grpc_slice_buffer *slices = &call->payload->data.raw.slice_buffer;
    for (size_t i = 0; i < slices->count; i++) {
        wipe(GRPC_SLICE_START_PTR(slices->slices[i]),
             GRPC_SLICE_LENGTH(slices->slices[i]));
    }
}

struct rpc_call *call_make(struct call_slot *slot)
{
    struct rpc_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        return NULL;
    }
    call->slot = slot;
    for (int i = 0; i <= CALL_WRITTEN; i++) {
        call->tags[i] =
            (struct call_tag){.call = call, .event = (enum call_event)i};
    }
    atomic_init(&call->refs, 0);
    atomic_init(&call->close_armed, false);
    atomic_init(&call->cancelled, false);
    grpc_metadata_array_init(&call->metadata);
    grpc_call_details_init(&call->details);
    rpc_arena_init(&call->arena, RPC_REQUEST_CAP_BYTES);
    return call;
}

void call_clear(struct rpc_call *call)
{
    if (call->slot->method->lane == LANE_DATA) {
        secret_free(call->u.key.plaintext);
        call->u.key.plaintext = NULL;
    } else if (call->slot->method->lane == LANE_STREAM) {
        stream_clear(call);
    } else if (call->slot->method->lane == LANE_WATCH) {
        free(call->u.watch);
        call->u.watch = NULL;
    } else if (call->slot->method->lane == LANE_REFLECTION) {
        free(call->u.reflection);
        call->u.reflection = NULL;
    }
    if (call->payload != NULL) {
        grpc_byte_buffer_destroy(call->payload);
        call->payload = NULL;
    }
    if (call->reply != NULL) {
        grpc_byte_buffer_destroy(call->reply);
        call->reply = NULL;
    }
    if (call->has_status) {
        grpc_slice_unref(call->status_text);
        grpc_slice_unref(call->status_details);
        call->has_status = false;
    }
    if (call->slot->registered == NULL && call->call != NULL) {
        grpc_call_details_destroy(&call->details);
        grpc_call_details_init(&call->details);
    }
    if (call->call != NULL) {
        grpc_call_unref(call->call);
        call->call = NULL;
    }
    call->metadata.count = 0;
    call->metadata_sent = false;
    call->ended = false;
    identity_release(call->peer);
    call->peer = NULL;
    call->reason = REASON_NONE;
    call->problem = (struct problem){.reason = REASON_NONE};
    call->report_keys[0] = NULL;
    call->report_keys[1] = NULL;
    rpc_arena_reset(&call->arena, RPC_REQUEST_CAP_BYTES);
    atomic_store(&call->close_armed, false);
    atomic_store(&call->cancelled, false);
    call->cancelled_raw = 0;
}

void call_destroy(struct rpc_call *call)
{
    call_clear(call);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_details_destroy(&call->details);
    free(call);
}
