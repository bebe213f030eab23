/* sqlite_store: the embedded default behind store.h.
 *
 * WAL mode, synchronous=FULL; one connection does all writing and all
 * checkpointing (facts: SQLite 3.40.1); readers have connections of their own.
 * A failed sync or write ends the process: what is read back afterwards cannot
 * be believed.
 */
#pragma once

#include "server/store/store.h"

struct sqlite_settings {
    const char *path; /* the database file; its directory must exist */
    uint32_t readers; /* reader connections; 0: 4 */
};

/* sqlite_store_open: opens or creates, runs the numbered migrations that are
 * missing (each once, in its own transaction), takes the store's lock so that a
 * second daemon on the same file is refused.
 *
 * Gives     *out_store, closed with store_close.
 * Returns   HF_OK; HF_E_CONFLICT another process holds it; HF_E_UNSUPPORTED
 *           the schema is newer than this program; HF_E_CORRUPT
 *           integrity_check failed or it is not a Holdfast store; HF_E_IO.
 */
HF_STATUS sqlite_store_open(const struct sqlite_settings *settings,
                            struct store *out_store);
