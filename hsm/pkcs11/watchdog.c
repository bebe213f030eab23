#include "hsm/base/check.h"

#include "hsm/pkcs11/seat.h"

#include <time.h>

/* The ordinary round. Every deadline that is longer than a round is met
 * exactly, because the round before it sees it coming. */
#define ROUND_US 50000

/* Answers that wait for the end of their batch for longer than this wait for a
 * call that does not come back: they are told without it. */
#define TELL_FOR_US 5000

/* What a round found. */
struct round {
    bool busy;
    int64_t next_us; /* the earliest deadline seen */
};

/* What was taken from a seat that is too late. */
struct loss {
    bool lost;
    struct token_request *late;
    struct request_list rest;
};

static struct loss look_at(struct seat *seat, int64_t now_us,
                           struct round *round, struct request_list *finished)
{
    struct loss loss = {0};
    pthread_mutex_lock(&seat->lock);
    if (!seat->abandoned) {
        if (seat->current != NULL && seat->deadline_us <= now_us) {
            seat->abandoned = true;
            loss.lost = true;
            loss.late = seat->current;
            loss.rest = seat->batch;
            seat->current = NULL;
            seat->batch = (struct request_list){0};
        } else if (seat->current != NULL) {
            round->busy = true;
            if (seat->deadline_us < round->next_us) {
                round->next_us = seat->deadline_us;
            }
        }
        if (seat->finished.count > 0 &&
            (loss.lost || now_us - seat->finished_since_us > TELL_FOR_US)) {
            *finished = seat->finished;
            seat->finished = (struct request_list){0};
        }
    }
    pthread_mutex_unlock(&seat->lock);
    return loss;
}

/* The seat's place is taken by another thread, within bounds; what it had not
 * begun goes back in front of the queue. The new thread counts before the lost
 * one no longer does: a lane that is to go on must not look deserted to who
 * asks in between, or one late call is an outage for the next. */
static void replace(struct executor *executor, enum p11_lane number,
                    struct loss *loss)
{
    struct lane *lane = &executor->lanes[number];
    pthread_mutex_lock(&lane->lock);
    lane->seats_lost += 1;
    bool again = lane->seats_lost <= SEATS_LOST_MAX && !lane->closing;
    lane->seats_alive -= again ? 0 : 1;
    pthread_mutex_unlock(&lane->lock);
    if (again) {
        HF_IGNORE(seat_start(executor, number),
                  "without a new thread the lane gives up, just below");
    }
    pthread_mutex_lock(&executor->seats_lock);
    executor->seats_running -= 1;
    pthread_cond_broadcast(&executor->seat_left);
    pthread_mutex_unlock(&executor->seats_lock);

    pthread_mutex_lock(&lane->lock);
    lane->seats_alive -= again ? 1 : 0;
    lane_put_back(lane, &loss->rest);
    struct request_list orphans = {0};
    bool closing = lane->closing;
    bool deserted = lane->seats_alive == 0;
    if (deserted) {
        orphans = lane_give_up(lane);
    }
    pthread_mutex_unlock(&lane->lock);
    if (executor->owner.thread_lost != NULL) {
        executor->owner.thread_lost(executor->owner.self, true);
    }
    if (deserted && !closing) {
        executor->owner.lane_alive(executor->owner.self, number, false);
    }
    loss->late->status = HF_E_TIMEOUT;
    loss->late->done(loss->late);
    request_list_answer(&orphans, closing ? HF_E_CANCELLED : HF_E_UNREACHABLE);
}

/* One look at every seat. A seat may start or leave while no lock is held, so
 * the list is walked again from the front after each loss. */
static struct round look_around(struct executor *executor)
{
    struct round round;
    bool again = true;
    while (again) {
        int64_t now_us = executor_now_us();
        again = false;
        round = (struct round){.next_us = now_us + ROUND_US};
        struct loss loss = {0};
        struct request_list finished = {0};
        enum p11_lane lane = LANE_DATA;
        pthread_mutex_lock(&executor->seats_lock);
        for (struct seat *seat = executor->seats; seat != NULL;
             seat = seat->next) {
            lane = seat->lane;
            loss = look_at(seat, now_us, &round, &finished);
            if (loss.lost || finished.count > 0) {
                again = true;
                break;
            }
        }
        pthread_mutex_unlock(&executor->seats_lock);
        request_list_tell(finished);
        if (loss.lost) {
            replace(executor, lane, &loss);
        }
    }
    return round;
}

static struct timespec timespec_of_us(int64_t us)
{
    return (struct timespec){.tv_sec = us / 1000000,
                             .tv_nsec = (us % 1000000) * 1000};
}

/* Sleeps until the next look is due; untimed: nothing runs, so until something
 * does. A seat that begins reads watchdog_asleep after it has made its request
 * current, and we look at the seats once more after setting it: one of the two
 * sees the other. */
static void sleep_a_round(struct executor *executor, struct round round,
                          bool untimed)
{
    if (untimed) {
        atomic_store(&executor->watchdog_asleep, true);
        round = look_around(executor);
        untimed = !round.busy;
    }
    struct timespec until = timespec_of_us(round.next_us);
    pthread_mutex_lock(&executor->watchdog_lock);
    int waited = 0;
    while (!executor->watchdog_kicked && !executor->watchdog_stop &&
           waited == 0) {
        waited = untimed
                     ? pthread_cond_wait(&executor->watchdog_wake,
                                         &executor->watchdog_lock)
                     : pthread_cond_timedwait(&executor->watchdog_wake,
                                              &executor->watchdog_lock, &until);
    }
    executor->watchdog_kicked = false;
    pthread_mutex_unlock(&executor->watchdog_lock);
    atomic_store(&executor->watchdog_asleep, false);
}

void *watchdog_main(void *argument)
{
    struct executor *executor = argument;
    bool stop = false;
    size_t idle_rounds = 0;
    while (!stop) {
        struct round round = look_around(executor);
        idle_rounds = round.busy ? 0 : idle_rounds + 1;
        /* one idle round is not yet peace: waking us costs the seats more than
         * a round costs us */
        sleep_a_round(executor, round, idle_rounds > 1);
        pthread_mutex_lock(&executor->watchdog_lock);
        stop = executor->watchdog_stop;
        pthread_mutex_unlock(&executor->watchdog_lock);
    }
    return NULL;
}

void watchdog_kick(struct executor *executor, bool new_deadline)
{
    pthread_mutex_lock(&executor->watchdog_lock);
    if (new_deadline || atomic_load(&executor->watchdog_asleep)) {
        executor->watchdog_kicked = true;
        atomic_store(&executor->watchdog_asleep, false);
        pthread_cond_signal(&executor->watchdog_wake);
    }
    pthread_mutex_unlock(&executor->watchdog_lock);
}
