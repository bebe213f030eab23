#include "server/service/ak_capacity.h"
#include "server/service/ak_tokens.h"
#include "server/service/checkpoints.h"
#include "server/service/chronicle.h"
#include "server/service/core.h"
#include "server/service/encrypted.h"
#include "server/service/held.h"
#include "server/service/keys.h"
#include "server/service/leases.h"
#include "server/service/notices.h"
#include "server/service/opening.h"
#include "server/service/operations.h"
#include "server/service/purges.h"
#include "server/service/routine.h"
#include "server/service/rows.h"
#include "server/service/scheduler.h"
#include "server/service/tik_cache.h"
#include "server/service/tik_race.h"
#include "server/service/wrapped.h"

#include <stdlib.h>

#define SLOW_THREADS   8
#define SLOW_QUEUE_MAX 1024
#define ROW_CACHE_MAX  65536
#define PROBE_MS       300000

static void fill_defaults(struct service_settings *settings)
{
    if (settings->slow_threads == 0) {
        settings->slow_threads = SLOW_THREADS;
    }
    if (settings->slow_queue_max == 0) {
        settings->slow_queue_max = SLOW_QUEUE_MAX;
    }
    if (settings->row_cache_max == 0) {
        settings->row_cache_max = ROW_CACHE_MAX;
    }
    if (settings->attempt_ms == 0) {
        settings->attempt_ms = HF_TOKEN_ROOT_DEADLINE_MS;
    }
    if (settings->tik_offset_ms == 0) {
        settings->tik_offset_ms = TIK_OFFSET_MS;
    }
    if (settings->probe_ms == 0) {
        settings->probe_ms = PROBE_MS;
    }
    if (settings->ak_lease_ms > HF_AK_LEASE_MAX_MS) {
        settings->ak_lease_ms = HF_AK_LEASE_MAX_MS;
    }
}

static HF_STATUS start_parts(struct service *service, struct problem *problem)
{
    const struct service_settings *settings = &service->settings;
    const struct pool_settings pool = {
        .threads = settings->slow_threads,
        .queue_max = settings->slow_queue_max,
    };
    HF_TRY(problem_of_status(problem, denials_new(&service->denials)));
    HF_TRY(ledger_open(settings->store, settings->service_token,
                       settings->clock, &service->ledger, problem));
    if (purges_new(service) != HF_OK) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    if (ak_tokens_new(service) != HF_OK) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    HF_TRY(catalogue_load(service, problem));
    HF_TRY(checkpoints_open(service, problem));
    HF_TRY(problem_of_status(problem, routine_hold(service)));
    HF_TRY(purges_open(service, problem));
    HF_TRY(operations_open(service, problem));
    HF_TRY(wrapped_open(service, problem));
    HF_TRY(encrypted_open(service, problem));
    HF_TRY(held_open(service, problem));
    HF_TRY(problem_of_status(problem, chronicle_open(service)));
    HF_TRY(notices_open(service, problem));
    enum hf_status status = rows_new(settings->row_cache_max, &service->rows);
    if (status == HF_OK) {
        status = pool_start(&pool, &service->pool);
    }
    ak_capacity_log(service);
    if (status == HF_OK) {
        status = scheduler_start(service, &service->scheduler);
    }
    return problem_of_status(problem, status);
}

