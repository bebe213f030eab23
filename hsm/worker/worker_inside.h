/* worker_inside: what worker.c (the port) and worker_life.c (the thread that
 * looks after it) share.
 *
 * The lock guards what says so. A link is used outside of it by whoever has
 * counted himself a user of its place; only the thread frees links. */
#pragma once

#include "hsm/worker/control.h"
#include "hsm/worker/link.h"
#include "hsm/worker/process.h"
#include "hsm/worker/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* The newest, and those that are draining. */
#define WORKER_PLACES_MAX 6
/* Requests that wait for the next worker. */
#define WORKER_WAITING_MAX 1024

struct worker_place {
    struct worker_link *link; /* NULL: free */
    uint32_t number;
    size_t users; /* of link, outside of the lock */
    bool lost;
    bool stuck;             /* its end was asked for */
    int64_t drain_until_ms; /* 0: it is the newest */
};

/* More than these are asked for at once. */
#define WORKER_ENDS_MAX 16

/* A worker of which nothing is wanted any more. */
struct worker_end {
    uint32_t number; /* 0: free */
    int64_t kill_ms; /* when its supervisor is told to end it */
};

/* Requests that would be asked again. */
#define WORKER_REPEATS_MAX 64

/* A request of which done and owner are ours while a worker has it. */
struct worker_repeat {
    struct worker *worker; /* NULL: free */
    uint32_t number;       /* of the process that has it */
    token_done_fn *done;
    void *owner;
};

struct waiting {
    struct token_request *request;
    int64_t until_ms;
};

struct worker {
    struct worker_settings settings;
    struct worker_process process; /* the thread's own, as the ends */
    struct worker_end ends[WORKER_ENDS_MAX];
    int wake; /* an eventfd, for the thread */
    pthread_t thread;

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    pthread_cond_t unused; /* a place has no user any more */
    struct worker_place places[WORKER_PLACES_MAX];
    struct worker_place *newest; /* NULL: none that lives */
    struct worker_repeat repeats[WORKER_REPEATS_MAX];
    struct waiting waiting[WORKER_WAITING_MAX];
    size_t waiting_count;
    int64_t lost_ms; /* since when there is no newest any more; 0: there is, or
                        was none, or the next one has failed */
    struct token_state state;
    uint32_t past_restarts; /* of supervisors that are gone, and theirs */
    enum hf_status failure; /* of the last opening */
    bool tried;             /* the first opening has ended */
    bool closing;
    bool look;
    struct token_profile profile; /* of the newest; outlives it */
    struct token_counters past;   /* of links that are freed, objects apart */
    atomic_uint_fast64_t refused; /* here */
};

int64_t worker_now_ms(void);
void worker_wake(struct worker *worker);
/* worker_flush: hands over what waits, or answers it: that whose time is over
 * at now_ms, or all when there is nothing to wait for. No lock held. */
void worker_flush(struct worker *worker, int64_t now_ms);
/* worker_watch: this request is about to go to that worker; it is asked again
 * if the worker is lost. The lock is held. worker_again: asks. No lock held. */
void worker_watch(struct worker *worker, struct token_request *request,
                  uint32_t number);
void worker_again(struct worker *worker, struct token_request *request,
                  uint32_t number);
/* worker_lost: the link's owner->lost. */
void worker_lost(void *self, struct worker_link *link);

void *worker_main(void *argument);
