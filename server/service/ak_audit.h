/* ak_audit: the records of availability key use (R-10.2, R-10.6, R-15.4a). */
#pragma once

#include "server/domain/fallback.h"

#include "server/service/core.h"
#include "server/service/keys.h"

#define AK_AUDIT_RECORD_TYPE 69 /* "Customer Key Service Encryption" */
#define AK_AUDIT_ACTIVITY    "Fallback to Availability Key"
#define AK_AUDIT_LEASE_END   "Availability Key Lease Ended"

/* ak_audit_use: one AK operation, durable when it returns HF_OK. */
HF_STATUS ak_audit_use(struct service *service,
                       const struct generation_entry *generation,
                       const struct key_call *call,
                       const enum attempt results[HF_CUSTOMER_KEYS_PER_DEP]);
/* ak_audit_put: the same as part of a change. */
HF_STATUS ak_audit_put(struct service *service, struct change *change,
                       const struct generation_entry *generation,
                       const struct key_call *call,
                       const enum attempt results[HF_CUSTOMER_KEYS_PER_DEP]);
/* ak_audit_lease_end: how many calls the operation served in all. */
HF_STATUS ak_audit_lease_end(struct service *service,
                             const struct generation_entry *generation,
                             uint64_t served);
