/* admin: the frame every administrative use case stands in.
 *
 *   admin_begin    admits the caller, answers a repeat
 *   ...            token work, with no lock held
 *   record_lock    the facts are looked at once more, the change is made
 *   admin_commit   ledger, then problem
 *   ...            the catalogue follows if the store did (admin_is_stored)
 */
#pragma once

#include "server/service/core.h"
#include "server/service/details.h"

struct admin {
    struct service *service;
    const struct caller *caller;
    enum verb verb;
    const struct mutation *mutation;
    struct problem *problem;
    struct tenant_entry *tenant; /* NULL: a verb without one */
    bool seen;                   /* this very request was done before */
    bool changed;                /* the store holds what it changed */
    struct hf_id object;         /* what it made */
};

/* admin_begin: fills admin; tenant "" for verbs without. */
HF_STATUS admin_begin(struct admin *admin, const char *tenant);

/* admin_finish_change: the audit record (who did what to object, and what that
 * changed; NULL: nothing that is not said by the verb) and the record of the
 * request, at the last moment before the commit: HF_E_CANCELLED when the client
 * is gone. */
HF_STATUS admin_finish_change(const struct admin *admin, struct change *change,
                              const char *object, const struct details *details,
                              const struct hf_id *made);

/* admin_is_cancelled: to be asked before every side effect. */
bool admin_is_cancelled(const struct admin *admin);

/* admin_is_stored: the store holds the change, acknowledged or not. */
bool admin_is_stored(enum hf_status committed);
/* admin_answer: the problem that goes with what a step came to. */
HF_STATUS admin_answer(const struct admin *admin, enum hf_status status);

/* name_check: a field that must be a name. */
HF_STATUS name_check(const char *field, const char *name,
                     struct problem *problem);

/* put_name: the index record that makes a name unique. */
HF_STATUS put_name(struct change *change, enum name_scope scope,
                   const struct hf_id *owner, const char *name,
                   const struct hf_id *id);
/* put_folded_name: the same, for a name as it stands in the index. */
HF_STATUS put_folded_name(struct change *change, enum name_scope scope,
                          const struct hf_id *owner, const char *folded,
                          const struct hf_id *id);

/* Pages over lists of the catalogue: the token is the id of the last one shown.
 */
struct page_walk {
    size_t size;
    bool from_start;
    struct hf_id after;
};
HF_STATUS page_begin(const struct page_request *page, size_t cap,
                     struct page_walk *out, struct problem *problem);
