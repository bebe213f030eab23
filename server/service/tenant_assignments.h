/* tenant_assignments: the multi-workload DEP of a tenant (specification 3.3,
 * 9.2): assign, look at, offboard. Both changes are operations that bring every
 * key of the tenant where it should be then.
 *
 * Every function here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/service/operations.h"

struct tenant_assignment_view {
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct tenant_assignment_record record;
    bool overdue;       /* */
    uint64_t remaining; /* keys still to be moved, while one is running */
    uint32_t percent;   /* of the operation; 100 when nothing is running */
    char etag[ETAG_BYTES];
};

struct tenant_assign {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char dep[HF_NAME_MAX_BYTES + 1]; /* UUID or name */
};

/* by ticket. */
struct tenant_offboard {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char ticket[TICKET_MAX_BYTES + 1];
    char contact[CONTACT_MAX_BYTES + 1];
    char ground[GROUND_MAX_BYTES + 1];
};

/* A1, A3. DEP_NOT_ENABLED; STATE_CONFLICT for the one in force. */
HF_STATUS tenant_assignments_assign(struct service *service,
                                    const struct caller *caller,
                                    const struct tenant_assign *request,
                                    struct operation_view *out,
                                    struct problem *problem);
/* A4. CUSTOMER_KEY_DENIED while a customer key of the DEP refuses. */
HF_STATUS tenant_assignments_offboard(struct service *service,
                                      const struct caller *caller,
                                      const struct tenant_offboard *request,
                                      struct operation_view *out,
                                      struct problem *problem);
HF_STATUS tenant_assignments_get(struct service *service,
                                 const struct caller *caller,
                                 const char *tenant,
                                 struct tenant_assignment_view *out,
                                 struct problem *problem);

/* The steps of OPERATION_ASSIGN_TENANT and OPERATION_OFFBOARD_TENANT; object:
 * the DEP; number: the assignment's. At their end A2 and A5. */
operation_step_fn tenant_assign_step;
operation_step_fn tenant_offboard_step;
