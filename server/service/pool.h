/* pool: the slow lane. A bounded queue and a fixed number of threads.
 *
 * Everything that may block runs here: root keys, store writes,
 * administration. Over the bound a caller is told at once. A tenant may hold at
 * most half of the queue and half of the threads, so that one tenant's outage
 * neither refuses nor delays the others.
 */
#pragma once

#include "hsm/base/ids.h"
#include "hsm/base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct pool;

struct pool_settings {
    uint32_t threads;
    uint32_t queue_max;
};

/* Order among waiting work: USER before SYSTEM before background. */
enum pool_rank { POOL_USER, POOL_SYSTEM, POOL_BACKGROUND };
#define POOL_RANKS 3

typedef void pool_work_fn(void *argument);

struct pool_job {
    const char *tenant; /* for the fair share; "": the service's own */
    enum pool_rank rank;
    pool_work_fn *work;
    void *argument;
};

HF_STATUS pool_start(const struct pool_settings *settings,
                     struct pool **out_pool);
/* pool_run: HF_OK: work(argument) will run on a thread of the pool, once.
 * HF_E_OVERLOAD: the queue or the tenant's share is full. HF_E_UNREACHABLE: the
 * pool is stopping. Never blocks. */
HF_STATUS pool_run(struct pool *pool, const struct pool_job *job);
/* pool_stop: takes no more, runs what is queued, joins. NULL-safe. */
void pool_stop(struct pool *pool);
