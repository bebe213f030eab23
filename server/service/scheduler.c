#include "server/service/scheduler.h"

#include "server/domain/lease.h"

#include "server/service/ak_enrol.h"
#include "server/service/availability_roll.h"
#include "server/service/checkpoints.h"
#include "server/service/chronicle.h"
#include "server/service/key_retention.h"
#include "server/service/mailbox_moves.h"
#include "server/service/notices.h"
#include "server/service/opening.h"
#include "server/service/operations.h"
#include "server/service/purges.h"
#include "server/service/scrub.h"
#include "server/service/tik_cache.h"

#include <stdlib.h>

#define TICK_MS          200
#define AK_CHECK_MS      3600000 /* is a roll of availability keys due */
#define OVERDUE_CHECK_MS 600000  /* does a mailbox wait too long */
#define JOBS_MAX         256     /* in one round; the rest waits for the next */

struct scheduler {
    struct service *service;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    bool stopping;
    int64_t ak_checked_ms;      /* monotonic; 0: not yet */
    int64_t overdue_checked_ms; /* monotonic; 0: not yet */
    int64_t scrubbed_ms;        /* monotonic: when the last scrub began */
};

struct job {
    struct service *service;
    struct generation_entry *generation;
    struct token_entry *token;
    struct key_version_entry *version;
};

/* --- the work, on the slow lane ----------------------------------------- */

static void run_renewal(void *argument)
{
    struct job *job = argument;
    opening_renew(job->service, job->generation);
    atomic_store(&job->generation->renewing, false);
    free(job);
}

static void run_ak_close(void *argument)
{
    struct job *job = argument;
    opening_close_ak(job->service, job->generation,
                     service_monotonic_ms(job->service));
    free(job);
}

/* A probe never uses the AK and never touches a customer's blob. */
static void run_probe(void *argument)
{
    struct job *job = argument;
    struct key_version_entry *version = job->version;
    pthread_rwlock_rdlock(&job->service->catalogue.lock);
    const struct key_version_record record = version->record;
    pthread_rwlock_unlock(&job->service->catalogue.lock);
    enum residency residency =
        record.allows_token ? RESIDENCY_TOKEN : RESIDENCY_MEMORY;
    enum hf_status status =
        key_round_trip(job->service, job->token, &record, residency);
    health_note(job->service, version, status);
    atomic_store(&version->probing, false);
    free(job);
}

static bool hand_over(const struct job *template, enum pool_rank rank,
                      pool_work_fn *work)
{
    struct job *job = malloc(sizeof *job);
    if (job == NULL) {
        return false;
    }
    *job = *template;
    const struct pool_job pool_job = {
        .tenant = "",
        .rank = rank,
        .work = work,
        .argument = job,
    };
    if (pool_run(template->service->pool, &pool_job) != HF_OK) {
        free(job); /* the next round tries again */
        return false;
    }
    return true;
}

/* --- looking ------------------------------------------------------------ */

struct round {
    struct service *service;
    int64_t now_ms;
    struct generation_entry *renewals[JOBS_MAX];
    size_t renewal_count;
    struct generation_entry *ak_closes[JOBS_MAX];
    size_t ak_close_count;
    struct job probes[JOBS_MAX];
    size_t probe_count;
};

static void look_at_generation(struct round *round,
                               struct generation_entry *generation)
{
    pthread_mutex_lock(&generation->lock);
    const struct lease *lease = generation->lease;
    const struct lease *ak_lease = generation->ak_lease;
    bool renew = false;
    if (lease != NULL && is_tik(generation)) {
        renew = tik_is_due(generation, round->now_ms);
    } else if (lease != NULL) {
        const struct lease_times times = lease_times_of(lease);
        renew = lease_renew_due(&times, round->now_ms);
    }
    bool close = ak_lease != NULL && round->now_ms >= ak_lease->expires_ms;
    pthread_mutex_unlock(&generation->lock);
    if (renew && round->renewal_count < JOBS_MAX &&
        !atomic_exchange(&generation->renewing, true)) {
        round->renewals[round->renewal_count++] = generation;
    }
    if (close && round->ak_close_count < JOBS_MAX) {
        round->ak_closes[round->ak_close_count++] = generation;
    }
}

