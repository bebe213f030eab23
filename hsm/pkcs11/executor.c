#include "hsm/pkcs11/executor.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/seat.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

int64_t executor_now_us(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void request_list_add(struct request_list *list, struct token_request *item)
{
    item->link = NULL;
    if (list->last == NULL) {
        list->first = item;
    } else {
        list->last->link = item;
    }
    list->last = item;
    list->count += 1;
}

struct token_request *request_list_pop(struct request_list *list)
{
    struct token_request *item = list->first;
    if (item == NULL) {
        return NULL;
    }
    list->first = item->link;
    if (list->first == NULL) {
        list->last = NULL;
    }
    list->count -= 1;
    return item;
}

void request_list_tell(struct request_list list)
{
    struct token_request *item = list.first;
    while (item != NULL) {
        struct token_request *next = item->link; /* done may free the item */
        item->done(item);
        item = next;
    }
}

void request_list_answer(struct request_list *list, enum hf_status status)
{
    for (struct token_request *item = list->first; item != NULL;
         item = item->link) {
        item->status = status;
    }
    request_list_tell(*list);
    *list = (struct request_list){0};
}

struct request_list lane_give_up(struct lane *lane)
{
    struct request_list queue = lane->queue;
    lane->queue = (struct request_list){0};
    return queue;
}

void lane_put_back(struct lane *lane, struct request_list *list)
{
    if (list->count == 0) {
        return;
    }
    list->last->link = lane->queue.first;
    if (lane->queue.last == NULL) {
        lane->queue.last = list->last;
    }
    lane->queue.first = list->first;
    lane->queue.count += list->count;
    *list = (struct request_list){0};
    pthread_cond_signal(&lane->work);
}

/* What a submit could not queue, by the status it is answered with. */
struct refusals {
    struct request_list full;
    struct request_list dead; /* the lane has lost its threads */
    struct request_list closed;
};

static void lane_add(struct lane *lane, size_t queue_max,
                     struct token_request *request, struct refusals *refusals)
{
    if (lane->closing) {
        request_list_add(&refusals->closed, request);
    } else if (lane->seats_alive == 0) {
        request_list_add(&refusals->dead, request);
    } else if (lane->queue.count >= queue_max) {
        request_list_add(&refusals->full, request);
    } else {
        request_list_add(&lane->queue, request);
    }
}

static void lane_submit(struct executor *executor, enum p11_lane number,
                        struct token_request *const *requests, size_t count)
{
    struct lane *lane = &executor->lanes[number];
    struct refusals refusals = {0};
    pthread_mutex_lock(&lane->lock);
    for (size_t i = 0; i < count; i++) {
        lane_add(lane, executor->settings.queue_max, requests[i], &refusals);
    }
    size_t wake =
        lane->queue.count < lane->waiting ? lane->queue.count : lane->waiting;
    pthread_mutex_unlock(&lane->lock);
    for (size_t i = 0; i < wake; i++) {
        pthread_cond_signal(&lane->work);
    }
    size_t refused = refusals.full.count + refusals.closed.count;
    if (refused > 0) {
        atomic_fetch_add(&executor->refused, refused);
    }
    request_list_answer(&refusals.full, HF_E_OVERLOAD);
    request_list_answer(&refusals.dead, HF_E_UNREACHABLE);
    request_list_answer(&refusals.closed, HF_E_CANCELLED);
}

void executor_submit(struct executor *executor,
                     struct token_request *const *requests, size_t count)
{
    bool used[LANE_COUNT] = {false, false};
    for (size_t i = 0; i < count; i++) {
        used[token_op_is_data(requests[i]->op) ? LANE_DATA : LANE_ROOT] = true;
    }
    /* a request that is answered in the first lane may be gone by the time the
     * second is looked at, so a mixed batch is told apart beforehand */
    struct token_request *root[TOKEN_BATCH_MAX];
    size_t root_count = 0;
    if (!used[LANE_DATA]) {
        lane_submit(executor, LANE_ROOT, requests, count);
        return;
    }
    if (!used[LANE_ROOT]) {
        lane_submit(executor, LANE_DATA, requests, count);
        return;
    }
    struct token_request *data[TOKEN_BATCH_MAX];
    size_t data_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (token_op_is_data(requests[i]->op)) {
            data[data_count++] = requests[i];
        } else {
            root[root_count++] = requests[i];
        }
    }
    lane_submit(executor, LANE_DATA, data, data_count);
    lane_submit(executor, LANE_ROOT, root, root_count);
}

