/* tik_cache: the TIK of a geo, usable for a call: from the cache, by a race of
 * the two customer keys, or, for the recovery job alone, by the availability
 * key (specification 6.3, table 6-C). The entry of a generation is its lease
 * (leases.h) with a life of its own and the record of its refreshes
 * (server/domain/tik.h).
 *
 * It does not end with a revocation, but a stranger, who never
 * held unwrap on either key, is refused all the same.
 */
#pragma once

#include "server/service/opening.h"
#include "server/service/opening_inside.h"

static inline bool is_tik(const struct generation_entry *generation)
{
    return generation->dep->record.type == DEP_TYPE_SHAREPOINT_GEO;
}

/* tik_get: opening_get for a TIK; who asks is no stranger. */
enum opening tik_get(struct service *service,
                     struct generation_entry *generation,
                     const struct opening_facts *facts, struct key_call *call,
                     struct lease **out_lease);

/* tik_is_due: is there something to be done for this entry now? The
 * generation's lock is held, the catalogue's as well.
 * tik_refresh: does it. Blocks for a race. */
bool tik_is_due(const struct generation_entry *generation, int64_t now_ms);
void tik_refresh(struct service *service, struct generation_entry *generation);

/* tik_narrowed: a grant or a key that this TIK rests on was taken away: an
 * entry of a geo that wants it (evict_on_denied) ends. */
void tik_narrowed(struct service *service, struct generation_entry *generation);
