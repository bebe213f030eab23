#include "server/service/mailbox_moves.h"

#include "hsm/sys/log.h"

#include "server/service/mailbox_view.h"
#include "server/service/move_queue.h"
#include "server/service/rows.h"

#include <stdlib.h>
#include <string.h>

/* Moves race with keys being rewrapped: read again and decide again. */
#define RACES_MAX 5
/* Claims that were over, looked after in one call; the rest in the next. */
#define RETURNS_MAX 64

/* --- claims that are over ------------------------------------------------- */

static HF_STATUS leave_claim(struct resource_record *record)
{
    const struct hf_id none = {{0}};
    bool dropped = id_is_nil(&record->assigned);
    HF_TRY(mailbox_move_next(
        record->move, dropped ? MOVE_EV_DROP : MOVE_EV_RETURN, &record->move));
    record->claim = none;
    record->claim_ends_ms = 0;
    if (dropped) {
        mailbox_leave_queue(record);
    }
    return HF_OK;
}

/* What the service does to a mailbox by itself. */
static HF_STATUS record_own(struct service *service,
                            const struct resource_view *view,
                            const char *activity)
{
    char object[RESOURCE_NAME_BYTES];
    struct stamp next;
    HF_OWNED(change_freep) struct change *change = NULL;
    const struct audit_entry entry = {
        .activity = activity,
        .tenant = view->record.tenant,
        .object = object,
    };
    mailbox_name(view, object);
    HF_TRY(change_new(&change));
    HF_TRY(resource_put(view, change, &next));
    HF_TRY(audit_change(service, change, &entry));
    HF_TRY(ledger_commit(service->ledger, change));
    rows_put(service, &view->record, &next);
    return HF_OK;
}

/* record_lock is held. */
static HF_STATUS return_overdue_claims(const struct admin *admin,
                                       struct resource_view *view)
{
    struct service *service = admin->service;
    for (int i = 0; i < RETURNS_MAX; i++) {
        enum hf_status status =
            move_queue_first(service, admin->tenant, MOVE_MOVING, view);
        if (status == HF_E_NOT_FOUND) {
            return HF_OK;
        }
        HF_TRY(status);
        const struct move_claim_facts facts =
            mailbox_move_facts(service, &view->record, &view->record.claim);
        if (!move_claim_is_over(&facts)) {
            return HF_OK; /* it ends first of all */
        }
        HF_TRY(leave_claim(&view->record));
        status = record_own(service, view, "MoveTimedOut");
        if (status != HF_OK && status != HF_E_CONFLICT) {
            return status;
        }
    }
    return HF_OK;
}

/* --- claim ---------------------------------------------------------------- */

static HF_STATUS record_move(const struct admin *admin,
                             struct resource_view *view,
                             const struct resource_record *before,
                             const char *ground)
{
    char object[RESOURCE_NAME_BYTES];
    char claim[HF_ID_TEXT];
    struct stamp next;
    const struct hf_id *of =
        id_is_nil(&before->claim) ? &view->record.claim : &before->claim;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    mailbox_name(view, object);
    id_format(of, claim);
    HF_TRY(details_new(DETAILS_OF_CHANGE, &details));
    details_text(details, "move", mailbox_move_text(before->move),
                 mailbox_move_text(view->record.move));
    details_about(details, "claim", claim);
    details_time(details, "claimEnds", before->claim_ends_ms,
                 view->record.claim_ends_ms);
    if (ground[0] != '\0') {
        details_about(details, "reason", ground);
    }
    HF_TRY(change_new(&change));
    HF_TRY(resource_put(view, change, &next));
    HF_TRY(admin_finish_change(admin, change, object, details, of));
    HF_TRY(ledger_commit(admin->service->ledger, change));
    rows_put(admin->service, &view->record, &next);
    view->stamp = next;
    return resource_look_up(admin->service, view);
}

/* Whose keys are destroyed is not moved any more. */
static HF_STATUS drop_purged(struct service *service,
                             struct resource_view *view)
{
    HF_TRY(mailbox_move_next(view->record.move, MOVE_EV_UNASSIGN,
                             &view->record.move));
    mailbox_leave_queue(&view->record);
    enum hf_status status = record_own(service, view, "MoveDropped");
    return status == HF_E_CONFLICT ? HF_OK : status;
}

/* The first in the queue that was not purged; those before it are dropped, so
 * many in one call; the others just passed over. */
static HF_STATUS find_queued(const struct admin *admin, bool drops,
                             struct resource_view *view)
{
    struct service *service = admin->service;
    struct move_cursor cursor = {.line = {.len = 0}};
    struct record_key prefix =
        key_of_move_lines(&admin->tenant->record.id, MOVE_QUEUED);
    for (size_t passed = 0;; passed++) {
        HF_TRY(move_queue_next(service, record_key_view(&prefix), &cursor));
        HF_TRY(move_queue_load(service, admin->tenant, &cursor, view));
        if (!view->facts.purged) {
            return HF_OK;
        }
        if (drops && passed < RETURNS_MAX) {
            HF_TRY(drop_purged(service, view));
        }
    }
}

