/* mailbox_moves: what the mover does (specification 3.5: M4, M5; to
 * The mover is a client of the tenant that claims work; this
 * only orders it.
 *
 *   claim      the first in the queue, for so long
 *   GenerateKey, and the content encrypted with the key (the mover's affair)
 *   complete   or fail: then it is queued again, behind the others of its
 *              priority, so that one that cannot be moved stops nobody
 *
 * A move that takes longer renews its claim. One that is over was none: its
 * mailbox is queued again in its old place, and whoever comes late with it is
 * refused.
 *
 * Every function here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/service/mailboxes.h"

struct move_claim {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    int64_t claim_ms; /* 0: MOVE_CLAIM_DEFAULT_MS */
    /* to renew this claim of this mailbox; "": the next one in the queue */
    char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    struct hf_id claim;
};

struct move_end {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    struct hf_id claim;
    char ground[GROUND_MAX_BYTES + 1]; /* of a failure; for the audit record */
};

/* mailbox_moves_claim: NOT_FOUND when nothing is queued; to renew:
 * STATE_CONFLICT unless the claim is the one in force. A mailbox that was
 * purged is given to nobody, and leaves the queue. A repeat is answered
 * with the mailbox it claimed; STATE_CONFLICT when that claim has ended. */
HF_STATUS mailbox_moves_claim(struct service *service,
                              const struct caller *caller,
                              const struct move_claim *request,
                              struct mailbox_view *out,
                              struct problem *problem);
/* Both: STATE_CONFLICT unless the claim is the one in force; complete: also
 * while the mailbox has no key. */
HF_STATUS mailbox_moves_complete(struct service *service,
                                 const struct caller *caller,
                                 const struct move_end *request,
                                 struct mailbox_view *out,
                                 struct problem *problem);
HF_STATUS mailbox_moves_fail(struct service *service,
                             const struct caller *caller,
                             const struct move_end *request,
                             struct mailbox_view *out, struct problem *problem);

/* mailbox_moves_alert: an audit record and a line of the log, once, for
 * every mailbox that has waited too long. Returns how many.
 * Blocks    seconds, when many wait. */
size_t mailbox_moves_alert(struct service *service);
