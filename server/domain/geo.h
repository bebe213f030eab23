/* geo: the life of a SharePoint geo (specification 3.4, 8.5, 8.6; S1 to S10).
 *
 *                 register                 all sites done
 *   UNREGISTERED ----------> REGISTERING ------------------> REGISTERED
 *                                 |                           ^  |  ^
 *                                 |          all sites done   |  |  |
 *                                 |   +--------- ROLLING <----|--+  | roll
 *                                 |   |             |         |     |
 *                                 |   +-------------|---------+     |
 *                                 v                 v               |
 *                                 +--- restore --> RECOVERING ------+
 *                                  (recovery open)     all sites done
 *
 * Beside it, while it is REGISTERING, REGISTERED or ROLLING (S7):
 *
 *     customer        an operator       a second operator
 *   NONE ------> REQUESTED ------> ENABLED ------> OPEN --window over--> NONE
 *
 * and an open recovery ends with the restore it was opened for (S9). No rule
 * means no: nothing changes. There is no way back to UNREGISTERED (S10).
 */
#pragma once

#include "hsm/base/status.h"

#include "server/domain/reason.h"
#include "server/domain/types.h"

/* The published numbers. */
enum geo_state {
    GEO_UNREGISTERED = 0,
    GEO_REGISTERING = 1,
    GEO_REGISTERED = 2,
    GEO_ROLLING = 3,
    GEO_RECOVERING = 4,
};

/* How far a recovery has come. Stored. */
enum geo_recovery {
    GEO_RECOVERY_NONE = 0,
    GEO_RECOVERY_REQUESTED = 1, /* by the customer */
    GEO_RECOVERY_ENABLED = 2,   /* by one operator: opens nothing yet */
    GEO_RECOVERY_OPEN = 3,      /* a second one agreed: recovery_enabled */
};

enum geo_event {
    GEO_EV_REGISTER,         /* S1 */
    GEO_EV_SITES_DONE,       /* S2, S4, S9 */
    GEO_EV_ROLL,             /* S3 */
    GEO_EV_REQUEST_RECOVERY, /* S7, in three steps by three people */
    GEO_EV_ENABLE_RECOVERY,
    GEO_EV_CONFIRM_RECOVERY,
    GEO_EV_RESTORE,    /* S8 */
    GEO_EV_UNREGISTER, /* S10 */
};
#define GEO_EVENT_COUNT 8

struct geo_facts {
    enum geo_state state;
    enum geo_recovery recovery; /* as geo_recovery_now sees it */
    bool purge_requested;       /* of the geo's DEP */
    bool took_part; /* who asks has taken a step of this recovery before */
};

struct geo_step {
    enum geo_state next;
    enum geo_recovery recovery;
};

/* geo_next: S1 to S10.
 *
 * Gives     *out_step on HF_OK; *out_reason always.
 * Returns   HF_OK; HF_E_EXISTS ALREADY_REGISTERED; HF_E_PRECONDITION with
 *           GEO_NOT_REGISTERED, ROLL_IN_PROGRESS (S5), RECOVERY_NOT_ENABLED,
 *           SECOND_PERSON_REQUIRED, ROLLBACK_UNSUPPORTED (S10) or
 *           STATE_CONFLICT. */
HF_STATUS geo_next(const struct geo_facts *facts, enum geo_event event,
                   struct geo_step *out_step, enum reason *out_reason);

/* how long a recovery stays open for a restore to begin, by default; and
 * how long a request may wait for the two who open it. */
#define GEO_RECOVERY_WINDOW_MS     (24 * 60 * 60 * 1000LL)
#define GEO_RECOVERY_WINDOW_MAX_MS (7 * GEO_RECOVERY_WINDOW_MS)

/* geo_recovery_now: one whose time is over is none. A restore that has begun
 * goes on to its end (S9); another one needs another recovery. */
enum geo_recovery geo_recovery_now(enum geo_recovery recovery,
                                   int64_t requested_ms, int64_t until_ms,
                                   int64_t now_ms);

const char *geo_state_text(enum geo_state state);
const char *geo_recovery_text(enum geo_recovery recovery);
