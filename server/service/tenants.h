/* tenants: create, look at, change, each with its service-managed
 * root.
 *
 * Every function here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/service/service.h"

struct tenant_view {
    struct hf_id id;
    char name[HF_NAME_MAX_BYTES + 1];
    bool production;
    bool licensed;
    bool deleted; /* the hold of its deletion is over */
    int64_t created_ms;
    char etag[ETAG_BYTES];
};

struct tenant_create {
    struct mutation mutation;
    char name[HF_NAME_MAX_BYTES + 1];
    bool production;
    bool licensed;
};

struct tenant_update {
    struct mutation mutation;
    char name[HF_NAME_MAX_BYTES + 1];
    bool set_production;
    bool production;
    bool set_licensed;
    bool licensed;
};

HF_STATUS tenants_create(struct service *service, const struct caller *caller,
                         const struct tenant_create *request,
                         struct tenant_view *out, struct problem *problem);
HF_STATUS tenants_get(struct service *service, const struct caller *caller,
                      const char *tenant, struct tenant_view *out,
                      struct problem *problem);
HF_STATUS tenants_update(struct service *service, const struct caller *caller,
                         const struct tenant_update *request,
                         struct tenant_view *out, struct problem *problem);

/* Lists fill views (cap at least page size 1000 or the asked size) and the
 * token of the next page. */
struct tenant_list {
    struct tenant_view *views;
    size_t cap;
    size_t count;
    uint64_t epoch; /* the catalogue was as new as that */
    char next[PAGE_TOKEN_BYTES];
};
HF_STATUS tenants_list(struct service *service, const struct caller *caller,
                       const struct page_request *page, struct tenant_list *out,
                       struct problem *problem);
