#include "server/service/mailboxes.h"

#include "server/service/admin.h"
#include "server/service/dep_view.h"
#include "server/service/mailbox_view.h"
#include "server/service/purges.h"
#include "server/service/resources.h"
#include "server/service/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Assignments race with rewraps on access: read again and decide again. */
#define RACES_MAX 5

/* --- register ----------------------------------------------------------- */

static bool id_is_valid(const char *id)
{
    size_t len = strlen(id);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)id[i];
        if (c < 0x20 || c == 0x7f || c == '/') {
            return false;
        }
    }
    return len > 0 && len <= HF_RESOURCE_ID_MAX_BYTES;
}

static HF_STATUS record_new(const struct admin *admin,
                            struct resource_view *view)
{
    char object[RESOURCE_NAME_BYTES];
    const struct hf_id none = {{0}};
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    mailbox_name(view, object);
    HF_TRY(details_new(DETAILS_OF_NEW, &details));
    details_text(details, "kind", "", mailbox_kind_text(view->record.kind));
    details_flag(details, "licensed", false, view->record.licensed);
    details_flag(details, "unencrypted", false, view->record.move != MOVE_NONE);
    HF_TRY(change_new(&change));
    HF_TRY(resource_put(view, change, NULL));
    HF_TRY(admin_finish_change(admin, change, object, details, &none));
    return ledger_commit(admin->service->ledger, change);
}

HF_STATUS mailboxes_register(struct service *service,
                             const struct caller *caller,
                             const struct mailbox_register *request,
                             struct mailbox_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_REGISTER_MAILBOX,
        .mutation = &request->mutation,
        .problem = problem,
    };
    if (!id_is_valid(request->id)) {
        return problem_field(problem, "mailbox_id",
                             "must have 1 to %d bytes, no '/' and no control "
                             "characters",
                             HF_RESOURCE_ID_MAX_BYTES);
    }
    HF_TRY(admin_begin(&admin, request->tenant));
    if (admin.seen) {
        return mailbox_show(&admin, request->id, out);
    }
    struct resource_view *view = calloc(1, sizeof *view);
    if (view == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    view->tenant = admin.tenant;
    view->record.tenant = admin.tenant->record.id;
    view->record.type = RESOURCE_MAILBOX;
    memcpy(view->record.id, request->id, sizeof view->record.id);
    view->record.kind = request->kind;
    view->record.licensed = request->licensed;
    view->record.move = mailbox_move_new(request->kind, !request->unencrypted);
    view->facts.move = view->record.move;
    view->record.created_ms = service_wall_ms(service);
    if (purges_resource_is_tombstoned(service, &view->record.tenant,
                                      RESOURCE_MAILBOX, request->id)) {
        /* its id was somebody's whose keys are destroyed: nobody's any more */
        view->facts.purged = true;
        enum hf_status refused = mailbox_check_alive(&admin, view);
        free(view);
        return refused;
    }
    if (request->mutation.validate_only) {
        mailbox_fill_view(service, view, out);
        free(view);
        return HF_OK;
    }
    enum hf_status status = record_new(&admin, view);
    free(view);
    if (status == HF_E_EXISTS) {
        return problem_set(problem, REASON_ALREADY_REGISTERED,
                           "mailbox %s is registered", request->id);
    }
    HF_TRY(admin_answer(&admin, status));
    return mailbox_show(&admin, request->id, out);
}

/* --- assign ------------------------------------------------------------- */

static HF_STATUS may_assign(const struct admin *admin,
                            const struct resource_view *view,
                            const struct dep_entry *dep)
{
    enum reason reason = REASON_NONE;
    pthread_rwlock_rdlock(&admin->service->catalogue.lock);
    const struct mailbox_assign_facts facts = {
        .kind = view->record.kind,
        .licensed = view->record.licensed,
        .tenant_licensed = view->tenant->record.licensed,
        .assigning_none = dep == NULL,
        .dep_type = dep == NULL ? DEP_TYPE_EXCHANGE_MAILBOX : dep->record.type,
        .dep_state = dep == NULL ? DEP_NONE : dep->record.state,
    };
    pthread_rwlock_unlock(&admin->service->catalogue.lock);
    if (mailbox_may_assign(&facts, &reason) == HF_OK) {
        return HF_OK;
    }
    if (reason == REASON_NOT_FOUND) {
        return problem_set(admin->problem, reason, "no such DEP");
    }
    if (reason == REASON_LICENCE_REQUIRED) {
        return problem_set(admin->problem, reason,
                           "a %s mailbox needs a licence to be assigned to a "
                           "DEP",
                           mailbox_kind_text(view->record.kind));
    }
    return problem_set(admin->problem, reason,
                       "the DEP is %s; only an enabled one takes mailboxes",
                       dep_state_text(facts.dep_state));
}

