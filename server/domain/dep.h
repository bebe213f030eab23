/* dep: the life of a mailbox DEP (specification 3.2).
 *
 *            create            set enabled = false
 *   (none) ---------> ENABLED ----------------------> DISABLED
 *      |              ^  |  ^                            ^ |  ^
 *      |              |  |  +---- set enabled = true ----|-+  |
 *      +--------------|--|-- create(enabled = false) ----|----+
 *                     |  +--- request purge ---+---------|-+
 *                     |                        v         | (from either)
 *                     +--- cancel purge --- PURGE_REQUESTED
 *                     (to what it was before)  | execute purge
 *                                              v
 *                                           PURGING ---> PURGED
 *                                                  last step
 *
 * Orthogonal to it, while ENABLED begins and at any time ends: key_update.
 *
 *            refresh, replace: generation + 1
 *     NONE ------------------------------------> REFRESHING, REPLACING
 *      ^                                               |
 *      +-- last resource is on the newest generation --+
 *
 * No rule means no: HF_E_PRECONDITION and nothing changes.
 */
#pragma once

#include "hsm/base/status.h"

#include "server/domain/reason.h"
#include "server/domain/types.h"

enum dep_event {
    DEP_EV_CREATE,          /* T1 */
    DEP_EV_CREATE_DISABLED, /* T2 */
    DEP_EV_DISABLE,         /* T3 */
    DEP_EV_ENABLE,          /* T4 */
    DEP_EV_REFRESH,         /* T5 */
    DEP_EV_REPLACE,         /* T6 */
    DEP_EV_UPDATED,         /* T7 */
    DEP_EV_REQUEST_PURGE,   /* T8 */
    DEP_EV_CANCEL_PURGE,    /* T9 */
    DEP_EV_EXECUTE_PURGE,   /* T10 */
    DEP_EV_PURGED,          /* T11 */
};
#define DEP_EVENT_COUNT 11

enum dep_effect {
    DEP_FX_NONE,
    DEP_FX_MAKE_KEYS,  /* generation 1: AK and DEP key, wrapped three times */
    DEP_FX_END_LEASES, /* */
    DEP_FX_REVALIDATE, /* T4: keys are validated again first */
    /* T5, T6: generation + 1: a fresh DEP key under the keys to be used from
     * now on and under the unchanged AK */
    DEP_FX_NEW_GENERATION,
};

struct dep_facts {
    enum dep_type type;
    enum dep_state state;
    uint32_t assigned_count; /* resources assigned to it */
    uint32_t active_count;   /* active mailbox DEPs of the tenant */
    enum key_update key_update;
    uint32_t generation;   /* the newest */
    bool newer_version;    /* one of its keys has a newer, enabled version */
    enum dep_state before; /* T9: what it was when the purge was requested */
};

struct dep_step {
    enum dep_state next;
    enum dep_effect effect;
    enum key_update key_update;
};

/* dep_next: T1 to T7 with their guards, for mailbox and multi-workload DEPs; T8
 * to T11 for mailbox DEPs (R-3.14, R-9.18, R-9.19; their guards are purge.h's);
 * a SERVICE_MANAGED DEP is created and then only rolled (T5 as the service's
 * own doing, T7); SharePoint's is another table (3.4).
 *
 * Gives     *out_step on HF_OK; *out_reason always.
 * Returns   HF_OK, REASON_NONE; HF_E_LIMIT, DEP_LIMIT (mailbox DEPs only; T2
 *           as T1); HF_E_PRECONDITION, STATE_CONFLICT, DEP_IN_USE,
 *           NOTHING_TO_REFRESH or GENERATION_LIMIT. */
HF_STATUS dep_next(const struct dep_facts *facts, enum dep_event event,
                   struct dep_step *out_step, enum reason *out_reason);

#define DEP_GENERATIONS_MAX 256

bool dep_counts_as_active(enum dep_state state); /* */
/* new assignments and wraps; unwraps. */
bool dep_may_assign(enum dep_state state);
bool dep_may_wrap(enum dep_state state);
bool dep_may_unwrap(enum dep_state state);

/* name_is_valid. name_fold: the form uniqueness is compared in; "" for a
 * text too long to be a name. */
bool name_is_valid(const char *name);
void name_fold(const char *name, char out[HF_NAME_MAX_BYTES + 1]);
const char *dep_type_text(enum dep_type type);
const char *dep_state_text(enum dep_state state);
const char *key_update_text(enum key_update update);
