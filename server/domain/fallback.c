#include "server/domain/fallback.h"

#include "server/domain/outage.h"

enum attempt attempt_of(enum hf_status status)
{
    switch (status) {
    case HF_OK:
        return ATTEMPT_OK;
    case HF_E_DENIED:
    case HF_E_NOT_FOUND: /* confirmed by a canary */
        return ATTEMPT_DENIED;
    case HF_E_UNCONFIRMED:
        return ATTEMPT_MISSING;
    case HF_E_UNREACHABLE:
    case HF_E_TIMEOUT:
        return ATTEMPT_TRANSIENT;
    case HF_E_BAD_BLOB:
        return ATTEMPT_BAD_BLOB;
    case HF_E_INVALID:
    case HF_E_PRECONDITION:
    case HF_E_LIMIT:
    case HF_E_UNSUPPORTED:
    case HF_E_EXISTS:
    case HF_E_CONFLICT:
    case HF_E_CANCELLED:
    case HF_E_EXPIRED:
    case HF_E_OVERLOAD:
    case HF_E_NO_MEMORY:
    case HF_E_RESOURCES:
    case HF_E_MISUSE:
    case HF_E_CORRUPT:
    case HF_E_IO:
    case HF_E_INTERNAL:
    case HF_STATUS_COUNT:
        return ATTEMPT_OURS;
    }
    return ATTEMPT_OURS;
}

static const char *const attempt_texts[ATTEMPT_COUNT] = {
    [ATTEMPT_OK] = "OK",
    [ATTEMPT_DENIED] = "DENIED",
    [ATTEMPT_TRANSIENT] = "TRANSIENT",
    [ATTEMPT_BAD_BLOB] = "BAD_BLOB",
    [ATTEMPT_MISSING] = "MISSING",
    [ATTEMPT_OURS] = "OURS",
};

const char *attempt_text(enum attempt attempt)
{
    return (unsigned)attempt < ATTEMPT_COUNT ? attempt_texts[attempt] : "?";
}

/* What one line of table 6-B says; USER and SYSTEM are its columns. */
enum say {
    SAY_BUG,     /* nobody may ask this: one of the keys did open */
    SAY_OURS,    /* */
    SAY_USE_AK,  /* if the DEP has one that may be used */
    SAY_REFUSED, /* KEY_ACCESS_DENIED */
    SAY_DAMAGED, /* BLOB_INVALID */
    SAY_OUTAGE,  /* KEY_UNAVAILABLE */
};

struct pair {
    enum say user;
    enum say system;
};

/* clang-format off */
#define BUG     { SAY_BUG,     SAY_BUG     }
#define OURS    { SAY_OURS,    SAY_OURS    }
#define BOTH    { SAY_USE_AK,  SAY_USE_AK  } /* TRANSIENT + TRANSIENT */
#define INTENT  { SAY_REFUSED, SAY_USE_AK  } /* any DENIED            */
#define DAMAGED { SAY_DAMAGED, SAY_DAMAGED } /* BAD_BLOB + BAD_BLOB   */
#define DOUBT   { SAY_OUTAGE,  SAY_USE_AK  } /* BAD_BLOB + TRANSIENT  */

/* Table 6-B; the order of the two does not matter, so neither half of this
 * square may differ from the other. */
#define TABLE_COUNT (ATTEMPT_BAD_BLOB + 1)
_Static_assert(ATTEMPT_MISSING >= TABLE_COUNT && ATTEMPT_OURS >= TABLE_COUNT,
               "they have no line of their own");
static const struct pair table[TABLE_COUNT][TABLE_COUNT] = {
    /*                       OK   DENIED  TRANSIENT BAD_BLOB */
    [ATTEMPT_OK] =        { BUG, BUG,    BUG,      BUG     },
    [ATTEMPT_DENIED] =    { BUG, INTENT, INTENT,   INTENT  },
    [ATTEMPT_TRANSIENT] = { BUG, INTENT, BOTH,     DOUBT   },
    [ATTEMPT_BAD_BLOB] =  { BUG, INTENT, DOUBT,    DAMAGED },
};
/* clang-format on */

/* a key that is missing, and not surely so, refuses users and does not
 * stop the service. */
static enum attempt as_seen(enum attempt attempt, bool is_system)
{
    if (attempt != ATTEMPT_MISSING) {
        return attempt;
    }
    return is_system ? ATTEMPT_TRANSIENT : ATTEMPT_DENIED;
}

