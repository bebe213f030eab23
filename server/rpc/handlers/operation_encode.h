/* operation_put: a long-running operation on the wire. */
#pragma once

#include "server/rpc/arena.h"
#include "server/service/operations.h"

/* A holdfast.v1.Operation in the arena; NULL when that is full. */
ProtobufCMessage *operation_put_message(struct rpc_arena *arena,
                                        const struct operation_view *from);
