/* health: grpc.health.v1, from what the service knows of its DEPs.
 *
 *   ""                            the whole server
 *   holdfast.v1.KeyService ...    each service it has
 *   tenants/{tenant}/deps/{UUID}  one DEP (Dep.name), for callers of that
 *                                 tenant, operators and auditors; for others
 *                                 it is unknown
 *
 * A DEP is SERVING while it opens keys: HEALTHY, DEGRADED, FALLBACK. Watch
 * stays open, tells every change within RPC_TICK_MS, also of a name that is not
 * known yet, and ends when the server shuts down.
 */
#pragma once

#include "hsm/base/status.h"

#include <stdbool.h>

struct health;
struct rpc;
struct rpc_call;

HF_STATUS health_new(struct rpc *rpc, struct health **out_health);
void health_free(struct health *health);

/* All of the polling thread. */
void health_check(struct rpc_call *call);
void health_watch_begin(struct rpc_call *call);
void health_watch_written(struct rpc_call *call, bool ok);
void health_watch_closed(struct rpc_call *call);
void health_end_watches(struct health *health);
/* health_recheck: the identity table has changed: watches of callers who are
 * nobody now end, the others go on as who they are now. */
void health_recheck(struct health *health);
/* health_tick: tells watchers what has changed. Costs nothing when nothing
 * has. */
void health_tick(struct health *health);