/* The index of assignments moves with the record. */
static HF_STATUS put_index(const struct resource_view *view,
                           const struct dep_entry *from,
                           const struct dep_entry *to, struct change *change)
{
    const struct stamp none = {.version = 0};
    enum hf_status status = HF_OK;
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    if (from != NULL) {
        status = assigned_encode(&from->record.id, &view->record, record);
        if (status == HF_OK) {
            status =
                change_remove(change, RECORD_ASSIGNED,
                              (struct bytes){record->key, record->key_len}, 1);
        }
    }
    if (status == HF_OK && to != NULL) {
        status = assigned_encode(&to->record.id, &view->record, record);
        if (status == HF_OK) {
            status = change_put(change, record, &none, NULL);
        }
    }
    free(record);
    return status;
}

/* M3, M9. A mailbox that is queued keeps its place and goes on
 * waiting; one whose move runs is not disturbed. */
static HF_STATUS move_assigned(struct resource_record *record,
                               const struct mailbox_assign *request,
                               int64_t now_ms)
{
    enum mailbox_move before = record->move;
    HF_TRY(mailbox_move_next(before,
                             id_is_nil(&record->assigned) ? MOVE_EV_UNASSIGN
                                                          : MOVE_EV_ASSIGN,
                             &record->move));
    if (record->move == MOVE_QUEUED && before != MOVE_QUEUED) {
        mailbox_enter_queue(record, now_ms);
    } else if (record->move != before) {
        mailbox_leave_queue(record);
    }
    if (record->move == MOVE_QUEUED && request->priority != 0) {
        record->priority = request->priority;
    }
    return HF_OK;
}

/* The same DEP, and no other place in the queue. */
static bool changes_nothing(const struct resource_view *view,
                            const struct mailbox_assign *request,
                            const struct dep_entry *dep)
{
    return view->assigned == dep &&
           (view->record.move != MOVE_QUEUED || request->priority == 0 ||
            request->priority == view->record.priority);
}

static void note_move(struct details *details,
                      const struct resource_record *before,
                      const struct resource_record *after)
{
    details_text(details, "move", mailbox_move_text(before->move),
                 mailbox_move_text(after->move));
    if (after->move == MOVE_QUEUED) {
        details_number(details, "movePriority", (int64_t)before->priority,
                       (int64_t)after->priority);
    }
}

static HF_STATUS record_assignment(const struct admin *admin,
                                   const struct mailbox_assign *request,
                                   struct resource_view *view,
                                   struct dep_entry *dep)
{
    struct service *service = admin->service;
    struct dep_entry *from = view->assigned;
    char object[RESOURCE_NAME_BYTES];
    char before[HF_ID_TEXT];
    char after[HF_ID_TEXT];
    struct stamp next;
    const struct hf_id none = {{0}};
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    const struct resource_record old = view->record;
    id_format(&view->record.assigned, before);
    if (dep != from) {
        view->record.assigned = dep == NULL ? none : dep->record.id;
        view->record.assigned_ms = service_wall_ms(service);
    }
    HF_TRY(move_assigned(&view->record, request, service_wall_ms(service)));
    id_format(&view->record.assigned, after);
    mailbox_name(view, object);
    HF_TRY(details_new(DETAILS_OF_CHANGE, &details));
    details_text(details, "dep", before, after);
    note_move(details, &old, &view->record);
    HF_TRY(change_new(&change));
    HF_TRY(resource_put(view, change, &next));
    if (dep != from) {
        HF_TRY(put_index(view, from, dep, change));
    }
    HF_TRY(admin_finish_change(admin, change, object, details, &none));
    HF_TRY(ledger_commit(service->ledger, change));
    if (from != NULL) {
        atomic_fetch_sub(&from->assigned_count, 1);
    }
    if (dep != NULL) {
        atomic_fetch_add(&dep->assigned_count, 1);
    }
    rows_put(service, &view->record, &next);
    return HF_OK;
}

/* record_lock is held: the DEP's state cannot change under the decision. */
static HF_STATUS assign_locked(const struct admin *admin,
                               const struct mailbox_assign *request,
                               struct dep_entry *dep,
                               struct resource_view *view)
{
    enum hf_status status = HF_E_CONFLICT;
    for (int race = 0; race < RACES_MAX && status == HF_E_CONFLICT; race++) {
        HF_TRY(mailbox_load(admin, request->id, view));
        HF_TRY(
            etag_check(request->mutation.etag, &view->stamp, admin->problem));
        HF_TRY(mailbox_check_alive(admin, view));
        HF_TRY(may_assign(admin, view, dep));
        if (changes_nothing(view, request, dep) ||
            request->mutation.validate_only) {
            return HF_OK;
        }
        status = record_assignment(admin, request, view, dep);
    }
    return admin_answer(admin, status);
}

