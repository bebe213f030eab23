#include "server/domain/geo.h"

#include "hsm/base/check.h"

#define ANY  GEO_RECOVERY_NONE /* as a guard: whatever it is */
#define KEEP (-1)

struct rule {
    enum geo_state from;
    enum geo_event event;
    bool guarded; /* only with this recovery */
    enum geo_recovery recovery;
    enum geo_state next;
    int next_recovery;
};

/* clang-format off */
static const struct rule rules[] = {
    /* from            on event                 only with recovery                go to             recovery */
    /* S1 */
    { GEO_UNREGISTERED, GEO_EV_REGISTER,         false, ANY,                    GEO_REGISTERING, GEO_RECOVERY_NONE },
    /* S2, S4, S9 */
    { GEO_REGISTERING,  GEO_EV_SITES_DONE,       false, ANY,                    GEO_REGISTERED,  KEEP },
    { GEO_ROLLING,      GEO_EV_SITES_DONE,       false, ANY,                    GEO_REGISTERED,  KEEP },
    { GEO_RECOVERING,   GEO_EV_SITES_DONE,       false, ANY,                    GEO_REGISTERED,  GEO_RECOVERY_NONE },
    /* S3 */
    { GEO_REGISTERED,   GEO_EV_ROLL,             false, ANY,                    GEO_ROLLING,     KEEP },
    /* S7 */
    { GEO_REGISTERING,  GEO_EV_REQUEST_RECOVERY, true,  GEO_RECOVERY_NONE,      GEO_REGISTERING, GEO_RECOVERY_REQUESTED },
    { GEO_REGISTERED,   GEO_EV_REQUEST_RECOVERY, true,  GEO_RECOVERY_NONE,      GEO_REGISTERED,  GEO_RECOVERY_REQUESTED },
    { GEO_ROLLING,      GEO_EV_REQUEST_RECOVERY, true,  GEO_RECOVERY_NONE,      GEO_ROLLING,     GEO_RECOVERY_REQUESTED },
    { GEO_REGISTERING,  GEO_EV_ENABLE_RECOVERY,  true,  GEO_RECOVERY_REQUESTED, GEO_REGISTERING, GEO_RECOVERY_ENABLED },
    { GEO_REGISTERED,   GEO_EV_ENABLE_RECOVERY,  true,  GEO_RECOVERY_REQUESTED, GEO_REGISTERED,  GEO_RECOVERY_ENABLED },
    { GEO_ROLLING,      GEO_EV_ENABLE_RECOVERY,  true,  GEO_RECOVERY_REQUESTED, GEO_ROLLING,     GEO_RECOVERY_ENABLED },
    { GEO_REGISTERING,  GEO_EV_CONFIRM_RECOVERY, true,  GEO_RECOVERY_ENABLED,   GEO_REGISTERING, GEO_RECOVERY_OPEN },
    { GEO_REGISTERED,   GEO_EV_CONFIRM_RECOVERY, true,  GEO_RECOVERY_ENABLED,   GEO_REGISTERED,  GEO_RECOVERY_OPEN },
    { GEO_ROLLING,      GEO_EV_CONFIRM_RECOVERY, true,  GEO_RECOVERY_ENABLED,   GEO_ROLLING,     GEO_RECOVERY_OPEN },
    /* and once more, for a restore whose keys are lost as well when the window is over */
    { GEO_RECOVERING,   GEO_EV_REQUEST_RECOVERY, true,  GEO_RECOVERY_NONE,      GEO_RECOVERING,  GEO_RECOVERY_REQUESTED },
    { GEO_RECOVERING,   GEO_EV_ENABLE_RECOVERY,  true,  GEO_RECOVERY_REQUESTED, GEO_RECOVERING,  GEO_RECOVERY_ENABLED },
    { GEO_RECOVERING,   GEO_EV_CONFIRM_RECOVERY, true,  GEO_RECOVERY_ENABLED,   GEO_RECOVERING,  GEO_RECOVERY_OPEN },
    /* S8 */
    { GEO_REGISTERING,  GEO_EV_RESTORE,          true,  GEO_RECOVERY_OPEN,      GEO_RECOVERING,  KEEP },
    { GEO_REGISTERED,   GEO_EV_RESTORE,          true,  GEO_RECOVERY_OPEN,      GEO_RECOVERING,  KEEP },
    { GEO_ROLLING,      GEO_EV_RESTORE,          true,  GEO_RECOVERY_OPEN,      GEO_RECOVERING,  KEEP },
    { GEO_RECOVERING,   GEO_EV_RESTORE,          true,  GEO_RECOVERY_OPEN,      GEO_RECOVERING,  KEEP },
};
/* clang-format on */

