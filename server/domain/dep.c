#include "server/domain/dep.h"

#include "hsm/base/check.h"

struct rule {
    enum dep_state from;
    enum dep_event event;
    bool limited; /* guard, for mailbox DEPs     */
    bool unused;  /* guard: nothing may be assigned to it */
    enum dep_state next;
    enum dep_effect effect;
};

/* clang-format off */
static const struct rule rules[] = {
    /* from              on event                limited unused   go to                and do */
    { DEP_NONE,            DEP_EV_CREATE,          true,   false, DEP_ENABLED,         DEP_FX_MAKE_KEYS      },
    { DEP_NONE,            DEP_EV_CREATE_DISABLED, true,   false, DEP_DISABLED,        DEP_FX_MAKE_KEYS      },
    { DEP_ENABLED,         DEP_EV_DISABLE,         false,  true,  DEP_DISABLED,        DEP_FX_END_LEASES     },
    { DEP_DISABLED,        DEP_EV_ENABLE,          true,   false, DEP_ENABLED,         DEP_FX_REVALIDATE     },
    { DEP_ENABLED,         DEP_EV_REFRESH,         false,  false, DEP_ENABLED,         DEP_FX_NEW_GENERATION },
    { DEP_ENABLED,         DEP_EV_REPLACE,         false,  false, DEP_ENABLED,         DEP_FX_NEW_GENERATION },
    { DEP_ENABLED,         DEP_EV_UPDATED,         false,  false, DEP_ENABLED,         DEP_FX_NONE           },
    { DEP_DISABLED,        DEP_EV_UPDATED,         false,  false, DEP_DISABLED,        DEP_FX_NONE           },
    { DEP_PURGE_REQUESTED, DEP_EV_UPDATED,         false,  false, DEP_PURGE_REQUESTED, DEP_FX_NONE           },
    { DEP_PURGING,         DEP_EV_UPDATED,         false,  false, DEP_PURGING,         DEP_FX_NONE           },
    { DEP_PURGED,          DEP_EV_UPDATED,         false,  false, DEP_PURGED,          DEP_FX_NONE           },
    { DEP_ENABLED,         DEP_EV_REQUEST_PURGE,   false,  false, DEP_PURGE_REQUESTED, DEP_FX_END_LEASES     },
    { DEP_DISABLED,        DEP_EV_REQUEST_PURGE,   false,  false, DEP_PURGE_REQUESTED, DEP_FX_END_LEASES     },
    { DEP_PURGE_REQUESTED, DEP_EV_CANCEL_PURGE,    false,  false, DEP_NONE /* before */, DEP_FX_END_LEASES   },
    { DEP_PURGE_REQUESTED, DEP_EV_EXECUTE_PURGE,   false,  false, DEP_PURGING,         DEP_FX_END_LEASES     },
    { DEP_PURGING,         DEP_EV_PURGED,          false,  false, DEP_PURGED,          DEP_FX_END_LEASES     },
};

/* What an event does to key_update; no row: it stays as it is. */
static const struct update_rule {
    enum dep_event event;
    bool idle; /* guard: key_update is NONE; else: it is not */
    enum key_update next;
} update_rules[] = {
    { DEP_EV_REFRESH, true,  KEY_UPDATE_REFRESHING },
    { DEP_EV_REPLACE, true,  KEY_UPDATE_REPLACING  },
    { DEP_EV_UPDATED, false, KEY_UPDATE_NONE       },
};
/* clang-format on */

/* 3.4 has SharePoint's own states; the built-in DEP is made, rolled by the
 * service, and stays; only a mailbox DEP is purged. */
static bool has_event(enum dep_type type, enum dep_event event)
{
    switch (type) {
    case DEP_TYPE_EXCHANGE_MAILBOX:
        return true;
    case DEP_TYPE_MULTI_WORKLOAD:
        return event <= DEP_EV_UPDATED;
    case DEP_TYPE_SERVICE_MANAGED:
        return event == DEP_EV_CREATE || event == DEP_EV_REFRESH ||
               event == DEP_EV_UPDATED;
    case DEP_TYPE_SHAREPOINT_GEO:
        return false;
    }
    return false;
}

static const struct rule *rule_of(const struct dep_facts *facts,
                                  enum dep_event event)
{
    for (size_t i = 0; i < HF_COUNT(rules); i++) {
        if (rules[i].from == facts->state && rules[i].event == event &&
            has_event(facts->type, event)) {
            return &rules[i];
        }
    }
    return NULL;
}

static const struct update_rule *update_rule_of(enum dep_event event)
{
    for (size_t i = 0; i < HF_COUNT(update_rules); i++) {
        if (update_rules[i].event == event) {
            return &update_rules[i];
        }
    }
    return NULL;
}

