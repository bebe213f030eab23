#include "server/domain/purge.h"

#include "hsm/base/check.h"

/* What must hold for a rule to apply, besides its phase. */
enum guard {
    WHILE_RUNNING = 1 << 0,    /* it is not paused */
    WHILE_PAUSED = 1 << 1,     /* it is */
    WHILE_UNAPPROVED = 1 << 2, /* no approval is recorded (T9) */
    AFTER_HOLD = 1 << 3,       /* */
    WITHOUT_STRAYS = 1 << 4,   /* nothing would be lost unasked */
    WITHOUT_EARLIER = 1 << 5,  /* none, or accepted by name */
    WHILE_VALID = 1 << 6,      /* what was signed is before its end */
};

struct rule {
    enum purge_phase from;
    enum purge_event event;
    enum purge_phase next;
    unsigned guards;
};

/* clang-format off */
static const struct rule rules[] = {
    {PURGE_REQUESTED,   PURGE_EV_RENEW,      PURGE_REQUESTED,   0},
    {PURGE_REQUESTED,   PURGE_EV_APPROVE,    PURGE_APPROVED,    0}, /* enough */
    {PURGE_REQUESTED,   PURGE_EV_CANCEL,     PURGE_CANCELLED,   WHILE_UNAPPROVED},
    {PURGE_APPROVED,    PURGE_EV_RENEW,      PURGE_REQUESTED,   WHILE_RUNNING},
    {PURGE_APPROVED,    PURGE_EV_EXECUTE,    PURGE_HOLDING,     WHILE_RUNNING | WHILE_VALID | WITHOUT_STRAYS | WITHOUT_EARLIER},
    {PURGE_APPROVED,    PURGE_EV_PAUSE,      PURGE_APPROVED,    WHILE_RUNNING},
    {PURGE_APPROVED,    PURGE_EV_RESUME,     PURGE_APPROVED,    WHILE_PAUSED},
    {PURGE_HOLDING,     PURGE_EV_PAUSE,      PURGE_HOLDING,     WHILE_RUNNING},
    {PURGE_HOLDING,     PURGE_EV_RESUME,     PURGE_HOLDING,     WHILE_PAUSED},
    {PURGE_HOLDING,     PURGE_EV_HOLD_OVER,  PURGE_TOMBSTONING, WHILE_RUNNING | AFTER_HOLD | WITHOUT_STRAYS},
    {PURGE_TOMBSTONING, PURGE_EV_TOMBSTONED, PURGE_DESTROYING,  WITHOUT_STRAYS},
    {PURGE_DESTROYING,  PURGE_EV_DESTROYED,  PURGE_VERIFYING,   0},
    {PURGE_VERIFYING,   PURGE_EV_LEFT,       PURGE_DESTROYING,  0},
    {PURGE_VERIFYING,   PURGE_EV_VERIFIED,   PURGE_FORGETTING,  0},
    {PURGE_FORGETTING,  PURGE_EV_FORGOTTEN,  PURGE_PURGED,      0},
};
/* clang-format on */

static const struct rule *rule_of(enum purge_phase phase,
                                  enum purge_event event)
{
    for (size_t i = 0; i < HF_COUNT(rules); i++) {
        if (rules[i].from == phase && rules[i].event == event) {
            return &rules[i];
        }
    }
    return NULL;
}

/* Which of the guards do not hold now. */
static unsigned unmet_of(const struct purge_facts *facts)
{
    unsigned unmet = facts->paused ? WHILE_RUNNING : WHILE_PAUSED;
    unmet |= facts->approvals > 0 ? WHILE_UNAPPROVED : 0u;
    unmet |= facts->now_ms < facts->hold_until_ms ? AFTER_HOLD : 0u;
    unmet |= facts->has_strays ? WITHOUT_STRAYS : 0u;
    unmet |= facts->earlier_open ? WITHOUT_EARLIER : 0u;
    unmet |= facts->now_ms >= facts->expires_ms ? WHILE_VALID : 0u;
    return unmet;
}

