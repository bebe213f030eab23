/* purge_evidence: are the customer keys of a DEP out of use, by attempts made
 * now (T8, R-9.11, R-15.16). */
#pragma once

#include "server/service/admin.h"

/* purge_evidence_check: every customer key version of every generation.
 * Returns   HF_OK; else *problem: KEYS_STILL_USABLE, KEY_UNAVAILABLE.
 * Blocks    an attempt each. */
HF_STATUS purge_evidence_check(const struct admin *admin,
                               const struct dep_entry *dep, bool force);
