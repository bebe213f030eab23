#include "server/domain/tenant_assignment.h"

#include "hsm/base/check.h"

#include "server/domain/dep.h"

struct rule {
    enum assignment_state from;
    enum assignment_event event;
    enum assignment_state next;
};

static const struct rule rules[] = {
    {ASSIGNMENT_NONE,        ASSIGNMENT_EV_ASSIGN,   ASSIGNMENT_ASSIGNING  },
    {ASSIGNMENT_ASSIGNING,   ASSIGNMENT_EV_DONE,     ASSIGNMENT_ASSIGNED   },
    {ASSIGNMENT_ASSIGNING,   ASSIGNMENT_EV_ASSIGN,   ASSIGNMENT_ASSIGNING  },
    {ASSIGNMENT_ASSIGNED,    ASSIGNMENT_EV_ASSIGN,   ASSIGNMENT_ASSIGNING  },
    {ASSIGNMENT_ASSIGNED,    ASSIGNMENT_EV_OFFBOARD, ASSIGNMENT_OFFBOARDING},
    {ASSIGNMENT_OFFBOARDING, ASSIGNMENT_EV_DONE,     ASSIGNMENT_NONE       },
};

static const struct rule *rule_of(enum assignment_state state,
                                  enum assignment_event event)
{
    for (size_t i = 0; i < HF_COUNT(rules); i++) {
        if (rules[i].from == state && rules[i].event == event) {
            return &rules[i];
        }
    }
    return NULL;
}

static enum reason refusal_of(const struct assignment_facts *facts,
                              enum assignment_event event,
                              const struct rule *rule)
{
    if (event == ASSIGNMENT_EV_ASSIGN &&
        facts->dep_type != DEP_TYPE_MULTI_WORKLOAD) {
        return REASON_NOT_FOUND; /* names are per type */
    }
    if (rule == NULL) {
        return REASON_STATE_CONFLICT;
    }
    if (event == ASSIGNMENT_EV_ASSIGN && facts->is_in_force) {
        return REASON_STATE_CONFLICT; /* A3 is for another one */
    }
    if (event == ASSIGNMENT_EV_ASSIGN && !dep_may_assign(facts->dep_state)) {
        return REASON_DEP_NOT_ENABLED;
    }
    if (event == ASSIGNMENT_EV_OFFBOARD && facts->key_denied) {
        return REASON_CUSTOMER_KEY_DENIED; /* */
    }
    return REASON_NONE;
}

HF_STATUS assignment_next(const struct assignment_facts *facts,
                          enum assignment_event event,
                          enum assignment_state *out_next,
                          enum reason *out_reason)
{
    const struct rule *rule = rule_of(facts->state, event);
    *out_reason = refusal_of(facts, event, rule);
    if (*out_reason == REASON_NOT_FOUND) {
        return HF_E_NOT_FOUND;
    }
    if (*out_reason != REASON_NONE) {
        return HF_E_PRECONDITION;
    }
    *out_next = rule->next;
    return HF_OK;
}

bool assignment_applies(enum assignment_state state)
{
    return state == ASSIGNMENT_ASSIGNING || state == ASSIGNMENT_ASSIGNED;
}

bool assignment_holds(enum assignment_state state)
{
    return assignment_applies(state) || state == ASSIGNMENT_OFFBOARDING;
}

bool assignment_is_overdue(enum assignment_state state, int64_t assigned_ms,
                           int64_t now_ms)
{
    return state == ASSIGNMENT_ASSIGNING &&
           now_ms - assigned_ms >= ASSIGNMENT_EFFECTIVE_MAX_MS;
}

const char *assignment_state_text(enum assignment_state state)
{
    switch (state) {
    case ASSIGNMENT_NONE:
        return "UNASSIGNED";
    case ASSIGNMENT_ASSIGNING:
        return "ASSIGNING";
    case ASSIGNMENT_ASSIGNED:
        return "ASSIGNED";
    case ASSIGNMENT_OFFBOARDING:
        return "OFFBOARDING";
    }
    return "?";
}
