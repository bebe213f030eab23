/* executor: the threads of one token, its queues and its deadlines.
 *
 *   submit -> lane queue -> seat (a thread) -> run(job) -> finished -> done
 *                              |  deadline passed
 *                              +--> abandoned: the request is answered
 *                                   HF_E_TIMEOUT, the rest of its batch goes
 *                                   back to the queue, another thread takes the
 *                                   seat's place; what the lost thread brings
 *                                   home one day is discarded
 *
 * Two lanes: DATA (one seat, takes up to JOB_BATCH_MAX requests at once) and
 * ROOT (a few seats, one request each). A lane never waits for the other.
 *
 * A module call cannot be interrupted, so a thread works on a private copy of
 * its request (struct p11_job) and the request is touched only under the seat's
 * lock and only while it is still the seat's. Lost threads are bounded: after
 * SEATS_LOST_MAX a lane is not given new ones, and when its last seat is lost
 * every request is answered HF_E_UNREACHABLE at once, until one comes back; the
 * owner is told of both.
 *
 * Locks: lane before seat; done and the owner are called with none held.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/clock.h"

#include "hsm/pkcs11/job.h"
#include "hsm/token/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum p11_lane { LANE_DATA, LANE_ROOT, LANE_COUNT };

#define JOB_BATCH_MAX  64
#define SEATS_LOST_MAX 4

/* What the executor needs of its owner. */
struct executor_owner {
    /* runs job->request on this thread; *seat_state is NULL at first and the
     * owner's to keep what belongs to one thread (a session) */
    void (*run)(void *self, struct p11_job *job, void **seat_state);
    /* the answer was given without this result: undo what can be undone */
    void (*discard)(void *self, struct p11_job *job, void **seat_state);
    /* the thread ends */
    void (*leave)(void *self, void **seat_state);
    /* the last thread of a lane is lost in the module, or one came back: what
     * is asked in between is refused, and only the module's return or a new
     * process helps, so a person must be told */
    void (*lane_alive)(void *self, enum p11_lane lane, bool alive);
    /* one thread more is lost in the module, or one less; NULL: not told */
    void (*thread_lost)(void *self, bool lost);
    /* the last thread has ended and the executor is gone; may be called on any
     * thread, once, and after executor_stop has returned when a thread was
     * lost in the module */
    void (*gone)(void *self);
    void *self;
};

struct executor_settings {
    size_t queue_max; /* per lane */
    size_t root_seats;
    const struct clock *clock; /* for drop_dead_ms */
};

struct executor_counts {
    uint64_t started[LANE_COUNT];
    uint64_t refused;
};

struct executor;

/* executor_start: HF_OK; HF_E_NO_MEMORY; HF_E_RESOURCES without threads (then
 * owner->gone is not called). */
HF_STATUS executor_start(const struct executor_settings *settings,
                         const struct executor_owner *owner,
                         struct executor **out_executor);

/* executor_submit: see token_submit. Threads: safe from any thread. */
void executor_submit(struct executor *executor,
                     struct token_request *const *requests, size_t count);

void executor_counts(struct executor *executor, struct executor_counts *out);

/* executor_stop: answers what is queued with HF_E_CANCELLED, waits for what
 * runs until its deadline, and lets go. The executor is not to be used again.
 *
 * Blocks    up to the longest deadline of what is running.
 */
void executor_stop(struct executor *executor);
