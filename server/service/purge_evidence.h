/* purge_evidence: are the customer keys of a DEP out of use, by attempts made
 * now (T8, R-9.11, R-15.16). */
#pragma once

#include "server/service/core.h"

/* purge_evidence_gather: every customer key version of every generation.
 * Blocks: an attempt each. */
void purge_evidence_gather(struct service *service, const struct dep_entry *dep,
                           struct purge_evidence *out);
