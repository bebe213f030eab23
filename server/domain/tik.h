/* tik: the cache of unwrapped TIKs (specification 6.3, table 6-C): how long an
 * entry lives, when it is tried again, when somebody is told, and what a read
 * comes to.
 *
 *   opened                          expires - 2 h              expires
 *     |--------------------------------|--------------------------|
 *     FRESH: served, nobody asked        IN_WINDOW: served, the     NONE: the
 *                                        customer keys are asked    next read
 *                                        every 5 min; one success   opens it
 *                                        begins a new life
 *
 * Unlike a DEP key's lease an entry does not end with a revocation (R-15.4,
 * it ends with its time, by FlushTik, or, for a geo that wants it
 * (evict_on_denied), when both customer keys refuse. Never by the availability
 * key: that is for the recovery job alone. Times are monotonic
 * milliseconds.
 */
#pragma once

#include "server/domain/fallback.h"
#include "server/domain/types.h"

/* */
#define TIK_LIFE_MS       (24 * 60 * 60 * 1000LL)
#define TIK_WINDOW_MS     (2 * 60 * 60 * 1000LL) /* */
#define TIK_RETRY_MS      (5 * 60 * 1000LL)
#define TIK_JITTER_MS     (30 * 1000LL)
#define TIK_ALERT_COUNT   3
#define TIK_ALERT_MS      (30 * 60 * 1000LL)
#define TIK_LAST_ALERT_MS (30 * 60 * 1000LL) /* before it expires */
#define TIK_OFFSET_MS     50                 /* */
_Static_assert(TIK_LIFE_MS > TIK_WINDOW_MS, "R-6.23");

/* One entry; all zero: there is none. */
struct tik_entry {
    int64_t opened_ms;
    int64_t expires_ms;
    uint32_t failures;   /* in a row */
    int64_t failing_ms;  /* since the first of them */
    int64_t next_try_ms; /* after a failure */
    bool alerted;        /* TIK_REFRESH_FAILING was told */
    bool alerted_last;   /* and again, before the end */
};

enum tik_cache { TIK_FRESH, TIK_IN_WINDOW, TIK_NONE };
#define TIK_CACHE_COUNT 3
enum tik_cache tik_cache_of(const struct tik_entry *entry, int64_t now_ms);

/* tik_open: the entry after a success at now_ms: a new life. */
void tik_open(struct tik_entry *entry, int64_t now_ms, int64_t life_ms);
/* tik_fail: the entry after a refresh that nobody answered with OK. random: any
 * byte, for the jitter. */
void tik_fail(struct tik_entry *entry, int64_t now_ms, uint8_t random);

/* tik_plan: what is to be done now, and when to look again (INT64_MAX: never).
 * wanted: something may still ask for this TIK; one that nobody needs runs out
 * quietly. */
struct tik_actions {
    bool refresh;
    bool alert;      /* TIK_REFRESH_FAILING, the first */
    bool alert_last; /* and the one before the entry expires */
    int64_t next_due_ms;
};
void tik_plan(const struct tik_entry *entry, int64_t now_ms, bool wanted,
              struct tik_actions *out);
/* tik_told: the alerts of a plan were given. */
void tik_told(struct tik_entry *entry, const struct tik_actions *actions);

/* tik_decide: table 6-C, a total function. */
struct tik_facts {
    enum tik_cache cache;
    bool asked;              /* the customer keys were asked */
    enum attempt results[2]; /* of the two, when they were */
    enum initiator initiator;
    enum ak_state ak_state;
    /* the recovery job of a geo that is RECOVERING with recovery open */
    bool recovery_job;
    bool evict_on_denied; /* the geo's choice */
};
struct tik_verdict {
    bool serve;         /* from the entry, or from the one created now */
    bool create;        /* a new life: created, or extended */
    bool count_failure; /* in the window, and none OK */
    bool evict;
    bool use_ak;        /* only ever for the recovery job */
    bool alert;         /* BAD_BLOB, OURS: a person must look */
    enum reason reason; /* when not serve and not use_ak */
};
struct tik_verdict tik_decide(const struct tik_facts *facts);