static void look_at_version(struct round *round, struct token_entry *token,
                            struct key_version_entry *version)
{
    int64_t probe_ms = round->service->settings.probe_ms;
    bool by_time = probe_ms != INT64_MAX &&
                   (version->probed_ms == 0 ||
                    round->now_ms - version->probed_ms >= probe_ms);
    pthread_mutex_lock(&version->health_lock);
    bool due = breaker_is_open(&version->breaker)
                   ? breaker_take_probe(&version->breaker, round->now_ms)
                   : by_time;
    pthread_mutex_unlock(&version->health_lock);
    if (due && round->probe_count < JOBS_MAX &&
        !atomic_exchange(&version->probing, true)) {
        version->probed_ms = round->now_ms;
        round->probes[round->probe_count++] = (struct job){
            .service = round->service,
            .token = token,
            .version = version,
        };
    }
}

/* Every version that may be used: whatever a call can ask, and a breaker can
 * skip, a probe finds again. */
static void look_at_key(struct round *round, struct key_entry *key)
{
    if (token_entry_configured(key->token) == NULL ||
        key->record.state != KEY_ACTIVE) {
        return;
    }
    for (uint32_t i = 0; i < key->record.current_version; i++) {
        if (key->versions[i] != NULL && key->versions[i]->record.enabled) {
            look_at_version(round, key->token, key->versions[i]);
        }
    }
}

static void look(struct round *round)
{
    struct catalogue *catalogue = &round->service->catalogue;
    pthread_rwlock_rdlock(&catalogue->lock);
    for (struct dep_entry *dep = catalogue->deps; dep != NULL;
         dep = dep->next) {
        for (uint32_t i = 0; i < dep->record.generation; i++) {
            if (dep->generations[i] != NULL) {
                look_at_generation(round, dep->generations[i]);
            }
        }
    }
    for (struct key_entry *key = catalogue->keys; key != NULL;
         key = key->next) {
        look_at_key(round, key);
    }
    pthread_rwlock_unlock(&catalogue->lock);
}

static void run_ak_schedule(void *argument)
{
    struct job *job = argument;
    ak_roll_by_schedule(job->service);
    free(job);
}

/* An hour later again, whatever became of it; a roll that was begun twice would
 * find the other running. */
static void check_ak_schedule(struct scheduler *scheduler, int64_t now_ms)
{
    const struct job job = {.service = scheduler->service};
    if (scheduler->service->settings.ak_roll_ms == 0 ||
        (scheduler->ak_checked_ms != 0 &&
         now_ms - scheduler->ak_checked_ms < AK_CHECK_MS)) {
        return;
    }
    if (hand_over(&job, POOL_BACKGROUND, run_ak_schedule)) {
        scheduler->ak_checked_ms = now_ms;
    }
}

static void run_scrub(void *argument)
{
    struct service *service = argument;
    struct scrub_result result;
    scrub_run(service, &result);
    atomic_store(&service->scrubbing, false);
}

/* The first one so long after the start: a start has enough to do. */
static void check_scrub(struct scheduler *scheduler, int64_t now_ms)
{
    struct service *service = scheduler->service;
    const struct pool_job job = {
        .tenant = "",
        .rank = POOL_BACKGROUND,
        .work = run_scrub,
        .argument = service,
    };
    int64_t every_ms = service->settings.scrub_ms;
    if (scheduler->scrubbed_ms == 0) {
        scheduler->scrubbed_ms = now_ms;
    }
    if (every_ms == 0 || now_ms - scheduler->scrubbed_ms < every_ms ||
        atomic_exchange(&service->scrubbing, true)) {
        return;
    }
    if (pool_run(service->pool, &job) == HF_OK) {
        scheduler->scrubbed_ms = now_ms;
    } else {
        atomic_store(&service->scrubbing, false);
    }
}

