/* managed_roll: the tenant's own root, of its built-in SERVICE_MANAGED DEP,
 * goes over to a new version: a new generation under it, to which the
 * stored key of every resource under an earlier one is brought; then the
 * earlier generations are retired and their roots destroyed.
 *
 *   recorded with the order: generation + 1 under version + 1, ROLLING
 *   each stored key under an earlier generation is rewrapped
 *   the earlier generations lose their copies, recorded; then their roots go
 *   ROLLING -> ACTIVE, key_update NONE (T7)
 *
 * Every step may run twice. What clients keep of a retired generation opens no
 * more: KEY_DESTROYED. A generation that an earlier key of a workload needs
 * stays, with its root.
 */
#pragma once

#include "server/service/operations.h"

struct managed_roll {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
};

/* tenants_roll_managed: STATE_CONFLICT while one is running. */
HF_STATUS tenants_roll_managed(struct service *service,
                               const struct caller *caller,
                               const struct managed_roll *request,
                               struct operation_view *out,
                               struct problem *problem);

/* The step of OPERATION_ROLL_SERVICE_MANAGED; object: the built-in DEP, number:
 * its new generation. */
operation_step_fn managed_roll_step;
