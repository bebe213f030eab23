/* file: reading and writing whole files, so that an interruption at any point
 * leaves the old one or the new one. */
#pragma once

#include "hsm/base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Memory that is wiped when cleared; one NUL follows the bytes. */
struct file_data {
    uint8_t *bytes;
    size_t len;
};

void file_data_clear(struct file_data *data);

/* file_read: a regular file or a pipe of at most max bytes; "-" is standard
 * input.
 *
 * Returns   HF_OK; HF_E_NOT_FOUND; HF_E_DENIED; HF_E_LIMIT when larger;
 *           HF_E_NO_MEMORY; HF_E_IO.
 */
HF_STATUS file_read(const char *path, size_t max, struct file_data *out);
/* file_read_at: as file_read, relative to an open folder; not through a
 * symbolic link. */
HF_STATUS file_read_at(int folder, const char *name, size_t max,
                       struct file_data *out);

/* file_create: a new file of mode 0600, on the disk when it returns.
 *
 * Returns   HF_OK; HF_E_EXISTS; HF_E_NOT_FOUND (its folder); HF_E_DENIED;
 *           HF_E_IO. A file that could not be completed is removed.
 */
HF_STATUS file_create(const char *path, const uint8_t *data, size_t len);

/* file_replace_at: writes "PREFIX.name", syncs it, renames it to name in the
 * same folder and syncs the folder. The prefix is FILE_TEMPORARY. */
#define FILE_TEMPORARY ".holdfast-new."
HF_STATUS file_replace_at(int folder, const char *name, struct file_data data,
                          mode_t mode);

/* file_problem: a phrase for people. */
const char *file_problem(enum hf_status status);
