/* seat: the inside of the executor, shared by executor.c (queues, life),
 * seat.c (the threads) and watchdog.c (the deadlines). */
#pragma once

#include "hsm/pkcs11/executor.h"

#include <pthread.h>
#include <stdatomic.h>

struct executor;

struct request_list {
    struct token_request *first;
    struct token_request *last;
    size_t count;
};

/* One thread and what it is doing. The lock guards everything but job and
 * state, which are the thread's own. */
struct seat {
    struct executor *executor;
    enum p11_lane lane;
    struct seat *next; /* in the executor's list, under its seats_lock */

    pthread_mutex_t lock;
    struct request_list batch;     /* taken, not begun  */
    struct token_request *current; /* begun             */
    struct request_list finished;  /* answered, not told */
    int64_t finished_since_us;
    int64_t deadline_us; /* of current */
    bool abandoned;

    struct p11_job *job;
    void *state;
};

struct lane {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct request_list queue;
    size_t batch_max;
    size_t seats_wanted;
    size_t seats_alive;
    size_t seats_lost;
    size_t waiting; /* seats asleep */
    bool closing;
    atomic_uint_fast64_t started;
};

struct executor {
    struct executor_settings settings;
    struct executor_owner owner;
    struct lane lanes[LANE_COUNT];
    atomic_uint_fast64_t refused;

    pthread_mutex_t seats_lock; /* rank: above lane and seat */
    pthread_cond_t seat_left;
    struct seat *seats;   /* all, lost ones too */
    size_t seats_total;   /* threads that have not ended */
    size_t seats_running; /* those of them that are not lost */
    bool stopped;         /* executor_stop has nothing more to do */

    pthread_t watchdog;
    pthread_mutex_t watchdog_lock;
    pthread_cond_t watchdog_wake;
    atomic_bool watchdog_asleep; /* without a time-out */
    bool watchdog_kicked;
    bool watchdog_stop;
};

int64_t executor_now_us(void);

void request_list_add(struct request_list *list, struct token_request *item);
struct token_request *request_list_pop(struct request_list *list);
/* request_list_tell: calls done for each, in order. No lock held. */
void request_list_tell(struct request_list list);

/* seat_start: one more thread for a lane, counted in seats_total and
 * seats_alive. HF_OK; HF_E_NO_MEMORY; HF_E_RESOURCES. No lock held. */
HF_STATUS seat_start(struct executor *executor, enum p11_lane lane);
/* executor_free: the executor's memory, once no thread is left. */
void executor_free(struct executor *executor);

void *watchdog_main(void *argument);
/* watchdog_kick: there is something to watch; new_deadline: sooner than its
 * ordinary round would see it. */
void watchdog_kick(struct executor *executor, bool new_deadline);

/* lane_give_up: takes the queue of a lane that has no thread left; the caller
 * answers it. Lane lock held. */
struct request_list lane_give_up(struct lane *lane);
/* lane_put_back: in front of the queue, in order. Lane lock held. */
void lane_put_back(struct lane *lane, struct request_list *list);
void request_list_answer(struct request_list *list, enum hf_status status);
