#include "server/domain/availability.h"

#include "hsm/base/check.h"

static const struct {
    enum ak_state from;
    enum ak_event event;
    enum ak_state next;
} rules[] = {
    {AK_NONE,    AK_EV_CREATE,  AK_ACTIVE   },
    {AK_ACTIVE,  AK_EV_ROLL,    AK_ROLLING  },
    {AK_ROLLING, AK_EV_ROLLED,  AK_ACTIVE   },
    {AK_ACTIVE,  AK_EV_DESTROY, AK_DESTROYED},
    {AK_ROLLING, AK_EV_DESTROY, AK_DESTROYED},
};

HF_STATUS ak_next(enum ak_state state, enum ak_event event,
                  enum ak_state *out_next, enum reason *out_reason)
{
    for (size_t i = 0; i < HF_COUNT(rules); i++) {
        if (rules[i].from == state && rules[i].event == event) {
            *out_next = rules[i].next;
            *out_reason = REASON_NONE;
            return HF_OK;
        }
    }
    *out_reason =
        state == AK_DESTROYED ? REASON_KEY_DESTROYED : REASON_STATE_CONFLICT;
    return HF_E_PRECONDITION;
}

const char *ak_state_text(enum ak_state state)
{
    switch (state) {
    case AK_NONE:
        return "NONE";
    case AK_ACTIVE:
        return "ACTIVE";
    case AK_ROLLING:
        return "ROLLING";
    case AK_DESTROYED:
        return "DESTROYED";
    }
    return "?";
}
