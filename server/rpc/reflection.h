/* reflection: grpc.reflection v1 and v1alpha from the descriptor set, so that a
 * client without the proto files can call. Both have the same messages on the
 * wire. One request is answered at a time; files come with all they need.
 *
 * Threads   the polling thread alone.
 */
#pragma once

#include <stdbool.h>

struct rpc;
struct rpc_call;

void reflection_begin(struct rpc_call *call);
void reflection_read(struct rpc_call *call, bool ok);
void reflection_written(struct rpc_call *call, bool ok);
void reflection_closed(struct rpc_call *call);
/* reflection_recheck: as health_recheck. */
void reflection_recheck(struct rpc *rpc);
/* reflection_end_all: the server shuts down. */
void reflection_end_all(struct rpc *rpc);
