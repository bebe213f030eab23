/* seal_budget: how many more wraps one DEP key may make (crypto.md: AES-GCM
 * with random IVs). Counted in the store in reserved blocks, so that a crash
 * wastes some and never repeats any. */
#pragma once

#include "server/service/core.h"

/* seal_budget_take: room for one more seal under this generation.
 * Returns   HF_OK; HF_E_LIMIT at 2^31 (a new generation is needed); the store's
 *           failures. Blocks once per block of seals. */
HF_STATUS seal_budget_take(struct service *service,
                           struct generation_entry *generation);
