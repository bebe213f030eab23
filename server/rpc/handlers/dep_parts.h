/* dep_parts: the parts of a DEP that other messages show as well. */
#pragma once

#include "server/rpc/arena.h"
#include "server/service/deps.h"

#include <holdfast/v1/dep_service.pb-c.h>

Holdfast__V1__DepKeyRef *dep_put_key(struct rpc_arena *arena,
                                     const char *tenant,
                                     const struct dep_key_view *key);
Holdfast__V1__AvailabilityKey *dep_put_ak(struct rpc_arena *arena,
                                          const struct dep_record *record);
