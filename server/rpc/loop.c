#include "hsm/base/check.h"

#include "server/rpc/health.h"
#include "server/rpc/reflection.h"
#include "server/rpc/server.h"
#include "server/rpc/stream.h"

#include <grpc/support/time.h>

#include <sched.h>

void rpc_post(struct call_slot *slot)
{
    struct rpc *rpc = slot->rpc;
    while (slot->posted < slot->posted_want && slot->live < slot->live_max &&
           !atomic_load_explicit(&rpc->stopping, memory_order_relaxed)) {
        struct rpc_call *call = slot->free_calls;
        if (call != NULL) {
            slot->free_calls = call->next;
        } else {
            call = call_make(slot);
        }
        if (call == NULL) {
            return; /* the ones that are posted go on */
        }
        struct call_tag *tag = &call->tags[CALL_TAKEN_IN];
        grpc_call_error error =
            slot->registered == NULL
                ? grpc_server_request_call(rpc->server, &call->call,
                                           &call->details, &call->metadata,
                                           rpc->queue, rpc->queue, tag)
                : grpc_server_request_registered_call(
                      rpc->server, slot->registered, &call->call,
                      &call->deadline, &call->metadata,
                      slot->method->lane == LANE_REFLECTION ? NULL
                                                            : &call->payload,
                      rpc->queue, rpc->queue, tag);
        CHECK(error == GRPC_CALL_OK);
        slot->posted++;
        slot->live++;
    }
}

static void wait_remove(struct rpc *rpc, struct rpc_call *call)
{
    if (!call->waiting) {
        return;
    }
    *(call->wait_prev != NULL ? &call->wait_prev->wait_next
                              : &rpc->wait_first) = call->wait_next;
    *(call->wait_next != NULL ? &call->wait_next->wait_prev : &rpc->wait_last) =
        call->wait_prev;
    call->waiting = false;
}

/* The last reference is gone: the call is free for the next one. */
static void recycle(struct rpc_call *call)
{
    struct call_slot *slot = call->slot;
    struct rpc *rpc = slot->rpc;
    wait_remove(rpc, call);
    if (call->call != NULL) {
        lane_log(call);
        atomic_fetch_sub_explicit(&rpc->in_work, 1, memory_order_relaxed);
    }
    if (call->counted) {
        enum admission kind = lane_admission(slot->method->lane);
        rpc->in_flight[kind]--;
        rpc->in_flight_of[kind][call->share]--;
        call->counted = false;
    }
    call_clear(call);
    call->next = slot->free_calls;
    slot->free_calls = call;
    slot->live--;
    rpc_post(slot);
}

void rpc_let_go(struct rpc_call *call)
{
    if (atomic_fetch_sub(&call->refs, 1) == 1) {
        recycle(call);
    }
}

static void taken_in(struct rpc_call *call, bool ok)
{
    struct call_slot *slot = call->slot;
    struct rpc *rpc = slot->rpc;
    slot->posted--;
    atomic_store(&call->refs, 1);
    if (!ok) { /* the server shuts down: nothing was taken in */
        rpc_let_go(call);
        return;
    }
    rpc_post(slot);
    call->id = ++rpc->last_id;
    call->start_ms = rpc->now_ms;
    atomic_fetch_add_explicit(&rpc->calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&rpc->in_work, 1, memory_order_relaxed);
    lane_take_in(call);
}

static void serve(const struct call_tag *tag, bool ok)
{
    struct rpc_call *call = tag->call;
    switch (tag->event) {
    case CALL_TAKEN_IN:
        taken_in(call, ok);
        return;
    case CALL_CLOSED:
        atomic_store(&call->cancelled, call->cancelled_raw != 0);
        if (call->slot->method->lane == LANE_WATCH) {
            health_watch_closed(call);
        } else if (call->slot->method->lane == LANE_REFLECTION) {
            reflection_closed(call);
        } else if (call->slot->method->lane == LANE_STREAM) {
            stream_closed(call);
        }
        break;
    case CALL_READ:
        reflection_read(call, ok);
        break;
    case CALL_WRITTEN:
        if (call->slot->method->lane == LANE_WATCH) {
            health_watch_written(call, ok);
        } else if (call->slot->method->lane == LANE_STREAM) {
            stream_written(call, ok);
        } else {
            reflection_written(call, ok);
        }
        break;
    case CALL_REPLIED:
        /* pairs with the exchange before the reply was started: what the
         * replying thread wrote is seen here without trusting gRPC's locks */
        CHECK(atomic_load(&call->close_armed) || call->ended);
        break;
    }
    rpc_let_go(call);
}

