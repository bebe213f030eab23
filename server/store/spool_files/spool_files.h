/* spool_files: the spool (spool.h) in a folder of its own, in files of the form
 * of hsm/sys/spool_file.h.
 *
 * Each segment has its full size on the disk before it is used, and is mapped:
 * an append is a copy into the page cache, which a killed process leaves behind
 * and which needs no room. One thread of its own syncs every 100 ms, makes the
 * next segment ready ahead of its use, and takes away the oldest. So the disk
 * is full, or does not answer, for that thread first; the spool then says so
 * (spool_ready) and goes on by itself.
 *
 * After a sync that failed nothing that is read back can be believed: it ends
 * the process, as the store's adapter does.
 */
#pragma once

#include "hsm/sys/clock.h"
#include "hsm/sys/rng.h"

#include "server/store/spool.h"

#include <sys/types.h>

#define SPOOL_SYNC_MS           100
#define SPOOL_STUCK_MS          2000
#define SPOOL_EXIT_IO           75
#define SPOOL_SEGMENT_MIN_BYTES 65536

/* What is asked of the file system; a test's answers in place of it. */
struct spool_disk {
    int (*reserve)(int file, off_t size); /* 0, or the error */
    int (*sync)(int file);                /* 0, or -1 */
};

struct spool_files_settings {
    const char *folder; /* made if missing, 0700 */
    size_t segment_bytes;
    uint64_t keep_bytes;       /* of all segments; at least three are kept */
    const struct clock *clock; /* of the records */
    const struct rng *rng;
    const struct spool_disk *disk; /* NULL: the real one */
};

/* What the folder was found to be. */
struct spool_files_found {
    bool anew;           /* it was empty */
    uint64_t records;    /* that were there, the last one's number */
    enum spool_end end;  /* of the newest segment */
    uint64_t left_bytes; /* behind its last good frame */
    uint64_t broken;     /* a segment whose header is none; 0: none */
};

/* spool_files_open: goes on behind what is there. What a crash or somebody else
 * left behind the last good frame stays where it is; the next segment tells of
 * it.
 *
 * Returns   HF_OK; HF_E_DENIED, HF_E_IO, HF_E_RESOURCES (no room for a
 *           segment), HF_E_NO_MEMORY.
 */
HF_STATUS spool_files_open(const struct spool_files_settings *settings,
                           struct spool *out_spool,
                           struct spool_files_found *out_found);
