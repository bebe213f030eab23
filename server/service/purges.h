/* purges: how a customer leaves (specification 9.3, R-15.15 to ).
 *
 * Officers named by the tenant sign; a purge goes through the phases of
 * server/domain/purge.h, one sealed record each time; what an operation of kind
 * PURGE does in each is in purge_steps.c. Tombstones are kept in memory as
 * well: a row that is taken away or edited behind the service's back undoes
 * none while it runs, and the sealed record's count and hash of the set refuse
 * the next start.
 *
 * Every use case here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/service/admin.h"
#include "server/service/operations.h"

struct purge_book;

/* purges_new: the empty book, before the sealed records are loaded.
 * purges_load: one of them that is a purge's, after the DEPs.
 * purges_open: tombstones; each set of them is checked against its purge.
 * Returns   HF_OK; HF_E_CORRUPT with *problem: a tombstone is missing, edited
 *           or belongs to nothing. */
HF_STATUS purges_new(struct service *service);
enum hf_status purges_load(void *context, const struct record *record,
                           const struct stamp *stamp);
HF_STATUS purges_open(struct service *service, struct problem *problem);
void purges_close(struct purge_book *book); /* NULL-safe */

/* purges_is_tombstoned: the resource under this key was purged: no envelope of
 * it opens, whatever its record says. The catalogue's lock is held. */
bool purges_is_tombstoned(const struct service *service,
                          const struct record_key *key);
/* the same, by name; the other takes the lock itself */
bool purges_is_tombstoned_locked(const struct service *service,
                                 const struct hf_id *tenant,
                                 enum resource_type type, const char *id);
bool purges_resource_is_tombstoned(struct service *service,
                                   const struct hf_id *tenant,
                                   enum resource_type type, const char *id);

/* purges_officer_count: how many may approve for this tenant now. */
size_t purges_officer_count(struct service *service,
                            const struct tenant_entry *tenant);
/* the same; the catalogue's lock is held */
size_t purges_officer_count_locked(const struct service *service,
                                   const struct tenant_entry *tenant);

/* purges_round: at start and once a day (N23): availability keys of purged DEPs
 * that came back are destroyed again; called by the scheduler. */
void purges_round(struct service *service, int64_t now_ms);

/* --- officers ----------------------------------------------------------- */

#define OFFICERS_MAX           7
#define OFFICER_KEY_TEXT_BYTES 4096
struct officer_spec {
    char identity[HF_URI_MAX_BYTES + 1];
    char name[HF_NAME_MAX_BYTES + 1];
    struct bytes public_key; /* PEM or DER; ECDSA P-256 or Ed25519 */
};
struct officers_set {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct officer_spec officers[OFFICERS_MAX];
    size_t count;
};
struct officer_list {
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct officer_record officers[OFFICERS_MAX];
    size_t count;
};
/* officers_set: the whole list from now on. Who is new or has a new key may not
 * approve what was asked for before. */
HF_STATUS officers_set(struct service *service, const struct caller *caller,
                       const struct officers_set *request,
                       struct officer_list *out, struct problem *problem);
HF_STATUS officers_list(struct service *service, const struct caller *caller,
                        const char *tenant, struct officer_list *out,
                        struct problem *problem);

/* --- purges ------------------------------------------------------------- */

#define PURGE_APPROVALS_MAX      2
#define PURGE_DOCUMENT_MAX_BYTES 8192
struct purge_document {
    uint8_t text[PURGE_DOCUMENT_MAX_BYTES];
    size_t len; /* 0: there is none any more */
};

struct purge_view {
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct purge_record record;
    char dep_name[HF_NAME_MAX_BYTES + 1];
    bool of_tenant; /* the DEP is its built-in one: of everything */
    struct approval_record approvals[PURGE_APPROVALS_MAX];
    size_t approval_count;
    /* what an officer signs, or signed: without, and with the earlier wraps
     * accepted */
    struct purge_document document;
    struct purge_document accepting;
    char etag[ETAG_BYTES];
};

