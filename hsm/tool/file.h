/* file: new files, whole or not at all. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include <stdbool.h>
#include <sys/types.h>

/* file_create: a new file with these bytes, on the disk when it returns; one
 * that is there is never touched.
 * Returns   HF_OK; HF_E_EXISTS; HF_E_NOT_FOUND (its folder); HF_E_DENIED;
 *           HF_E_IO. */
HF_STATUS file_create(const char *path, mode_t mode, struct bytes content);

/* file_holds: whether a file that is there holds exactly these bytes. */
bool file_holds(const char *path, struct bytes content);
