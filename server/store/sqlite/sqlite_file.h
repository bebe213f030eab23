/* sqlite_file: the store's file and the lock that says whose it is. */
#pragma once

#include "hsm/base/status.h"

#include <stddef.h>

/* store_file_lock: ownership of path, by a lock on "<path>.lock". The kernel
 * gives it back when the descriptor is closed or the process ends, however.
 *
 * Gives     *out_fd, closed with store_file_unlock.
 * Returns   HF_OK; HF_E_CONFLICT somebody has it; HF_E_INVALID a path too long;
 *           HF_E_IO.
 */
HF_STATUS store_file_lock(const char *path, int *out_fd);
void store_file_unlock(int fd);

/* store_file_prepare: makes the file if it is missing, durably, for the owner
 * alone, and takes away what others may do with one that is there.
 *
 * Takes     the lock is held, and no SQLite connection is open on the file:
 *           closing any descriptor drops the locks of the whole process on it.
 * Gives     the absolute path without links, so that nothing in it can mean
 *           something to SQLite (":memory:") or change with the directory.
 * Returns   HF_OK; HF_E_IO also for what is no regular file.
 */
HF_STATUS store_file_prepare(const char *path, char *out_path, size_t out_cap);