static const struct rule *rule_of(const struct geo_facts *facts,
                                  enum geo_event event)
{
    for (size_t i = 0; i < HF_COUNT(rules); i++) {
        if (rules[i].from == facts->state && rules[i].event == event &&
            (!rules[i].guarded || rules[i].recovery == facts->recovery)) {
            return &rules[i];
        }
    }
    return NULL;
}

/* three people, and none of them twice. */
static bool is_of_a_person(enum geo_event event)
{
    return event == GEO_EV_ENABLE_RECOVERY || event == GEO_EV_CONFIRM_RECOVERY;
}

/* */
static bool is_recovery(enum geo_event event)
{
    return is_of_a_person(event) || event == GEO_EV_REQUEST_RECOVERY ||
           event == GEO_EV_RESTORE;
}

/* Why there is no rule. */
static enum reason reason_for(const struct geo_facts *facts,
                              enum geo_event event)
{
    if (event == GEO_EV_REGISTER) {
        return REASON_ALREADY_REGISTERED;
    }
    if (facts->state == GEO_UNREGISTERED) {
        return REASON_GEO_NOT_REGISTERED;
    }
    if (event == GEO_EV_ROLL && facts->state == GEO_ROLLING) {
        return REASON_ROLL_IN_PROGRESS; /* S5 */
    }
    if (event == GEO_EV_RESTORE) {
        return REASON_RECOVERY_NOT_ENABLED;
    }
    return event == GEO_EV_UNREGISTER ? REASON_ROLLBACK_UNSUPPORTED /* S10 */
                                      : REASON_STATE_CONFLICT;      /* S6 */
}

static enum reason refusal_of(const struct geo_facts *facts,
                              const struct rule *rule, enum geo_event event)
{
    if (rule == NULL) {
        return reason_for(facts, event);
    }
    if (is_recovery(event) && facts->purge_requested) {
        return REASON_STATE_CONFLICT;
    }
    return is_of_a_person(event) && facts->took_part
               ? REASON_SECOND_PERSON_REQUIRED
               : REASON_NONE;
}

HF_STATUS geo_next(const struct geo_facts *facts, enum geo_event event,
                   struct geo_step *out_step, enum reason *out_reason)
{
    const struct rule *rule = rule_of(facts, event);
    *out_reason = refusal_of(facts, rule, event);
    if (*out_reason == REASON_ALREADY_REGISTERED) {
        return HF_E_EXISTS;
    }
    if (*out_reason != REASON_NONE) {
        return HF_E_PRECONDITION;
    }
    out_step->next = rule->next;
    out_step->recovery = rule->next_recovery == KEEP
                             ? facts->recovery
                             : (enum geo_recovery)rule->next_recovery;
    return HF_OK;
}

enum geo_recovery geo_recovery_now(enum geo_recovery recovery,
                                   int64_t requested_ms, int64_t until_ms,
                                   int64_t now_ms)
{
    int64_t end_ms = recovery == GEO_RECOVERY_OPEN
                         ? until_ms
                         : requested_ms + GEO_RECOVERY_WINDOW_MS;
    return now_ms >= end_ms ? GEO_RECOVERY_NONE : recovery;
}

const char *geo_state_text(enum geo_state state)
{
    switch (state) {
    case GEO_UNREGISTERED:
        return "UNREGISTERED";
    case GEO_REGISTERING:
        return "REGISTERING";
    case GEO_REGISTERED:
        return "REGISTERED";
    case GEO_ROLLING:
        return "ROLLING";
    case GEO_RECOVERING:
        return "RECOVERING";
    }
    return "?";
}

const char *geo_recovery_text(enum geo_recovery recovery)
{
    switch (recovery) {
    case GEO_RECOVERY_NONE:
        return "NONE";
    case GEO_RECOVERY_REQUESTED:
        return "REQUESTED";
    case GEO_RECOVERY_ENABLED:
        return "ENABLED";
    case GEO_RECOVERY_OPEN:
        return "OPEN";
    }
    return "?";
}
