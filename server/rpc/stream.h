/* stream: methods that answer with many messages, or late.
 *
 *            +------ written, more to come ------+
 *            v                                   |
 *   begun -> turn (slow lane) -> messages -> written -> ended
 *            ^                                   |
 *            +-- its topic changed, or its time -+ waiting (no thread, no
 *                                                  memory but its own)
 *
 * A turn makes up to STREAM_MESSAGES_MAX messages on the slow lane; they are
 * written one at a time, the next when gRPC took the one before, so a client
 * that does not read holds up nobody but itself and costs one turn's messages.
 * A client that goes away, or the end of the server, ends a stream at the next
 * such point. Each turn asks again whether the caller may.
 *
 * A stream that waits names a topic. What the service tells of changes (on any
 * thread) is collected, and the polling thread wakes those whose topic it was.
 */
#pragma once

#include "hsm/base/status.h"

#include <stdbool.h>

struct rpc;
struct rpc_call;
struct streams;

/* Of one identity, so that it cannot take them all. */
#define STREAMS_PER_IDENTITY_MAX 32

HF_STATUS streams_new(struct rpc *rpc, struct streams **out_streams);
void streams_free(struct streams *streams); /* NULL-safe */

/* All of the polling thread. */
void stream_begin(struct rpc_call *call);
void stream_written(struct rpc_call *call, bool ok);
void stream_closed(struct rpc_call *call);
/* stream_clear: frees what the call holds of it. */
void stream_clear(struct rpc_call *call);
void streams_end_all(struct streams *streams);
/* streams_recheck: the identity table has changed. */
void streams_recheck(struct streams *streams);
/* streams_tick: goes on with those whose turn is over, whose topic changed or
 * whose time has come. Costs nothing when there is none. */
void streams_tick(struct streams *streams);
