/* operations_inside: what the runner and the use cases of operations share. */
#pragma once

#include "server/service/operations.h"

/* operation_put: the record after *current, as a part of a change. */
HF_STATUS operation_put(struct change *change,
                        const struct operation_record *operation,
                        const struct stamp *current, struct stamp *out_next);
/* operation_record_end: how it ended, recorded with its end. */
HF_STATUS operation_record_end(struct service *service, struct change *change,
                               const struct operation_record *record,
                               const char *tenant);
/* operations_forget: it has ended: no further step. */
void operations_forget(struct service *service, const struct hf_id *id);
