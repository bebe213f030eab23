/* sqlite_store: the embedded default behind store.h.
 *
 * WAL mode, synchronous=FULL; one connection does all writing and all
 * checkpointing (facts: SQLite 3.40.1); readers have connections of their own.
 *
 * A failed write or sync ends the process: one line in the log (store.ended),
 * then exit code SQLITE_STORE_EXIT_IO. What is read back after a failed sync
 * cannot be believed, and a commit whose outcome is unknown can be neither
 * acknowledged nor refused; the next start reads what is really there.
 *
 * The file is the owner's alone (mode 0600), and one process's at a time: a
 * lock on "<path>.lock", which stays behind when the store is closed, is the
 * ownership. No part of it may live on a network file system.
 */
#pragma once

#include "server/store/store.h"

#define SQLITE_STORE_EXIT_IO     74 /* EX_IOERR of sysexits.h */

#define SQLITE_STORE_READERS_MAX 64

struct sqlite_settings {
    const char *path; /* the database file; its directory must exist */
    uint32_t readers; /* reader connections; 0: 4 */
};

/* sqlite_store_open: opens or creates, runs the numbered migrations that are
 * missing (each once, in its own transaction), takes the store's lock so that a
 * second daemon on the same file is refused.
 *
 * Takes     at most SQLITE_STORE_READERS_MAX readers.
 * Gives     *out_store, closed with store_close once every transaction is over.
 * Returns   HF_OK; HF_E_INVALID for settings that cannot be; HF_E_CONFLICT
 *           another process holds it; HF_E_UNSUPPORTED the schema is newer than
 *           this program; HF_E_CORRUPT the check of the whole file failed or it
 *           is not a Holdfast store; HF_E_IO; HF_E_NO_MEMORY.
 * Blocks    for the check of the whole file (quick_check).
 * Threads   the store is safe from any thread; readers beyond the pool and
 *           writers beyond the first wait their turn, first come first served,
 *           at most 5 s.
 */
HF_STATUS sqlite_store_open(const struct sqlite_settings *settings,
                            struct store *out_store);
