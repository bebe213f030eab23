/* workload_progress: how far workloads are with their data since their tenant
 * was assigned, by their own account. */
#pragma once

#include "server/service/core.h"

/* progress_get: HF_OK; nothing reported for this assignment: all zero.
 * *out_stamp where the record stands, for progress_put. */
HF_STATUS progress_get(struct service *service,
                       const struct tenant_entry *tenant, uint16_t workload,
                       struct workload_progress_record *out,
                       struct stamp *out_stamp);
HF_STATUS progress_put(struct change *change,
                       const struct workload_progress_record *progress,
                       const struct stamp *current);

/* workload_progress_is_waited_for: a workload that reported for this assignment
 * is not through, or nobody can tell: why, of OPERATION_ERROR_MAX_BYTES. */
bool workload_progress_is_waited_for(struct service *service,
                                     const struct tenant_entry *tenant,
                                     char why[OPERATION_ERROR_MAX_BYTES + 1]);
