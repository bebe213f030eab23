/* dep_refresh: a DEP goes over to new versions of its customer keys, or to
 * another pair (T5, T6, specification 7). What is under the earlier generations
 * moves on its next access, or by RewrapDep; the operation only watches, and
 * ends when nothing is left there (T7).
 */
#pragma once

#include "server/service/operations.h"

struct dep_refresh {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char dep[HF_NAME_MAX_BYTES + 1]; /* UUID or name */
};

/* deps_refresh: T5. NOTHING_TO_REFRESH; STATE_CONFLICT while another
 * update runs, or for a DEP that is not enabled; VALIDATION_FAILED with the
 * report; GENERATION_LIMIT; KEY_UNAVAILABLE: the new keys could not be made. */
HF_STATUS deps_refresh(struct service *service, const struct caller *caller,
                       const struct dep_refresh *request,
                       struct operation_view *out, struct problem *problem);

struct dep_replace {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char dep[HF_NAME_MAX_BYTES + 1];
    char keys[HF_CUSTOMER_KEYS_PER_DEP][HF_NAME_MAX_BYTES + 1];
    /* whose permissions on the new keys are checked; "": an identity that holds
     * unwrap on the present ones */
    char workload_identity[HF_URI_MAX_BYTES + 1];
};

/* deps_replace: T6. As deps_refresh; FIELD_INVALID for the pair it has. */
HF_STATUS deps_replace(struct service *service, const struct caller *caller,
                       const struct dep_replace *request,
                       struct operation_view *out, struct problem *problem);

/* The step of OPERATION_REFRESH and OPERATION_REPLACE; object: the DEP, number:
 * its new generation. */
operation_step_fn dep_refresh_step;
