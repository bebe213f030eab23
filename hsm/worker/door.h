/* door: a Unix socket (SOCK_SEQPACKET) by which one program of a machine finds
 * another, and who it is that comes. */
#pragma once

#include "hsm/base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* door_open: listens. What is left of an earlier one is taken away; anything
 * else at this path is left alone.
 * Gives     *out_listener, close-on-exec and not blocking.
 * Returns   HF_OK; HF_E_INVALID: the path is too long; HF_E_EXISTS: somebody
 *           listens there, or it is no socket; HF_E_IO, errno says why. */
HF_STATUS door_open(const char *path, mode_t mode, int *out_listener);

/* door_accept: the next one at the door, if there is one, and its user.
 * HF_OK; HF_E_OVERLOAD: nobody; HF_E_IO. */
HF_STATUS door_accept(int listener, int *out_socket, uint32_t *out_uid);

/* door_knock: connects; *out_uid: whose the other end is.
 * HF_OK; HF_E_INVALID; HF_E_UNREACHABLE: nobody listens; HF_E_DENIED;
 * HF_E_RESOURCES. */
HF_STATUS door_knock(const char *path, int *out_socket, uint32_t *out_uid);

/* door_is_of: the folder of this path is this user's, and nobody else but root
 * may make a socket there. */
bool door_is_of(const char *path, uint32_t uid);