static int64_t claim_end_ms(struct service *service,
                            const struct move_claim *request)
{
    return service_wall_ms(service) +
           (request->claim_ms == 0 ? MOVE_CLAIM_DEFAULT_MS : request->claim_ms);
}

static HF_STATUS claim_first(const struct admin *admin,
                             const struct move_claim *request,
                             struct resource_view *view)
{
    struct service *service = admin->service;
    struct resource_record *record = &view->record;
    HF_TRY(find_queued(admin, !request->mutation.validate_only, view));
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    const struct resource_record before = *record;
    HF_TRY(mailbox_move_next(record->move, MOVE_EV_CLAIM, &record->move));
    HF_TRY(rng_id(service->settings.rng, &record->claim));
    record->claim_ends_ms = claim_end_ms(service, request);
    return record_move(admin, view, &before, "");
}

/* record_lock is held: two movers never get the same one. */
static HF_STATUS claim_locked(const struct admin *admin,
                              const struct move_claim *request,
                              struct resource_view *view)
{
    enum hf_status status = HF_E_CONFLICT;
    if (!request->mutation.validate_only) {
        HF_TRY(admin_answer(admin, return_overdue_claims(admin, view)));
    }
    for (int race = 0; race < RACES_MAX && status == HF_E_CONFLICT; race++) {
        status = claim_first(admin, request, view);
    }
    if (status == HF_E_NOT_FOUND) {
        return problem_set(admin->problem, REASON_NOT_FOUND,
                           "no mailbox is queued for a move");
    }
    return admin_answer(admin, status);
}

/* A repeat: what it claimed, as long as it holds it. */
static HF_STATUS claim_again(const struct admin *admin,
                             struct resource_view *view)
{
    enum hf_status status =
        move_queue_claimed(admin->service, admin->tenant, &admin->object, view);
    if (status == HF_E_NOT_FOUND) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "the claim that this request made has ended");
    }
    return problem_of_status(admin->problem, status);
}

/* --- renew ---------------------------------------------------------------- */

static HF_STATUS refuse_end(const struct admin *admin,
                            const struct move_claim_facts *facts)
{
    if (facts->is_holder && !move_claim_is_over(facts)) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "the mailbox has no key yet: GenerateKey makes one");
    }
    return problem_set(admin->problem, REASON_STATE_CONFLICT,
                       "this claim does not hold the mailbox, or no longer");
}

static HF_STATUS renew_once(const struct admin *admin,
                            const struct move_claim *request,
                            struct resource_view *view)
{
    struct resource_record *record = &view->record;
    enum reason reason = REASON_NONE;
    HF_TRY(mailbox_load(admin, request->id, view));
    HF_TRY(mailbox_check_alive(admin, view));
    const struct resource_record before = *record;
    const struct move_claim_facts facts =
        mailbox_move_facts(admin->service, record, &request->claim);
    if (move_claim_check(&facts, MOVE_EV_RENEW, &reason) != HF_OK) {
        return refuse_end(admin, &facts);
    }
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    enum hf_status status =
        mailbox_move_next(record->move, MOVE_EV_RENEW, &record->move);
    record->claim_ends_ms = claim_end_ms(admin->service, request);
    if (status == HF_OK) {
        status = record_move(admin, view, &before, "");
    }
    return status == HF_E_CONFLICT ? status : admin_answer(admin, status);
}

/* record_lock is held. */
static HF_STATUS renew_locked(const struct admin *admin,
                              const struct move_claim *request,
                              struct resource_view *view)
{
    enum hf_status status = HF_E_CONFLICT;
    for (int race = 0; race < RACES_MAX && status == HF_E_CONFLICT; race++) {
        status = renew_once(admin, request, view);
    }
    return status == HF_E_CONFLICT ? admin_answer(admin, status) : status;
}

static HF_STATUS claim_or_renew(const struct admin *admin,
                                const struct move_claim *request,
                                struct resource_view *view)
{
    if (admin->seen) {
        return claim_again(admin, view);
    }
    return request->id[0] != '\0' ? renew_locked(admin, request, view)
                                  : claim_locked(admin, request, view);
}

HF_STATUS mailbox_moves_claim(struct service *service,
                              const struct caller *caller,
                              const struct move_claim *request,
                              struct mailbox_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_CLAIM_MOVE,
        .mutation = &request->mutation,
        .problem = problem,
    };
    if (request->claim_ms != 0 && (request->claim_ms < MOVE_CLAIM_MIN_MS ||
                                   request->claim_ms > MOVE_CLAIM_MAX_MS)) {
        return problem_field(problem, "claim_seconds", "must be %lld to %lld",
                             MOVE_CLAIM_MIN_MS / 1000,
                             MOVE_CLAIM_MAX_MS / 1000);
    }
    HF_TRY(admin_begin(&admin, request->tenant));
    struct resource_view *view = malloc(sizeof *view);
    if (view == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = claim_or_renew(&admin, request, view);
    pthread_mutex_unlock(&service->record_lock);
    if (status == HF_OK) {
        mailbox_fill_view(service, view, out);
    }
    free(view);
    return status;
}

/* --- complete, fail ------------------------------------------------------- */

