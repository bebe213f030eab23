/* purge_evidence: are the customer keys of a DEP out of use, by attempts made
 * now (T8, R-9.11, R-15.16). */
#pragma once

#include "server/service/admin.h"

/* What the evidence rests on, as it was when it was gathered; all zero:
 * nothing.
 */
struct purge_ground {
    struct stamp dep; /* its state and generation */
    /* by what the catalogue says: nobody may use this version any more */
    bool withdrawn[DEP_GENERATIONS_MAX][HF_CUSTOMER_KEYS_PER_DEP];
};

/* purge_evidence_check: every customer key version of every generation.
 * Gives     *out_ground.
 * Returns   HF_OK; else *problem: KEYS_STILL_USABLE, KEY_UNAVAILABLE.
 * Blocks    an attempt each. */
HF_STATUS purge_evidence_check(const struct admin *admin,
                               const struct dep_entry *dep, bool force,
                               struct purge_ground *out_ground);
/* purge_evidence_stands: nothing of it was taken back since: no grant, no key
 * in use again, no other generation. record_lock is held. */
bool purge_evidence_stands(struct service *service, const struct dep_entry *dep,
                           const struct purge_ground *ground);
