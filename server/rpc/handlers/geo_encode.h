/* geo_encode: geos and sites on the wire; NULL when the arena is full. */
#pragma once

#include "server/rpc/arena.h"
#include "server/service/geos.h"
#include "server/service/sites.h"

#include <holdfast/v1/geo_service.pb-c.h>

Holdfast__V1__Geo *geo_put_message(struct rpc_arena *arena,
                                   const struct geo_view *view);
Holdfast__V1__Site *site_put_message(struct rpc_arena *arena,
                                     const struct site_view *view);