static const struct pair *pair_of(enum attempt first, enum attempt second)
{
    static const struct pair ours = OURS;
    static const struct pair bug = BUG;
    if (first == ATTEMPT_OURS || second == ATTEMPT_OURS) {
        return &ours; /* above all others */
    }
    if ((unsigned)first >= TABLE_COUNT || (unsigned)second >= TABLE_COUNT) {
        return &bug;
    }
    return &table[first][second];
}

/* From a purge request on, users never get it, nor beyond the limit
 * of an outage. */
static bool user_may_use(const struct fallback_facts *facts)
{
    return !facts->purge_requested &&
           !outage_limit_reached(facts->outage_ms, facts->limit_ms);
}

/* Mailbox and multi-workload only; SharePoint never, and a
 * SERVICE_MANAGED DEP has no availability key. */
static bool ak_may_be_used(const struct fallback_facts *facts, bool is_system)
{
    bool has_ak = facts->dep_type == DEP_TYPE_EXCHANGE_MAILBOX ||
                  facts->dep_type == DEP_TYPE_MULTI_WORKLOAD;
    bool is_whole =
        facts->ak_state == AK_ACTIVE || facts->ak_state == AK_ROLLING;
    return has_ak && is_whole && (is_system || user_may_use(facts));
}

static const enum reason reasons[] = {
    [SAY_BUG] = REASON_INTERNAL,
    [SAY_OURS] = REASON_SERVICE_UNAVAILABLE,
    [SAY_USE_AK] = REASON_KEY_UNAVAILABLE, /* it would, and may not */
    [SAY_REFUSED] = REASON_KEY_ACCESS_DENIED,
    [SAY_DAMAGED] = REASON_BLOB_INVALID,
    [SAY_OUTAGE] = REASON_KEY_UNAVAILABLE,
};

static bool needs_a_person(enum attempt attempt)
{
    return attempt == ATTEMPT_BAD_BLOB || attempt == ATTEMPT_OURS;
}

/* Users are served by the availability key in an outage and in nothing else,
 * so only an outage is FALLBACK. */
static bool is_outage(enum attempt first, enum attempt second)
{
    return first == ATTEMPT_TRANSIENT && second == ATTEMPT_TRANSIENT;
}

struct fallback_verdict fallback_decide(const struct fallback_facts *facts)
{
    bool is_system = facts->initiator == INITIATOR_SYSTEM;
    enum attempt first = as_seen(facts->results[0], is_system);
    enum attempt second = as_seen(facts->results[1], is_system);
    const struct pair *pair = pair_of(first, second);
    enum say say = is_system ? pair->system : pair->user;
    struct fallback_verdict verdict = {
        .alert =
            needs_a_person(first) || needs_a_person(second) || say == SAY_BUG,
    };
    if (facts->ak_state == AK_DESTROYED && say != SAY_OURS && say != SAY_BUG) {
        verdict.reason = REASON_KEY_DESTROYED;
    } else if (say == SAY_USE_AK && ak_may_be_used(facts, is_system)) {
        verdict.use_ak = true;
        verdict.outage = is_outage(facts->results[0], facts->results[1]);
        verdict.reason = REASON_NONE;
    } else if (say == SAY_USE_AK) {
        /* what the customer keys themselves came to, as a user is told */
        verdict.reason = reasons[pair->user];
    } else {
        verdict.reason = reasons[say];
    }
    return verdict;
}

enum reason fallback_on_ak_failure(enum hf_status status)
{
    if (hf_status_class(status) != HF_CLASS_OURS) {
        return REASON_KEY_UNAVAILABLE;
    }
    return status == HF_E_OVERLOAD ? REASON_OVERLOADED
                                   : REASON_SERVICE_UNAVAILABLE;
}

enum dep_health dep_health_of(enum attempt ck1, enum attempt ck2,
                              enum ak_state ak_state)
{
    int answering = (ck1 == ATTEMPT_OK) + (ck2 == ATTEMPT_OK);
    if (ak_state == AK_DESTROYED) {
        return HEALTH_DESTROYED;
    }
    if (answering == 2) {
        return HEALTH_HEALTHY;
    }
    if (answering == 1) {
        return HEALTH_DEGRADED;
    }
    return is_outage(ck1, ck2) ? HEALTH_FALLBACK : HEALTH_UNHEALTHY;
}
