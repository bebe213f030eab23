#include "hsm/sys/log.h"

#include "server/rpc/health.h"
#include "server/rpc/reflection.h"
#include "server/rpc/server.h"
#include "server/rpc/stream.h"
#include "server/rpc/wire.h"

#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include <stdlib.h>
#include <string.h>

#define OVERLOAD_RETRY_MS 100
#define OVERLOAD_LOG_MS   1000

enum admission lane_admission(enum rpc_lane lane)
{
    switch (lane) {
    case LANE_DATA:
    case LANE_EXTRA:
    case LANE_UNKNOWN:
    case LANE_HEALTH: /* also while administration is full */
        return ADMIT_DATA;
    case LANE_ADMIN:
        return ADMIT_ADMIN;
    case LANE_STREAM:
    case LANE_WATCH:
    case LANE_REFLECTION:
        return ADMIT_STREAM;
    }
    return ADMIT_DATA;
}

static const char *path_of(const struct rpc_call *call)
{
    return call->slot->method->path;
}

void lane_log(const struct rpc_call *call)
{
    struct rpc *rpc = call->slot->rpc;
    bool ok = call->reason == REASON_NONE;
    bool data = call->slot->method->lane == LANE_DATA ||
                call->slot->method->lane == LANE_EXTRA;
    if (ok && data && !rpc->settings.log_data_plane) {
        return;
    }
    if (!ok) {
        atomic_fetch_add_explicit(&rpc->refused, 1, memory_order_relaxed);
    }
    if (call->reason == REASON_OVERLOADED) {
        /* one line a second: the log must not make an overload worse */
        rpc->overload_unlogged++;
        if (rpc->now_ms - rpc->overload_logged_ms < OVERLOAD_LOG_MS) {
            return;
        }
        rpc->overload_logged_ms = rpc->now_ms;
    }
    char caller[HF_URI_MAX_BYTES + 1] = "";
    if (call->peer != NULL) {
        memcpy(caller, call->peer->caller.identity, sizeof caller);
    }
    uint64_t as_this =
        call->reason == REASON_OVERLOADED ? rpc->overload_unlogged : 1;
    if (call->reason == REASON_OVERLOADED) {
        rpc->overload_unlogged = 0;
    }
    log_event(ok ? LOG_DEBUG : LOG_INFO, "call", LOG_NUMBER("id", call->id),
              LOG_TEXT("method", path_of(call)), LOG_TEXT("caller", caller),
              LOG_NUMBER("status", reason_code(call->reason)),
              LOG_TEXT("reason", reason_word(call->reason)),
              LOG_NUMBER("ms", rpc->now_ms - call->start_ms),
              LOG_NUMBER("count", as_this));
}

/* What is left of the client's deadline, at most what the lane allows. */
static int64_t deadline_of(const struct rpc_call *call, int64_t now_ms)
{
    int64_t most = call->slot->method->lane == LANE_STREAM
                       ? RPC_STREAM_DEADLINE_MAX_MS
                       : RPC_DEADLINE_MAX_MS;
    gpr_timespec until = call->slot->registered != NULL
                             ? call->deadline
                             : call->details.deadline;
    if (gpr_time_cmp(until, gpr_inf_future(until.clock_type)) == 0) {
        return now_ms + most;
    }
    int64_t left =
        gpr_time_to_millis(gpr_time_sub(until, gpr_now(until.clock_type)));
    return now_ms + (left < most ? left : most);
}

HF_STATUS lane_identify(struct rpc_call *call)
{
    identity_release(HF_GIVE(call->peer));
    char *name = grpc_call_get_peer(call->call);
    enum hf_status status =
        identity_find(call->slot->rpc->identities, name, &call->peer);
    gpr_free(name);
    if (status == HF_E_NO_MEMORY) {
        return problem_of_status(&call->problem, status);
    }
    return status == HF_OK
               ? HF_OK
               : problem_set(&call->problem, REASON_IDENTITY_UNKNOWN,
                             "the certificate's identity is not in the "
                             "service's configuration");
}

