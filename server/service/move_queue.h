/* move_queue: the moves of a tenant in the order in which they are served
 * and those that run: an index of records, written in the transaction
 * of the mailbox it is about. */
#pragma once

#include "server/service/resources.h"

/* move_queue_put: the change brings the mailbox's line from where it was to
 * where its record says. */
HF_STATUS move_queue_put(struct change *change,
                         const struct resource_record *resource,
                         const struct move_line *from);

/* move_queue_next: the next line behind the cursor's; all zero: the first.
 * move_queue_load: the mailbox it is of; a line that leads nowhere is
 * HF_E_CORRUPT. */
struct move_cursor {
    struct record_key line;
    struct record_key resource;
};
HF_STATUS move_queue_next(struct service *service, struct bytes prefix,
                          struct move_cursor *cursor);
HF_STATUS move_queue_load(struct service *service, struct tenant_entry *tenant,
                          const struct move_cursor *cursor,
                          struct resource_view *out);

/* move_queue_first: of a tenant's that are queued the one to be served next; of
 * those that run the one whose claim ends first. move_queue_claimed: the one
 * that this claim holds.
 * Gives     *out, loaded.
 * Returns   HF_OK; HF_E_NOT_FOUND: none; HF_E_CORRUPT; the store's failures. */
HF_STATUS move_queue_first(struct service *service, struct tenant_entry *tenant,
                           enum mailbox_move move, struct resource_view *out);
HF_STATUS move_queue_claimed(struct service *service,
                             struct tenant_entry *tenant,
                             const struct hf_id *claim,
                             struct resource_view *out);
