/* tenant_assignment: the multi-workload DEP of a tenant (specification 3.3).
 *
 *               assign                  all is done
 *   UNASSIGNED ---------> ASSIGNING ------------------> ASSIGNED
 *        ^                  ^   |                        |    |
 *        |                  +---+ assign(another)        |    |
 *        |                  ^                            |    |
 *        |                  +-------- assign(another) ---+    |
 *        |                                                    | offboard
 *        +------------------------ OFFBOARDING <--------------+
 *               all is done
 *
 * A1 to A5. No rule means no: HF_E_PRECONDITION and nothing changes.
 */
#pragma once

#include "hsm/base/status.h"

#include "server/domain/reason.h"
#include "server/domain/types.h"

enum assignment_state {
    ASSIGNMENT_NONE = 1, /* UNASSIGNED */
    ASSIGNMENT_ASSIGNING = 2,
    ASSIGNMENT_ASSIGNED = 3,
    ASSIGNMENT_OFFBOARDING = 4,
};

enum assignment_event {
    ASSIGNMENT_EV_ASSIGN,
    ASSIGNMENT_EV_DONE, /* every key is where it should be */
    ASSIGNMENT_EV_OFFBOARD,
};
#define ASSIGNMENT_EVENT_COUNT 3

struct assignment_facts {
    enum assignment_state state;
    /* ASSIGN: what it names */
    bool is_in_force; /* it is assigned already */
    enum dep_type dep_type;
    enum dep_state dep_state;
    /* OFFBOARD: of the DEP in force */
    bool key_denied; /* one of its customer keys refuses */
};

/* assignment_next:
 * Gives     *out_next on HF_OK; *out_reason always.
 * Returns   HF_OK, REASON_NONE; HF_E_NOT_FOUND, NOT_FOUND for a DEP of another
 *           type; HF_E_PRECONDITION: STATE_CONFLICT, DEP_NOT_ENABLED (as
 *           ), or CUSTOMER_KEY_DENIED. */
HF_STATUS assignment_next(const struct assignment_facts *facts,
                          enum assignment_event event,
                          enum assignment_state *out_next,
                          enum reason *out_reason);

/* assignment_applies: new keys of the tenant go under its DEP.
 * assignment_holds: the DEP is needed, so that it may not be disabled (R-9.8,
 * */
bool assignment_applies(enum assignment_state state);
bool assignment_holds(enum assignment_state state);

/* assignment_is_overdue: new keys take effect within 24 hours. */
#define ASSIGNMENT_EFFECTIVE_MAX_MS (24LL * 3600 * 1000)
bool assignment_is_overdue(enum assignment_state state, int64_t assigned_ms,
                           int64_t now_ms);

const char *assignment_state_text(enum assignment_state state);
