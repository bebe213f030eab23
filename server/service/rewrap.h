/* rewrap: has the stored key of one resource brought under the DEP it should be
 * under, on the service's own account: a SYSTEM access with the purpose rewrap
 * . For the steps of long-running operations.
 */
#pragma once

#include "server/service/core.h"

/* rewrap_resource: HF_OK: it is where it should be now, or has no key. Else
 * *problem says why not; the stored key is as it was.
 * Blocks    as long as a data-plane call does; only on a thread of the pool.
 */
HF_STATUS rewrap_resource(struct service *service,
                          const struct tenant_entry *tenant,
                          enum resource_type type, const char *id,
                          struct problem *problem);