static HF_STATUS admit(struct rpc_call *call)
{
    struct rpc *rpc = call->slot->rpc;
    enum admission kind = lane_admission(call->slot->method->lane);
    if (rpc->draining_seen) {
        return problem_set(&call->problem, REASON_SERVICE_UNAVAILABLE,
                           "the server shuts down");
    }
    const char *tenant = call->peer->caller.tenant;
    uint32_t share = share_of(tenant);
    bool own_full =
        tenant[0] != '\0' &&
        rpc->in_flight_of[kind][share] >= share_half(rpc->in_flight_max[kind]);
    if (own_full || rpc->in_flight[kind] >= rpc->in_flight_max[kind]) {
        atomic_fetch_add_explicit(&rpc->overloaded, 1, memory_order_relaxed);
        enum hf_status status =
            problem_set(&call->problem, REASON_OVERLOADED,
                        "too many calls%s are in flight; repeat later",
                        own_full ? " of this tenant" : "");
        call->problem.retry_ms = OVERLOAD_RETRY_MS;
        return status;
    }
    rpc->in_flight[kind]++;
    rpc->in_flight_of[kind][share]++;
    call->share = share;
    call->counted = true;
    call->deadline_ms = deadline_of(call, rpc->now_ms);
    if (call->deadline_ms <= rpc->now_ms) {
        return problem_set(&call->problem, REASON_DEADLINE_PASSED,
                           "the deadline had passed when the call came in");
    }
    return HF_OK;
}

/* Bytes to message, in the call's arena. */
HF_STATUS lane_unpack(struct rpc_call *call, ProtobufCMessage **out_request)
{
    const ProtobufCMessageDescriptor *type = call->slot->method->request;
    struct bytes body;
    if (call_body(call, &body) != HF_OK) {
        return problem_field(&call->problem, "", "there is no request message");
    }
    HF_TRY(wire_check(type, body, &call->problem));
    *out_request = protobuf_c_message_unpack(type, &call->arena.allocator,
                                             body.len, body.data);
    if (*out_request != NULL) {
        return HF_OK;
    }
    if (call->arena.refused) {
        return problem_set(&call->problem, REASON_REQUEST_TOO_LARGE,
                           "the request has more parts than %zu bytes hold",
                           call->arena.cap_bytes);
    }
    return problem_field(&call->problem, "", "the body is not a %s message",
                         type->name);
}

/* --- data plane ---------------------------------------------------------- */

static bool data_cancelled(struct key_call *key)
{
    struct rpc_call *call = key->owner;
    call_arm_close(call);
    return atomic_load(&call->cancelled);
}

static void data_done(struct key_call *key)
{
    struct rpc_call *call = key->owner;
    const struct rpc_method *method = call->slot->method;
    if (key->status != HF_OK) {
        if (key->problem.reason == REASON_NONE) {
            HF_IGNORE(problem_of_status(&key->problem, key->status),
                      "it is the answer");
        }
        secret_free(key->plaintext);
        key->plaintext = NULL;
        call_reply_problem(call, &key->problem);
        return;
    }
    size_t len = 0;
    uint8_t *bytes = method->encode(key, &len);
    secret_free(key->plaintext);
    key->plaintext = NULL;
    if (bytes == NULL) {
        HF_IGNORE(problem_of_status(&key->problem, HF_E_NO_MEMORY),
                  "it is the answer");
        call_reply_problem(call, &key->problem);
        return;
    }
    call_reply_bytes(call, bytes, len);
}

static void key_call_prepare(struct rpc_call *call)
{
    struct key_call *key = &call->u.key;
    key->verb = call->slot->method->verb;
    key->caller = &call->peer->caller;
    key->tenant[0] = '\0';
    key->resource[0] = '\0';
    key->wrapped_len = 0;
    key->plaintext = NULL;
    key->site_key = NULL;
    key->blob[0] = '\0';
    key->confirm = false;
    key->validate_only = false;
    key->retired = 0;
    key->initiator = INITIATOR_USER;
    key->purpose = SYSTEM_PURPOSE_NONE;
    key->request_id[0] = '\0';
    key->deadline_ms = call->deadline_ms;
    key->cancelled = data_cancelled;
    key->done = data_done;
    key->owner = call;
    key->status = HF_OK;
    key->problem.reason = REASON_NONE;
    key->problem.text[0] = '\0';
    key->problem.field[0] = '\0';
    key->problem.retry_ms = 0;
    key->problem.report = NULL;
    key->problem.has_report = false;
    key->envelope_len = 0;
    key->dep = (struct hf_id){{0}};
    key->dep_is_service_managed = false;
    key->generation = 0;
    key->link = NULL;
    key->lease = NULL;
    key->tries = 0;
    key->liars.count = 0;
    key->audit_id[0] = '\0';
    key->has_results = false;
}

