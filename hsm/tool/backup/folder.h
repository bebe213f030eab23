/* folder: a folder of files, copied as it was at one moment. */
#pragma once

#include "hsm/base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* folder_copy: every regular file of from into the new folder to (0700, files
 * 0600), on the disk when it returns, whole or not at all. If somebody wrote to
 * from meanwhile, all is copied again: what is given was there at one moment.
 *
 * Takes     resumed: a call that was interrupted came before. What it left in
 *           TO.part is removed, and a to that holds what from holds, file by
 *           file but for SoftHSM's counters of writes, is that call's. Else
 *           nothing that is there is touched.
 * Gives     *out_files.
 * Returns   HF_OK; HF_E_EXISTS when to or TO.part is there; HF_E_NOT_FOUND;
 *           HF_E_CONFLICT when from does not come to rest; HF_E_LIMIT; HF_E_IO.
 *           What was copied in vain is removed. */
HF_STATUS folder_copy(const char *from, const char *to, bool resumed,
                      size_t *out_files);
