#include "server/domain/mailbox_move.h"

#include "hsm/base/check.h"

struct rule {
    enum mailbox_move from;
    enum mailbox_move_event event;
    enum mailbox_move next;
};

static const struct rule rules[] = {
    {MOVE_NONE,        MOVE_EV_ASSIGN,   MOVE_NONE       }, /* M1, M6 */
    {MOVE_NONE,        MOVE_EV_UNASSIGN, MOVE_NONE       }, /* M7 */
    {MOVE_NONE,        MOVE_EV_KEY,      MOVE_NONE       },
    {MOVE_NONE,        MOVE_EV_ARRIVE,   MOVE_NONE       },
    {MOVE_NONE,        MOVE_EV_LEAVE,    MOVE_NONE       },
    {MOVE_UNENCRYPTED, MOVE_EV_ASSIGN,   MOVE_QUEUED     }, /* M3 */
    {MOVE_UNENCRYPTED, MOVE_EV_LEAVE,    MOVE_ON_ARRIVAL },
    {MOVE_UNENCRYPTED, MOVE_EV_UNASSIGN, MOVE_UNENCRYPTED},
    {MOVE_ON_ARRIVAL,  MOVE_EV_ASSIGN,   MOVE_ON_ARRIVAL }, /* M9 */
    {MOVE_ON_ARRIVAL,  MOVE_EV_UNASSIGN, MOVE_ON_ARRIVAL },
    {MOVE_ON_ARRIVAL,  MOVE_EV_KEY,      MOVE_NONE       }, /* M9 */
    {MOVE_ON_ARRIVAL,  MOVE_EV_ARRIVE,   MOVE_UNENCRYPTED},
    {MOVE_QUEUED,      MOVE_EV_LEAVE,    MOVE_ON_ARRIVAL },
    {MOVE_QUEUED,      MOVE_EV_ASSIGN,   MOVE_QUEUED     },
    {MOVE_QUEUED,      MOVE_EV_UNASSIGN, MOVE_UNENCRYPTED},
    {MOVE_QUEUED,      MOVE_EV_CLAIM,    MOVE_MOVING     }, /* M4 */
    {MOVE_MOVING,      MOVE_EV_ASSIGN,   MOVE_MOVING     },
    {MOVE_MOVING,      MOVE_EV_UNASSIGN, MOVE_MOVING     },
    {MOVE_MOVING,      MOVE_EV_KEY,      MOVE_MOVING     },
    {MOVE_MOVING,      MOVE_EV_RENEW,    MOVE_MOVING     },
    {MOVE_MOVING,      MOVE_EV_COMPLETE, MOVE_NONE       }, /* M5 */
    {MOVE_MOVING,      MOVE_EV_RETURN,   MOVE_QUEUED     },
    {MOVE_MOVING,      MOVE_EV_DROP,     MOVE_UNENCRYPTED},
};

enum mailbox_move mailbox_move_new(enum mailbox_kind kind, bool encrypted)
{
    if (encrypted) {
        return MOVE_NONE;
    }
    return kind == MAILBOX_MAIL_USER ? MOVE_ON_ARRIVAL : MOVE_UNENCRYPTED;
}

HF_STATUS mailbox_move_next(enum mailbox_move from,
                            enum mailbox_move_event event,
                            enum mailbox_move *out_next)
{
    for (size_t i = 0; i < HF_COUNT(rules); i++) {
        if (rules[i].from == from && rules[i].event == event) {
            *out_next = rules[i].next;
            return HF_OK;
        }
    }
    return HF_E_PRECONDITION;
}

bool move_claim_is_over(const struct move_claim_facts *facts)
{
    return facts->move == MOVE_MOVING && facts->now_ms >= facts->claim_ends_ms;
}

HF_STATUS move_claim_check(const struct move_claim_facts *facts,
                           enum mailbox_move_event event,
                           enum reason *out_reason)
{
    bool may = facts->move == MOVE_MOVING && facts->is_holder &&
               !move_claim_is_over(facts) &&
               (facts->has_key || event != MOVE_EV_COMPLETE);
    *out_reason = may ? REASON_NONE : REASON_STATE_CONFLICT;
    return may ? HF_OK : HF_E_PRECONDITION;
}

struct move_overdue_plan move_overdue(const struct move_overdue_facts *facts)
{
    struct move_overdue_plan plan = {.next_due_ms = INT64_MAX};
    if (facts->move != MOVE_QUEUED && facts->move != MOVE_MOVING) {
        return plan;
    }
    plan.overdue = facts->now_ms - facts->waits_since_ms >= facts->limit_ms;
    plan.alert = plan.overdue && !facts->alerted;
    if (!plan.overdue && !facts->alerted) {
        plan.next_due_ms = facts->waits_since_ms + facts->limit_ms;
    }
    return plan;
}

const char *mailbox_move_text(enum mailbox_move move)
{
    switch (move) {
    case MOVE_NONE:
        return "NONE";
    case MOVE_UNENCRYPTED:
        return "UNENCRYPTED";
    case MOVE_ON_ARRIVAL:
        return "ON_ARRIVAL";
    case MOVE_QUEUED:
        return "QUEUED";
    case MOVE_MOVING:
        return "MOVING";
    }
    return "?";
}

const char *move_priority_text(enum move_priority priority)
{
    switch (priority) {
    case MOVE_REGULAR:
        return "REGULAR";
    case MOVE_LOW:
        return "LOW";
    }
    return "?";
}
