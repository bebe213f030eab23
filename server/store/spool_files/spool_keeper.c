/* The thread of the spool: all that may wait for the disk. */
#include "hsm/sys/log.h"

#include "server/store/spool_files/spool_inside.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 1000 /* while there is no room */

static void be_busy(struct spool_files *spool, bool busy)
{
    atomic_store(&spool->busy_since_ms,
                 busy ? clock_monotonic_ms(clock_system()) : 0);
}

static void sync_or_die(struct spool_files *spool, int file)
{
    if (spool->disk.sync(file) == 0) {
        return;
    }
    log_event(LOG_ERROR, "spool.sync_failed",
              LOG_NUMBER("exit_code", SPOOL_EXIT_IO));
    _exit(SPOOL_EXIT_IO); /* no handler may answer a call any more */
}

/* What was appended up to now; the files stay open meanwhile, for only this
 * thread closes any. */
static void sync_now(struct spool_files *spool)
{
    pthread_mutex_lock(&spool->lock);
    uint64_t last = spool->last;
    int current = spool->current.file;
    struct segment retired = spool->retired;
    bool due = last != spool->synced || retired.file >= 0;
    pthread_mutex_unlock(&spool->lock);
    if (!due) {
        return;
    }
    be_busy(spool, true);
    if (retired.file >= 0) {
        sync_or_die(spool, retired.file);
    }
    sync_or_die(spool, current);
    be_busy(spool, false);
    pthread_mutex_lock(&spool->lock);
    spool->synced = last;
    if (retired.file >= 0) {
        spool->retired = (struct segment){.file = -1};
    }
    pthread_cond_broadcast(&spool->synced_more);
    pthread_mutex_unlock(&spool->lock);
    segment_close(&retired);
}

/* Those that the header of the segment in use says may be gone. */
static void remove_oldest(struct spool_files *spool, uint64_t up_to)
{
    while (spool->oldest < up_to) {
        segment_remove(spool, spool->oldest);
        log_event(LOG_INFO, "spool.segment_removed",
                  LOG_NUMBER("segment", spool->oldest));
        spool->oldest++;
    }
}

static void make_next(struct spool_files *spool)
{
    struct segment made = {.file = -1};
    pthread_mutex_lock(&spool->lock);
    uint64_t number = spool->current.number + 1;
    bool wanted = spool->next.file < 0 && spool->retired.file < 0;
    pthread_mutex_unlock(&spool->lock);
    if (!wanted) {
        return;
    }
    be_busy(spool, true);
    enum hf_status status = segment_make(spool, number, &made);
    be_busy(spool, false);
    bool was_full = atomic_exchange(&spool->full, status != HF_OK);
    if (status != HF_OK) {
        if (!was_full) {
            log_event(LOG_ERROR, "spool.no_room",
                      LOG_TEXT("status", hf_status_name(status)));
        }
        return;
    }
    if (was_full) {
        log_event(LOG_INFO, "spool.room_again", LOG_NUMBER("segment", number));
    }
    pthread_mutex_lock(&spool->lock);
    spool->next = made;
    pthread_mutex_unlock(&spool->lock);
}

static bool wait_tick(struct spool_files *spool)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SPOOL_SYNC_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&spool->lock);
    if (!spool->stopping && spool->wanted <= spool->synced) {
        pthread_cond_timedwait(&spool->wake, &spool->lock, &until);
    }
    bool go_on = !spool->stopping;
    pthread_mutex_unlock(&spool->lock);
    return go_on;
}

void *keeper_run(void *argument)
{
    struct spool_files *spool = argument;
    int64_t tried_ms = 0;
    while (wait_tick(spool)) {
        pthread_mutex_lock(&spool->lock);
        uint64_t up_to = spool_oldest_at(spool, spool->current.number);
        pthread_mutex_unlock(&spool->lock);
        sync_now(spool); /* first what says that they may be gone */
        remove_oldest(spool, up_to);
        int64_t now_ms = clock_monotonic_ms(clock_system());
        if (!atomic_load(&spool->full) || now_ms - tried_ms >= RETRY_MS) {
            tried_ms = now_ms;
            make_next(spool);
        }
    }
    sync_now(spool);
    return NULL;
}
