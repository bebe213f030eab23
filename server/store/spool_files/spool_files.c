#include "server/store/spool_files/spool_files.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/store/spool_files/spool_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEPT_MIN 3 /* segments */

static int reserve(int file, off_t size)
{
    return posix_fallocate(file, 0, size);
}

static int sync_file(int file)
{
    return fdatasync(file);
}

static const struct spool_disk real_disk = {reserve, sync_file};

/* --- appending ---------------------------------------------------------- */

static bool is_stuck(struct spool_files *spool)
{
    int64_t began_ms = atomic_load(&spool->busy_since_ms);
    return began_ms != 0 &&
           clock_monotonic_ms(clock_system()) - began_ms > SPOOL_STUCK_MS;
}

static bool has_room(const struct segment *segment)
{
    return segment->size - segment->used >= SPOOL_FRAME_MAX_BYTES;
}

uint64_t spool_oldest_at(const struct spool_files *spool, uint64_t number)
{
    uint64_t kept = spool->settings.keep_bytes / spool->settings.segment_bytes;
    kept = kept < KEPT_MIN ? KEPT_MIN : kept;
    return number > kept ? number - kept + 1 : 1;
}

static void begin_segment(struct spool_files *spool, enum spool_end before,
                          uint64_t left_bytes)
{
    struct segment *segment = &spool->current;
    struct spool_header header = {
        .spool = spool->id,
        .segment = segment->number,
        .oldest = spool_oldest_at(spool, segment->number),
        .first = spool->last + 1,
        .time_ms = clock_wall_ms(spool->settings.clock),
        .before = before,
        .left_bytes = left_bytes,
    };
    memcpy(header.previous, spool->chain.hash, sizeof header.previous);
    segment->used = spool_put_header(segment->data, &header, &spool->chain);
    CHECK(segment->used > 0);
}

/* The lock is held. */
static HF_STATUS go_on(struct spool_files *spool)
{
    if (has_room(&spool->current)) {
        return HF_OK;
    }
    if (spool->next.file < 0 || spool->retired.file >= 0) {
        return HF_E_RESOURCES;
    }
    spool->retired = spool->current;
    spool->current = spool->next;
    spool->next = (struct segment){.file = -1};
    begin_segment(spool, SPOOL_END_CLEAN, 0);
    return HF_OK;
}

static HF_STATUS append_locked(struct spool_files *spool,
                               struct spool_record *record)
{
    struct segment *segment = &spool->current;
    HF_TRY(go_on(spool));
    record->number = spool->last + 1;
    size_t len =
        spool_put_record(segment->data + segment->used, record, &spool->chain);
    if (len == 0) {
        return HF_E_INVALID;
    }
    segment->used += len;
    spool->last = record->number;
    atomic_store_explicit(&spool->records, record->number,
                          memory_order_relaxed);
    return HF_OK;
}

static HF_STATUS append(void *self, struct spool_record *record)
{
    struct spool_files *spool = self;
    if (is_stuck(spool)) {
        return HF_E_RESOURCES;
    }
    record->time_ms = clock_wall_ms(spool->settings.clock);
    pthread_mutex_lock(&spool->lock);
    enum hf_status status = append_locked(spool, record);
    pthread_mutex_unlock(&spool->lock);
    return status;
}

static bool ready(void *self)
{
    struct spool_files *spool = self;
    if (is_stuck(spool)) {
        return false;
    }
    pthread_mutex_lock(&spool->lock);
    bool room = has_room(&spool->current) ||
                (spool->next.file >= 0 && spool->retired.file < 0);
    pthread_mutex_unlock(&spool->lock);
    return room;
}

static uint64_t records(void *self)
{
    struct spool_files *spool = self;
    return atomic_load_explicit(&spool->records, memory_order_relaxed);
}

static HF_STATUS head(void *self, struct spool_head *out)
{
    struct spool_files *spool = self;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += SPOOL_STUCK_MS / 1000;
    pthread_mutex_lock(&spool->lock);
    *out = (struct spool_head){.spool = spool->id, .records = spool->last};
    memcpy(out->hash, spool->chain.hash, sizeof out->hash);
    spool->wanted = spool->last;
    pthread_cond_signal(&spool->wake);
    int late = 0;
    while (spool->synced < out->records && late == 0) {
        late =
            pthread_cond_timedwait(&spool->synced_more, &spool->lock, &until);
    }
    bool synced = spool->synced >= out->records;
    pthread_mutex_unlock(&spool->lock);
    return synced ? HF_OK : HF_E_UNREACHABLE;
}

