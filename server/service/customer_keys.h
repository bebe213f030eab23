/* customer_keys: register, look at, grant, revoke, enable, disable, delete,
 * recover, validate
 * (specification 4, 6.4, 11.7).
 *
 * A narrowing change (revoke, disable, delete) has ended every lease it
 * touches, calls in flight included, before it returns. Every function
 * here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/domain/approval.h"
#include "server/domain/key_health.h"
#include "server/domain/key_life.h"

#include "server/service/service.h"
#include "server/store/record.h"

#define KEY_VERSIONS_SHOWN 16
#define KEY_GRANTS_SHOWN   32

struct grant_view {
    char identity[HF_URI_MAX_BYTES + 1];
    uint32_t permissions;
};

/* Since the service started; 0: never. */
struct key_version_use {
    int64_t first_ms;
    int64_t last_ms;
};

struct customer_key_view {
    struct hf_id id;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1];
    char token[HF_NAME_MAX_BYTES + 1];
    char custody_domain[HF_NAME_MAX_BYTES + 1];
    uint32_t current_version;
    struct key_version_record versions[KEY_VERSIONS_SHOWN]; /* newest first */
    size_t version_count;
    struct key_version_use uses[KEY_VERSIONS_SHOWN];
    char uris[KEY_VERSIONS_SHOWN][HF_URI_MAX_BYTES + 1];
    struct grant_view grants[KEY_GRANTS_SHOWN];
    size_t grant_count;
    struct key_health health;
    int64_t created_ms;
    enum key_state state;
    int64_t deleted_ms; /* 0: not deleted */
    int64_t purge_ms;   /* when it is gone for good; 0: not deleted */
    enum key_recovery_level recovery;
    uint32_t retention_days; /* were it deleted now */
    char etag[ETAG_BYTES];
};

struct customer_key_register {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1];
    char token[HF_NAME_MAX_BYTES + 1];
    char uri[HF_URI_MAX_BYTES + 1];
    int64_t not_before_ms;
    int64_t expires_ms;
};

/* what the approvers signed, and their signatures (key_force.h).
 * document.len 0: not forced. */
struct customer_key_approval {
    char identity[HF_URI_MAX_BYTES + 1];
    struct bytes signature;
};
struct customer_key_force {
    struct bytes document;
    struct customer_key_approval approvals[APPROVALS_FOR_FORCE];
    size_t approval_count;
};

struct customer_key_update {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1];
    uint32_t version; /* 0: current */
    bool set_enabled;
    bool enabled;
    bool set_not_before;
    int64_t not_before_ms;
    bool set_expires;
    int64_t expires_ms;
    struct customer_key_force force; /* of disabling */
};

struct customer_key_grant { /* and revoke */
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1];
    char identity[HF_URI_MAX_BYTES + 1];
    uint32_t permissions;
};

struct customer_key_delete { /* and recover */
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1];
    bool confirm;
    struct customer_key_force force;
};

struct customer_key_validate {
    char tenant[HF_NAME_MAX_BYTES + 1];
    char keys[HF_CUSTOMER_KEYS_PER_DEP][HF_NAME_MAX_BYTES + 1];
    char identity[HF_URI_MAX_BYTES + 1];
    enum residency residency;
};

HF_STATUS customer_keys_register(struct service *service,
                                 const struct caller *caller,
                                 const struct customer_key_register *request,
                                 struct customer_key_view *out,
                                 struct problem *problem);
HF_STATUS customer_keys_get(struct service *service,
                            const struct caller *caller, const char *tenant,
                            const char *name, struct customer_key_view *out,
                            struct problem *problem);
HF_STATUS customer_keys_update(struct service *service,
                               const struct caller *caller,
                               const struct customer_key_update *request,
                               struct customer_key_view *out,
                               struct problem *problem);
HF_STATUS customer_keys_grant(struct service *service,
                              const struct caller *caller,
                              const struct customer_key_grant *request,
                              struct customer_key_view *out,
                              struct problem *problem);
HF_STATUS customer_keys_revoke(struct service *service,
                               const struct caller *caller,
                               const struct customer_key_grant *request,
                               struct customer_key_view *out,
                               struct problem *problem);
/* customer_keys_soft_delete: the whole key, every version of it.
 * KEY_IN_USE while a stored key needs one of them. In effect before it
 * returns. customer_keys_recover: as it was; nothing of it had changed. */
HF_STATUS customer_keys_soft_delete(struct service *service,
                                    const struct caller *caller,
                                    const struct customer_key_delete *request,
                                    struct customer_key_view *out,
                                    struct problem *problem);
HF_STATUS customer_keys_recover(struct service *service,
                                const struct caller *caller,
                                const struct customer_key_delete *request,
                                struct customer_key_view *out,
                                struct problem *problem);
HF_STATUS customer_keys_validate(struct service *service,
                                 const struct caller *caller,
                                 const struct customer_key_validate *request,
                                 struct validation_report *out,
                                 struct problem *problem);

struct customer_key_list {
    struct customer_key_view *views;
    size_t cap;
    size_t count;
    char next[PAGE_TOKEN_BYTES];
};
HF_STATUS customer_keys_list(struct service *service,
                             const struct caller *caller, const char *tenant,
                             const struct page_request *page,
                             struct customer_key_list *out,
                             struct problem *problem);
HF_STATUS customer_keys_list_deleted(struct service *service,
                                     const struct caller *caller,
                                     const char *tenant,
                                     const struct page_request *page,
                                     struct customer_key_list *out,
                                     struct problem *problem);
