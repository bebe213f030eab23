/* customer_key_put: a customer key on the wire. */
#pragma once

#include "server/rpc/arena.h"
#include "server/service/customer_keys.h"

/* A holdfast.v1.CustomerKey in the arena; NULL when that is full. */
ProtobufCMessage *customer_key_put(struct rpc_arena *arena,
                                   const struct customer_key_view *from);
