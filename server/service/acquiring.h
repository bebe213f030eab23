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

/* acquired: those who waited go on, with its results if it failed: an attempt
 * is theirs as well. results NULL: it did not fail, or tells them nothing. */
void acquired(struct service *service, struct generation_entry *generation,
              unsigned mask,
              const enum attempt results[HF_CUSTOMER_KEYS_PER_DEP]);
