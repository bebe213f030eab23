#include "server/store/sqlite/sqlite_pool.h"

#include "hsm/base/check.h"

#include <stdlib.h>
#include <time.h>

/* On the stack of the one who waits. A connection that comes free is handed to
 * the first in line by name: who gives one back and asks again at once must
 * not win every time. */
struct pool_waiter {
    pthread_cond_t given_one;
    struct connection *given;
    struct pool_waiter *next;
};

HF_STATUS sqlite_pool_new(struct sqlite_pool *pool, size_t count)
{
    *pool = (struct sqlite_pool){0};
    pool->connections = calloc(count, sizeof *pool->connections);
    pool->idle = calloc(count, sizeof(struct connection *));
    if (pool->connections == NULL || pool->idle == NULL) {
        free(pool->connections);
        free(pool->idle);
        *pool = (struct sqlite_pool){0};
        return HF_E_NO_MEMORY;
    }
    CHECK(pthread_mutex_init(&pool->lock, NULL) == 0);
    pool->count = count;
    return HF_OK;
}

void sqlite_pool_close(struct sqlite_pool *pool)
{
    if (pool->count == 0) {
        return;
    }
    CHECK(pool->first == NULL);
    for (size_t i = 0; i < pool->count; i++) {
        if (pool->connections[i].db != NULL) {
            connection_close(&pool->connections[i]);
        }
    }
    pthread_mutex_destroy(&pool->lock);
    free(pool->connections);
    free(pool->idle);
    *pool = (struct sqlite_pool){0};
}

static struct timespec from_now(uint32_t wait_ms)
{
    struct timespec until;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    long ns = until.tv_nsec + (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += (time_t)(wait_ms / 1000) + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    return until;
}

static void join(struct sqlite_pool *pool, struct pool_waiter *waiter)
{
    pthread_condattr_t monotonic;
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&waiter->given_one, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
    if (pool->last == NULL) {
        pool->first = waiter;
    } else {
        pool->last->next = waiter;
    }
    pool->last = waiter;
}

static void leave(struct sqlite_pool *pool, const struct pool_waiter *waiter)
{
    struct pool_waiter *before = NULL;
    struct pool_waiter *at = pool->first;
    while (at != waiter) {
        CHECK(at != NULL);
        before = at;
        at = at->next;
    }
    if (before == NULL) {
        pool->first = waiter->next;
    } else {
        before->next = waiter->next;
    }
    if (pool->last == waiter) {
        pool->last = before;
    }
}

HF_STATUS sqlite_pool_take(struct sqlite_pool *pool, uint32_t wait_ms,
                           struct connection **out_connection)
{
    struct pool_waiter waiter = {.given = NULL, .next = NULL};
    pthread_mutex_lock(&pool->lock);
    if (pool->idle_count > 0) {
        *out_connection = pool->idle[--pool->idle_count];
        pthread_mutex_unlock(&pool->lock);
        return HF_OK;
    }
    const struct timespec until = from_now(wait_ms);
    join(pool, &waiter);
    int waited = 0;
    while (waiter.given == NULL && waited == 0) {
        waited = pthread_cond_timedwait(&waiter.given_one, &pool->lock, &until);
    }
    if (waiter.given == NULL) {
        leave(pool, &waiter);
    }
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_destroy(&waiter.given_one);
    if (waiter.given == NULL) {
        return HF_E_OVERLOAD;
    }
    *out_connection = waiter.given;
    return HF_OK;
}

void sqlite_pool_give(struct sqlite_pool *pool, struct connection *connection)
{
    pthread_mutex_lock(&pool->lock);
    struct pool_waiter *first = pool->first;
    if (first != NULL) {
        leave(pool, first);
        first->given = connection;
        pthread_cond_signal(&first->given_one);
    } else {
        CHECK(pool->idle_count < pool->count);
        pool->idle[pool->idle_count++] = connection;
    }
    pthread_mutex_unlock(&pool->lock);
}
