/* purge: how a mailbox DEP ends (specification 3.2 T8 to T11, 9.3), and a whole
 * tenant with every DEP of every type.
 *
 *            approve (enough)     execute        hold is over
 *   REQUESTED ---------> APPROVED ------> HOLDING -----------> TOMBSTONING
 *    |  ^ ^                |  pause, resume: here                 | all marked
 *    |  | |                |                                      v
 *    |  +-+-- renew: a new document                  +------> DESTROYING
 *    | cancel                                        |            | none found
 *    v                                               | some left  v
 *   CANCELLED                                        +------- VERIFYING
 *                                                                 | verified
 *                                PURGED <--- all forgotten --- FORGETTING
 *
 * What each step of it does is the service's (purge_steps); each may run twice.
 * Up to and with HOLDING everything can still be opened. No rule means no:
 * HF_E_PRECONDITION and nothing changes. There is no way back from
 * TOMBSTONING on, and no event that skips a step.
 */
#pragma once

#include "hsm/base/status.h"

#include "server/domain/reason.h"
#include "server/domain/types.h"

enum purge_phase { /* stored: never reuse a number */
                   PURGE_REQUESTED = 1,
                   PURGE_APPROVED = 2,
                   PURGE_HOLDING = 3,
                   PURGE_TOMBSTONING = 4,
                   PURGE_DESTROYING = 5,
                   PURGE_VERIFYING = 6,
                   PURGE_FORGETTING = 7,
                   PURGE_PURGED = 8,
                   PURGE_CANCELLED = 9,
};

enum purge_event {
    PURGE_EV_RENEW,      /* a new document, for a new list or time */
    PURGE_EV_APPROVE,    /* one more valid approval */
    PURGE_EV_CANCEL,     /* T9 */
    PURGE_EV_EXECUTE,    /* T10 */
    PURGE_EV_PAUSE,      /* */
    PURGE_EV_RESUME,     /* */
    PURGE_EV_HOLD_OVER,  /* */
    PURGE_EV_TOMBSTONED, /* M8: every resource of it is marked */
    PURGE_EV_DESTROYED,  /* no object of it is found in the token */
    PURGE_EV_LEFT,       /* a fresh process found one all the same */
    PURGE_EV_VERIFIED,   /* a fresh process found none */
    PURGE_EV_FORGOTTEN,  /* the wrapped copies are gone: T11 */
};
#define PURGE_EVENT_COUNT 12

struct purge_facts {
    enum purge_phase phase;
    bool paused;
    uint32_t approvals; /* valid ones, with the one that is being given */
    uint32_t approvals_needed;
    bool earlier_open; /* an earlier wrap nobody accepted */
    bool has_strays;   /* resources that would lose their key unasked */
    int64_t now_ms;
    int64_t hold_until_ms;
    int64_t expires_ms; /* the document's end */
};

struct purge_next {
    enum purge_phase phase;
    bool paused;
};

/* purge_step_next: HF_OK and *out_next; HF_E_PRECONDITION with *out_reason:
 *   STATE_CONFLICT   no such rule; paused; an approval is recorded (T9)
 *   APPROVAL_INVALID execute: the document that was approved has ended
 *   EARLIER_WRAPS    execute
 *   DEP_IN_USE       execute, hold over, tombstoned: resources are wrapped
 *                    under the DEP that are to be elsewhere
 *   HOLD_RUNNING     hold over: not yet
 * *out_next is untouched when refused. */
HF_STATUS purge_step_next(const struct purge_facts *facts,
                          enum purge_event event, struct purge_next *out_next,
                          enum reason *out_reason);

/* purge_is_open: neither done nor cancelled. purge_is_ending: its hold is over:
 * there is no way back, and nothing new comes under what ends.
 * purge_is_running: it was executed, and is not done. purge_is_closed: from
 * here on the DEP's keys serve nobody any more. */
bool purge_is_open(enum purge_phase phase);
bool purge_is_ending(enum purge_phase phase);
bool purge_is_running(enum purge_phase phase);
bool purge_is_closed(enum purge_phase phase);
const char *purge_phase_text(enum purge_phase phase);

/* T8: what attempts made now at the customer keys came to. */
struct purge_evidence {
    uint32_t usable;    /* keys that opened the DEP key, or answered */
    uint32_t denied;    /* keys that are refused, or gone for certain */
    uint32_t uncertain; /* keys whose vault did not answer, or did not know */
    uint32_t unasked;   /* by our own trouble: never evidence */
    bool force;         /* the vault itself is gone */
};
/* purge_evidence_decide: REASON_NONE; KEYS_STILL_USABLE; KEY_UNAVAILABLE. */
enum reason purge_evidence_decide(const struct purge_evidence *evidence);
/* purge_hold_until: the hold lies behind the approval, and as much of
 * it behind the execution: whoever may pause it sees it begin. */
int64_t purge_hold_until(int64_t approved_until_ms, int64_t executed_ms,
                         int64_t hold_ms);
/* purge_approvals_needed: force, and the end of a tenant,
 * need a quorum. */
uint32_t purge_approvals_needed(bool force, bool of_tenant);

/* Who a resource is to a purge of its DEP. */
struct purge_resource {
    bool assigned;  /* to the DEP */
    bool effective; /* its stored key is wrapped by the DEP */
};
enum purge_part {
    PURGE_NO_PART = 0,
    PURGE_MARKED = 1, /* it is the DEP's: it goes with it (M8) */
    /* it is to be elsewhere and not there yet: destroying the DEP's keys would
     * lose it unasked */
    PURGE_STRAY = 2,
};
enum purge_part purge_part_of(const struct purge_resource *resource);
