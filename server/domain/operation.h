/* operation: a long-running operation.
 *
 *                   all done
 *   RUNNING -------------------------> SUCCEEDED
 *      |  \---- cannot go on --------> FAILED
 *      |
 *      +-- cancel, where the kind allows it --> CANCELLED
 *
 * What has ended stays as it ended. A cancelled operation keeps what it did:
 * every step of one leaves everything openable.
 */
#pragma once

#include "hsm/base/status.h"

#include "server/domain/reason.h"
#include "server/domain/types.h"

enum operation_state {
    OPERATION_RUNNING = 1,
    OPERATION_SUCCEEDED = 2,
    OPERATION_FAILED = 3,
    OPERATION_CANCELLED = 4,
};

/* word, stored number, may be cancelled, name for people */
#define OPERATION_KIND_TABLE(X)                                                \
    X(REWRAP, 1, true, "rewrap")                                               \
    X(REFRESH, 2, false, "refresh")                                            \
    X(REPLACE, 3, false, "replace")                                            \
    X(ASSIGN_TENANT, 6, false, "assign-tenant")                                \
    X(OFFBOARD_TENANT, 7, false, "offboard-tenant")                            \
    X(ROLL_AVAILABILITY_KEY, 4, false, "roll-availability-key")                \
    X(ROLL_SERVICE_MANAGED, 5, false, "roll-service-managed-key")              \
    X(REGISTER_GEO, 8, false, "register-geo")                                  \
    X(ROLL_GEO, 9, false, "roll-geo")                                          \
    X(RESTORE_GEO, 10, false, "restore-geo")                                   \
    X(PURGE, 11, false, "purge")                                               \
    X(DELETE_TENANT, 12, false, "delete-tenant")

enum operation_kind {
#define X(word, number, may_cancel, text) OPERATION_##word = (number),
    OPERATION_KIND_TABLE(X)
#undef X
};

enum operation_event {
    OPERATION_EV_FINISH,
    OPERATION_EV_FAIL,
    OPERATION_EV_CANCEL,
};
#define OPERATION_EVENT_COUNT 3

/* operation_next: HF_OK and *out_next; HF_E_PRECONDITION, STATE_CONFLICT, for
 * what has ended; OPERATION_NOT_CANCELLABLE. */
HF_STATUS operation_next(enum operation_kind kind, enum operation_state state,
                         enum operation_event event,
                         enum operation_state *out_next,
                         enum reason *out_reason);

/* operation_percent: of done out of total, never below before, and 100 only for
 * what has succeeded. */
uint32_t operation_percent(enum operation_state state, uint64_t done,
                           uint64_t total, uint32_t before);

bool operation_kind_is_known(int kind);
const char *operation_kind_text(enum operation_kind kind);
const char *operation_state_text(enum operation_state state);

/* operation_pause_ms: how long one that is age_ms old waits before it looks
 * again at what it waits for: longer and longer. */
int64_t operation_pause_ms(int64_t age_ms, int64_t min_ms, int64_t max_ms);