static HF_STATUS end_once(const struct admin *admin,
                          const struct move_end *request,
                          struct resource_view *view)
{
    struct service *service = admin->service;
    struct resource_record *record = &view->record;
    bool completes = admin->verb == VERB_COMPLETE_MOVE;
    enum reason reason = REASON_NONE;
    HF_TRY(mailbox_load(admin, request->id, view));
    HF_TRY(mailbox_check_alive(admin, view));
    const struct resource_record before = *record;
    const struct move_claim_facts facts =
        mailbox_move_facts(service, record, &request->claim);
    if (move_claim_check(&facts, completes ? MOVE_EV_COMPLETE : MOVE_EV_RETURN,
                         &reason) != HF_OK) {
        return refuse_end(admin, &facts);
    }
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    enum hf_status status = HF_OK;
    if (completes) {
        const struct hf_id none = {{0}};
        status =
            mailbox_move_next(record->move, MOVE_EV_COMPLETE, &record->move);
        record->claim = none;
        record->claim_ends_ms = 0;
        mailbox_leave_queue(record);
    } else {
        status = leave_claim(record);
        if (record->move == MOVE_QUEUED) {
            record->queued_ms = service_wall_ms(service);
        }
    }
    if (status == HF_OK) {
        status = record_move(admin, view, &before, request->ground);
    }
    return status == HF_E_CONFLICT ? status : admin_answer(admin, status);
}

static HF_STATUS end_move(struct admin *admin, const struct move_end *request,
                          struct mailbox_view *out)
{
    struct service *service = admin->service;
    HF_TRY(admin_begin(admin, request->tenant));
    if (admin->seen) {
        return mailbox_show(admin, request->id, out);
    }
    struct resource_view *view = malloc(sizeof *view);
    if (view == NULL) {
        return problem_of_status(admin->problem, HF_E_NO_MEMORY);
    }
    enum hf_status status = HF_E_CONFLICT;
    pthread_mutex_lock(&service->record_lock);
    for (int race = 0; race < RACES_MAX && status == HF_E_CONFLICT; race++) {
        status = end_once(admin, request, view);
    }
    pthread_mutex_unlock(&service->record_lock);
    if (status == HF_OK) {
        mailbox_fill_view(service, view, out);
    } else if (status == HF_E_CONFLICT) {
        status = admin_answer(admin, status);
    }
    free(view);
    return status;
}

HF_STATUS mailbox_moves_complete(struct service *service,
                                 const struct caller *caller,
                                 const struct move_end *request,
                                 struct mailbox_view *out,
                                 struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_COMPLETE_MOVE,
        .mutation = &request->mutation,
        .problem = problem,
    };
    return end_move(&admin, request, out);
}

HF_STATUS mailbox_moves_fail(struct service *service,
                             const struct caller *caller,
                             const struct move_end *request,
                             struct mailbox_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_FAIL_MOVE,
        .mutation = &request->mutation,
        .problem = problem,
    };
    return end_move(&admin, request, out);
}

/* --- overdue -------------------------------------------------------------- */

static struct tenant_entry *tenant_of(struct service *service,
                                      const struct move_cursor *cursor)
{
    struct hf_id id;
    memcpy(id.bytes, cursor->resource.bytes, HF_ID_BYTES);
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct tenant_entry *tenant =
        catalogue_tenant_by_id(&service->catalogue, &id);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return tenant;
}

/* The record is written before the line: once, whatever ends the process. */
static HF_STATUS alert_locked(struct service *service,
                              const struct move_cursor *cursor,
                              struct resource_view *view, bool *out_alerted)
{
    char object[RESOURCE_NAME_BYTES];
    struct tenant_entry *tenant = tenant_of(service, cursor);
    if (tenant == NULL) {
        return HF_E_CORRUPT;
    }
    HF_TRY(move_queue_load(service, tenant, cursor, view));
    if (tenant->ended || view->facts.purged ||
        !mailbox_overdue(service, &view->record).alert) {
        return HF_OK;
    }
    view->record.overdue_alerted = true;
    HF_TRY(record_own(service, view, "EncryptionOverdue"));
    *out_alerted = true;
    mailbox_name(view, object);
    log_event(LOG_WARN, "mailbox.encryption_overdue",
              LOG_TEXT("code", "ENCRYPTION_OVERDUE"),
              LOG_TEXT("mailbox", object),
              LOG_TEXT("move", mailbox_move_text(view->record.move)));
    return HF_OK;
}

size_t mailbox_moves_alert(struct service *service)
{
    size_t count = 0;
    struct move_cursor cursor = {.line = {.len = 0}};
    struct resource_view *view = malloc(sizeof *view);
    while (view != NULL &&
           move_queue_next(service, BYTES_NONE, &cursor) == HF_OK) {
        bool alerted = false;
        pthread_mutex_lock(&service->record_lock);
        HF_IGNORE(alert_locked(service, &cursor, view, &alerted),
                  "what cannot be written now is due again at the next look");
        pthread_mutex_unlock(&service->record_lock);
        count += alerted ? 1 : 0;
    }
    free(view);
    return count;
}
