/* change: what one transaction writes. The ledger's own; use cases see it as
 * struct change (ledger.h). */
#pragma once

#include "server/service/ledger.h"

#define CHANGE_STEPS_MAX  16
#define CHANGE_AUDITS_MAX 4

struct change_step {
    bool removing; /* record: kind, key and version */
    struct record record;
    struct stamp current; /* what it replaces */
    struct stamp *out_next;
};

struct change {
    struct change_step *steps;
    size_t step_count;
    struct audit_link *audits;
    size_t audit_count;
    bool sealed; /* holds a sealed record: an epoch goes with it */
};