void executor_counts(struct executor *executor, struct executor_counts *out)
{
    for (size_t i = 0; i < LANE_COUNT; i++) {
        out->started[i] = atomic_load(&executor->lanes[i].started);
    }
    out->refused = atomic_load(&executor->refused);
}

static void lane_prepare(struct lane *lane, size_t batch_max, size_t seats)
{
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->work, NULL);
    lane->batch_max = batch_max;
    lane->seats_wanted = seats;
}

static HF_STATUS watchdog_start(struct executor *executor)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed =
        pthread_create(&executor->watchdog, NULL, watchdog_main, executor);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0 ? HF_OK : HF_E_RESOURCES;
}

static HF_STATUS seats_start(struct executor *executor)
{
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        for (size_t i = 0; i < executor->lanes[lane].seats_wanted; i++) {
            HF_TRY(seat_start(executor, (enum p11_lane)lane));
        }
    }
    return HF_OK;
}

static void prepare(struct executor *executor)
{
    lane_prepare(&executor->lanes[LANE_DATA], JOB_BATCH_MAX, 1);
    lane_prepare(&executor->lanes[LANE_ROOT], 1, executor->settings.root_seats);
    pthread_mutex_init(&executor->seats_lock, NULL);
    pthread_cond_init(&executor->seat_left, NULL);
    pthread_mutex_init(&executor->watchdog_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&executor->watchdog_wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void unprepare(struct executor *executor)
{
    for (size_t i = 0; i < LANE_COUNT; i++) {
        pthread_mutex_destroy(&executor->lanes[i].lock);
        pthread_cond_destroy(&executor->lanes[i].work);
    }
    pthread_mutex_destroy(&executor->seats_lock);
    pthread_cond_destroy(&executor->seat_left);
    pthread_mutex_destroy(&executor->watchdog_lock);
    pthread_cond_destroy(&executor->watchdog_wake);
    free(executor);
}

void executor_free(struct executor *executor)
{
    struct executor_owner owner = executor->owner;
    unprepare(executor);
    if (owner.gone != NULL) {
        owner.gone(owner.self);
    }
}

HF_STATUS executor_start(const struct executor_settings *settings,
                         const struct executor_owner *owner,
                         struct executor **out_executor)
{
    struct executor *executor = calloc(1, sizeof *executor);
    if (executor == NULL) {
        return HF_E_NO_MEMORY;
    }
    executor->settings = *settings;
    executor->owner = *owner;
    prepare(executor);
    enum hf_status status = watchdog_start(executor);
    if (status != HF_OK) {
        unprepare(executor);
        return status;
    }
    status = seats_start(executor);
    if (status != HF_OK) {
        executor->owner.gone = NULL;
        executor_stop(executor);
        return status;
    }
    *out_executor = executor;
    return HF_OK;
}

static void lane_close(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    lane->closing = true;
    struct request_list queued = lane_give_up(lane);
    pthread_cond_broadcast(&lane->work);
    pthread_mutex_unlock(&lane->lock);
    request_list_answer(&queued, HF_E_CANCELLED);
}

/* Until every thread has left or was lost: what is lost keeps the executor
 * alive, and its owner through it. */
void executor_stop(struct executor *executor)
{
    for (size_t i = 0; i < LANE_COUNT; i++) {
        lane_close(&executor->lanes[i]);
    }
    pthread_mutex_lock(&executor->seats_lock);
    while (executor->seats_running > 0) {
        pthread_cond_wait(&executor->seat_left, &executor->seats_lock);
    }
    pthread_mutex_unlock(&executor->seats_lock);

    pthread_mutex_lock(&executor->watchdog_lock);
    executor->watchdog_stop = true;
    pthread_cond_signal(&executor->watchdog_wake);
    pthread_mutex_unlock(&executor->watchdog_lock);
    pthread_join(executor->watchdog, NULL);

    pthread_mutex_lock(&executor->seats_lock);
    executor->stopped = true;
    bool last = executor->seats_total == 0;
    pthread_mutex_unlock(&executor->seats_lock);
    if (last) {
        executor_free(executor);
    }
}
