#include "server/domain/ak_token.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include <stddef.h>

static const struct {
    enum ak_token_state from;
    enum ak_token_event event;
    enum ak_token_state next;
} rules[] = {
    {AK_TOKEN_ENROLLING, AK_TOKEN_EV_CARRIED, AK_TOKEN_ACTIVE },
    {AK_TOKEN_ENROLLING, AK_TOKEN_EV_RETIRE,  AK_TOKEN_RETIRED},
    {AK_TOKEN_ACTIVE,    AK_TOKEN_EV_RETIRE,  AK_TOKEN_RETIRED},
};

HF_STATUS ak_token_next(enum ak_token_state state, enum ak_token_event event,
                        enum ak_token_state *out_next, enum reason *out_reason)
{
    for (size_t i = 0; i < HF_COUNT(rules); i++) {
        if (rules[i].from == state && rules[i].event == event) {
            *out_next = rules[i].next;
            *out_reason = REASON_NONE;
            return HF_OK;
        }
    }
    *out_reason = REASON_STATE_CONFLICT;
    return HF_E_PRECONDITION;
}

const char *ak_token_state_text(enum ak_token_state state)
{
    switch (state) {
    case AK_TOKEN_ENROLLING:
        return "ENROLLING";
    case AK_TOKEN_ACTIVE:
        return "ACTIVE";
    case AK_TOKEN_RETIRED:
        return "RETIRED";
    }
    return "?";
}

HF_STATUS ak_retirement_decide(const struct ak_retirement_facts *facts,
                               enum ak_retirement *out_step,
                               enum reason *out_reason)
{
    enum ak_token_state next;
    HF_TRY(ak_token_next(facts->state, AK_TOKEN_EV_RETIRE, &next, out_reason));
    if (!facts->other_active) {
        *out_reason = REASON_STATE_CONFLICT;
        return HF_E_PRECONDITION;
    }
    if (!facts->asked || !facts->same_words) {
        *out_step = AK_RETIREMENT_ASK;
        return HF_OK;
    }
    if (facts->is_requester || facts->gave_before) {
        *out_reason = REASON_SECOND_PERSON_REQUIRED;
        return HF_E_PRECONDITION;
    }
    *out_step = facts->approvals + 1 < AK_RETIREMENT_APPROVALS
                    ? AK_RETIREMENT_APPROVE
                    : AK_RETIREMENT_DONE;
    return HF_OK;
}
