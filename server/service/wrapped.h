/* wrapped: the usage ledger: which resources' stored keys a generation of a DEP
 * key wraps, and so which resources still need which version of a customer key
 * . An index of records, written in the transaction of the resource it
 * is about; copies that clients keep are not in it (resource_record.wraps is).
 */
#pragma once

#include "server/service/core.h"

/* wrapped_open: builds the index, if this store was last used by a version
 * without it. */
HF_STATUS wrapped_open(struct service *service, struct problem *problem);

/* wrapped_move: the change brings the key of this resource from under one
 * generation (nil: it had none) to where its record says. */
HF_STATUS wrapped_move(struct change *change,
                       const struct resource_record *resource,
                       const struct dep_ref *from);

/* wrapped_forget_earlier: the earlier keys that the record had before this
 * change need their generations no more; `except` is seen to otherwise. */
HF_STATUS wrapped_forget_earlier(struct change *change,
                                 const struct resource_record *before,
                                 const struct dep_ref *except);

/* wrapped_is_left: is a key of a resource that was not purged under a DEP's
 * generation before this one? */
HF_STATUS wrapped_is_left(struct service *service, const struct hf_id *dep,
                          uint32_t before, bool *out_left);

/* wrapped_count: the resources under a DEP: of its generation number, and of
 * every other. */
struct wrapped_counts {
    uint64_t here;
    uint64_t elsewhere;
};
HF_STATUS wrapped_count(struct service *service, const struct hf_id *dep,
                        uint32_t generation, struct wrapped_counts *out);
