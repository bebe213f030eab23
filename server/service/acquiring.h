/* acquiring: one opening of a DEP key at a time for each set of keys a caller
 * may use; who comes meanwhile is parked, holds no thread, and goes on when it
 * is done.
 */
#pragma once

#include "server/domain/fallback.h"

#include "server/service/keys.h"
#include "server/service/leases.h"

/* acquire_or_park: true: this call is the one that opens, and must call
 * acquired. False: it was parked: do not touch it. mask: the keys it may use,
 * below 4. */
bool acquire_or_park(struct generation_entry *generation, unsigned mask,
                     struct key_call *call);

/* acquired: those who waited go on. failed: the call whose attempt failed, and
 * whose results are theirs as well; NULL: it did not fail, or tells them
 * nothing. */
void acquired(struct service *service, struct generation_entry *generation,
              unsigned mask, const struct key_call *failed);

/* key_call_keep_results: what the attempts of this call came to, so that it
 * makes no others. Nothing is kept of an attempt that failed by our own
 * trouble: that is this call's alone (its deadline, say). */
void key_call_keep_results(
    struct key_call *call, const struct generation_entry *generation,
    uint64_t revision, const enum attempt results[HF_CUSTOMER_KEYS_PER_DEP]);
