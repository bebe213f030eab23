/* audit: reads the audit chain (specification 10, R-15.24). Records are written
 * by the use cases, in the transaction of what they record.
 *
 * Every function here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/service/service.h"

#define AUDIT_OBJECT_MAX_BYTES 512

/* What is set must fit. */
struct audit_filter {
    char activity[HF_NAME_MAX_BYTES + 1]; /* "": any */
    char actor[HF_URI_MAX_BYTES + 1];     /* "": anybody */
    /* a resource name, and everything below it; "": anything */
    char object[AUDIT_OBJECT_MAX_BYTES + 1];
    int64_t from_ms;
    int64_t until_ms; /* excluded; 0: no end */
};

/* Called for each record, in order of index; the link is valid during the call.
 * Anything but HF_OK ends the listing. */
typedef enum hf_status audit_record_fn(void *context,
                                       const struct audit_link *link);

/* One that the reader may not see, as far as the chain needs it. */
struct audit_digest {
    uint64_t index;
    uint8_t previous[HF_SHA256_BYTES];
    uint8_t content[HF_SHA256_BYTES];
    uint8_t hash[HF_SHA256_BYTES];
};
typedef enum hf_status audit_digest_fn(void *context,
                                       const struct audit_digest *digest);

struct audit_query {
    char tenant[HF_NAME_MAX_BYTES + 1];   /* "": the service's own */
    char activity[HF_NAME_MAX_BYTES + 1]; /* "": any */
    struct page_request page;
    char next[PAGE_TOKEN_BYTES]; /* result */
};
HF_STATUS audit_list(struct service *service, const struct caller *caller,
                     struct audit_query *query, audit_record_fn *each,
                     void *context, struct problem *problem);

/* audit_read: some of the records behind an index, for whoever goes on from
 * there: a bounded number is looked at. */
struct audit_reading {
    enum verb verb;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct audit_filter filter;
    /* NULL, or: called for each record that is not the tenant's, with the same
     * context and in the same order, so that nobody can cut the chain unseen */
    audit_digest_fn *each_digest;
    size_t max;         /* at most so many are handed out */
    uint64_t after;     /* in and out: the last one looked at */
    bool more;          /* result: there are others behind */
    struct hf_id owner; /* result: the tenant; nil: the service's own */
};
HF_STATUS audit_read(struct service *service, const struct caller *caller,
                     struct audit_reading *reading, audit_record_fn *each,
                     void *context, struct problem *problem);
/* audit_end: reading->after is the last index of the whole chain. */
HF_STATUS audit_end(struct service *service, const struct caller *caller,
                    struct audit_reading *reading, struct problem *problem);
