/* store_memory: an honest store in memory, with the strings a test pulls.
 *
 * The struct is the disk: it outlives the stores opened on it, so a test can
 * close, reopen, save an image and put it back. Everything store.h promises
 * holds here too (snapshots, compare-and-set, the audit chain, one writer); the
 * contract suite runs on it as on the real adapters.
 */
#pragma once

#include "server/store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct store_memory;

/* The calls of the port, to count them and to make one fail. */
enum store_memory_call {
    STORE_MEMORY_BEGIN = 1 << 0,
    STORE_MEMORY_GET = 1 << 1,
    STORE_MEMORY_PUT = 1 << 2,
    STORE_MEMORY_REMOVE = 1 << 3,
    STORE_MEMORY_LIST = 1 << 4,
    STORE_MEMORY_COUNT = 1 << 5,
    STORE_MEMORY_AUDIT_APPEND = 1 << 6,
    STORE_MEMORY_AUDIT_LIST = 1 << 7,
    STORE_MEMORY_EPOCH_APPEND = 1 << 8,
    STORE_MEMORY_EPOCH_LIST = 1 << 9,
    STORE_MEMORY_COMMIT = 1 << 10, /* of write transactions */
    STORE_MEMORY_ANY = (1 << 11) - 1,
};

/* store_memory_new: an empty disk, freed with store_memory_free once every
 * store on it is closed. */
struct store_memory *store_memory_new(void);
void store_memory_free(struct store_memory *memory);

/* store_memory_open: as an adapter's open; HF_E_CONFLICT while it is open. */
HF_STATUS store_memory_open(struct store_memory *memory,
                            struct store *out_store);

/* store_memory_fail_at: the nth call from now (1: the next) among the given
 * ones returns status and does nothing; a commit that fails is rolled back.
 * Once; n = 0 takes the order back. store_memory_failed: whether it happened.
 * store_memory_calls: how many such calls there were since the last fail_at.
 *
 *   for (n = 1; ; n++) { store_memory_fail_at(m, STORE_MEMORY_ANY, n, HF_E_IO);
 *       run(); check(); if (!store_memory_failed(m)) break; }
 *
 * Threads   safe from any thread. */
void store_memory_fail_at(struct store_memory *memory, unsigned calls,
                          uint64_t n, enum hf_status status);
bool store_memory_failed(struct store_memory *memory);
uint64_t store_memory_calls(struct store_memory *memory);

/* store_memory_wait_ms: how long a begin waits for the writer; 5000 at first.*/
void store_memory_wait_ms(struct store_memory *memory, uint32_t wait_ms);

/* store_memory_hold: the nth listing of the kind from now (1: the next) that
 * comes to its end does not return until store_memory_release.
 * store_memory_wait_held: false when none came so far within the time. */
void store_memory_hold(struct store_memory *memory, enum record_kind kind,
                       unsigned nth);
bool store_memory_wait_held(struct store_memory *memory, uint32_t timeout_ms);
void store_memory_release(struct store_memory *memory);

/* What somebody does to a store behind the service's back. All need that no
 * write transaction is open.
 *
 * store_memory_overwrite: the record as given, whatever was there.
 * store_memory_erase: false if it was not there.
 * store_memory_save, _restore: an image of everything, and back to it
 *   ("restored from before the purge"); images freed with store_memory_free. */
void store_memory_overwrite(struct store_memory *memory,
                            const struct record *record);
bool store_memory_erase(struct store_memory *memory, enum record_kind kind,
                        struct bytes key);
/* store_memory_overwrite_audit: the link at link->index, as given; false if
 * there is none. */
bool store_memory_overwrite_audit(struct store_memory *memory,
                                  const struct audit_link *link);
/* store_memory_cut_audit: the links behind this index are gone. */
void store_memory_cut_audit(struct store_memory *memory, uint64_t last_index);
struct store_memory *store_memory_save(struct store_memory *memory);
void store_memory_restore(struct store_memory *memory,
                          struct store_memory *image);
