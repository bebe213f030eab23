/* mailbox: assigned and effective are two facts (specification 3.5, 5.2).
 *
 *   assigned   what the administrator set (a DEP, or none)
 *   effective  what the stored mailbox key is wrapped by
 *
 *                    assign(dep)                    access
 *   service-managed ------------> REWRAP_PENDING ----------> ENCRYPTED(dep)
 *        ^                          ^   |  ^                    |   |
 *        |  access                  |   |  +---- assign(b) -----+   |
 *        +--------------------------+---+  <---- assign(none) ------+
 *
 * M1, M2, M6, M7, and M8: a purge of its DEP marks it, and that is its end. M3
 * to M5 and M9 are in mailbox_move.h. Precedence: mailbox DEP, then the
 * multi-workload DEP of the tenant, then service-managed.
 */
#pragma once

#include "hsm/base/status.h"

#include "server/domain/mailbox_move.h"
#include "server/domain/reason.h"
#include "server/domain/types.h"

enum mailbox_state {
    MAILBOX_KEYLESS = 1, /* registered, no key generated yet */
    MAILBOX_SERVICE_MANAGED = 2,
    MAILBOX_REWRAP_PENDING = 3,
    MAILBOX_ENCRYPTED = 4,
    /* not encrypted at application level: see mailbox_move.h */
    MAILBOX_NOT_ENCRYPTED = 5,
    MAILBOX_ON_ARRIVAL = 6, /* a mail user who has not migrated (M9) */
    MAILBOX_MOVE_QUEUED = 7,
    MAILBOX_MOVING = 8,
    MAILBOX_PURGE_MARKED = 9, /* M8: tombstoned; unrecoverable */
};

/* A DEP and its generation; a nil id is "none". */
struct dep_ref {
    struct hf_id dep;
    uint32_t generation;
};

struct mailbox_facts {
    bool purged; /* M8 */
    bool has_key;
    struct dep_ref effective;     /* wrapped by; nil: no key */
    struct hf_id service_managed; /* the tenant's built-in DEP */
    /* where it should be: the newest generation of its home */
    struct dep_ref wanted;
    enum mailbox_move move; /* what it is in, until it has been encrypted */
};

enum mailbox_state mailbox_state_of(const struct mailbox_facts *facts);
/* mailbox_needs_rewrap: on the next access. */
bool mailbox_needs_rewrap(const struct mailbox_facts *facts);
/* home_of: which DEP the key of a resource should be under: precedence, R-5.6.
 * assigned: it is assigned to a DEP of its own; multi_workload: its tenant is
 * assigned to one. A site knows no multi-workload DEP. */
enum home {
    HOME_ASSIGNED = 1,
    HOME_MULTI_WORKLOAD = 2,
    HOME_SERVICE_MANAGED = 3
};
enum home home_of(enum resource_type type, bool assigned, bool multi_workload);

/* mailbox_may_assign. Assigning none is always allowed.
 * Returns   HF_OK; HF_E_PRECONDITION with *out_reason LICENCE_REQUIRED or
 *           DEP_NOT_ENABLED; HF_E_NOT_FOUND for a DEP that is no mailbox DEP.
 */
struct mailbox_assign_facts {
    enum mailbox_kind kind;
    bool licensed;        /* the mailbox itself: users and mail users */
    bool tenant_licensed; /* its tenant: all other kinds */
    bool assigning_none;
    enum dep_type dep_type;
    enum dep_state dep_state;
};
/* mailbox_is_licensed: users and mail users need a licence each; the
 * others live on the tenant's. */
bool mailbox_is_licensed(enum mailbox_kind kind, bool licensed,
                         bool tenant_licensed);
HF_STATUS mailbox_may_assign(const struct mailbox_assign_facts *facts,
                             enum reason *out_reason);
const char *mailbox_state_text(enum mailbox_state state);
const char *mailbox_kind_text(enum mailbox_kind kind);
