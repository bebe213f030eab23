/* audit: reads the audit chain (specification 10, R-15.24). Records are written
 * by the use cases, in the transaction of what they record.
 *
 * Every function here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/service/service.h"

struct audit_query {
    char tenant[HF_NAME_MAX_BYTES + 1];   /* "": the service's own (operator) */
    char activity[HF_NAME_MAX_BYTES + 1]; /* "": all */
    struct page_request page;
    char next[PAGE_TOKEN_BYTES]; /* result */
};

/* Called for each record, in order of index; the link is valid during the call.
 * Anything but HF_OK ends the listing. */
typedef enum hf_status audit_record_fn(void *context,
                                       const struct audit_link *link);

HF_STATUS audit_list(struct service *service, const struct caller *caller,
                     struct audit_query *query, audit_record_fn *each,
                     void *context, struct problem *problem);