/* --- life --------------------------------------------------------------- */

static void free_all(void *self)
{
    struct spool_files *spool = self;
    if (spool->has_keeper) {
        pthread_mutex_lock(&spool->lock);
        spool->stopping = true;
        pthread_cond_signal(&spool->wake);
        pthread_mutex_unlock(&spool->lock);
        pthread_join(spool->keeper, NULL);
    }
    if (spool->next.file >= 0) {
        uint64_t number = spool->next.number;
        segment_close(&spool->next);
        segment_remove(spool, number);
    }
    segment_close(&spool->current);
    segment_close(&spool->retired);
    spool_chain_close(&spool->chain);
    if (spool->folder >= 0) {
        (void)close(spool->folder);
    }
    pthread_cond_destroy(&spool->wake);
    pthread_cond_destroy(&spool->synced_more);
    pthread_mutex_destroy(&spool->lock);
    free(spool);
}

static const struct spool_port port = {
    .ready = ready,
    .append = append,
    .records = records,
    .head = head,
    .close = free_all,
};

static HF_STATUS open_folder(struct spool_files *spool)
{
    const char *path = spool->settings.folder;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return errno == EACCES ? HF_E_DENIED : HF_E_IO;
    }
    spool->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spool->folder < 0) {
        return errno == EACCES ? HF_E_DENIED : HF_E_IO;
    }
    return HF_OK;
}

static HF_STATUS begin(struct spool_files *spool,
                       struct spool_files_found *found)
{
    struct folder_view view;
    HF_TRY(folder_look(spool, &view));
    *found = (struct spool_files_found){
        .anew = !view.newest.begun,
        .records = view.newest.begun ? view.newest.last : 0,
        .end = view.newest.begun ? view.newest.end : SPOOL_END_CLEAN,
        .left_bytes = view.newest.left,
        .broken = view.broken,
    };
    if (view.broken != 0) {
        found->end = SPOOL_END_DAMAGED;
    }
    if (found->anew) {
        uint8_t random[HF_ID_BYTES];
        HF_TRY(rng_fill(spool->settings.rng, random, sizeof random));
        spool->id = id_from_random(random);
    } else {
        spool->id = view.newest.header.spool;
        spool->last = view.newest.last;
        memcpy(spool->chain.hash, view.newest.hash, sizeof spool->chain.hash);
    }
    spool->synced = spool->last;
    atomic_store(&spool->records, spool->last);
    HF_TRY(segment_make(spool, view.highest + 1, &spool->current));
    spool->oldest = view.oldest == 0 ? spool->current.number : view.oldest;
    begin_segment(spool, found->end, found->left_bytes);
    return spool->disk.sync(spool->current.file) == 0 ? HF_OK : HF_E_IO;
}

static HF_STATUS start(struct spool_files *spool,
                       struct spool_files_found *found)
{
    HF_TRY(spool_chain_open(&spool->chain));
    HF_TRY(open_folder(spool));
    HF_TRY(begin(spool, found));
    if (pthread_create(&spool->keeper, NULL, keeper_run, spool) != 0) {
        return HF_E_RESOURCES;
    }
    spool->has_keeper = true;
    return HF_OK;
}

HF_STATUS spool_files_open(const struct spool_files_settings *settings,
                           struct spool *out_spool,
                           struct spool_files_found *out_found)
{
    pthread_condattr_t monotonic;
    CHECK(settings->segment_bytes >= SPOOL_SEGMENT_MIN_BYTES);
    struct spool_files *spool = calloc(1, sizeof *spool);
    if (spool == NULL) {
        return HF_E_NO_MEMORY;
    }
    spool->settings = *settings;
    spool->disk = settings->disk != NULL ? *settings->disk : real_disk;
    spool->folder = -1;
    spool->current.file = -1;
    spool->next.file = -1;
    spool->retired.file = -1;
    pthread_mutex_init(&spool->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&spool->wake, &monotonic);
    pthread_cond_init(&spool->synced_more, &monotonic);
    pthread_condattr_destroy(&monotonic);
    enum hf_status status = start(spool, out_found);
    if (status != HF_OK) {
        free_all(spool);
        return status;
    }
    *out_spool = (struct spool){&port, spool};
    return HF_OK;
}
