/* mailbox_move: how a mailbox that is not encrypted at application level gets
 * to be (specification 3.5: M3, M4, M5, M9; 5.2).
 *
 *                 assign(dep)          claim           complete, has a key
 *   UNENCRYPTED -------------> QUEUED ------> MOVING -------------------> NONE
 *      ^  ^                    |    ^          |  |
 *      |  +---- assign(none) --+    +- failed -+  | failed, and by then
 *      +------------------------------------------+ assigned to none
 *
 *                a key is made
 *   ON_ARRIVAL -----------------> NONE
 *
 *            arrive                          leave
 *   ON_ARRIVAL ------> UNENCRYPTED   UNENCRYPTED, QUEUED -----> ON_ARRIVAL
 *
 * NONE is a mailbox with nothing to move: what mailbox.h says holds. ON_ARRIVAL
 * is a mail user who has not migrated: assigning is recorded, and the content
 * is encrypted as it comes (M9, R-5.17); one who has migrated without a key is
 * not encrypted. A running move goes on whatever is assigned meanwhile: it is
 * not preempted. Only a move makes the key of an unencrypted mailbox
 * . No rule means no: HF_E_PRECONDITION and nothing changes.
 */
#pragma once

#include "hsm/base/status.h"

#include "server/domain/reason.h"
#include "server/domain/types.h"

enum mailbox_move {
    MOVE_NONE = 0,
    MOVE_UNENCRYPTED = 1,
    MOVE_ON_ARRIVAL = 2,
    MOVE_QUEUED = 3,
    MOVE_MOVING = 4,
};

enum mailbox_move_event {
    MOVE_EV_ASSIGN,   /* to a DEP */
    MOVE_EV_UNASSIGN, /* to none */
    MOVE_EV_CLAIM,    /* by the mover */
    MOVE_EV_COMPLETE, /* by the mover */
    MOVE_EV_RETURN,   /* the move failed or timed out */
    MOVE_EV_DROP,     /* the same, and the mailbox is assigned to none */
    MOVE_EV_KEY,      /* a key is made for the mailbox */
    MOVE_EV_RENEW,    /* by the mover: it goes on */
    MOVE_EV_ARRIVE,   /* a mail user has migrated */
    MOVE_EV_LEAVE,    /* a mailbox has become a mail user's */
};
#define MOVE_EVENT_COUNT 10

/* mailbox_move_new: where a mailbox begins.
 * mailbox_move_next:
 * Gives     *out_next on HF_OK; untouched otherwise.
 * Returns   HF_OK; HF_E_PRECONDITION: no rule. */
enum mailbox_move mailbox_move_new(enum mailbox_kind kind, bool encrypted);
HF_STATUS mailbox_move_next(enum mailbox_move from,
                            enum mailbox_move_event event,
                            enum mailbox_move *out_next);

/* The queue: by priority, then by age. */
enum move_priority {
    MOVE_REGULAR = 1, /* onboarding */
    MOVE_LOW = 2,     /* internal moves */
};

/* A mover holds a mailbox for so long; after it the mailbox is queued again. */
#define MOVE_CLAIM_MIN_MS     60000LL
#define MOVE_CLAIM_DEFAULT_MS (24LL * 3600 * 1000)
#define MOVE_CLAIM_MAX_MS     (7 * MOVE_CLAIM_DEFAULT_MS)
/* move_claim_check: what the mover says of the claim it holds.
 * Returns   HF_OK; HF_E_PRECONDITION, STATE_CONFLICT: not being moved, claimed
 *           by another one since, timed out, or, to complete, without a key. */
struct move_claim_facts {
    enum mailbox_move move;
    bool is_holder; /* the claim is the one in force */
    bool has_key;
    int64_t claim_ends_ms;
    int64_t now_ms;
};
bool move_claim_is_over(const struct move_claim_facts *facts);
HF_STATUS move_claim_check(const struct move_claim_facts *facts,
                           enum mailbox_move_event event,
                           enum reason *out_reason);

/* move_overdue: a mailbox that was assigned waits too long to be
 * encrypted. An alert is raised once; after a mailbox has left the queue and
 * come again, once more.
 *
 * Takes     waits_since_ms: when it was first queued for what it waits for.
 * Gives     next_due_ms: when to look again; INT64_MAX: no need. */
#define MOVE_OVERDUE_DEFAULT_MS (7LL * 24 * 3600 * 1000)
struct move_overdue_facts {
    enum mailbox_move move;
    int64_t waits_since_ms;
    int64_t limit_ms;
    bool alerted;
    int64_t now_ms;
};
struct move_overdue_plan {
    bool overdue;
    bool alert; /* now */
    int64_t next_due_ms;
};
struct move_overdue_plan move_overdue(const struct move_overdue_facts *facts);

const char *mailbox_move_text(enum mailbox_move move);
const char *move_priority_text(enum move_priority priority);
