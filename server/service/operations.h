/* operations: long-running operations: what an administrator ordered
 * and what takes more than one call. Each is a record that says how far it is;
 * a step does a bounded part of it and is run again until all is done, also
 * after a restart. A step may be cut anywhere and run twice: it must leave
 * everything openable.
 *
 *   use case --operation_begin--> change --commit--> operations_adopt
 *                                                        |
 *   scheduler --operations_round--> pool --step--> record (compare-and-set)
 *
 * One step of an operation at a time. Whoever changes the record meanwhile
 * (cancel) wins: the step's own progress is then dropped.
 */
#pragma once

#include "server/service/admin.h"

struct operations;
struct operation_entry;

/* One step. In: record, the operation as it stands. Out: what it came to. */
struct operation_step {
    struct service *service;
    struct tenant_entry *tenant;
    /* cursor, done, total, failed and error are the step's to change */
    struct operation_record record;
    bool finished;   /* nothing is left to be done */
    bool gave_up;    /* it can never be done: record.error says why */
    int64_t wait_ms; /* before the next step; 0: at once */
};

/* A step of one kind; on a thread of the pool, may block, about a second. What
 * fails but may succeed later is no failure: it waits and comes again. */
typedef void operation_step_fn(struct operation_step *step);

HF_STATUS operations_open(struct service *service, struct problem *problem);
/* operations_close: no step runs any more. NULL-safe. */
void operations_close(struct operations *operations);

/* operation_begin: a new operation as a part of the change that orders it.
 *
 * Gives     *out_entry: to operations_adopt when the change is stored, else to
 *           operation_drop.
 * Returns   HF_OK; HF_E_NO_MEMORY; the failures of change_put. */
struct operation_order {
    enum operation_kind kind;
    struct hf_id object; /* nil: the tenant itself */
    uint32_t number;
    uint64_t total; /* resources; 0: not known yet */
};
HF_STATUS operation_begin(const struct admin *admin,
                          const struct operation_order *order,
                          struct change *change,
                          struct operation_entry **out_entry);
void operations_adopt(struct service *service, struct operation_entry *entry);
void operation_drop(struct operation_entry *entry);
const struct hf_id *operation_entry_id(const struct operation_entry *entry);

/* operations_is_running: is one of this kind about this object (nil: any). */
bool operations_is_running(struct service *service, const struct hf_id *tenant,
                           enum operation_kind kind,
                           const struct hf_id *object);

/* operations_round: hands every due step to the pool; called by the scheduler.
 */
void operations_round(struct service *service, int64_t now_ms);

/* --- use cases ---------------------------------------------------------- */

struct operation_view {
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct operation_record record;
    uint64_t revision; /* rises with every change; 0: a preview */
};

struct operation_list {
    struct operation_view *views;
    size_t cap;
    size_t count;
    char next[PAGE_TOKEN_BYTES];
};

/* operation_show: for the use case that began it. */
HF_STATUS operation_show(const struct admin *admin, const struct hf_id *id,
                         struct operation_view *out);
/* operation_preview: what would begin (validate_only); without an id. */
void operation_preview(const struct admin *admin,
                       const struct operation_order *order,
                       struct operation_view *out);
HF_STATUS operations_get(struct service *service, const struct caller *caller,
                         const char *tenant, const char *id,
                         struct operation_view *out, struct problem *problem);
/* operations_look: the same for the verbs that look again and again
 * (WatchOperation, WaitOperation): whoever may no longer is told each time. */
struct operation_look {
    enum verb verb;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_ID_TEXT];
};
HF_STATUS operations_look(struct service *service, const struct caller *caller,
                          const struct operation_look *look,
                          struct operation_view *out, struct problem *problem);
HF_STATUS operations_list(struct service *service, const struct caller *caller,
                          const char *tenant, const struct page_request *page,
                          struct operation_list *out, struct problem *problem);

struct operation_cancel {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_ID_TEXT];
};
/* operations_cancel: OPERATION_NOT_CANCELLABLE, STATE_CONFLICT for what has
 * ended; what was done until then stays. */
HF_STATUS operations_cancel(struct service *service,
                            const struct caller *caller,
                            const struct operation_cancel *request,
                            struct operation_view *out,
                            struct problem *problem);
