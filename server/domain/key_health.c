#include "server/domain/key_health.h"

struct rule {
    enum key_health_state state; /* UNKNOWN: stays as it is */
    bool succeeded;
    bool failed;
};

static const struct rule rules[ATTEMPT_COUNT] = {
    [ATTEMPT_OK] = {KEY_HEALTH_OK,        true,  false},
    [ATTEMPT_DENIED] = {KEY_HEALTH_DENIED,    false, true },
    [ATTEMPT_MISSING] = {KEY_HEALTH_DENIED,    false, true },
    [ATTEMPT_TRANSIENT] = {KEY_HEALTH_TRANSIENT, false, true },
    [ATTEMPT_BAD_BLOB] = {KEY_HEALTH_OK,        false, true },
    [ATTEMPT_OURS] = {KEY_HEALTH_UNKNOWN,   false, false},
};

bool key_health_note(struct key_health *health, enum attempt attempt,
                     int64_t now_ms)
{
    if ((unsigned)attempt >= ATTEMPT_COUNT) {
        return false;
    }
    const struct rule *rule = &rules[attempt];
    enum key_health_state before = health->state;
    if (rule->state != KEY_HEALTH_UNKNOWN) {
        health->state = rule->state;
    }
    if (rule->succeeded) {
        health->last_success_ms = now_ms;
    }
    if (rule->failed) {
        health->last_failure_ms = now_ms;
    }
    return health->state != before;
}

enum attempt key_health_attempt(const struct key_health *health,
                                bool may_be_used)
{
    if (!may_be_used) {
        return ATTEMPT_DENIED;
    }
    switch (health->state) {
    case KEY_HEALTH_UNKNOWN:
    case KEY_HEALTH_OK:
        return ATTEMPT_OK;
    case KEY_HEALTH_TRANSIENT:
        return ATTEMPT_TRANSIENT;
    case KEY_HEALTH_DENIED:
        return ATTEMPT_DENIED;
    }
    return ATTEMPT_DENIED;
}

const char *key_health_text(enum key_health_state state)
{
    static const char *const texts[KEY_HEALTH_STATE_COUNT] = {
        [KEY_HEALTH_UNKNOWN] = "UNKNOWN",
        [KEY_HEALTH_OK] = "OK",
        [KEY_HEALTH_TRANSIENT] = "TRANSIENT",
        [KEY_HEALTH_DENIED] = "DENIED",
    };
    return (unsigned)state < KEY_HEALTH_STATE_COUNT ? texts[state] : "?";
}
