/* encrypted: which of the mailboxes that are assigned to a DEP are encrypted
 * under it: so that GetDep counts them and does not read them. An
 * index of records, written in the transaction of the mailbox it is about. */
#pragma once

#include "server/service/core.h"

/* encrypted_open: builds the index, if this store was last used by a version
 * without it. */
HF_STATUS encrypted_open(struct service *service, struct problem *problem);

/* encrypted_under: the DEP, of whichever generation, that the mailbox is
 * assigned to and encrypted under, and not on its way there; nil: none. */
struct hf_id encrypted_under(const struct resource_record *resource);

/* encrypted_move: the change brings the mailbox from where it was counted (nil:
 * nowhere) to where its record says. */
HF_STATUS encrypted_move(struct change *change,
                         const struct resource_record *resource,
                         const struct hf_id *from);

/* encrypted_count: of those assigned to the DEP, at one moment. */
struct encrypted_counts {
    uint64_t assigned;
    uint64_t encrypted;
};
HF_STATUS encrypted_count(struct service *service, const struct hf_id *dep,
                          struct encrypted_counts *out);
