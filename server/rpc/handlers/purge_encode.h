/* purge_encode: a purge on the wire; NULL when the arena is full. */
#pragma once

#include "server/rpc/arena.h"
#include "server/service/purges.h"

#include <holdfast/v1/purge_service.pb-c.h>

Holdfast__V1__Purge *purge_put_message(struct rpc_arena *arena,
                                       const struct purge_view *from);
