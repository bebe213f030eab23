#include "hsm/pkcs11/seat.h"

#include "hsm/base/check.h"

#include <openssl/crypto.h>

#include <sched.h>
#include <signal.h>
#include <stdlib.h>

/* Answers of one batch are told together, so that those who wait for them are
 * woken once, but none waits for longer than this. */
#define TELL_MAX      16
#define TELL_AFTER_US 200

/* Shorter attempts than this cannot wait for the watchdog's ordinary round. */
#define SHORT_ATTEMPT_US 100000

/* Sleeps until there is work for this seat; false: the lane is closing. */
static bool seat_take(struct seat *seat)
{
    struct lane *lane = &seat->executor->lanes[seat->lane];
    pthread_mutex_lock(&lane->lock);
    while (lane->queue.count == 0 && !lane->closing) {
        lane->waiting += 1;
        pthread_cond_wait(&lane->work, &lane->lock);
        lane->waiting -= 1;
    }
    bool any = lane->queue.count > 0;
    pthread_mutex_lock(&seat->lock);
    for (size_t i = 0; i < lane->batch_max && lane->queue.count > 0; i++) {
        request_list_add(&seat->batch, request_list_pop(&lane->queue));
    }
    pthread_mutex_unlock(&seat->lock);
    pthread_mutex_unlock(&lane->lock);
    return any;
}

/* Makes the next request of the batch current and copies it in: under the lock,
 * because from here on the watchdog may answer it. */
static bool seat_begin(struct seat *seat)
{
    struct executor *executor = seat->executor;
    pthread_mutex_lock(&seat->lock);
    struct token_request *request = request_list_pop(&seat->batch);
    int64_t attempt = 0;
    if (request != NULL) {
        attempt = token_attempt_ms(request) * 1000;
        seat->deadline_us = executor_now_us() + attempt;
        seat->current = request;
        job_take(seat->job, request);
    }
    pthread_mutex_unlock(&seat->lock);
    if (request == NULL) {
        return false;
    }
    if (atomic_load(&executor->watchdog_asleep) || attempt < SHORT_ATTEMPT_US) {
        watchdog_kick(executor, attempt < SHORT_ATTEMPT_US);
    }
    return true;
}

/* time in our queue is not attempt time, and a request that nobody
 * waits for any more does not reach the token. */
static bool is_expired(const struct seat *seat)
{
    int64_t drop_dead_ms = seat->job->request.drop_dead_ms;
    return drop_dead_ms != 0 &&
           clock_monotonic_ms(seat->executor->settings.clock) > drop_dead_ms;
}

