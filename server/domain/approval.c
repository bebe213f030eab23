#include "server/domain/approval.h"

bool approval_officer_stands(const struct approval_facts *facts)
{
    return facts->registered && facts->registered_before &&
           !facts->is_requester;
}

enum reason approval_decide(const struct approval_facts *facts)
{
    if (!approval_officer_stands(facts)) {
        return REASON_APPROVER_REFUSED;
    }
    if (facts->version != facts->current_version ||
        facts->now_ms >= facts->expires_ms || !facts->signature_good) {
        return REASON_APPROVAL_INVALID;
    }
    return facts->given ? REASON_STATE_CONFLICT : REASON_NONE;
}

bool approval_executor_allowed(bool is_requester, bool is_approver)
{
    return !is_requester && !is_approver;
}
