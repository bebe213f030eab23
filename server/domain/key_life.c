#include "server/domain/key_life.h"

#include "hsm/base/check.h"

#define DAY_MS (24ll * 60 * 60 * 1000)

struct rule {
    enum key_state from;
    enum key_event event;
    enum key_state next;
};

static const struct rule rules[] = {
    {KEY_ACTIVE,       KEY_EV_DELETE,         KEY_SOFT_DELETED},
    {KEY_SOFT_DELETED, KEY_EV_RECOVER,        KEY_ACTIVE      },
    {KEY_SOFT_DELETED, KEY_EV_RETENTION_OVER, KEY_GONE        },
};

bool key_life_next(enum key_state from, enum key_event event,
                   enum key_state *out_next)
{
    for (size_t i = 0; i < HF_COUNT(rules); i++) {
        if (rules[i].from == from && rules[i].event == event) {
            *out_next = rules[i].next;
            return true;
        }
    }
    return false;
}

const char *key_state_text(enum key_state state)
{
    switch (state) {
    case KEY_ACTIVE:
        return "ACTIVE";
    case KEY_SOFT_DELETED:
        return "SOFT_DELETED";
    case KEY_GONE:
        return "GONE";
    }
    return "?";
}

/* --- retention ---------------------------------------------------------- */

static bool is_soft(enum deletion_protection protection, uint32_t declared_days)
{
    return protection >= PROTECTION_SOFT_DELETE &&
           declared_days >= KEY_RETENTION_MIN_DAYS;
}

uint32_t key_retention_days(enum deletion_protection protection,
                            uint32_t declared_days)
{
    if (!is_soft(protection, declared_days)) {
        return KEY_RETENTION_DEFAULT_DAYS;
    }
    return declared_days < KEY_RETENTION_MAX_DAYS ? declared_days
                                                  : KEY_RETENTION_MAX_DAYS;
}

int64_t key_purge_ms(int64_t now_ms, uint32_t retention_days)
{
    return now_ms + (int64_t)retention_days * DAY_MS;
}

struct key_life_plan key_life_plan(enum key_state state, int64_t purge_ms,
                                   int64_t now_ms)
{
    if (state != KEY_SOFT_DELETED) {
        return (struct key_life_plan){.next_due_ms = INT64_MAX};
    }
    return (struct key_life_plan){
        .retention_over = now_ms >= purge_ms,
        .next_due_ms = purge_ms,
    };
}

/* --- recovery level ----------------------------------------------------- */

struct level {
    enum key_recovery_level level;
    enum deletion_protection protection;
    bool customized; /* fewer days than the most */
    const char *text;
};

/* clang-format off */
static const struct level levels[] = {
    {RECOVERY_RECOVERABLE_PURGEABLE,            PROTECTION_SOFT_DELETE,                 false, "Recoverable+Purgeable"},
    {RECOVERY_RECOVERABLE,                      PROTECTION_SOFT_DELETE_PURGE_PROTECTED, false, "Recoverable"},
    {RECOVERY_RECOVERABLE_PROTECTED,            PROTECTION_TOKEN_PROTECTED,             false, "Recoverable+ProtectedSubscription"},
    {RECOVERY_CUSTOMIZED_RECOVERABLE_PURGEABLE, PROTECTION_SOFT_DELETE,                 true,  "CustomizedRecoverable+Purgeable"},
    {RECOVERY_CUSTOMIZED_RECOVERABLE,           PROTECTION_SOFT_DELETE_PURGE_PROTECTED, true,  "CustomizedRecoverable"},
    {RECOVERY_CUSTOMIZED_RECOVERABLE_PROTECTED, PROTECTION_TOKEN_PROTECTED,             true,  "CustomizedRecoverable+ProtectedSubscription"},
};
/* clang-format on */

enum key_recovery_level
key_recovery_level_of(enum deletion_protection protection,
                      uint32_t declared_days)
{
    bool customized = declared_days < KEY_RETENTION_MAX_DAYS;
    for (size_t i = 0; i < HF_COUNT(levels); i++) {
        if (is_soft(protection, declared_days) &&
            levels[i].protection == protection &&
            levels[i].customized == customized) {
            return levels[i].level;
        }
    }
    return RECOVERY_PURGEABLE;
}

const char *key_recovery_level_text(enum key_recovery_level level)
{
    for (size_t i = 0; i < HF_COUNT(levels); i++) {
        if (levels[i].level == level) {
            return levels[i].text;
        }
    }
    return "Purgeable";
}