static void seat_work(struct seat *seat)
{
    struct executor *executor = seat->executor;
    if (is_expired(seat)) {
        seat->job->request.status = HF_E_EXPIRED;
        atomic_fetch_add_explicit(&executor->refused, 1, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&executor->lanes[seat->lane].started, 1,
                              memory_order_relaxed);
    executor->owner.run(executor->owner.self, seat->job, &seat->state);
}

static void seat_tell(struct seat *seat)
{
    pthread_mutex_lock(&seat->lock);
    struct request_list list = seat->finished;
    seat->finished = (struct request_list){0};
    pthread_mutex_unlock(&seat->lock);
    request_list_tell(list);
}

/* Gives the answer; false: somebody else has, and this seat is lost. */
static bool seat_finish(struct seat *seat)
{
    pthread_mutex_lock(&seat->lock);
    if (seat->abandoned) {
        pthread_mutex_unlock(&seat->lock);
        return false;
    }
    job_give(seat->job, seat->current);
    int64_t now_us = executor_now_us();
    if (seat->finished.count == 0) {
        seat->finished_since_us = now_us;
    }
    request_list_add(&seat->finished, seat->current);
    seat->current = NULL;
    bool tell = seat->batch.count == 0 || seat->finished.count >= TELL_MAX ||
                now_us - seat->finished_since_us > TELL_AFTER_US;
    pthread_mutex_unlock(&seat->lock);
    if (tell) {
        seat_tell(seat);
    }
    return true;
}

/* A lost thread came home. Its result is worth nothing to anybody; but a lane
 * that was not given another thread in its place takes it back. */
static bool seat_return(struct seat *seat)
{
    struct executor *executor = seat->executor;
    struct lane *lane = &executor->lanes[seat->lane];
    executor->owner.discard(executor->owner.self, seat->job, &seat->state);
    job_clear(seat->job);
    pthread_mutex_lock(&executor->seats_lock);
    pthread_mutex_lock(&lane->lock);
    lane->seats_lost -= 1;
    bool back = lane->seats_alive < lane->seats_wanted && !lane->closing;
    bool first = back && lane->seats_alive == 0;
    if (back) {
        lane->seats_alive += 1;
        executor->seats_running += 1;
        pthread_mutex_lock(&seat->lock);
        seat->abandoned = false;
        pthread_mutex_unlock(&seat->lock);
    }
    pthread_mutex_unlock(&lane->lock);
    pthread_mutex_unlock(&executor->seats_lock);
    if (executor->owner.thread_lost != NULL) {
        executor->owner.thread_lost(executor->owner.self, false);
    }
    if (first) {
        executor->owner.lane_alive(executor->owner.self, seat->lane, true);
    }
    return back;
}

static void seat_free(struct seat *seat)
{
    pthread_mutex_destroy(&seat->lock);
    if (seat->job != NULL) {
        wipe(seat->job, sizeof *seat->job);
    }
    free(seat->job);
    free(seat);
}

static void seat_leave(struct seat *seat, bool lost)
{
    struct executor *executor = seat->executor;
    executor->owner.leave(executor->owner.self, &seat->state);
    /* nobody joins this thread: what libcrypto keeps for it must not be given
     * back while the process is already ending */
    OPENSSL_thread_stop();
    pthread_mutex_lock(&executor->seats_lock);
    struct seat **at = &executor->seats;
    while (*at != seat) {
        at = &(*at)->next;
    }
    *at = seat->next;
    executor->seats_total -= 1;
    executor->seats_running -= lost ? 0 : 1;
    bool last = executor->seats_total == 0 && executor->stopped;
    pthread_cond_broadcast(&executor->seat_left);
    pthread_mutex_unlock(&executor->seats_lock);
    seat_free(seat);
    if (last) {
        executor_free(executor);
    }
}

/* SCHED_BATCH: with too few cores, the thread that submits would be interrupted
 * by this one for each single request; so it submits some more first, and one
 * turn of ours serves several (measured on one core). With a free core it
 * changes nothing. Refused by the system it is only slower. */
static void seat_settle(const struct seat *seat)
{
    const struct sched_param usual = {0};
    if (seat->lane == LANE_DATA) {
        pthread_setschedparam(pthread_self(), SCHED_BATCH, &usual);
    }
}

static void *seat_main(void *argument)
{
    struct seat *seat = argument;
    seat_settle(seat);
    struct lane *lane = &seat->executor->lanes[seat->lane];
    bool lost = false;
    while (!lost && seat_take(seat)) {
        while (!lost && seat_begin(seat)) {
            seat_work(seat);
            lost = !seat_finish(seat) && !seat_return(seat);
        }
    }
    if (!lost) {
        pthread_mutex_lock(&lane->lock);
        lane->seats_alive -= 1;
        pthread_mutex_unlock(&lane->lock);
    }
    seat_leave(seat, lost);
    return NULL;
}

static HF_STATUS seat_thread(struct seat *seat)
{
    /* signals are for the program's own threads */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, seat_main, seat);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        return HF_E_RESOURCES;
    }
    pthread_detach(thread); /* a lost one can never be joined */
    return HF_OK;
}

static void seat_count(struct seat *seat, bool in)
{
    struct executor *executor = seat->executor;
    struct lane *lane = &executor->lanes[seat->lane];
    pthread_mutex_lock(&executor->seats_lock);
    if (in) {
        seat->next = executor->seats;
        executor->seats = seat;
        executor->seats_total += 1;
        executor->seats_running += 1;
    } else {
        struct seat **at = &executor->seats;
        while (*at != seat) {
            at = &(*at)->next;
        }
        *at = seat->next;
        executor->seats_total -= 1;
        executor->seats_running -= 1;
        pthread_cond_broadcast(&executor->seat_left);
    }
    pthread_mutex_lock(&lane->lock);
    lane->seats_alive = in ? lane->seats_alive + 1 : lane->seats_alive - 1;
    pthread_mutex_unlock(&lane->lock);
    pthread_mutex_unlock(&executor->seats_lock);
}

HF_STATUS seat_start(struct executor *executor, enum p11_lane lane)
{
    struct seat *seat = calloc(1, sizeof *seat);
    struct p11_job *job = calloc(1, sizeof *job);
    if (seat == NULL || job == NULL) {
        free(seat);
        free(job);
        return HF_E_NO_MEMORY;
    }
    seat->executor = executor;
    seat->lane = lane;
    seat->job = job;
    pthread_mutex_init(&seat->lock, NULL);
    seat_count(seat, true);
    enum hf_status status = seat_thread(seat);
    if (status != HF_OK) {
        seat_count(seat, false);
        seat_free(seat);
    }
    return status;
}