struct purge_list {
    struct purge_view *views;
    size_t cap;
    size_t count;
    char next[PAGE_TOKEN_BYTES];
};

struct purge_request {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char dep[HF_NAME_MAX_BYTES + 1];
    char reason[PURGE_TEXT_MAX_BYTES + 1];
    char contact[PURGE_TEXT_MAX_BYTES + 1];
    bool force;
    bool confirm;
};
/* purges_request: T8. KEYS_STILL_USABLE, KEY_UNAVAILABLE,
 * APPROVERS_MISSING, STATE_CONFLICT. */
HF_STATUS purges_request(struct service *service, const struct caller *caller,
                         const struct purge_request *request,
                         struct purge_view *out, struct problem *problem);

/* purges_delete_tenant: the same for every DEP of the tenant, of every
 * type, and every resource; the request names no DEP, and force is not looked
 * at. APPROVERS_MISSING, STATE_CONFLICT (asked for already, or it rests on a
 * root of others). From the end of its hold on every verb of the tenant is
 * refused TENANT_DELETED but those that look at what happened. */
HF_STATUS purges_delete_tenant(struct service *service,
                               const struct caller *caller,
                               const struct purge_request *request,
                               struct purge_view *out, struct problem *problem);

/* What the verbs about one purge carry. */
struct purge_order {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_ID_TEXT];
};
/* purges_renew: a new document (nonce, end, list of earlier wraps); approvals
 * of the one before count no more. purges_cancel: T9. purges_pause: a
 * registered approver or tenant administrator; purges_resume: an approver
 * registered before it was asked for, not the requester. */
HF_STATUS purges_renew(struct service *service, const struct caller *caller,
                       const struct purge_order *order, struct purge_view *out,
                       struct problem *problem);
HF_STATUS purges_cancel(struct service *service, const struct caller *caller,
                        const struct purge_order *order, struct purge_view *out,
                        struct problem *problem);
HF_STATUS purges_pause(struct service *service, const struct caller *caller,
                       const struct purge_order *order, struct purge_view *out,
                       struct problem *problem);
HF_STATUS purges_resume(struct service *service, const struct caller *caller,
                        const struct purge_order *order, struct purge_view *out,
                        struct problem *problem);

struct purge_approve {
    struct purge_order order;
    uint32_t version;
    bool accept_earlier_wraps; /* the accepting document was signed */
    struct bytes signature;
};
/* purges_approve: APPROVER_REFUSED, APPROVAL_INVALID, STATE_CONFLICT (N60). */
HF_STATUS purges_approve(struct service *service, const struct caller *caller,
                         const struct purge_approve *request,
                         struct purge_view *out, struct problem *problem);

struct purge_execute {
    struct purge_order order;
    bool confirm;
};
/* purges_execute: T10: begins the operation. EARLIER_WRAPS, DEP_IN_USE,
 * APPROVER_REFUSED (the executor asked for it or approved it),
 * APPROVAL_INVALID (too late), KEYS_STILL_USABLE, KEY_UNAVAILABLE. */
HF_STATUS purges_execute(struct service *service, const struct caller *caller,
                         const struct purge_execute *request,
                         struct operation_view *out, struct problem *problem);

HF_STATUS purges_get(struct service *service, const struct caller *caller,
                     const char *tenant, const char *id, struct purge_view *out,
                     struct problem *problem);
HF_STATUS purges_list(struct service *service, const struct caller *caller,
                      const char *tenant, const struct page_request *page,
                      struct purge_list *out, struct problem *problem);
/* purges_certificate: NOT_FOUND until it is purged. */
HF_STATUS purges_certificate(struct service *service,
                             const struct caller *caller, const char *tenant,
                             const char *id, struct certificate_record *out,
                             struct problem *problem);

/* purge_step: of an operation of kind PURGE. */
void purge_step(struct operation_step *step);
