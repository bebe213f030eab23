/* mailboxes: register, update, assign, look at (specification 3.5, 5.2).
 *
 * Every function here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/domain/mailbox.h"

#include "server/service/service.h"
#include "server/store/record.h"

struct mailbox_view {
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct resource_record record;
    enum mailbox_state state;
    bool effective_is_service_managed;
    struct hf_id service_managed; /* the tenant's built-in DEP */
    bool overdue;                 /* */
    char etag[ETAG_BYTES];
};

struct mailbox_register {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    enum mailbox_kind kind;
    bool licensed;
    bool unencrypted; /* at application level: a move encrypts it */
};

struct mailbox_update {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    bool set_kind;
    enum mailbox_kind kind;
    bool set_licensed;
    bool licensed;
};

struct mailbox_assign {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    char dep[HF_NAME_MAX_BYTES + 1]; /* UUID or name; "": none */
    enum move_priority priority;     /* of its move; 0: as it is, or regular */
};

HF_STATUS mailboxes_register(struct service *service,
                             const struct caller *caller,
                             const struct mailbox_register *request,
                             struct mailbox_view *out, struct problem *problem);
HF_STATUS mailboxes_update(struct service *service, const struct caller *caller,
                           const struct mailbox_update *request,
                           struct mailbox_view *out, struct problem *problem);
HF_STATUS mailboxes_assign(struct service *service, const struct caller *caller,
                           const struct mailbox_assign *request,
                           struct mailbox_view *out, struct problem *problem);
HF_STATUS mailboxes_get(struct service *service, const struct caller *caller,
                        const char *tenant, const char *id,
                        struct mailbox_view *out, struct problem *problem);

struct mailbox_list {
    struct mailbox_view *views;
    size_t cap;
    size_t count;
    char next[PAGE_TOKEN_BYTES];
};
struct mailbox_filter {
    char assigned_dep[HF_NAME_MAX_BYTES + 1]; /* UUID or name; "": all */
};
struct mailbox_list_request {
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct mailbox_filter filter;
    struct page_request page;
};
HF_STATUS mailboxes_list(struct service *service, const struct caller *caller,
                         const struct mailbox_list_request *request,
                         struct mailbox_list *out, struct problem *problem);
