/* scrub: the slow daily look at what is stored (crypto.md): each copy of each
 * DEP key opens to the key that sealed the commitment, the one of the
 * availability key inside its token. A key that cannot be reached is no
 * finding; a copy that does not open is.
 */
#pragma once

#include "server/service/core.h"

/* What became of one round. */
struct scrub_result {
    uint64_t generations;
    uint64_t copies; /* that opened */
    uint64_t bad;    /* that do not */
    uint64_t unseen; /* their root did not answer, or refused */
};

/* scrub_run: every generation that is not retired, one after the other; one
 * audit record for each, "Scrub", as no fallback. Blocks for as long as it
 * takes; on a thread of the pool. */
void scrub_run(struct service *service, struct scrub_result *out);
