/* flight: the requests that a link has taken and not answered.
 *
 *   free -> queued -> sent ------> answered -> free
 *             |        +--> late -----^
 *             +--> dropped (answered, still in its queue) -> free
 *
 * A table of slots, one queue per lane, no thread and no socket: whoever calls
 * holds the link's lock. A number is the slot's place and how often anything
 * was sent before, so it is found at once and never comes again.
 *
 * When must a request have begun? A lane begins in order (executor.h), so not
 * before those sent earlier are answered, and not after one sent later was.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/token/token.h"
#include "hsm/worker/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum flight_state {
    FLIGHT_FREE,
    FLIGHT_QUEUED,
    FLIGHT_SENT,
    FLIGHT_ANSWERED, /* by its reply, which is being told */
    FLIGHT_LATE,     /* by us, and its reply may still come */
    FLIGHT_DROPPED,
};

enum flight_lane { FLIGHT_DATA, FLIGHT_ROOT, FLIGHT_LANES };

struct flight_slot {
    enum flight_state state;
    enum flight_lane lane;
    uint64_t number;
    struct token_request *request; /* NULL once it was answered */
    struct flight_slot *next;      /* in the queue, or among the free */
    int64_t since_us;              /* taken, then sent */
    int64_t overtaken_us;          /* a later one was answered; 0: not seen */
    size_t listed;                 /* items of a list that came so far */
    struct frame_late late;
};

struct flight_queue {
    struct flight_slot *free;
    struct flight_slot *first;
    struct flight_slot *last;
    size_t taken;        /* slots not free */
    uint64_t answered;   /* the highest number answered */
    int64_t answered_us; /* when any was last */
};

struct flight {
    size_t per_lane;
    struct flight_slot *slots; /* of the data lane, then of the root lane */
    struct flight_queue lanes[FLIGHT_LANES];
    uint64_t sent; /* numbers given */
};

#define FLIGHT_PER_LANE_MAX 4096

/* flight_init: per_lane, 1 to FLIGHT_PER_LANE_MAX. HF_OK; HF_E_NO_MEMORY. */
HF_STATUS flight_init(struct flight *flight, size_t per_lane);
void flight_free(struct flight *flight);

/* flight_add: into its lane's queue; false: the lane is full. */
bool flight_add(struct flight *flight, struct token_request *request,
                int64_t now_us);
/* flight_is_waiting: anything queued; flight_is_empty: no slot is taken. */
bool flight_is_waiting(const struct flight *flight);
bool flight_is_empty(const struct flight *flight);
/* flight_first: the next to be sent, data before root; NULL: none. It gets its
 * number here. */
struct flight_slot *flight_first(struct flight *flight);
/* flight_sent: that one is on its way. flight_drop: or not to be sent; the
 * caller answers its request. */
void flight_sent(struct flight *flight, struct flight_slot *slot,
                 int64_t now_us);
struct token_request *flight_drop(struct flight *flight,
                                  struct flight_slot *slot);

/* flight_find: sent or late; NULL: nobody waits for such a number. */
struct flight_slot *flight_find(struct flight *flight, uint64_t number);
/* flight_answered: its reply is here. flight_release: free again. */
void flight_answered(struct flight *flight, struct flight_slot *slot,
                     int64_t now_us);
void flight_release(struct flight *flight, struct flight_slot *slot);

/* flight_next_overdue: the next slot from *at on whose request must be answered
 * without the worker; NULL: no more. *out_status: HF_E_EXPIRED for a queued one
 * past its drop_dead_ms, else HF_E_TIMEOUT. The caller gives it up by
 * flight_drop (queued) or flight_late (sent). */
struct flight_slot *flight_next_overdue(struct flight *flight, size_t *at,
                                        int64_t now_us, int64_t now_ms,
                                        int64_t grace_us,
                                        enum hf_status *out_status);
struct token_request *flight_late(struct flight_slot *slot);

/* flight_next_any: the next slot from *at on whose request is not answered. */
struct flight_slot *flight_next_any(struct flight *flight, size_t *at);
/* flight_outstanding: requests not answered. */
size_t flight_outstanding(const struct flight *flight);
