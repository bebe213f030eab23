/* geos: SharePoint geos: register, roll, recover, look at (specification 3.4,
 * 5.3, 8.5). What brings the sites under a new TIK is an operation; each of
 * these verbs begins one and returns it.
 *
 * Every function here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/domain/geo.h"

#include "server/service/deps.h"
#include "server/service/operations.h"

/* A customer key by name, and its version: exact for a geo. */
struct geo_key_ref {
    char name[HF_NAME_MAX_BYTES + 1];
    uint32_t version;
};

/* RegisterGeo, and RestoreGeo (evict_on_denied stays as it was). */
struct geo_register {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char geo[HF_NAME_MAX_BYTES + 1];
    struct geo_key_ref keys[HF_CUSTOMER_KEYS_PER_DEP]; /* primary, secondary */
    char workload_identity[HF_URI_MAX_BYTES + 1];
    enum residency residency;
    bool evict_on_denied;
};
/* geos_register: S1. A geo nobody named before is made. */
HF_STATUS geos_register(struct service *service, const struct caller *caller,
                        const struct geo_register *request,
                        struct operation_view *out, struct problem *problem);
/* geos_restore: S8: a new pair and a new DEP, into which the sites are brought
 * with the help of the availability key. */
HF_STATUS geos_restore(struct service *service, const struct caller *caller,
                       const struct geo_register *request,
                       struct operation_view *out, struct problem *problem);

struct geo_roll {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char geo[HF_NAME_MAX_BYTES + 1];
    enum root_slot slot; /* ROOT_CK1: primary; ROOT_CK2: secondary */
    struct geo_key_ref key;
    char workload_identity[HF_URI_MAX_BYTES + 1]; /* "": one that holds unwrap
                                                     on the keys of now */
};
/* geos_roll: S3: one key at a time; a new TIK under the new one and the other.
 */
HF_STATUS geos_roll(struct service *service, const struct caller *caller,
                    const struct geo_roll *request, struct operation_view *out,
                    struct problem *problem);

struct geo_view {
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct geo_record record; /* recovery as it is now */
    struct dep_key_view keys[HF_CUSTOMER_KEYS_PER_DEP];
    struct dep_record dep; /* type 0: UNREGISTERED */
    uint32_t percent;      /* of sites */
    uint64_t site_count;
    bool tik_cached;
    bool tik_refresh_failing;
    int64_t tik_expires_ms; /* wall clock; 0: not cached */
    char etag[ETAG_BYTES];
};

struct geo_recovery_request { /* RequestRecovery, EnableRecovery,
                               * ConfirmRecovery
                               */
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char geo[HF_NAME_MAX_BYTES + 1];
    char ticket[TICKET_MAX_BYTES + 1]; /* EnableRecovery */
    int64_t window_ms;                 /* EnableRecovery; 0: 24 h */
};
/* Three people, one after the other. */
HF_STATUS geos_request_recovery(struct service *service,
                                const struct caller *caller,
                                const struct geo_recovery_request *request,
                                struct geo_view *out, struct problem *problem);
HF_STATUS geos_enable_recovery(struct service *service,
                               const struct caller *caller,
                               const struct geo_recovery_request *request,
                               struct geo_view *out, struct problem *problem);
HF_STATUS geos_confirm_recovery(struct service *service,
                                const struct caller *caller,
                                const struct geo_recovery_request *request,
                                struct geo_view *out, struct problem *problem);

struct geo_flush {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char geo[HF_NAME_MAX_BYTES + 1];
};
/* geos_flush: no TIK of the geo is cached when it returns, and no call is being
 * served by one that was. */
HF_STATUS geos_flush(struct service *service, const struct caller *caller,
                     const struct geo_flush *request, struct geo_view *out,
                     struct problem *problem);

HF_STATUS geos_get(struct service *service, const struct caller *caller,
                   const char *tenant, const char *geo, struct geo_view *out,
                   struct problem *problem);
struct geo_list {
    struct geo_view *views;
    size_t cap;
    size_t count;
    char next[PAGE_TOKEN_BYTES];
};
HF_STATUS geos_list(struct service *service, const struct caller *caller,
                    const char *tenant, const struct page_request *page,
                    struct geo_list *out, struct problem *problem);