HF_STATUS mailboxes_assign(struct service *service, const struct caller *caller,
                           const struct mailbox_assign *request,
                           struct mailbox_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_ASSIGN_MAILBOX,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct dep_entry *dep = NULL;
    HF_TRY(admin_begin(&admin, request->tenant));
    if (request->dep[0] != '\0') {
        dep = dep_find_typed(service, admin.tenant, request->dep,
                             DEP_TYPE_EXCHANGE_MAILBOX);
        if (dep == NULL) {
            return problem_set(problem, REASON_NOT_FOUND,
                               "no such DEP of type EXCHANGE_MAILBOX");
        }
    }
    if (!admin.seen) {
        struct resource_view *view = malloc(sizeof *view);
        if (view == NULL) {
            return problem_of_status(problem, HF_E_NO_MEMORY);
        }
        pthread_mutex_lock(&service->record_lock);
        enum hf_status status = assign_locked(&admin, request, dep, view);
        pthread_mutex_unlock(&service->record_lock);
        free(view);
        HF_TRY(status);
    }
    return mailbox_show(&admin, request->id, out);
}

/* --- look at ------------------------------------------------------------ */

HF_STATUS mailboxes_get(struct service *service, const struct caller *caller,
                        const char *tenant, const char *id,
                        struct mailbox_view *out, struct problem *problem)
{
    struct admin admin = {.service = service, .problem = problem};
    HF_TRY(service_admit(service, caller, VERB_GET_MAILBOX, tenant,
                         &admin.tenant, problem));
    return mailbox_show(&admin, id, out);
}

struct list_walk {
    struct service *service;
    struct tenant_entry *tenant;
    const struct dep_entry *dep; /* NULL: all */
    struct mailbox_list *out;
    size_t size;
    uint8_t last[RECORD_KEY_MAX_BYTES]; /* key of the last one shown */
    size_t last_len;
    bool more;
};

/* One record beyond the page tells that there is another. */
static enum hf_status list_step(void *context, const struct record *record,
                                const struct stamp *stamp)
{
    struct list_walk *walk = context;
    if (walk->out->count == walk->size) {
        walk->more = true;
        return HF_E_LIMIT;
    }
    struct resource_view *view = calloc(1, sizeof *view);
    if (view == NULL) {
        return HF_E_NO_MEMORY;
    }
    view->tenant = walk->tenant;
    view->stamp = *stamp;
    enum hf_status status = resource_decode(record, &view->record);
    if (status == HF_OK) {
        status = resource_look_up(walk->service, view);
    }
    memcpy(walk->last, record->key, record->key_len);
    walk->last_len = record->key_len;
    if (status == HF_OK && walk->dep != NULL && view->assigned != walk->dep) {
        status = HF_E_CORRUPT; /* the index moves with the record */
    }
    if (status == HF_OK) {
        mailbox_fill_view(walk->service, view,
                          &walk->out->views[walk->out->count++]);
    }
    free(view);
    return status;
}

static HF_STATUS list_all(struct list_walk *walk, struct bytes after)
{
    /* tenant | type: the mailboxes among its resources */
    uint8_t prefix[HF_ID_BYTES + 1];
    memcpy(prefix, walk->tenant->record.id.bytes, HF_ID_BYTES);
    prefix[HF_ID_BYTES] = RESOURCE_MAILBOX;
    const struct store_page page = {
        .prefix = BYTES_OF(prefix),
        .after = after,
        .max = SIZE_MAX,
    };
    return ledger_each(walk->service->ledger, RECORD_RESOURCE, &page, list_step,
                       walk);
}

static HF_STATUS list_page(struct list_walk *walk, struct bytes after)
{
    enum hf_status status =
        walk->dep == NULL
            ? list_all(walk, after)
            : ledger_each_assigned(walk->service->ledger, &walk->dep->record.id,
                                   after, list_step, walk);
    return status == HF_E_LIMIT && walk->more ? HF_OK : status;
}

HF_STATUS mailboxes_list(struct service *service, const struct caller *caller,
                         const struct mailbox_list_request *request,
                         struct mailbox_list *out, struct problem *problem)
{
    struct list_walk walk = {.service = service, .out = out};
    uint8_t after[RECORD_KEY_MAX_BYTES - HF_ID_BYTES];
    size_t after_len = 0;
    struct page_walk page;
    const struct page_request sizes = {.size = request->page.size};
    HF_TRY(service_admit(service, caller, VERB_LIST_MAILBOXES, request->tenant,
                         &walk.tenant, problem));
    HF_TRY(page_begin(&sizes, out->cap, &page, problem));
    if (hex_decode(request->page.token, after, sizeof after, &after_len) !=
        HF_OK) {
        return problem_field(problem, "page_token",
                             "is not one that was returned here");
    }
    if (request->filter.assigned_dep[0] != '\0') {
        walk.dep =
            dep_find_typed(service, walk.tenant, request->filter.assigned_dep,
                           DEP_TYPE_EXCHANGE_MAILBOX);
        if (walk.dep == NULL) {
            return problem_set(problem, REASON_NOT_FOUND,
                               "no such DEP of type EXCHANGE_MAILBOX");
        }
    }
    walk.size = page.size;
    out->count = 0;
    out->next[0] = '\0';
    enum hf_status status = list_page(&walk, (struct bytes){after, after_len});
    if (status == HF_OK && walk.more) {
        hex_encode(walk.last, walk.last_len, out->next, sizeof out->next);
    }
    return problem_of_status(problem, status);
}
