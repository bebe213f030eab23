/* sites: SharePoint sites: make known, look at (specification 5.3). A site is
 * assigned to its geo, not to a DEP: what its key should be under is what the
 * geo is registered with.
 *
 * Every function here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/domain/mailbox.h"

#include "server/service/service.h"
#include "server/store/record.h"

struct site_view {
    char tenant[HF_NAME_MAX_BYTES + 1];
    char geo[HF_NAME_MAX_BYTES + 1];
    struct resource_record record;
    enum mailbox_state state;
    bool effective_is_service_managed;
    char etag[ETAG_BYTES];
};

struct site_register {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    char geo[HF_NAME_MAX_BYTES + 1];
};
/* sites_register: a geo that nobody named before is made, UNREGISTERED. */
HF_STATUS sites_register(struct service *service, const struct caller *caller,
                         const struct site_register *request,
                         struct site_view *out, struct problem *problem);
/* sites_get: GEO_NOT_REGISTERED while the site's geo is not. */
HF_STATUS sites_get(struct service *service, const struct caller *caller,
                    const char *tenant, const char *id, struct site_view *out,
                    struct problem *problem);

struct site_list_request {
    char tenant[HF_NAME_MAX_BYTES + 1];
    char geo[HF_NAME_MAX_BYTES + 1]; /* "": all */
    struct page_request page;
};
struct site_list {
    struct site_view *views;
    size_t cap;
    size_t count;
    char next[PAGE_TOKEN_BYTES];
};
HF_STATUS sites_list(struct service *service, const struct caller *caller,
                     const struct site_list_request *request,
                     struct site_list *out, struct problem *problem);
