/* spool_inside: what the files of this adapter share. */
#pragma once

#include "server/store/spool_files/spool_files.h"

#include <pthread.h>
#include <stdatomic.h>

struct segment {
    int file; /* -1: there is none */
    uint8_t *data;
    size_t size;
    size_t used;
    uint64_t number;
};

struct spool_files {
    struct spool_files_settings settings;
    struct spool_disk disk;
    int folder;

    pthread_mutex_t lock; /* of what follows; nothing blocks under it */
    pthread_cond_t wake;  /* the keeper */
    pthread_cond_t synced_more;
    struct segment current;
    struct segment next;    /* file -1: not ready */
    struct segment retired; /* full, to be synced once more and closed */
    struct spool_chain chain;
    struct hf_id id;
    uint64_t last;   /* number of the last record */
    uint64_t synced; /* up to here it is on the disk */
    uint64_t wanted; /* somebody waits for that */
    uint64_t oldest; /* segment that is there */
    bool stopping;

    atomic_uint_fast64_t records;
    atomic_int_fast64_t busy_since_ms; /* the keeper, with the disk; 0: not */
    atomic_bool full;                  /* there is no room for one more */
    pthread_t keeper;
    bool has_keeper;
};

/* segment_make: a new file of its full size, all zero, on the disk, mapped.
 * HF_E_RESOURCES: no room; HF_E_IO. Blocks. */
HF_STATUS segment_make(struct spool_files *spool, uint64_t number,
                       struct segment *out);
/* segment_close: cuts off what was not used. */
void segment_close(struct segment *segment);
void segment_remove(struct spool_files *spool, uint64_t number);

/* folder_look: what is there; *out_newest the newest segment that begun, and
 * *out_number the highest number that is taken. */
struct folder_view {
    struct spool_segment newest;
    uint64_t oldest;
    uint64_t highest;
    uint64_t broken;
};
HF_STATUS folder_look(struct spool_files *spool, struct folder_view *out);

/* spool_oldest_at: the oldest segment to be kept when this one is the newest.
 */
uint64_t spool_oldest_at(const struct spool_files *spool, uint64_t number);

/* keeper_run: the thread; its argument is the spool. */
void *keeper_run(void *argument);
