/* secret_file: a PIN or another short secret comes in from a file, a file
 * descriptor or the terminal, and never from the command line, the environment
 * or a configuration (crypto.md).
 *
 * One line end at the end is not part of the secret. Bytes go straight into
 * locked memory; no stdio buffer sees them.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include <stddef.h>

#define SECRET_FILE_MAX_BYTES 255

/* secret_from_file: from a regular file that only its owner can read.
 *
 * Gives     *out_secret, 1 to SECRET_FILE_MAX_BYTES long.
 * Returns   HF_OK; HF_E_NOT_FOUND; HF_E_DENIED when it may not be read by us;
 *           HF_E_PRECONDITION when others may read or write it, it belongs
 *           neither to us nor to root, or it is no regular file;
 *           HF_E_INVALID when it is empty, too long, or holds more than one
 *           line or a NUL; HF_E_IO; HF_E_NO_MEMORY.
 */
HF_STATUS secret_from_file(const char *path, struct secret **out_secret);

/* secret_from_whole_file: the same rules for the file, but all of its bytes as
 * they are, up to max_bytes (a private key); HF_E_INVALID for none or more. */
HF_STATUS secret_from_whole_file(const char *path, size_t max_bytes,
                                 struct secret **out_secret);

/* secret_from_fd: reads a descriptor to its end; it stays open.
 * As above; HF_E_INVALID also for a descriptor that is not open. */
HF_STATUS secret_from_fd(int fd, struct secret **out_secret);

/* secret_from_terminal: asks on the controlling terminal, without echo.
 *
 * Returns   as above; HF_E_NOT_FOUND when there is no terminal;
 *           HF_E_CANCELLED when the interrupt or end-of-file key was pressed.
 * Blocks    until a line is typed; so long SIGTERM, SIGHUP, SIGINT and SIGQUIT
 *           wait, so that nobody is left with a terminal that shows nothing.
 */
HF_STATUS secret_from_terminal(const char *prompt, struct secret **out_secret);
