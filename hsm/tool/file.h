/* file: new files, whole or not at all. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* file_create: a new file with these bytes, on the disk when it returns; one
 * that is there is never touched.
 * Returns   HF_OK; HF_E_EXISTS; HF_E_NOT_FOUND (its folder); HF_E_DENIED;
 *           HF_E_IO. */
HF_STATUS file_create(const char *path, mode_t mode, struct bytes content);

/* file_create_whole: the same, and never a part of it, whatever happens: for
 * what is made again after a kill. FILE.part is written first. */
HF_STATUS file_create_whole(const char *path, mode_t mode,
                            struct bytes content);

/* file_holds: whether a file that is there holds exactly these bytes. */
bool file_holds(const char *path, struct bytes content);

/* file_write_all: to a descriptor, whatever write(2) takes at once. */
bool file_write_all(int fd, struct bytes content);

/* file_read: a whole file of at most max_bytes.
 * Gives     *out, ended by a NUL that does not count, to be freed with free().
 * Returns   HF_OK; HF_E_NOT_FOUND; HF_E_DENIED; HF_E_LIMIT; HF_E_NO_MEMORY;
 *           HF_E_IO, also for what is no regular file. */
HF_STATUS file_read(const char *path, size_t max_bytes, uint8_t **out,
                    size_t *out_len);

/* file_sync_folder: that a new file is in its folder is on the disk. HF_OK;
 * HF_E_IO. */
HF_STATUS file_sync_folder(const char *path);
