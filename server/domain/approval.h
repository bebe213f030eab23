/* approval: whose signature counts, and for what (R-9.14, R-13.2, N60).
 *
 * An approval is a signature by a registered officer over one document: its
 * verb, tenant, object, version, nonce and end. It counts once, for that
 * version alone, until the document's end.
 */
#pragma once

#include "server/domain/reason.h"
#include "server/domain/types.h"

/* a customer key that is needed goes if two custodians say so. */
#define APPROVALS_FOR_FORCE 2u

struct approval_facts {
    bool registered; /* the caller is an officer of the tenant now */
    /* registered before what is approved was asked for: nobody names an
     * approver for what is asked already */
    bool registered_before;
    bool is_requester; /* of what is approved */
    bool given;        /* this officer approved this version before */
    bool signature_good;
    uint32_t version; /* the caller's */
    uint32_t current_version;
    int64_t now_ms;
    int64_t expires_ms;
};

/* approval_decide: REASON_NONE, or the first that holds:
 *   APPROVER_REFUSED   not a registered officer, or not in time; the requester
 *   APPROVAL_INVALID   another version; too late; the signature does not fit
 *   STATE_CONFLICT     given already */
enum reason approval_decide(const struct approval_facts *facts);

/* approval_officer_stands: whether he may say anything about it at all: named
 * before it was asked for, and not by asking for it. Also of who lets
 * it go on: a requester who names himself approver later may not. */
bool approval_officer_stands(const struct approval_facts *facts);

/* approval_executor_allowed: who executes has neither asked for it nor
 * approved it. */
bool approval_executor_allowed(bool is_requester, bool is_approver);
