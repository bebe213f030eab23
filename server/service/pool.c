#include "server/service/pool.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/limits.h"
#include "hsm/base/own.h"

#include "server/domain/share.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 64

struct queued {
    struct queued *next;
    pool_work_fn *work;
    void *argument;
    uint32_t share; /* of the queue and of the threads */
    bool exempt;    /* the service's own */
};

struct lane {
    struct queued *first;
    struct queued **end;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct lane lanes[POOL_RANKS];
    struct queued *blocks; /* all of them, queue_max */
    struct queued *idle;
    uint32_t queue_max;
    uint32_t queued_by[SHARES];
    uint32_t running_by[SHARES];
    bool stopping;
    pthread_t threads[THREADS_MAX];
    uint32_t thread_count;
};

/* One tenant's dead token must not hold every thread. */
static bool may_run(const struct pool *pool, const struct queued *job)
{
    return job->exempt ||
           pool->running_by[job->share] < share_half(pool->thread_count);
}

static struct queued *take_from(struct pool *pool, struct lane *lane)
{
    struct queued **link = &lane->first;
    while (*link != NULL && !may_run(pool, *link)) {
        link = &(*link)->next;
    }
    struct queued *job = *link;
    if (job != NULL) {
        *link = job->next;
        if (lane->end == &job->next) {
            lane->end = link;
        }
    }
    return job;
}

static struct queued *take_next(struct pool *pool)
{
    struct queued *job = NULL;
    for (size_t rank = 0; job == NULL && rank < POOL_RANKS; rank++) {
        job = take_from(pool, &pool->lanes[rank]);
    }
    return job;
}

static bool is_empty(const struct pool *pool)
{
    bool empty = true;
    for (size_t rank = 0; rank < POOL_RANKS; rank++) {
        empty = empty && pool->lanes[rank].first == NULL;
    }
    return empty;
}

static void *run_thread(void *argument)
{
    struct pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct queued *job = take_next(pool);
        if (job == NULL) {
            if (pool->stopping && is_empty(pool)) {
                break;
            }
            pthread_cond_wait(&pool->filled, &pool->lock);
            continue;
        }
        struct queued copy = *job;
        pool->queued_by[job->share]--;
        pool->running_by[job->share]++;
        job->next = pool->idle;
        pool->idle = job;
        pthread_mutex_unlock(&pool->lock);
        copy.work(copy.argument);
        pthread_mutex_lock(&pool->lock);
        pool->running_by[copy.share]--;
        if (!is_empty(pool)) {
            /* what this tenant had to wait with may run now */
            pthread_cond_signal(&pool->filled);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static HF_STATUS start_threads(struct pool *pool, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (pthread_create(&pool->threads[i], NULL, run_thread, pool) != 0) {
            return HF_E_RESOURCES;
        }
        pool->thread_count++;
    }
    return HF_OK;
}

HF_STATUS pool_start(const struct pool_settings *settings,
                     struct pool **out_pool)
{
    if (settings->threads == 0 || settings->threads > THREADS_MAX ||
        settings->queue_max == 0) {
        return HF_E_INVALID;
    }
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        return HF_E_NO_MEMORY;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->filled, NULL);
    pool->queue_max = settings->queue_max;
    for (size_t rank = 0; rank < POOL_RANKS; rank++) {
        pool->lanes[rank].end = &pool->lanes[rank].first;
    }
    pool->blocks = calloc(settings->queue_max, sizeof *pool->blocks);
    if (pool->blocks == NULL) {
        pool_stop(pool);
        return HF_E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < settings->queue_max; i++) {
        pool->blocks[i].next = pool->idle;
        pool->idle = &pool->blocks[i];
    }
    enum hf_status status = start_threads(pool, settings->threads);
    if (status != HF_OK) {
        pool_stop(pool);
        return status;
    }
    *out_pool = pool;
    return HF_OK;
}

HF_STATUS pool_run(struct pool *pool, const struct pool_job *job)
{
    enum hf_status status = HF_OK;
    uint32_t share = share_of(job->tenant);
    CHECK(job->work != NULL && job->rank < POOL_RANKS);
    pthread_mutex_lock(&pool->lock);
    struct queued *queued = pool->idle;
    if (pool->stopping) {
        status = HF_E_UNREACHABLE;
    } else if (queued == NULL ||
               (job->tenant[0] != '\0' &&
                pool->queued_by[share] >= share_half(pool->queue_max))) {
        status = HF_E_OVERLOAD;
    } else {
        pool->idle = queued->next;
        pool->queued_by[share]++;
        *queued = (struct queued){
            .work = job->work,
            .argument = job->argument,
            .share = share,
            .exempt = job->tenant[0] == '\0',
        };
        *pool->lanes[job->rank].end = queued;
        pool->lanes[job->rank].end = &queued->next;
        pthread_cond_signal(&pool->filled);
    }
    pthread_mutex_unlock(&pool->lock);
    return status;
}

void pool_stop(struct pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->filled);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->thread_count; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    pthread_cond_destroy(&pool->filled);
    pthread_mutex_destroy(&pool->lock);
    free(pool->blocks);
    free(pool);
}
