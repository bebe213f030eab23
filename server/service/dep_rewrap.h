/* dep_rewrap: moves every mailbox key that is still under a DEP, and should not
 * be, on an administrator's order and never by itself. */
#pragma once

#include "server/service/operations.h"

struct dep_rewrap {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char dep[HF_NAME_MAX_BYTES + 1]; /* UUID or name */
};

/* deps_rewrap: the operation that does it. STATE_CONFLICT while one for the
 * same DEP is running. */
HF_STATUS deps_rewrap(struct service *service, const struct caller *caller,
                      const struct dep_rewrap *request,
                      struct operation_view *out, struct problem *problem);

/* The step of OPERATION_REWRAP; object: the DEP to move away from. */
operation_step_fn dep_rewrap_step;
