/* held: which generations of the service-managed root a client's wrap of a key
 * that is stored nowhere may need (WrapKey, R-15.1): a root that goes takes
 * such a key with it for ever, so a roll keeps it. An index of records,
 * of the service-managed root alone: no other is destroyed but by a purge.
 *
 * A line is written in the transaction of its resource, before the wrap is
 * handed out, and is never taken away: it counts as long as the generation is
 * among the resource's wraps, which RetireEarlierKeys and DeleteResource end.
 */
#pragma once

#include "server/service/core.h"

/* held_open: begins the index, if this store was last used by a version without
 * it. Of generations of before it nothing is known: they count as needed. */
HF_STATUS held_open(struct service *service, struct problem *problem);

/* held_is_noted: is there a line, or is none needed? */
HF_STATUS held_is_noted(struct service *service,
                        const struct generation_entry *generation,
                        const struct resource_record *resource,
                        bool *out_noted);
/* held_note: adds the line to the change of the resource. */
HF_STATUS held_note(struct change *change,
                    const struct generation_entry *generation,
                    const struct resource_record *resource);

/* held_is_needed: may a client still need this generation? What is purged opens
 * under no root, and needs none. */
HF_STATUS held_is_needed(struct service *service,
                         const struct generation_entry *generation,
                         bool *out_needed);
