/* hurt_vfs: SQLite's file system, made to fail or to forget.
 *
 * Becomes the default of the process that installs it, so the store under test
 * is the very one that is shipped. For child processes: what it hurts does not
 * recover.
 */
#pragma once

#include <stdbool.h>

enum hurt {
    HURT_NOTHING,
    HURT_JOURNAL_SYNC,  /* the journal's sync fails                        */
    HURT_JOURNAL_WRITE, /* the disk is full when the journal grows         */
    HURT_FILE_SYNC,     /* the sync of the database file (checkpoint) fails */
};

/* hurt_vfs_install: once per process. keep_synced: at each sync the file's
 * bytes are copied to "<file>.synced", which is what a power cut would leave
 * if nothing else had reached the disk. */
void hurt_vfs_install(bool keep_synced);
/* hurt_vfs_set: from the next call on. */
void hurt_vfs_set(enum hurt hurt);

/* hurt_vfs_cut_power: puts the synced bytes in the place of the database file
 * and its journal, and drops everything else. After the process is gone. */
void hurt_vfs_cut_power(const char *path);