/* Calls that are out for longer than a hot one should be: learn whether their
 * client is still there, before the slow lane does anything for them. */
static void arm_waiting(struct rpc *rpc)
{
    while (rpc->wait_first != NULL &&
           rpc->wait_first->start_ms + RPC_ARM_AFTER_MS <= rpc->now_ms) {
        struct rpc_call *call = rpc->wait_first;
        wait_remove(rpc, call);
        call_arm_close(call);
    }
}

static void see_new_identities(struct rpc *rpc)
{
    if (identity_took_up(rpc->identities)) {
        health_recheck(rpc->health);
        reflection_recheck(rpc);
        streams_recheck(rpc->streams);
    }
}

static void see_drain(struct rpc *rpc)
{
    if (!rpc->draining_seen && atomic_load(&rpc->draining)) {
        rpc->draining_seen = true;
        health_end_watches(rpc->health);
        reflection_end_all(rpc);
        streams_end_all(rpc->streams);
    }
}

/* Tells whoever drains or stops how far it is. gRPC's own notice does not wait
 * for calls that are still in work: with their connections gone they are only
 * ours. */
static void see_end(struct rpc *rpc)
{
    if (!rpc->draining_seen) {
        return;
    }
    bool quiet = true;
    for (size_t i = 0; i < ADMISSIONS; i++) {
        quiet = quiet && rpc->in_flight[i] == 0;
    }
    bool shut_down =
        rpc->grpc_is_down &&
        atomic_load_explicit(&rpc->in_work, memory_order_relaxed) == 0;
    pthread_mutex_lock(&rpc->drain_lock);
    rpc->quiet = quiet;
    rpc->shut_down = shut_down;
    if (quiet || shut_down) {
        pthread_cond_broadcast(&rpc->drain_done);
    }
    pthread_mutex_unlock(&rpc->drain_lock);
}

/* One event; false when the queue is at its end. */
static bool serve_event(struct rpc *rpc, const grpc_event *event)
{
    if (event->type == GRPC_QUEUE_SHUTDOWN) {
        return false;
    }
    if (event->type == GRPC_OP_COMPLETE) {
        if (event->tag == rpc) { /* shutdown_and_notify */
            rpc->grpc_is_down = true;
        } else {
            serve(event->tag, event->success != 0);
        }
    }
    return true;
}

static grpc_event next_event(struct rpc *rpc, bool wait)
{
    gpr_timespec until = gpr_inf_past(GPR_CLOCK_MONOTONIC);
    if (wait) {
        int64_t ms = rpc->wait_first != NULL ? RPC_ARM_AFTER_MS : RPC_TICK_MS;
        until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                             gpr_time_from_millis(ms, GPR_TIMESPAN));
    }
    return grpc_completion_queue_next(rpc->queue, until, NULL);
}

/* SCHED_BATCH: with too few cores, the token's thread that just started an
 * answer would be interrupted by this one for each single answer; so it starts
 * some more first, and one turn of ours sees all of them. With a free core it
 * changes nothing. Refused by the system it is only slower. */
static void settle(void)
{
    const struct sched_param usual = {0};
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &usual);
}

void *rpc_loop(void *argument)
{
    struct rpc *rpc = argument;
    bool more = true;
    settle();
    for (size_t i = 0; i < rpc->slot_count; i++) {
        rpc_post(&rpc->slots[i]);
    }
    while (more) {
        grpc_event event = next_event(rpc, true);
        rpc->now_ms = clock_monotonic_ms(rpc->settings.clock);
        see_drain(rpc);
        see_new_identities(rpc);
        more = serve_event(rpc, &event);
        /* Everything that is ready belongs to one batch. */
        for (size_t n = 1;
             more && event.type == GRPC_OP_COMPLETE && n < RPC_EVENTS_MAX &&
             rpc->batch_count < RPC_BATCH_MAX;
             n++) {
            event = next_event(rpc, false);
            more = serve_event(rpc, &event);
        }
        lane_submit(rpc);
        arm_waiting(rpc);
        health_tick(rpc->health);
        streams_tick(rpc->streams);
        see_end(rpc);
        atomic_fetch_add_explicit(&rpc->turns, 1, memory_order_relaxed);
    }
    return NULL;
}
