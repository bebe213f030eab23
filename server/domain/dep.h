/* dep: the life of a mailbox DEP (specification 3.2).
 *
 *            create            set enabled = false
 *   (none) ---------> ENABLED ----------------------> DISABLED
 *      |                 ^                               |  ^
 *      |                 +---- set enabled = true -------+  |
 *      +------------------ create(enabled = false) ---------+
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
};
#define DEP_EVENT_COUNT 4

enum dep_effect {
    DEP_FX_NONE,
    DEP_FX_MAKE_KEYS,  /* generation 1: AK and DEP key, wrapped three times */
    DEP_FX_END_LEASES, /* */
    DEP_FX_REVALIDATE, /* T4: keys are validated again first */
};

struct dep_facts {
    enum dep_type type;
    enum dep_state state;
    uint32_t assigned_count; /* resources assigned to it */
    uint32_t active_count;   /* active mailbox DEPs of the tenant */
};

struct dep_step {
    enum dep_state next;
    enum dep_effect effect;
};

/* dep_next: T1 to T4 with their guards, for mailbox and multi-workload DEPs; a
 * SERVICE_MANAGED DEP is created and then stays; SharePoint's is another table
 * (3.4).
 *
 * Gives     *out_step on HF_OK; *out_reason always.
 * Returns   HF_OK, REASON_NONE; HF_E_LIMIT, DEP_LIMIT (mailbox DEPs only; T2
 *           as T1); HF_E_PRECONDITION, STATE_CONFLICT or DEP_IN_USE. */
HF_STATUS dep_next(const struct dep_facts *facts, enum dep_event event,
                   struct dep_step *out_step, enum reason *out_reason);

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
