/* mailbox_update: what is known of a mailbox changes: its licence, its kind
 * (R-5.7, R-5.8). */
#include "server/service/admin.h"
#include "server/service/mailbox_view.h"
#include "server/service/mailboxes.h"
#include "server/service/purges.h"
#include "server/service/rows.h"

#include <stdlib.h>

/* Updates race with rewraps on access: read again and decide again. */
#define RACES_MAX 5

/* M9, and back: who becomes a mailbox has migrated, and what came without a key
 * is not encrypted; who becomes a mail user has no content here any more. */
static HF_STATUS change_kind(struct resource_record *record,
                             enum mailbox_kind kind, int64_t now_ms)
{
    bool was_away = record->kind == MAILBOX_MAIL_USER;
    bool is_away = kind == MAILBOX_MAIL_USER;
    record->kind = kind;
    if (was_away == is_away) {
        return HF_OK;
    }
    HF_TRY(mailbox_move_next(
        record->move, is_away ? MOVE_EV_LEAVE : MOVE_EV_ARRIVE, &record->move));
    if (record->move == MOVE_UNENCRYPTED && !id_is_nil(&record->assigned)) {
        HF_TRY(mailbox_move_next(record->move, MOVE_EV_ASSIGN, &record->move));
        mailbox_enter_queue(record, now_ms);
    }
    if (record->move == MOVE_ON_ARRIVAL) {
        mailbox_leave_queue(record);
    }
    return HF_OK;
}

/* one that is assigned stays one that may be. */
static HF_STATUS check_licence(const struct admin *admin,
                               const struct resource_record *record)
{
    pthread_rwlock_rdlock(&admin->service->catalogue.lock);
    bool tenant_licensed = admin->tenant->record.licensed;
    pthread_rwlock_unlock(&admin->service->catalogue.lock);
    if (id_is_nil(&record->assigned) ||
        mailbox_is_licensed(record->kind, record->licensed, tenant_licensed)) {
        return HF_OK;
    }
    return problem_set(admin->problem, REASON_LICENCE_REQUIRED,
                       "the mailbox is assigned to a DEP, which a %s mailbox "
                       "needs a licence for; assign it to none first",
                       mailbox_kind_text(record->kind));
}

static HF_STATUS make_next(const struct admin *admin,
                           const struct mailbox_update *request,
                           struct resource_record *next)
{
    if (request->set_licensed) {
        next->licensed = request->licensed;
    }
    if (request->set_kind &&
        change_kind(next, request->kind, service_wall_ms(admin->service)) !=
            HF_OK) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "a mailbox that is being moved stays what it is "
                           "until the move has ended");
    }
    return check_licence(admin, next);
}

static HF_STATUS record_update(const struct admin *admin,
                               struct resource_view *view,
                               const struct resource_record *before)
{
    char object[RESOURCE_NAME_BYTES];
    struct stamp next;
    const struct hf_id none = {{0}};
    const struct resource_record *after = &view->record;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    mailbox_name(view, object);
    HF_TRY(details_new(DETAILS_OF_CHANGE, &details));
    details_text(details, "kind", mailbox_kind_text(before->kind),
                 mailbox_kind_text(after->kind));
    details_flag(details, "licensed", before->licensed, after->licensed);
    details_text(details, "move", mailbox_move_text(before->move),
                 mailbox_move_text(after->move));
    HF_TRY(change_new(&change));
    HF_TRY(resource_put(view, change, &next));
    HF_TRY(admin_finish_change(admin, change, object, details, &none));
    HF_TRY(ledger_commit(admin->service->ledger, change));
    rows_put(admin->service, &view->record, &next);
    return HF_OK;
}

static bool is_as_before(const struct resource_record *before,
                         const struct resource_record *after)
{
    return before->kind == after->kind && before->licensed == after->licensed;
}

/* record_lock is held: what it is assigned to stays while its licence is looked
 * at. validate_only: *view is what it would be. */
static HF_STATUS update_locked(const struct admin *admin,
                               const struct mailbox_update *request,
                               struct resource_view *view)
{
    enum hf_status status = HF_E_CONFLICT;
    for (int race = 0; race < RACES_MAX && status == HF_E_CONFLICT; race++) {
        HF_TRY(mailbox_load(admin, request->id, view));
        HF_TRY(
            etag_check(request->mutation.etag, &view->stamp, admin->problem));
        HF_TRY(mailbox_check_alive(admin, view));
        const struct resource_record before = view->record;
        HF_TRY(make_next(admin, request, &view->record));
        if (request->mutation.validate_only ||
            is_as_before(&before, &view->record)) {
            view->facts.move = view->record.move;
            return HF_OK;
        }
        status = record_update(admin, view, &before);
    }
    return admin_answer(admin, status);
}

HF_STATUS mailboxes_update(struct service *service, const struct caller *caller,
                           const struct mailbox_update *request,
                           struct mailbox_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_UPDATE_MAILBOX,
        .mutation = &request->mutation,
        .problem = problem,
    };
    HF_TRY(admin_begin(&admin, request->tenant));
    if (admin.seen) {
        return mailbox_show(&admin, request->id, out);
    }
    struct resource_view *view = malloc(sizeof *view);
    if (view == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = update_locked(&admin, request, view);
    pthread_mutex_unlock(&service->record_lock);
    if (status == HF_OK && request->mutation.validate_only) {
        mailbox_fill_view(service, view, out);
    } else if (status == HF_OK) {
        status = mailbox_show(&admin, request->id, out);
    }
    free(view);
    return status;
}
