/* share: whose part of a bounded resource a call is counted in.
 *
 * A tenant may hold at most half of what is bounded for all (calls in flight,
 * queue, threads): its flood, or its outage, leaves the other half to the
 * others. Tenants are counted in SHARES buckets by name. Two in one bucket
 * share a share: the bound is for fairness, not for right or wrong.
 *
 * Pure.
 */
#pragma once

#include <stdint.h>

#define SHARES 256

/* share_of: the bucket, below SHARES. */
uint32_t share_of(const char *tenant);
/* share_half: what one tenant may hold of so many; at least 1. */
uint32_t share_half(uint32_t whole);
