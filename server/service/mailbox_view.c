#include "server/service/mailbox_view.h"

#include <stdlib.h>
#include <string.h>

void mailbox_name(const struct resource_view *view,
                  char out[RESOURCE_NAME_BYTES])
{
    resource_name(view->tenant->record.name, RESOURCE_MAILBOX, view->record.id,
                  out);
}

void mailbox_enter_queue(struct resource_record *record, int64_t now_ms)
{
    record->priority = MOVE_REGULAR;
    record->queued_ms = now_ms;
    record->waits_since_ms = now_ms;
}

void mailbox_leave_queue(struct resource_record *record)
{
    record->priority = (enum move_priority)0;
    record->queued_ms = 0;
    record->waits_since_ms = 0;
    record->overdue_alerted = false;
}

struct move_claim_facts mailbox_move_facts(struct service *service,
                                           const struct resource_record *record,
                                           const struct hf_id *claim)
{
    return (struct move_claim_facts){
        .move = record->move,
        .is_holder = id_equal(&record->claim, claim),
        .has_key = record->envelope_len > 0,
        .claim_ends_ms = record->claim_ends_ms,
        .now_ms = service_wall_ms(service),
    };
}

struct move_overdue_plan mailbox_overdue(struct service *service,
                                         const struct resource_record *record)
{
    int64_t limit_ms = service->settings.encryption_overdue_ms;
    const struct move_overdue_facts facts = {
        .move = record->move,
        .waits_since_ms = record->waits_since_ms,
        .limit_ms = limit_ms > 0 ? limit_ms : MOVE_OVERDUE_DEFAULT_MS,
        .alerted = record->overdue_alerted,
        .now_ms = service_wall_ms(service),
    };
    return move_overdue(&facts);
}

/* A claim that is over holds nothing, whoever has seen to it so far. */
static enum mailbox_move move_now(struct service *service,
                                  const struct resource_record *record)
{
    const struct move_claim_facts facts =
        mailbox_move_facts(service, record, &record->claim);
    enum mailbox_move now = record->move;
    if (move_claim_is_over(&facts)) {
        HF_IGNORE(mailbox_move_next(record->move,
                                    id_is_nil(&record->assigned)
                                        ? MOVE_EV_DROP
                                        : MOVE_EV_RETURN,
                                    &now),
                  "a move that runs has a rule for both");
    }
    return now;
}

void mailbox_fill_view(struct service *service,
                       const struct resource_view *view,
                       struct mailbox_view *out)
{
    struct mailbox_facts facts = view->facts;
    memset(out, 0, sizeof *out);
    memcpy(out->tenant, view->tenant->record.name, sizeof out->tenant);
    out->record = view->record;
    facts.move = move_now(service, &view->record);
    out->state = mailbox_state_of(&facts);
    out->overdue =
        !facts.purged && mailbox_overdue(service, &view->record).overdue;
    out->service_managed = view->tenant->record.service_managed;
    out->effective_is_service_managed = id_equal(
        &view->record.effective.dep, &view->tenant->record.service_managed);
    etag_write(&view->stamp, out->etag);
}

HF_STATUS mailbox_load(const struct admin *admin, const char *id,
                       struct resource_view *out)
{
    enum hf_status status =
        resource_load(admin->service, admin->tenant, RESOURCE_MAILBOX, id, out);
    if (status == HF_E_NOT_FOUND) {
        return problem_set(admin->problem, REASON_NOT_FOUND, "no such mailbox");
    }
    return problem_of_status(admin->problem, status);
}

HF_STATUS mailbox_check_alive(const struct admin *admin,
                              const struct resource_view *view)
{
    return view->facts.purged
               ? problem_set(admin->problem, REASON_KEY_DESTROYED,
                             "this mailbox was purged: its keys are destroyed")
               : HF_OK;
}

HF_STATUS mailbox_show(const struct admin *admin, const char *id,
                       struct mailbox_view *out)
{
    struct resource_view *view = malloc(sizeof *view);
    if (view == NULL) {
        return problem_of_status(admin->problem, HF_E_NO_MEMORY);
    }
    enum hf_status status = mailbox_load(admin, id, view);
    if (status == HF_OK) {
        mailbox_fill_view(admin->service, view, out);
    }
    free(view);
    return status;
}