HF_STATUS service_start(const struct service_settings *settings,
                        struct service **out_service, struct problem *problem)
{
    struct service *service = calloc(1, sizeof *service);
    if (service == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    service->settings = *settings;
    fill_defaults(&service->settings);
    pthread_mutex_init(&service->record_lock, NULL);
    pthread_mutex_init(&service->blob_alerts.lock, NULL);
    pthread_mutex_init(&service->lie_alerts.lock, NULL);
    enum hf_status status = start_parts(service, problem);
    if (status != HF_OK) {
        service_stop(service);
        return status;
    }
    *out_service = service;
    return HF_OK;
}

static void end_all_leases(struct service *service)
{
    for (struct dep_entry *dep = service->catalogue.deps; dep != NULL;
         dep = dep->next) {
        leases_narrow_for_dep(service, dep);
        leases_settle_for_dep(service, dep);
    }
}

void service_stop(struct service *service)
{
    if (service == NULL) {
        return;
    }
    atomic_store(&service->stopping, true);
    scheduler_stop(service->scheduler);
    pool_stop(service->pool);
    tik_races_wait(service);
    end_all_leases(service);
    leases_wait_for_all(service);
    denials_flush(service);
    checkpoints_end(service);
    operations_close(service->operations);
    chronicle_close(service->chronicle);
    checkpoints_close(service->checkpoints);
    notices_close(service->notices);
    purges_close(service->purges);
    rows_free(service->rows);
    ak_tokens_free(service);
    catalogue_free(&service->catalogue);
    ledger_close(service->ledger);
    denials_free(service->denials);
    pthread_mutex_destroy(&service->record_lock);
    pthread_mutex_destroy(&service->blob_alerts.lock);
    pthread_mutex_destroy(&service->lie_alerts.lock);
    free(service);
}

void service_counters_get(struct service *service, struct service_counters *out)
{
    *out = (struct service_counters){
        .store_writes = store_writes(service->settings.store),
        .root_ops = atomic_load(&service->root_ops),
        .ak_uses = atomic_load(&service->ak_uses),
        .hot_calls = atomic_load(&service->hot_calls),
        .slow_calls = atomic_load(&service->slow_calls),
        .overloaded = atomic_load(&service->overloaded),
        .leases = atomic_load(&service->leases),
        .checkpoints = atomic_load(&service->checkpoint_count),
    };
}

bool service_pool_run(struct service *service, const char *tenant,
                      service_work_fn *work, void *argument)
{
    const struct pool_job job = {
        .tenant = tenant,
        .rank = POOL_USER,
        .work = work,
        .argument = argument,
    };
    if (pool_run(service->pool, &job) == HF_OK) {
        return true;
    }
    atomic_fetch_add(&service->overloaded, 1);
    return false;
}

typedef void generation_fn(struct service *service,
                           struct generation_entry *generation);

/* A cached TIK has rules of its own. */
static void narrow_for_key(struct service *service,
                           struct generation_entry *generation)
{
    if (is_tik(generation)) {
        tik_narrowed(service, generation); /* */
    } else {
        opening_narrow(service, generation);
    }
}

static void settle(struct service *service, struct generation_entry *generation)
{
    (void)service;
    leases_settle(generation);
}

static void each_of_dep(struct service *service, const struct dep_entry *dep,
                        generation_fn *visit)
{
    for (size_t i = 0; i < DEP_GENERATIONS_MAX; i++) {
        if (dep->generations[i] != NULL) {
            visit(service, dep->generations[i]);
        }
    }
}

/* Visiting is done without the catalogue's lock. DEPs are only ever appended
 * and never freed while the service runs. */
static void each_of_key(struct service *service, const struct key_entry *key,
                        generation_fn *visit)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_entry *dep = service->catalogue.deps;
    pthread_rwlock_unlock(&service->catalogue.lock);
    while (dep != NULL) {
        for (size_t i = 0; i < DEP_GENERATIONS_MAX; i++) {
            struct generation_entry *generation = dep->generations[i];
            if (generation != NULL &&
                (generation->keys[0] == key || generation->keys[1] == key)) {
                visit(service, generation);
            }
        }
        pthread_rwlock_rdlock(&service->catalogue.lock);
        dep = dep->next;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
}

void leases_narrow_for_key(struct service *service, const struct key_entry *key)
{
    each_of_key(service, key, narrow_for_key);
}

void leases_settle_for_key(struct service *service, const struct key_entry *key)
{
    each_of_key(service, key, settle);
}

void leases_narrow_for_dep(struct service *service, const struct dep_entry *dep)
{
    each_of_dep(service, dep, opening_narrow);
}

void leases_settle_for_dep(struct service *service, const struct dep_entry *dep)
{
    each_of_dep(service, dep, settle);
}
