#include "hsm/worker/flight.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include <stdlib.h>

/* number = how many were sent before | the slot's place */
#define PLACE_BITS 13

_Static_assert(FLIGHT_LANES *FLIGHT_PER_LANE_MAX <= 1 << PLACE_BITS,
               "every place has its number");

static void push(struct flight_queue *queue, struct flight_slot *slot)
{
    slot->next = queue->free;
    queue->free = slot;
}

HF_STATUS flight_init(struct flight *flight, size_t per_lane)
{
    CHECK(per_lane > 0 && per_lane <= FLIGHT_PER_LANE_MAX);
    *flight = (struct flight){.per_lane = per_lane};
    flight->slots = calloc(FLIGHT_LANES * per_lane, sizeof *flight->slots);
    if (flight->slots == NULL) {
        return HF_E_NO_MEMORY;
    }
    for (size_t i = FLIGHT_LANES * per_lane; i > 0; i--) {
        struct flight_slot *slot = &flight->slots[i - 1];
        slot->lane = i - 1 < per_lane ? FLIGHT_DATA : FLIGHT_ROOT;
        push(&flight->lanes[slot->lane], slot);
    }
    return HF_OK;
}

void flight_free(struct flight *flight)
{
    free(flight->slots);
    *flight = (struct flight){.per_lane = 0};
}

bool flight_add(struct flight *flight, struct token_request *request,
                int64_t now_us)
{
    struct flight_queue *queue =
        &flight
             ->lanes[token_op_is_data(request->op) ? FLIGHT_DATA : FLIGHT_ROOT];
    struct flight_slot *slot = queue->free;
    if (slot == NULL) {
        return false;
    }
    queue->free = slot->next;
    queue->taken += 1;
    *slot = (struct flight_slot){.state = FLIGHT_QUEUED,
                                 .lane = slot->lane,
                                 .request = request,
                                 .since_us = now_us};
    if (queue->last == NULL) {
        queue->first = slot;
    } else {
        queue->last->next = slot;
    }
    queue->last = slot;
    return true;
}

static void pop(struct flight_queue *queue)
{
    queue->first = queue->first->next;
    if (queue->first == NULL) {
        queue->last = NULL;
    }
}

/* Those that were dropped meanwhile leave their queue. */
static struct flight_slot *first_of(struct flight *flight,
                                    struct flight_queue *queue)
{
    while (queue->first != NULL && queue->first->state == FLIGHT_DROPPED) {
        struct flight_slot *slot = queue->first;
        pop(queue);
        flight_release(flight, slot);
    }
    return queue->first;
}

bool flight_is_waiting(const struct flight *flight)
{
    return flight->lanes[FLIGHT_DATA].first != NULL ||
           flight->lanes[FLIGHT_ROOT].first != NULL;
}

bool flight_is_empty(const struct flight *flight)
{
    return flight->lanes[FLIGHT_DATA].taken == 0 &&
           flight->lanes[FLIGHT_ROOT].taken == 0;
}

struct flight_slot *flight_first(struct flight *flight)
{
    struct flight_slot *slot = first_of(flight, &flight->lanes[FLIGHT_DATA]);
    if (slot == NULL) {
        slot = first_of(flight, &flight->lanes[FLIGHT_ROOT]);
    }
    if (slot != NULL && slot->number == 0) {
        flight->sent += 1;
        slot->number =
            flight->sent << PLACE_BITS | (uint64_t)(slot - flight->slots);
    }
    return slot;
}

void flight_sent(struct flight *flight, struct flight_slot *slot,
                 int64_t now_us)
{
    struct flight_queue *queue = &flight->lanes[slot->lane];
    CHECK(queue->first == slot && slot->state == FLIGHT_QUEUED);
    pop(queue);
    slot->state = FLIGHT_SENT;
    slot->since_us = now_us;
}

struct token_request *flight_drop(struct flight *flight,
                                  struct flight_slot *slot)
{
    struct flight_queue *queue = &flight->lanes[slot->lane];
    struct token_request *request = HF_GIVE(slot->request);
    CHECK(slot->state == FLIGHT_QUEUED);
    slot->state = FLIGHT_DROPPED;
    first_of(flight, queue);
    return request;
}

struct flight_slot *flight_find(struct flight *flight, uint64_t number)
{
    size_t place = number & ((UINT64_C(1) << PLACE_BITS) - 1);
    if (place >= FLIGHT_LANES * flight->per_lane) {
        return NULL;
    }
    struct flight_slot *slot = &flight->slots[place];
    bool open = slot->state == FLIGHT_SENT || slot->state == FLIGHT_LATE;
    return open && slot->number == number ? slot : NULL;
}

void flight_answered(struct flight *flight, struct flight_slot *slot,
                     int64_t now_us)
{
    struct flight_queue *queue = &flight->lanes[slot->lane];
    slot->state = FLIGHT_ANSWERED;
    queue->answered_us = now_us;
    if (slot->number > queue->answered) {
        queue->answered = slot->number;
    }
}

void flight_release(struct flight *flight, struct flight_slot *slot)
{
    struct flight_queue *queue = &flight->lanes[slot->lane];
    slot->state = FLIGHT_FREE;
    slot->request = NULL;
    queue->taken -= 1;
    push(queue, slot);
}

/* Whether its own time and a grace are over, as far as we can know when it
 * began. */
static bool is_overdue(const struct flight_queue *queue,
                       struct flight_slot *slot, int64_t now_us,
                       int64_t grace_us)
{
    int64_t began_us = slot->since_us;
    if (slot->state == FLIGHT_SENT && slot->number < queue->answered) {
        if (slot->overtaken_us == 0) {
            slot->overtaken_us = now_us;
        }
        began_us = slot->overtaken_us;
    } else if (queue->answered_us > began_us) {
        began_us = queue->answered_us;
    }
    int64_t attempt_us = token_attempt_ms(slot->request) * 1000;
    return now_us - began_us > attempt_us + grace_us;
}

struct flight_slot *flight_next_overdue(struct flight *flight, size_t *at,
                                        int64_t now_us, int64_t now_ms,
                                        int64_t grace_us,
                                        enum hf_status *out_status)
{
    struct flight_slot *slot = flight_next_any(flight, at);
    for (; slot != NULL; slot = flight_next_any(flight, at)) {
        int64_t drop_dead_ms = slot->request->drop_dead_ms;
        if (slot->state == FLIGHT_QUEUED && drop_dead_ms != 0 &&
            now_ms > drop_dead_ms) {
            *out_status = HF_E_EXPIRED;
            return slot;
        }
        if (is_overdue(&flight->lanes[slot->lane], slot, now_us, grace_us)) {
            *out_status = HF_E_TIMEOUT;
            return slot;
        }
    }
    return NULL;
}

struct token_request *flight_late(struct flight_slot *slot)
{
    CHECK(slot->state == FLIGHT_SENT);
    slot->late = frame_late_of(slot->request, slot->listed);
    slot->state = FLIGHT_LATE;
    return HF_GIVE(slot->request);
}

struct flight_slot *flight_next_any(struct flight *flight, size_t *at)
{
    while (*at < FLIGHT_LANES * flight->per_lane) {
        struct flight_slot *slot = &flight->slots[*at];
        *at += 1;
        if (slot->state == FLIGHT_QUEUED || slot->state == FLIGHT_SENT) {
            return slot;
        }
    }
    return NULL;
}

size_t flight_outstanding(const struct flight *flight)
{
    size_t count = 0;
    for (size_t i = 0; i < FLIGHT_LANES * flight->per_lane; i++) {
        count += flight->slots[i].request != NULL ? 1 : 0;
    }
    return count;
}
