/* tik_race: two unwraps of a TIK, one per customer key, the second a little
 * after the first.
 *
 *   first asked --- 50 ms, or its failure ---> second asked
 *        \                                        /
 *         +---- the first to succeed wins -------+
 *               what comes later is wiped
 *
 * The order is random. A fast failure does not win: it releases the second. A
 * key that may not be used is not asked and counts as DENIED; one behind an
 * open breaker counts as TRANSIENT; one that lied to the call as BAD_BLOB.
 */
#pragma once

#include "server/domain/fallback.h"

#include "server/service/leases.h"

/* tik_race: *out_lease, checked and not published, and results on HF_OK; on
 * HF_E_UNREACHABLE both results say why not. drop_dead_ms: 0 or the caller's
 * deadline.
 * Returns   HF_OK; HF_E_UNREACHABLE; HF_E_NO_MEMORY and the like: nobody was
 *           asked.
 * Blocks    as long as two attempts and the offset at most. */
struct tik_race_rules {
    bool allowed[HF_CUSTOMER_KEYS_PER_DEP];
    int64_t drop_dead_ms;
    const struct liars *liars; /* NULL: none */
};
HF_STATUS tik_race(struct service *service, struct generation_entry *generation,
                   const struct tik_race_rules *rules,
                   enum attempt results[HF_CUSTOMER_KEYS_PER_DEP],
                   struct lease **out_lease);

/* tik_races_wait: until no answer is awaited any more; for the end of the
 * service. */
void tik_races_wait(struct service *service);
