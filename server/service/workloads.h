/* workloads: those of the catalogue, in one tenant: register, switch, report,
 * look at (specification 5.1, 12; ).
 *
 * Every function here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/domain/mailbox.h"
#include "server/domain/workload_catalogue.h"

#include "server/service/service.h"
#include "server/store/record.h"

#define WORKLOAD_WORD_MAX_BYTES 64

struct workload_view {
    char tenant[HF_NAME_MAX_BYTES + 1];
    const struct workload_row *row;
    bool registered;
    struct resource_record record; /* of one that is registered */
    enum mailbox_state state;      /* the same states, of its key */
    bool effective_is_service_managed;
    struct hf_id service_managed; /* the tenant's built-in DEP */
    struct workload_progress_record progress;
    char etag[ETAG_BYTES];
};

struct workload_register {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char word[WORKLOAD_WORD_MAX_BYTES + 1];
};

/* on or off; items: how many one more run takes in. */
struct workload_switch {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char word[WORKLOAD_WORD_MAX_BYTES + 1];
    bool on;
    uint64_t items;
};

struct workload_report {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char word[WORKLOAD_WORD_MAX_BYTES + 1];
    uint64_t done;
    uint64_t total;
};

struct workload_list {
    struct workload_view *views;
    size_t cap;
    size_t count;
    char next[PAGE_TOKEN_BYTES];
};

HF_STATUS workloads_register(struct service *service,
                             const struct caller *caller,
                             const struct workload_register *request,
                             struct workload_view *out,
                             struct problem *problem);
/* STATE_CONFLICT: comes under the DEP by itself, or none is assigned yet. */
HF_STATUS workloads_switch(struct service *service, const struct caller *caller,
                           const struct workload_switch *request,
                           struct workload_view *out, struct problem *problem);
/* Counts that do not fall; STATE_CONFLICT while no DEP is assigned. */
HF_STATUS workloads_report(struct service *service, const struct caller *caller,
                           const struct workload_report *request,
                           struct workload_view *out, struct problem *problem);
HF_STATUS workloads_get(struct service *service, const struct caller *caller,
                        const char *tenant, const char *word,
                        struct workload_view *out, struct problem *problem);
HF_STATUS workloads_list(struct service *service, const struct caller *caller,
                         const char *tenant, const struct page_request *page,
                         struct workload_list *out, struct problem *problem);
