/* keys_renew: a resource gets a new key.
 *
 *   RenewKey            the stored key makes room for a new one and stays
 *                       openable, so that the workload can encrypt again
 *   RetireEarlierKeys   it has: the earlier keys are no more, and no generation
 *                       that wrapped them alone is an earlier wrap of a purge
 */
#pragma once

#include "server/service/slow.h"

void keys_renew(struct slow *slow);
void keys_retire(struct slow *slow);