static enum reason update_refusal_of(const struct dep_facts *facts,
                                     const struct rule *rule,
                                     const struct update_rule *update)
{
    bool idle = facts->key_update == KEY_UPDATE_NONE;
    if (update != NULL && update->idle != idle) {
        return REASON_STATE_CONFLICT; /* one at a time */
    }
    if (rule->effect != DEP_FX_NEW_GENERATION) {
        return REASON_NONE;
    }
    /* the built-in DEP rests on no customer key */
    if (rule->event == DEP_EV_REFRESH && !facts->newer_version &&
        facts->type != DEP_TYPE_SERVICE_MANAGED) {
        return REASON_NOTHING_TO_REFRESH;
    }
    return facts->generation >= DEP_GENERATIONS_MAX ? REASON_GENERATION_LIMIT
                                                    : REASON_NONE;
}

static enum reason refusal_of(const struct dep_facts *facts,
                              const struct rule *rule,
                              const struct update_rule *update)
{
    if (rule == NULL) {
        return REASON_STATE_CONFLICT; /* */
    }
    if (rule->unused && facts->assigned_count > 0) {
        return REASON_DEP_IN_USE;
    }
    if (rule->limited && facts->type == DEP_TYPE_EXCHANGE_MAILBOX &&
        facts->active_count >= HF_ACTIVE_MAILBOX_DEPS_MAX) {
        return REASON_DEP_LIMIT;
    }
    return update_refusal_of(facts, rule, update);
}

HF_STATUS dep_next(const struct dep_facts *facts, enum dep_event event,
                   struct dep_step *out_step, enum reason *out_reason)
{
    const struct rule *rule = rule_of(facts, event);
    const struct update_rule *update = update_rule_of(event);
    *out_reason = refusal_of(facts, rule, update);
    if (*out_reason == REASON_DEP_LIMIT) {
        return HF_E_LIMIT;
    }
    if (*out_reason != REASON_NONE) {
        return HF_E_PRECONDITION;
    }
    *out_step = (struct dep_step){
        .next = event == DEP_EV_CANCEL_PURGE ? facts->before : rule->next,
        .effect = rule->effect,
        .key_update = update == NULL ? facts->key_update : update->next,
    };
    return HF_OK;
}

/* Until its last step a purge may still need to open.
 */
struct rights {
    bool active;
    bool assign;
    bool wrap;
    bool unwrap;
};

/* clang-format off */
static const struct rights rights[] = {
    /*                        active assign wrap   unwrap */
    [DEP_NONE] =            { false, false, false, false },
    [DEP_ENABLED] =         { true,  true,  true,  true  },
    [DEP_DISABLED] =        { false, false, false, true  },
    [DEP_PURGE_REQUESTED] = { true,  false, false, true  },
    [DEP_PURGING] =         { true,  false, false, true  },
    [DEP_PURGED] =          { false, false, false, false },
};
/* clang-format on */

static const struct rights *rights_of(enum dep_state state)
{
    return (unsigned)state < HF_COUNT(rights) ? &rights[state]
                                              : &rights[DEP_NONE];
}

bool dep_counts_as_active(enum dep_state state)
{
    return rights_of(state)->active;
}

bool dep_may_assign(enum dep_state state)
{
    return rights_of(state)->assign;
}

bool dep_may_wrap(enum dep_state state)
{
    return rights_of(state)->wrap;
}

bool dep_may_unwrap(enum dep_state state)
{
    return rights_of(state)->unwrap;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

bool name_is_valid(const char *name)
{
    for (size_t i = 0; i <= HF_NAME_MAX_BYTES; i++) {
        if (name[i] == '\0') {
            return i > 0;
        }
        if (!is_name_char(name[i])) {
            return false;
        }
    }
    return false;
}

void name_fold(const char *name, char out[HF_NAME_MAX_BYTES + 1])
{
    for (size_t i = 0; i <= HF_NAME_MAX_BYTES; i++) {
        char c = name[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        if (c == '\0') {
            return;
        }
    }
    out[0] = '\0'; /* too long to be a name: equal to none */
}

const char *dep_type_text(enum dep_type type)
{
    switch (type) {
    case DEP_TYPE_EXCHANGE_MAILBOX:
        return "EXCHANGE_MAILBOX";
    case DEP_TYPE_MULTI_WORKLOAD:
        return "MULTI_WORKLOAD";
    case DEP_TYPE_SHAREPOINT_GEO:
        return "SHAREPOINT_GEO";
    case DEP_TYPE_SERVICE_MANAGED:
        return "SERVICE_MANAGED";
    }
    return "?";
}

const char *dep_state_text(enum dep_state state)
{
    switch (state) {
    case DEP_NONE:
        return "NONE";
    case DEP_ENABLED:
        return "ENABLED";
    case DEP_DISABLED:
        return "DISABLED";
    case DEP_PURGE_REQUESTED:
        return "PURGE_REQUESTED";
    case DEP_PURGING:
        return "PURGING";
    case DEP_PURGED:
        return "PURGED";
    }
    return "?";
}

const char *key_update_text(enum key_update update)
{
    switch (update) {
    case KEY_UPDATE_NONE:
        return "NONE";
    case KEY_UPDATE_REFRESHING:
        return "REFRESHING";
    case KEY_UPDATE_REPLACING:
        return "REPLACING";
    }
    return "?";
}
