/* deps: create, look at, change and test a mailbox or multi-workload DEP
 * (specification 3).
 *
 * Every function here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/domain/key_health.h"

#include "server/service/service.h"
#include "server/store/record.h"

struct dep_key_view {
    char name[HF_NAME_MAX_BYTES + 1];
    uint32_t version;
    char custody_domain[HF_NAME_MAX_BYTES + 1];
    enum token_suite suite;
    struct key_health health;
};

struct dep_view {
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct dep_record record;
    struct dep_key_view keys[HF_CUSTOMER_KEYS_PER_DEP];
    enum dep_health health;
    uint32_t assigned_count;
    int64_t outage_since_ms;    /* 0: none goes on */
    int64_t last_key_update_ms; /* 0: its first generation is its newest */
    bool keys_counted;
    uint64_t effective_count; /* under the newest generation */
    uint64_t earlier_count;   /* under the others */
    bool mailboxes_counted;
    uint32_t encrypted_count; /* of those assigned; not by deps_list */
    uint32_t encrypted_percent;
    char etag[ETAG_BYTES];
};

struct dep_create {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    enum dep_type type;
    char name[HF_NAME_MAX_BYTES + 1];
    char description[HF_DESCRIPTION_MAX_BYTES + 1];
    char keys[HF_CUSTOMER_KEYS_PER_DEP][HF_NAME_MAX_BYTES + 1];
    char workload_identity[HF_URI_MAX_BYTES + 1];
    bool disabled;
    enum residency residency;
    int64_t key_lease_ms;      /* -1: the default */
    int64_t fallback_limit_ms; /* 0: none */
};

struct dep_update {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char dep[HF_NAME_MAX_BYTES + 1]; /* UUID or name */
    bool set_name;
    char name[HF_NAME_MAX_BYTES + 1];
    bool set_description;
    char description[HF_DESCRIPTION_MAX_BYTES + 1];
    bool set_enabled;
    bool enabled;
    bool set_residency;
    enum residency residency;
    bool set_key_lease;
    int64_t key_lease_ms;
    bool set_fallback_limit;
    int64_t fallback_limit_ms; /* 0: none */
};

HF_STATUS deps_create(struct service *service, const struct caller *caller,
                      const struct dep_create *request, struct dep_view *out,
                      struct problem *problem);
/* deps_get: by UUID or name; of a name that DEPs of several types have
 * the mailbox DEP. deps_get_typed: of this type; 0: any. */
HF_STATUS deps_get(struct service *service, const struct caller *caller,
                   const char *tenant, const char *dep, struct dep_view *out,
                   struct problem *problem);
struct dep_get {
    char tenant[HF_NAME_MAX_BYTES + 1];
    char dep[HF_NAME_MAX_BYTES + 1];
    enum dep_type type;
};
HF_STATUS deps_get_typed(struct service *service, const struct caller *caller,
                         const struct dep_get *request, struct dep_view *out,
                         struct problem *problem);
HF_STATUS deps_update(struct service *service, const struct caller *caller,
                      const struct dep_update *request, struct dep_view *out,
                      struct problem *problem);
HF_STATUS deps_test(struct service *service, const struct caller *caller,
                    const char *tenant, const char *dep,
                    struct validation_report *out, struct problem *problem);

struct dep_list {
    struct dep_view *views;
    size_t cap;
    size_t count;
    char next[PAGE_TOKEN_BYTES];
};
struct dep_list_request {
    char tenant[HF_NAME_MAX_BYTES + 1];
    enum dep_type type; /* 0: every one that is listed */
    struct page_request page;
};
HF_STATUS deps_list(struct service *service, const struct caller *caller,
                    const struct dep_list_request *request,
                    struct dep_list *out, struct problem *problem);

/* deps_health_watch: called on every change of a DEP's health, on any thread,
 * must not block; for grpc.health.v1 with one name per DEP. One watcher. */
typedef void dep_health_fn(void *context, const struct hf_id *dep,
                           enum dep_health health);
void deps_health_watch(struct service *service, dep_health_fn *changed,
                       void *context);
/* deps_health_get: for the health service; asked by callers without a role on
 * the DEP, so the tenant is part of the question.
 * Returns   HF_OK; HF_E_NOT_FOUND for a DEP that is not of this tenant, alike
 *           for one that does not exist. Never blocks. */
HF_STATUS deps_health_get(struct service *service, const char *tenant,
                          const struct hf_id *dep, enum dep_health *out_health);
