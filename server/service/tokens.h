/* tokens: which token of the configuration belongs to which tenant, by a
 * statement its custodian signed.
 *
 * Every function here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/service/service.h"
#include "server/store/record.h"

struct token_view {
    struct hf_id id;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1];
    char uri[HF_URI_MAX_BYTES + 1];
    char custody_domain[HF_NAME_MAX_BYTES + 1];
    enum deletion_protection protection;
    uint32_t retention_days;
    bool test_only;
    bool hardware;
    enum token_suite suite;
    bool reachable;
    uint64_t free_bytes;
    bool is_configured;
    struct token_state state; /* why: for the service's own people alone */
    int64_t enrolled_ms;
    uint64_t revision; /* */
};

struct token_enroll {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1];
    struct bytes statement;
    struct bytes signature;
};

HF_STATUS tokens_enroll(struct service *service, const struct caller *caller,
                        const struct token_enroll *request,
                        struct token_view *out, struct problem *problem);
/* tokens_rebind: the token was restored: its custodian's statement on what it
 * is now takes the place of the one before, if every version of every customer
 * key in it is there with its fingerprint: KEY_MISMATCH, and nothing
 * changed. *out_bound: versions that were found. */
HF_STATUS tokens_rebind(struct service *service, const struct caller *caller,
                        const struct token_enroll *request,
                        struct token_view *out, uint32_t *out_bound,
                        struct problem *problem);
HF_STATUS tokens_get(struct service *service, const struct caller *caller,
                     const char *tenant, const char *name,
                     struct token_view *out, struct problem *problem);

struct token_views {
    struct token_view *views;
    size_t cap;
    size_t count;
    char next[PAGE_TOKEN_BYTES];
};
HF_STATUS tokens_list(struct service *service, const struct caller *caller,
                      const char *tenant, const struct page_request *page,
                      struct token_views *out, struct problem *problem);
