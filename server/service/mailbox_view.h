/* mailbox_view: a mailbox read and shown, for the use cases about mailboxes. */
#pragma once

#include "server/service/admin.h"
#include "server/service/mailboxes.h"
#include "server/service/resources.h"

void mailbox_name(const struct resource_view *view,
                  char out[RESOURCE_NAME_BYTES]);
void mailbox_fill_view(struct service *service,
                       const struct resource_view *view,
                       struct mailbox_view *out);
/* mailbox_load, mailbox_show: NOT_FOUND as a problem. */
HF_STATUS mailbox_load(const struct admin *admin, const char *id,
                       struct resource_view *out);
HF_STATUS mailbox_show(const struct admin *admin, const char *id,
                       struct mailbox_view *out);

/* mailbox_check_alive: KEY_DESTROYED for one that was purged. */
HF_STATUS mailbox_check_alive(const struct admin *admin,
                              const struct resource_view *view);

/* mailbox_enter_queue: M3: it is QUEUED now, and waits from now on. */
void mailbox_enter_queue(struct resource_record *record, int64_t now_ms);
/* mailbox_leave_queue: it waits for nothing any more, or not again yet. */
void mailbox_leave_queue(struct resource_record *record);
/* mailbox_move_facts: of its claim, by whoever holds this one. */
struct move_claim_facts mailbox_move_facts(struct service *service,
                                           const struct resource_record *record,
                                           const struct hf_id *claim);
/* mailbox_overdue, now. */
struct move_overdue_plan mailbox_overdue(struct service *service,
                                         const struct resource_record *record);