static void run_overdue(void *argument)
{
    struct job *job = argument;
    mailbox_moves_alert(job->service);
    free(job);
}

/* Two that overlap do no harm: each alert is decided and written under the
 * lock. */
static void check_overdue(struct scheduler *scheduler, int64_t now_ms)
{
    const struct job job = {.service = scheduler->service};
    if (scheduler->overdue_checked_ms != 0 &&
        now_ms - scheduler->overdue_checked_ms < OVERDUE_CHECK_MS) {
        return;
    }
    if (hand_over(&job, POOL_BACKGROUND, run_overdue)) {
        scheduler->overdue_checked_ms = now_ms;
    }
}

static void run_round(struct scheduler *scheduler, struct round *round)
{
    struct service *service = scheduler->service;
    struct job job = {.service = service};
    *round = (struct round){
        .service = service,
        .now_ms = service_monotonic_ms(service),
    };
    operations_round(service, round->now_ms);
    denials_round(service, round->now_ms);
    check_ak_schedule(scheduler, round->now_ms);
    key_retention_round(service, round->now_ms);
    check_scrub(scheduler, round->now_ms);
    chronicle_round(service, round->now_ms);
    checkpoints_round(service, round->now_ms);
    purges_round(service, round->now_ms);
    notices_round(service, round->now_ms);
    check_overdue(scheduler, round->now_ms);
    ak_enrol_round(service, round->now_ms);
    look(round);
    for (size_t i = 0; i < round->renewal_count; i++) {
        job.generation = round->renewals[i];
        /* what keeps the hot lane hot goes before what it would become */
        if (!hand_over(&job, POOL_USER, run_renewal)) {
            atomic_store(&job.generation->renewing, false);
        }
    }
    for (size_t i = 0; i < round->ak_close_count; i++) {
        job.generation = round->ak_closes[i];
        if (!hand_over(&job, POOL_BACKGROUND, run_ak_close)) {
            break; /* it stays due */
        }
    }
    for (size_t i = 0; i < round->probe_count; i++) {
        job = round->probes[i];
        if (!hand_over(&job, POOL_BACKGROUND, run_probe)) {
            atomic_store(&job.version->probing, false);
        }
    }
}

static bool wait_tick(struct scheduler *scheduler)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&scheduler->lock);
    if (!scheduler->stopping) {
        pthread_cond_timedwait(&scheduler->stopped, &scheduler->lock, &until);
    }
    bool go_on = !scheduler->stopping;
    pthread_mutex_unlock(&scheduler->lock);
    return go_on;
}

static void *run_thread(void *argument)
{
    struct scheduler *scheduler = argument;
    struct round *round = malloc(sizeof *round);
    while (round != NULL && wait_tick(scheduler)) {
        run_round(scheduler, round);
    }
    free(round);
    return NULL;
}

HF_STATUS scheduler_start(struct service *service,
                          struct scheduler **out_scheduler)
{
    pthread_condattr_t monotonic;
    struct scheduler *scheduler = calloc(1, sizeof *scheduler);
    if (scheduler == NULL) {
        return HF_E_NO_MEMORY;
    }
    scheduler->service = service;
    pthread_mutex_init(&scheduler->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&scheduler->stopped, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&scheduler->thread, NULL, run_thread, scheduler) != 0) {
        free(scheduler);
        return HF_E_RESOURCES;
    }
    *out_scheduler = scheduler;
    return HF_OK;
}

void scheduler_stop(struct scheduler *scheduler)
{
    if (scheduler == NULL) {
        return;
    }
    pthread_mutex_lock(&scheduler->lock);
    scheduler->stopping = true;
    pthread_cond_signal(&scheduler->stopped);
    pthread_mutex_unlock(&scheduler->lock);
    pthread_join(scheduler->thread, NULL);
    pthread_cond_destroy(&scheduler->stopped);
    pthread_mutex_destroy(&scheduler->lock);
    free(scheduler);
}
