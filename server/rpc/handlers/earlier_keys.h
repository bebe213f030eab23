/* earlier_keys: the keys of a resource that newer ones took the place of. */
#pragma once

#include "server/rpc/arena.h"
#include "server/service/mailboxes.h"

#include <holdfast/v1/assignment_service.pb-c.h>

struct earlier_keys {
    const char *tenant;
    const struct hf_id *service_managed; /* the tenant's built-in DEP */
    const struct resource_record *record;
};
/* earlier_keys_encode: in the arena; NULL and 0: none, or no room. */
Holdfast__V1__EarlierKey **earlier_keys_encode(struct rpc_arena *arena,
                                               const struct earlier_keys *keys,
                                               size_t *out_count);
