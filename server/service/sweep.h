/* sweep: the step of operations that bring the keys of many resources where
 * they should be: a walk over a tenant's resources of one type, in the order of
 * their keys, a bounded number at a time, from where the last step ended. What
 * cannot be moved now is counted and comes again with the next walk.
 */
#pragma once

#include "server/service/operations.h"
#include "server/service/resources.h"

/* Is this one to be dealt with? */
typedef bool sweep_wants_fn(const struct resource_view *view,
                            const struct operation_record *operation);

/* For type: resources of every type. */
#define SWEEP_EVERY_TYPE ((enum resource_type)0)

void sweep_resources(struct operation_step *step, enum resource_type type,
                     sweep_wants_fn *wants);
/* sweep_resources_of: the same over those of a part of them: only they count
 * towards done and total. */
void sweep_resources_of(struct operation_step *step, enum resource_type type,
                        sweep_wants_fn *is_part, sweep_wants_fn *wants);
/* sweep_count: resources of the type; for an operation's total. */
HF_STATUS sweep_count(struct service *service,
                      const struct tenant_entry *tenant,
                      enum resource_type type, uint64_t *out_count);
