/* opening_inside: what opening.c and tik_cache.c share. */
#pragma once

#include "server/domain/fallback.h"

#include "server/service/opening.h"
#include "server/service/opening_facts.h"

/* opening_untainted: the lease, or NULL if its token lied to this call: then it
 * is over for everybody. NULL stays NULL. */
struct lease *opening_untainted(struct lease *lease,
                                const struct key_call *call);

/* opening_refuse: with the text that goes with the reason, and no more
 * (R-6.15). */
enum opening opening_refuse(struct key_call *call, enum reason reason);

/* opening_shared_results: what an attempt that this call shared, or made before
 * it was parked, came to: good for the facts it rests on, and never against
 * what is refused now. */
bool opening_shared_results(const struct generation_entry *generation,
                            const struct opening_facts *facts,
                            const struct key_call *call,
                            enum attempt results[HF_CUSTOMER_KEYS_PER_DEP]);

/* opening_by_ak: one operation by the availability key, recorded before its
 * result is used. */
enum opening opening_by_ak(struct service *service,
                           struct generation_entry *generation,
                           const struct opening_facts *facts,
                           struct key_call *call, const enum attempt *results,
                           struct lease **out_lease);
