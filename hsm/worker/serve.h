/* serve: the far end of a link, inside the token worker's process.
 *
 * Receives packets, hands their requests to the token in the batches they came
 * in, packs the answers. All memory is allocated at the start; the hello says
 * how many requests of each lane it is for, and a peer that sends more is not
 * one of ours. A frame that cannot be ends the service (frame.h).
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/token/token.h"

#include <stddef.h>
#include <stdint.h>

/* worker_serve: says hello with the token's profile and serves until the other
 * end is closed; then nothing is answered any more.
 *
 * Takes     socket: closed at the end; queue_max: per lane, 0: 1024, at most
 *           WORKER_QUEUE_MAX; the token's own queues hold as many.
 *           token: closed at the end, empty afterwards.
 * Returns   HF_OK: the other end was closed; HF_E_CORRUPT: it sent what cannot
 *           be; HF_E_NO_MEMORY; HF_E_IO.
 * Blocks    until then, and as token_close does.
 */
HF_STATUS worker_serve(int socket, uint32_t worker, size_t queue_max,
                       struct token *token);

/* worker_refuse: a hello that says why there is no token. Closes the socket.
 * why: at most 255 bytes count. HF_OK; HF_E_IO. */
HF_STATUS worker_refuse(int socket, uint32_t worker, enum hf_status status,
                        const char *why);

#define WORKER_QUEUE_MAX 4096
