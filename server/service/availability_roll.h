/* availability_roll: an availability key goes over to a new version (3.6,
 * ), by the operator or by the schedule; with both customer keys
 * down too.
 *
 *   ACTIVE n -> ROLLING         recorded with the order
 *   version n + 1 is generated, durable
 *   each generation: its copy is wrapped under n + 1 inside the token, opened
 *     and held against the commitment, recorded
 *   version n is destroyed      nothing recorded needs it any more
 *   ROLLING -> ACTIVE n + 1
 *
 * Cut anywhere, the next step goes on where the records say; every step may run
 * twice. At no moment is a recorded copy without its version in the token.
 * While ROLLING a DEP gets no new generation.
 */
#pragma once

#include "server/service/operations.h"

struct ak_roll {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char dep[HF_NAME_MAX_BYTES + 1]; /* UUID or name; "": every DEP */
};

/* deps_roll_ak: STATE_CONFLICT while one of the tenant is running, or for a DEP
 * whose availability key is of another kind; KEY_DESTROYED. */
HF_STATUS deps_roll_ak(struct service *service, const struct caller *caller,
                       const struct ak_roll *request,
                       struct operation_view *out, struct problem *problem);

/* The step of OPERATION_ROLL_AVAILABILITY_KEY; object: the DEP, or nil: every
 * one of the tenant in turn. */
operation_step_fn ak_roll_step;

/* ak_roll_by_schedule: begins the rolls that are due (settings.ak_roll_ms): of
 * a tenant whose last one, or first DEP, is so long ago. On a thread of the
 * pool. */
void ak_roll_by_schedule(struct service *service);