/* May be dropped at any time: nothing was written. */
static bool only_reads(enum verb verb)
{
    return verb == VERB_UNWRAP_KEY || verb == VERB_UNWRAP_SITE_KEY ||
           verb == VERB_WRAP_BLOB_KEY || verb == VERB_UNWRAP_BLOB_KEY;
}

static HF_STATUS data_decode(struct rpc_call *call)
{
    ProtobufCMessage *request = NULL;
    HF_TRY(lane_unpack(call, &request));
    return call->slot->method->decode(request, &call->u.key, &call->problem);
}

static void data_lane(struct rpc_call *call)
{
    struct rpc *rpc = call->slot->rpc;
    key_call_prepare(call);
    enum hf_status status = data_decode(call);
    if (call->slot->method->secret_request) {
        call_wipe_body(call);
    }
    rpc_arena_reset(&call->arena, RPC_REQUEST_CAP_BYTES); /* wiped at once */
    if (status != HF_OK) {
        call_reply_problem(call, &call->problem);
        return;
    }
    if (!only_reads(call->slot->method->verb)) {
        call_arm_close(call); /* it changes something */
    }
    if (rpc->batch_count == RPC_BATCH_MAX) {
        lane_submit(rpc);
    }
    rpc->batch[rpc->batch_count++] = call;
}

static void wait_append(struct rpc *rpc, struct rpc_call *call)
{
    call->wait_next = NULL;
    call->wait_prev = rpc->wait_last;
    *(rpc->wait_last != NULL ? &rpc->wait_last->wait_next : &rpc->wait_first) =
        call;
    rpc->wait_last = call;
    call->waiting = true;
}

void lane_submit(struct rpc *rpc)
{
    size_t count = rpc->batch_count;
    if (count == 0) {
        return;
    }
    struct key_call *calls[RPC_BATCH_MAX];
    for (size_t i = 0; i < count; i++) {
        calls[i] = &rpc->batch[i]->u.key;
        if (only_reads(calls[i]->verb)) {
            wait_append(rpc, rpc->batch[i]);
        }
    }
    rpc->batch_count = 0;
    atomic_fetch_add_explicit(&rpc->batches, 1, memory_order_relaxed);
    keys_submit(rpc->settings.service, calls, count);
}

/* --- administration ------------------------------------------------------ */

static HF_STATUS admin_may_start(struct rpc_call *call)
{
    if (atomic_load(&call->cancelled)) {
        return problem_set(&call->problem, REASON_CANCELLED,
                           "cancelled before anything was done");
    }
    if (call->deadline_ms <=
        clock_monotonic_ms(call->slot->rpc->settings.clock)) {
        return problem_set(&call->problem, REASON_DEADLINE_PASSED,
                           "the deadline passed in the queue; nothing was "
                           "done");
    }
    return HF_OK;
}

static bool admin_cancelled(void *self)
{
    struct rpc_call *call = self; /* admin_lane has armed it */
    return atomic_load(&call->cancelled);
}

static HF_STATUS admin_serve(struct rpc_call *call, ProtobufCMessage **out)
{
    HF_TRY(admin_may_start(call));
    ProtobufCMessage *request = NULL;
    HF_TRY(lane_unpack(call, &request));
    struct validation_report *report =
        rpc_arena_alloc(&call->arena, sizeof *report);
    if (report == NULL) {
        return problem_of_status(&call->problem, HF_E_NO_MEMORY);
    }
    call->problem.report = report;
    call->arena.cap_bytes = RPC_REPLY_CAP_BYTES;
    struct admin_work work = {
        .service = call->slot->rpc->settings.service,
        .caller = &call->peer->caller,
        .request = request,
        .arena = &call->arena,
        .problem = &call->problem,
        .cancellation = {admin_cancelled, call},
    };
    enum hf_status status = call->slot->method->admin(&work);
    call->report_keys[0] = work.report_keys[0];
    call->report_keys[1] = work.report_keys[1];
    if (status == HF_OK && (call->arena.refused || work.reply == NULL)) {
        status = HF_E_NO_MEMORY;
    }
    if (status != HF_OK && call->problem.reason == REASON_NONE) {
        return problem_of_status(&call->problem, status);
    }
    *out = work.reply;
    return status;
}

