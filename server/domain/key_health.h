/* key_health: how a customer key last answered, from live traffic and
 * from probes alike.
 *
 * It knows what tokens said, not what the catalogue says: a key that is
 * disabled, or that nobody may unwrap with any more, is DENIED without a token
 * being asked, and key_health_attempt is told so (R-6.13: a revocation must be
 * visible).
 */
#pragma once

#include "server/domain/fallback.h"

/* As on the wire. */
enum key_health_state {
    KEY_HEALTH_UNKNOWN = 0, /* never tried since the service started */
    KEY_HEALTH_OK = 1,
    KEY_HEALTH_TRANSIENT = 2,
    KEY_HEALTH_DENIED = 3,
};
#define KEY_HEALTH_STATE_COUNT 4

/* All zero: never tried. Times are wall clock, 0: never. */
struct key_health {
    enum key_health_state state;
    int64_t last_success_ms;
    int64_t last_failure_ms;
};

/* key_health_note: what an attempt came to.
 *   OK                 OK
 *   DENIED, MISSING    DENIED: users are refused
 *   TRANSIENT          TRANSIENT
 *   BAD_BLOB           OK, with a failure: the key answered, the blob is bad,
 *                      and one DEP's damage is no fault of another's key
 *   OURS               nothing: the token was not asked
 * Returns   whether the state is another than before. */
bool key_health_note(struct key_health *health, enum attempt attempt,
                     int64_t now_ms);

/* key_health_attempt: the class dep_health_of is asked with. may_be_used: the
 * key is enabled and somebody may unwrap with it. A key never tried counts as
 * OK: it passed validation, and the first probe comes at start. */
enum attempt key_health_attempt(const struct key_health *health,
                                bool may_be_used);

const char *key_health_text(enum key_health_state state);
