/* sqlite_pool: connections lent one caller at a time, first come first served.
 * The writer is a pool of one. Nothing is called outward under its lock.
 */
#pragma once

#include "server/store/sqlite/sqlite_connection.h"

struct pool_waiter;

struct sqlite_pool {
    pthread_mutex_t lock;
    struct connection *connections;
    size_t count;
    struct connection **idle; /* a stack: the one used last is the warmest */
    size_t idle_count;
    struct pool_waiter *first; /* in the order they came */
    struct pool_waiter *last;
};

/* sqlite_pool_new: count connections, not yet open, all lent out: each is
 * opened and given. HF_OK or HF_E_NO_MEMORY. */
HF_STATUS sqlite_pool_new(struct sqlite_pool *pool, size_t count);
/* sqlite_pool_close: closes every connection that is open. None may be lent. */
void sqlite_pool_close(struct sqlite_pool *pool);

/* sqlite_pool_take: a connection, given back with sqlite_pool_give.
 * Returns   HF_OK; HF_E_OVERLOAD when none came free in wait_ms.
 * Blocks    at most wait_ms.
 * Threads   safe from any thread. */
HF_STATUS sqlite_pool_take(struct sqlite_pool *pool, uint32_t wait_ms,
                           struct connection **out_connection);
void sqlite_pool_give(struct sqlite_pool *pool, struct connection *connection);