void lane_reply_message(struct rpc_call *call, const ProtobufCMessage *reply)
{
    size_t len = 0;
    uint8_t *bytes = reply_pack(reply, &len);
    if (bytes == NULL) {
        HF_IGNORE(problem_of_status(&call->problem, HF_E_NO_MEMORY),
                  "it is the answer");
        call_reply_problem(call, &call->problem);
        return;
    }
    call_reply_bytes(call, bytes, len);
}

static void admin_run(void *argument)
{
    struct rpc_call *call = argument;
    ProtobufCMessage *reply = NULL;
    if (admin_serve(call, &reply) != HF_OK) {
        call_reply_problem(call, &call->problem);
        return;
    }
    lane_reply_message(call, reply);
}

static void admin_lane(struct rpc_call *call)
{
    struct rpc *rpc = call->slot->rpc;
    call_arm_close(call);
    if (service_pool_run(rpc->settings.service, call->peer->caller.tenant,
                         admin_run, call)) {
        return;
    }
    atomic_fetch_add_explicit(&rpc->overloaded, 1, memory_order_relaxed);
    HF_IGNORE(problem_set(&call->problem, REASON_OVERLOADED,
                          "the queue for administration is full; repeat later"),
              "it is the answer");
    call->problem.retry_ms = OVERLOAD_RETRY_MS;
    call_reply_problem(call, &call->problem);
}

/* --- the rest ------------------------------------------------------------ */

static void extra_lane(struct rpc_call *call)
{
    const struct rpc_extra_method *extra = call->slot->extra;
    struct bytes body = BYTES_NONE;
    size_t len = 0;
    uint8_t *bytes = reply_buffer(RPC_EXTRA_REPLY_BYTES);
    if (bytes == NULL || call_body(call, &body) != HF_OK ||
        !extra->answer(extra->context, body, bytes, RPC_EXTRA_REPLY_BYTES,
                       &len)) {
        free(bytes);
        HF_IGNORE(problem_set(&call->problem, REASON_INTERNAL, "no answer"),
                  "it is the answer");
        call_reply_problem(call, &call->problem);
        return;
    }
    call_reply_bytes(call, bytes, len);
}

static void unknown_lane(struct rpc_call *call)
{
    char path[160];
    size_t len = GRPC_SLICE_LENGTH(call->details.method);
    const char *start =
        (const char *)GRPC_SLICE_START_PTR(call->details.method);
    size_t shown = 0;
    for (size_t i = 0; i < len && shown < sizeof path - 1; i++) {
        path[shown++] = start[i] > 0x20 && start[i] < 0x7f ? start[i] : '?';
    }
    path[shown] = '\0';
    HF_IGNORE(problem_set(&call->problem, REASON_METHOD_UNKNOWN,
                          "there is no method %s; ask the server's reflection "
                          "for what there is",
                          path),
              "it is the answer");
    call_reply_problem(call, &call->problem);
}

void lane_take_in(struct rpc_call *call)
{
    enum hf_status status = lane_identify(call);
    if (status == HF_OK) {
        status = admit(call);
    }
    if (status != HF_OK) {
        call_reply_problem(call, &call->problem);
        return;
    }
    switch (call->slot->method->lane) {
    case LANE_DATA:
        data_lane(call);
        return;
    case LANE_ADMIN:
        admin_lane(call);
        return;
    case LANE_HEALTH:
        health_check(call);
        return;
    case LANE_STREAM:
        stream_begin(call);
        return;
    case LANE_WATCH:
        health_watch_begin(call);
        return;
    case LANE_REFLECTION:
        reflection_begin(call);
        return;
    case LANE_EXTRA:
        extra_lane(call);
        return;
    case LANE_UNKNOWN:
        unknown_lane(call);
        return;
    }
}