/* In the order in which they are told. */
static enum reason refusal_of(unsigned unmet)
{
    static const struct {
        unsigned guards;
        enum reason reason;
    } refusals[] = {
        {WHILE_RUNNING | WHILE_PAUSED | WHILE_UNAPPROVED,
         REASON_STATE_CONFLICT                                                   },
        {WHILE_VALID,                                     REASON_APPROVAL_INVALID},
        {AFTER_HOLD,                                      REASON_HOLD_RUNNING    },
        {WITHOUT_STRAYS,                                  REASON_DEP_IN_USE      },
        {WITHOUT_EARLIER,                                 REASON_EARLIER_WRAPS   },
    };
    for (size_t i = 0; i < HF_COUNT(refusals); i++) {
        if ((unmet & refusals[i].guards) != 0) {
            return refusals[i].reason;
        }
    }
    return REASON_NONE;
}

HF_STATUS purge_step_next(const struct purge_facts *facts,
                          enum purge_event event, struct purge_next *out_next,
                          enum reason *out_reason)
{
    const struct rule *rule = rule_of(facts->phase, event);
    *out_reason = rule == NULL ? REASON_STATE_CONFLICT
                               : refusal_of(rule->guards & unmet_of(facts));
    if (*out_reason != REASON_NONE) {
        return HF_E_PRECONDITION;
    }
    *out_next = (struct purge_next){.phase = rule->next};
    if (event == PURGE_EV_APPROVE &&
        facts->approvals < facts->approvals_needed) {
        out_next->phase = facts->phase; /* more are needed */
    }
    out_next->paused = event == PURGE_EV_PAUSE;
    return HF_OK;
}

/* What is true in each phase. */
struct words {
    const char *text;
    bool open;
    bool running;
    bool ending;
    bool closed;
};

/* clang-format off */
static const struct words words[] = {
    /*                                     open   running ending closed */
    [0] =                 { "?",           false, false,  false, false },
    [PURGE_REQUESTED] =   { "REQUESTED",   true,  false,  false, false },
    [PURGE_APPROVED] =    { "APPROVED",    true,  false,  false, false },
    [PURGE_HOLDING] =     { "HOLDING",     true,  true,   false, false },
    [PURGE_TOMBSTONING] = { "TOMBSTONING", true,  true,   true,  false },
    [PURGE_DESTROYING] =  { "DESTROYING",  true,  true,   true,  true  },
    [PURGE_VERIFYING] =   { "VERIFYING",   true,  true,   true,  true  },
    [PURGE_FORGETTING] =  { "FORGETTING",  true,  true,   true,  true  },
    [PURGE_PURGED] =      { "PURGED",      false, false,  true,  true  },
    [PURGE_CANCELLED] =   { "CANCELLED",   false, false,  false, false },
};
/* clang-format on */

static const struct words *words_of(enum purge_phase phase)
{
    return (unsigned)phase < HF_COUNT(words) ? &words[phase] : &words[0];
}

bool purge_is_open(enum purge_phase phase)
{
    return words_of(phase)->open;
}

bool purge_is_running(enum purge_phase phase)
{
    return words_of(phase)->running;
}

bool purge_is_ending(enum purge_phase phase)
{
    return words_of(phase)->ending;
}

bool purge_is_closed(enum purge_phase phase)
{
    return words_of(phase)->closed;
}

const char *purge_phase_text(enum purge_phase phase)
{
    return words_of(phase)->text;
}

enum reason purge_evidence_decide(const struct purge_evidence *evidence)
{
    if (evidence->usable > 0) {
        return REASON_KEYS_STILL_USABLE;
    }
    if (evidence->unasked > 0 ||
        (evidence->uncertain > 0 && !evidence->force)) {
        return REASON_KEY_UNAVAILABLE;
    }
    /* no evidence at all is none */
    return evidence->denied + evidence->uncertain > 0 ? REASON_NONE
                                                      : REASON_KEY_UNAVAILABLE;
}

int64_t purge_hold_until(int64_t approved_until_ms, int64_t executed_ms,
                         int64_t hold_ms)
{
    int64_t executed_until_ms = executed_ms + hold_ms;
    return executed_until_ms > approved_until_ms ? executed_until_ms
                                                 : approved_until_ms;
}

uint32_t purge_approvals_needed(bool force, bool of_tenant)
{
    return force || of_tenant ? 2 : 1;
}

enum purge_part purge_part_of(const struct purge_resource *resource)
{
    if (resource->assigned) {
        return PURGE_MARKED;
    }
    return resource->effective ? PURGE_STRAY : PURGE_NO_PART;
}
