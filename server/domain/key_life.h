/* key_life: the life of a customer key in the catalogue, and how well
 * its token protects it.
 *
 *              DELETE                     RETENTION_OVER
 *   ACTIVE -------------> SOFT_DELETED ------------------> GONE
 *      ^                       |
 *      +------- RECOVER -------+
 *
 * A soft-deleted key is invisible to reads and operations, refuses every use,
 * and keeps its name. Nobody can purge it before its time, whatever its token
 * promises: PURGE has no rule in any state. What is GONE never comes back; its
 * name is free. The object in the token is its custodian's and is not touched.
 */
#pragma once

#include "server/domain/types.h"

enum key_state { KEY_ACTIVE = 0, KEY_SOFT_DELETED = 1, KEY_GONE = 2 };
#define KEY_STATE_COUNT 3

enum key_event {
    KEY_EV_DELETE,
    KEY_EV_RECOVER,
    KEY_EV_PURGE, /* asked for, before its time */
    KEY_EV_RETENTION_OVER,
};
#define KEY_EVENT_COUNT 4

/* key_life_next: false: no rule, nothing changes (R-3.13's manner). */
bool key_life_next(enum key_state from, enum key_event event,
                   enum key_state *out_next);
const char *key_state_text(enum key_state state);

/* --- retention ---------------------------------------------------------- */

#define KEY_RETENTION_MIN_DAYS     7
#define KEY_RETENTION_MAX_DAYS     90
#define KEY_RETENTION_DEFAULT_DAYS 90 /* appendix A */

/* key_retention_days: how long a deleted key is kept: what the token's
 * custodian declared, within 7 to 90; the default where no soft delete was
 * declared. */
uint32_t key_retention_days(enum deletion_protection protection,
                            uint32_t declared_days);
/* key_purge_ms: when the retention of what is deleted now will be over. */
int64_t key_purge_ms(int64_t now_ms, uint32_t retention_days);

/* key_life_plan: is the retention over now; else when to look again, INT64_MAX
 * for what waits for nothing. */
struct key_life_plan {
    bool retention_over;
    int64_t next_due_ms;
};
struct key_life_plan key_life_plan(enum key_state state, int64_t purge_ms,
                                   int64_t now_ms);

/* --- recovery level (R-4.10, R-4.11) ------------------------------------ */

enum key_recovery_level {
    RECOVERY_PURGEABLE = 1,
    RECOVERY_RECOVERABLE_PURGEABLE = 2,
    RECOVERY_RECOVERABLE = 3,
    RECOVERY_RECOVERABLE_PROTECTED = 4,
    RECOVERY_CUSTOMIZED_RECOVERABLE_PURGEABLE = 5,
    RECOVERY_CUSTOMIZED_RECOVERABLE = 6,
    RECOVERY_CUSTOMIZED_RECOVERABLE_PROTECTED = 7,
};

/* key_recovery_level_of: of what a token's custodian declared. Less than 7 days
 * of soft delete are none. */
enum key_recovery_level
key_recovery_level_of(enum deletion_protection protection,
                      uint32_t declared_days);
/* The level's known name: "Recoverable+ProtectedSubscription", ... */
const char *key_recovery_level_text(enum key_recovery_level level);
