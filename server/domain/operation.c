#include "server/domain/operation.h"

#include "hsm/base/check.h"

struct rule {
    enum operation_state from;
    enum operation_event event;
    enum operation_state next;
};

static const struct rule rules[] = {
    {OPERATION_RUNNING, OPERATION_EV_FINISH, OPERATION_SUCCEEDED},
    {OPERATION_RUNNING, OPERATION_EV_FAIL,   OPERATION_FAILED   },
    {OPERATION_RUNNING, OPERATION_EV_CANCEL, OPERATION_CANCELLED},
};

struct kind {
    enum operation_kind kind;
    bool may_cancel;
    const char *text;
};

static const struct kind kinds[] = {
#define X(word, number, may_cancel, text) {OPERATION_##word, may_cancel, text},
    OPERATION_KIND_TABLE(X)
#undef X
};

/* A kind that nobody knows may do nothing. */
static const struct kind *kind_of(int number)
{
    static const struct kind unknown = {.text = "?"};
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        if ((int)kinds[i].kind == number) {
            return &kinds[i];
        }
    }
    return &unknown;
}

HF_STATUS operation_next(enum operation_kind kind, enum operation_state state,
                         enum operation_event event,
                         enum operation_state *out_next,
                         enum reason *out_reason)
{
    const struct kind *of = kind_of((int)kind);
    *out_reason = REASON_STATE_CONFLICT;
    for (size_t i = 0; i < HF_COUNT(rules); i++) {
        if (rules[i].from != state || rules[i].event != event) {
            continue;
        }
        if (event == OPERATION_EV_CANCEL && !of->may_cancel) {
            *out_reason = REASON_OPERATION_NOT_CANCELLABLE;
            return HF_E_PRECONDITION;
        }
        *out_next = rules[i].next;
        *out_reason = REASON_NONE;
        return HF_OK;
    }
    return HF_E_PRECONDITION;
}

uint32_t operation_percent(enum operation_state state, uint64_t done,
                           uint64_t total, uint32_t before)
{
    if (state == OPERATION_SUCCEEDED) {
        return 100;
    }
    uint64_t percent = 0;
    if (total > 0) {
        /* done and total are counts of records: far below 2^57 */
        percent = done >= total ? 99 : done * 100 / total;
    }
    return percent > before ? (uint32_t)percent : before;
}

bool operation_kind_is_known(int kind)
{
    return kind_of(kind)->kind != 0;
}

const char *operation_kind_text(enum operation_kind kind)
{
    return kind_of((int)kind)->text;
}

const char *operation_state_text(enum operation_state state)
{
    switch (state) {
    case OPERATION_RUNNING:
        return "RUNNING";
    case OPERATION_SUCCEEDED:
        return "SUCCEEDED";
    case OPERATION_FAILED:
        return "FAILED";
    case OPERATION_CANCELLED:
        return "CANCELLED";
    }
    return "?";
}

#define PAUSE_SHARE 20 /* of its age */

int64_t operation_pause_ms(int64_t age_ms, int64_t min_ms, int64_t max_ms)
{
    int64_t pause_ms = age_ms / PAUSE_SHARE;
    if (pause_ms < min_ms) {
        return min_ms;
    }
    return pause_ms < max_ms ? pause_ms : max_ms;
}
