/* fallback: may the availability key open this DEP key? Tables 6-A and 6-B.
 *
 * A total function: every pair of results, either order, either initiator, has
 * one answer. It cannot reach a key, a clock or a token.
 */
#pragma once

#include "hsm/base/status.h"

#include "server/domain/reason.h"
#include "server/domain/types.h"

/* The result of one attempt at one customer key. */
enum attempt {
    ATTEMPT_OK,
    ATTEMPT_DENIED,
    ATTEMPT_TRANSIENT,
    ATTEMPT_BAD_BLOB,
    ATTEMPT_MISSING, /* not there, not confirmed */
    ATTEMPT_OURS,    /* the token was not reached by our own fault */
};
#define ATTEMPT_COUNT 6

/* attempt_of: table 6-A, from the status of the token port (hsm/token/token.h).
 * A status the port does not promise is ATTEMPT_OURS. */
enum attempt attempt_of(enum hf_status status);
const char *attempt_text(enum attempt attempt);

struct fallback_facts {
    enum attempt results[2]; /* neither ATTEMPT_OK */
    enum initiator initiator;
    enum dep_type dep_type;
    enum ak_state ak_state;
    bool purge_requested; /* from then on USER never gets the AK */
    int64_t limit_ms;     /* of USER in an outage; 0: none */
    int64_t outage_ms;    /* how long this outage has lasted */
};

struct fallback_verdict {
    bool use_ak;
    enum reason reason; /* when not use_ak */
    bool alert;         /* BAD_BLOB and OURS: a person must look */
    bool outage; /* use_ak, because both customer keys are out of reach */
};

/* fallback_decide: table 6-B with the row of above all others, and
 * AK destroyed and SHAREPOINT_GEO before the rest. */
struct fallback_verdict fallback_decide(const struct fallback_facts *facts);

/* fallback_on_ak_failure: the availability key was to be used and failed. */
enum reason fallback_on_ak_failure(enum hf_status status);

/* dep_health, from what is known of the two keys. */
enum dep_health {
    HEALTH_HEALTHY = 1,
    HEALTH_DEGRADED = 2,
    HEALTH_FALLBACK = 3,
    HEALTH_UNHEALTHY = 4,
    HEALTH_DESTROYED = 5,
};
enum dep_health dep_health_of(enum attempt ck1, enum attempt ck2,
                              enum ak_state ak_state);
