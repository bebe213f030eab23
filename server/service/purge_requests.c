/* purge_requests: T8, T9 and the document between them; and how a purge is
 * looked at. */
#include "hsm/base/check.h"
#include "hsm/base/text.h"

#include "server/domain/approval.h"

#include "server/service/availability_key.h"
#include "server/service/dep_view.h"
#include "server/service/purge_book.h"
#include "server/service/purge_evidence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a document may be signed. */
#define DOCUMENT_LIFE_MS (14LL * 24 * 3600 * 1000)

/* --- look at ------------------------------------------------------------ */

/* What was signed is shown as it was, in every phase; what is not yet, as it
 * would be written now. */
static void show_document(struct service *service,
                          const struct purge_entry *purge, bool accepting,
                          const struct purge_view *view,
                          struct purge_document *out)
{
    for (size_t i = 0; i < view->approval_count; i++) {
        if (purge_signed_document(&view->approvals[i], accepting, out)) {
            return;
        }
    }
    if (view->record.phase != PURGE_REQUESTED ||
        purge_write_document(service, purge, &view->record, accepting, out) !=
            HF_OK) {
        out->len = 0;
    }
}

void purge_show(struct service *service, const struct purge_entry *purge,
                struct purge_view *out)
{
    CHECK(purge != NULL);
    memset(out, 0, sizeof *out);
    pthread_rwlock_rdlock(&service->catalogue.lock);
    memcpy(out->tenant, purge->tenant->record.name, sizeof out->tenant);
    memcpy(out->dep_name, purge->dep->record.name, sizeof out->dep_name);
    out->of_tenant = purge_is_of_tenant(purge);
    out->record = purge->record;
    etag_write(&purge->stamp, out->etag);
    for (size_t i = 0;
         i < purge->approval_count && out->approval_count < PURGE_APPROVALS_MAX;
         i++) {
        if (purge->approvals[i].record.version == purge->record.version) {
            out->approvals[out->approval_count++] = purge->approvals[i].record;
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    show_document(service, purge, false, out, &out->document);
    show_document(service, purge, true, out, &out->accepting);
}

/* Of this tenant; NULL: not there. */
static struct purge_entry *find(struct service *service,
                                const struct tenant_entry *tenant,
                                const char *text)
{
    struct hf_id id;
    if (id_parse(text, &id) != HF_OK) {
        return NULL;
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct purge_entry *purge = purge_book_purge(service->purges, &id);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return purge != NULL && purge->tenant == tenant ? purge : NULL;
}

static HF_STATUS refuse_missing(struct problem *problem)
{
    return problem_set(problem, REASON_NOT_FOUND, "no such purge");
}

HF_STATUS purge_find(const struct admin *admin, const char *id,
                     struct purge_entry **out_purge)
{
    *out_purge = find(admin->service, admin->tenant, id);
    return *out_purge != NULL ? HF_OK : refuse_missing(admin->problem);
}

HF_STATUS purges_get(struct service *service, const struct caller *caller,
                     const char *tenant, const char *id, struct purge_view *out,
                     struct problem *problem)
{
    struct tenant_entry *entry = NULL;
    HF_TRY(service_admit(service, caller, VERB_GET_PURGE, tenant, &entry,
                         problem));
    const struct purge_entry *purge = find(service, entry, id);
    if (purge == NULL) {
        return refuse_missing(problem);
    }
    purge_show(service, purge, out);
    return HF_OK;
}

/* The next one of this tenant behind the given one; NULL: none. */
static const struct purge_entry *next_of(struct service *service,
                                         const struct tenant_entry *tenant,
                                         const struct purge_entry *after)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct purge_entry *purge =
        after == NULL ? service->purges->purges : after->next;
    while (purge != NULL && purge->tenant != tenant) {
        purge = purge->next;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return purge;
}

HF_STATUS purges_list(struct service *service, const struct caller *caller,
                      const char *tenant, const struct page_request *page,
                      struct purge_list *out, struct problem *problem)
{
    struct tenant_entry *entry = NULL;
    struct page_walk walk;
    HF_TRY(service_admit(service, caller, VERB_LIST_PURGES, tenant, &entry,
                         problem));
    HF_TRY(page_begin(page, out->cap, &walk, problem));
    bool showing = walk.from_start;
    out->count = 0;
    out->next[0] = '\0';
    for (const struct purge_entry *purge = next_of(service, entry, NULL);
         purge != NULL; purge = next_of(service, entry, purge)) {
        if (showing && out->count == walk.size) {
            id_format(&out->views[out->count - 1].record.id, out->next);
            break;
        }
        if (showing) {
            purge_show(service, purge, &out->views[out->count++]);
        } else {
            const struct purge_state state = purge_state_of(service, purge);
            showing = id_equal(&state.id, &walk.after);
        }
    }
    return HF_OK;
}

HF_STATUS purges_certificate(struct service *service,
                             const struct caller *caller, const char *tenant,
                             const char *id, struct certificate_record *out,
                             struct problem *problem)
{
    struct tenant_entry *entry = NULL;
    struct stamp stamp;
    HF_TRY(service_admit(service, caller, VERB_GET_PURGE_CERTIFICATE, tenant,
                         &entry, problem));
    const struct purge_entry *purge = find(service, entry, id);
    if (purge == NULL || purge_state_of(service, purge).phase != PURGE_PURGED) {
        return problem_set(problem, REASON_NOT_FOUND,
                           "no such purge, or it is not at its end");
    }
    struct record_key key =
        key_of_pair(&purge->record.tenant, &purge->record.id);
    struct record *record = malloc(sizeof *record);
    if (record == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    enum hf_status status = ledger_get(service->ledger, RECORD_CERTIFICATE,
                                       record_key_view(&key), record, &stamp);
    if (status == HF_OK) {
        status = certificate_decode(record, out);
    }
    free(record);
    return problem_of_status(problem, status);
}

/* --- request ------------------------------------------------------------ */

static HF_STATUS check_text(const char *field, const char *text,
                            struct problem *problem)
{
    return text[0] != '\0' && text_is_plain(bytes_of_text(text))
               ? HF_OK
               : problem_field(problem, field,
                               "must have 1 to %d bytes of plain text in one "
                               "line",
                               PURGE_TEXT_MAX_BYTES);
}

static HF_STATUS check_request(const struct purge_request *request,
                               bool of_tenant, struct problem *problem)
{
    HF_TRY(check_text("reason", request->reason, problem));
    HF_TRY(check_text("contact", request->contact, problem));
    if (!request->confirm) {
        return problem_field(problem, "confirm",
                             "must be true: at its end nothing below this %s "
                             "can be opened by anybody",
                             of_tenant ? "tenant" : "DEP");
    }
    return HF_OK;
}

static HF_STATUS refuse_event(const struct admin *admin,
                              const struct dep_entry *dep)
{
    if (dep->record.type != DEP_TYPE_EXCHANGE_MAILBOX) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "a %s DEP has no purge: it would make more than "
                           "mailboxes unreadable",
                           dep_type_text(dep->record.type));
    }
    return problem_set(admin->problem, REASON_STATE_CONFLICT,
                       "a DEP that is %s cannot do this",
                       dep_state_text(dep->record.state));
}

/* The document: what is true now, for so long. */
static HF_STATUS fill_document(const struct admin *admin,
                               const struct purge_entry *purge,
                               struct purge_record *record)
{
    struct service *service = admin->service;
    struct purge_census *census = calloc(1, sizeof *census);
    enum hf_status status =
        census == NULL
            ? HF_E_NO_MEMORY
            : purge_census_take(service, purge->tenant, purge->dep, census);
    if (status == HF_OK && census->too_many) {
        free(census);
        return problem_set(admin->problem, REASON_EARLIER_WRAPS,
                           "more than %d earlier DEPs and generations wrapped "
                           "the keys of these mailboxes: purge some of them or "
                           "renew keys first",
                           PURGE_EARLIER_MAX);
    }
    if (status == HF_OK) {
        record->resources = census->marked;
        record->earlier_count = census->earlier_count;
        memcpy(record->earlier, census->earlier, sizeof record->earlier);
        status = rng_fill(service->settings.rng, record->nonce,
                          sizeof record->nonce);
    }
    free(census);
    record->version++;
    record->approvals = 0;
    record->earlier_accepted = false;
    record->approved_ms = 0;
    record->hold_until_ms = 0;
    record->expires_ms = service_wall_ms(service) + DOCUMENT_LIFE_MS;
    return problem_of_status(admin->problem, status);
}

static HF_STATUS fill_new(const struct admin *admin,
                          const struct purge_request *request,
                          struct purge_entry *purge)
{
    struct purge_record *record = &purge->record;
    enum hf_status status = rng_id(admin->service->settings.rng, &record->id);
    if (status != HF_OK) {
        return problem_of_status(admin->problem, status);
    }
    record->tenant = admin->tenant->record.id;
    record->dep = purge->dep->record.id;
    record->phase = PURGE_REQUESTED;
    record->force = request->force;
    record->before =
        purge_is_of_tenant(purge) ? DEP_ENABLED : purge->dep->record.state;
    memcpy(record->reason, request->reason, sizeof record->reason);
    memcpy(record->contact, request->contact, sizeof record->contact);
    memcpy(record->requester, admin->caller->identity,
           sizeof record->requester);
    record->requested_ms = service_wall_ms(admin->service);
    return fill_document(admin, purge, record);
}

static HF_STATUS record_new(const struct admin *admin,
                            struct purge_entry *purge)
{
    struct purge_move move = {
        .service = admin->service,
        .purge = purge,
        .next = purge->record,
    };
    char object[PURGE_NAME_BYTES];
    purge_name(purge, object);
    enum hf_status status = change_new(&move.change);
    if (status == HF_OK) {
        status = purge_move_dep(&move, DEP_EV_REQUEST_PURGE);
    }
    if (status == HF_OK) {
        status = purge_move_put(&move);
    }
    if (status == HF_OK) {
        status = admin_finish_change(admin, move.change, object, NULL,
                                     &purge->record.id);
    }
    if (status == HF_OK) {
        status = purge_move_commit(&move);
    }
    purge_move_end(&move);
    return status;
}

/* the availability key of all geos is no tenant's to be destroyed. */
static bool rests_on_all(struct service *service,
                         const struct purge_entry *purge)
{
    struct dep_entry *dep = NULL;
    while ((dep = purge_next_dep(service, purge, dep)) != NULL) {
        if (ak_is_shared(&dep->record)) {
            return true;
        }
    }
    return false;
}

/* record_lock is held. One at a time; not where it could not end. */
static HF_STATUS check_tenant(const struct admin *admin,
                              const struct purge_entry *purge)
{
    struct service *service = admin->service;
    if (purge_book_open(service->purges, purge->dep) != NULL) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "the deletion of this tenant was asked for already");
    }
    if (rests_on_all(service, purge)) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "geos of this tenant rest on the availability key "
                           "of all geos (sharepoint_ak_scope: per-deployment): "
                           "it cannot be destroyed for one tenant, so that "
                           "this one cannot be deleted");
    }
    return HF_OK;
}

/* record_lock is held. */
static HF_STATUS request_locked(struct admin *admin,
                                const struct purge_request *request,
                                const struct purge_ground *ground,
                                struct purge_entry **purge)
{
    struct service *service = admin->service;
    struct dep_entry *dep = (*purge)->dep;
    struct dep_step step;
    enum reason reason = REASON_NONE;
    const struct dep_facts facts = {.type = dep->record.type,
                                    .state = dep->record.state};
    if (purge_is_of_tenant(*purge)) {
        HF_TRY(check_tenant(admin, *purge));
    } else if (dep_next(&facts, DEP_EV_REQUEST_PURGE, &step, &reason) !=
               HF_OK) {
        return refuse_event(admin, dep);
    }
    if (ground != NULL && !purge_evidence_stands(service, dep, ground)) {
        return admin_answer(admin, HF_E_CONFLICT);
    }
    HF_TRY(fill_new(admin, request, *purge));
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    enum hf_status status = record_new(admin, *purge);
    admin->changed = admin_is_stored(status);
    if (admin->changed) {
        admin->object = (*purge)->record.id;
        pthread_rwlock_wrlock(&service->catalogue.lock);
        purge_book_add_purge(service->purges, *purge);
        pthread_rwlock_unlock(&service->catalogue.lock);
        *purge = NULL; /* the book's */
    }
    return admin_answer(admin, status);
}

static HF_STATUS request_new(struct admin *admin,
                             const struct purge_request *request,
                             const struct purge_ground *ground,
                             struct dep_entry *dep, struct purge_view *out)
{
    struct service *service = admin->service;
    struct purge_entry *purge = calloc(1, sizeof *purge);
    if (purge == NULL) {
        return problem_of_status(admin->problem, HF_E_NO_MEMORY);
    }
    purge->dep = dep;
    purge->tenant = admin->tenant;
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = request_locked(admin, request, ground, &purge);
    pthread_mutex_unlock(&service->record_lock);
    if (admin->changed) {
        health_refresh(service);
    }
    if (status == HF_OK && purge != NULL) {
        purge_show(service, purge, out); /* validate_only */
    }
    free(purge);
    return status;
}

/* As many as will be needed. */
static HF_STATUS check_officers(const struct admin *admin, uint32_t needed)
{
    return purges_officer_count(admin->service, admin->tenant) >= needed
               ? HF_OK
               : problem_set(admin->problem, REASON_APPROVERS_MISSING,
                             "fewer approvers are registered than this purge "
                             "needs (%u): SetPurgeApprovers first",
                             needed);
}

/* Asked for, or a repeat: as it is now. */
static HF_STATUS answer_request(const struct admin *admin,
                                struct purge_view *out)
{
    char id[HF_ID_TEXT];
    id_format(&admin->object, id);
    const struct purge_entry *purge = find(admin->service, admin->tenant, id);
    if (purge == NULL) {
        return refuse_missing(admin->problem);
    }
    purge_settle(admin->service, purge); /* of a repeat too */
    purge_show(admin->service, purge, out);
    return HF_OK;
}

HF_STATUS purges_request(struct service *service, const struct caller *caller,
                         const struct purge_request *request,
                         struct purge_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_REQUEST_PURGE,
        .mutation = &request->mutation,
        .problem = problem,
    };
    HF_TRY(admin_begin(&admin, request->tenant));
    if (!admin.seen) {
        HF_TRY(check_request(request, false, problem));
        struct dep_entry *dep = dep_find(service, admin.tenant, request->dep);
        if (dep == NULL) {
            return problem_set(problem, REASON_NOT_FOUND, "no such DEP");
        }
        if (dep->record.type != DEP_TYPE_EXCHANGE_MAILBOX) {
            return refuse_event(&admin, dep);
        }
        HF_TRY(check_officers(&admin,
                              purge_approvals_needed(request->force, false)));
        struct purge_ground ground;
        HF_TRY(purge_evidence_check(&admin, dep, request->force, &ground));
        HF_TRY(request_new(&admin, request, &ground, dep, out));
        if (request->mutation.validate_only) {
            return HF_OK;
        }
    }
    return answer_request(&admin, out);
}

HF_STATUS purges_delete_tenant(struct service *service,
                               const struct caller *caller,
                               const struct purge_request *request,
                               struct purge_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_DELETE_TENANT,
        .mutation = &request->mutation,
        .problem = problem,
    };
    HF_TRY(admin_begin(&admin, request->tenant));
    if (!admin.seen) {
        HF_TRY(check_request(request, true, problem));
        HF_TRY(check_officers(&admin, purge_approvals_needed(false, true)));
        pthread_rwlock_rdlock(&service->catalogue.lock);
        struct dep_entry *dep = catalogue_dep_by_id(
            &service->catalogue, &admin.tenant->record.service_managed);
        pthread_rwlock_unlock(&service->catalogue.lock);
        CHECK(dep != NULL); /* made with the tenant */
        HF_TRY(request_new(&admin, request, NULL, dep, out));
        if (request->mutation.validate_only) {
            return HF_OK;
        }
    }
    return answer_request(&admin, out);
}

/* --- renew, cancel ------------------------------------------------------ */

/* One event at one purge, recorded. record_lock is held. */
static HF_STATUS order_locked(const struct admin *admin,
                              struct purge_entry *purge, enum purge_event event)
{
    CHECK(purge != NULL);
    /* T9: whatever was approved, of whichever version */
    const struct purge_seen seen = {.approvals =
                                        (uint32_t)purge->approval_count};
    struct purge_move move = {.change = NULL};
    enum reason reason = REASON_NONE;
    char object[PURGE_NAME_BYTES];
    HF_TRY(etag_check(admin->mutation->etag, &purge->stamp, admin->problem));
    enum hf_status status =
        purge_move_begin(admin->service, purge, event, &seen, &move, &reason);
    if (status == HF_E_PRECONDITION) {
        return problem_set(admin->problem, reason,
                           "a purge that is %s%s with %u approvals cannot do "
                           "this",
                           purge_phase_text(purge->record.phase),
                           purge->record.paused ? " (paused)" : "",
                           purge->record.approvals);
    }
    if (status == HF_OK && event == PURGE_EV_RENEW) {
        status = fill_document(admin, purge, &move.next);
        if (status != HF_OK) {
            purge_move_end(&move);
            return status;
        }
    }
    if (status == HF_OK && event == PURGE_EV_CANCEL) {
        status = purge_move_dep(&move, DEP_EV_CANCEL_PURGE);
    }
    if (status == HF_OK) {
        status = purge_move_put(&move);
    }
    purge_name(purge, object);
    if (status == HF_OK) {
        status = admin_finish_change(admin, move.change, object, NULL,
                                     &purge->record.id);
    }
    if (status == HF_OK && !admin->mutation->validate_only) {
        status = purge_move_commit(&move);
    }
    purge_move_end(&move);
    return admin_answer(admin, status);
}

/* any registered approver, or a tenant administrator, may pause; only
 * one who might have approved it lets it go on. */
static HF_STATUS check_officer(const struct admin *admin,
                               const struct purge_entry *purge)
{
    struct service *service = admin->service;
    const char *identity = admin->caller->identity;
    bool pauses = admin->verb == VERB_PAUSE_PURGE;
    if (pauses && (admin->caller->roles & ROLE_TENANT_ADMIN) != 0) {
        return HF_OK;
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct officer_entry *officer = purge_book_officer(
        service->purges, &admin->tenant->record.id, identity);
    const struct approval_facts facts = {
        .registered = officer != NULL && officer->record.active,
        .registered_before = officer != NULL && officer->record.since_ms <
                                                    purge->record.requested_ms,
        .is_requester = strcmp(purge->record.requester, identity) == 0,
    };
    pthread_rwlock_unlock(&service->catalogue.lock);
    bool allowed = pauses ? facts.registered : approval_officer_stands(&facts);
    return allowed ? HF_OK
                   : problem_set(admin->problem, REASON_APPROVER_REFUSED,
                                 "only a registered approver may do this%s",
                                 pauses ? ""
                                        : ", who was one before the purge was "
                                          "requested, and did not request it");
}

static HF_STATUS order(struct admin *admin, const struct purge_order *order,
                       enum purge_event event, struct purge_view *out)
{
    struct purge_entry *purge = NULL;
    struct service *service = admin->service;
    HF_TRY(admin_begin(admin, order->tenant));
    HF_TRY(purge_find(admin, order->id, &purge));
    CHECK(purge != NULL);
    if (!admin->seen) {
        if (event == PURGE_EV_PAUSE || event == PURGE_EV_RESUME) {
            HF_TRY(check_officer(admin, purge));
        }
        pthread_mutex_lock(&service->record_lock);
        enum hf_status status = order_locked(admin, purge, event);
        pthread_mutex_unlock(&service->record_lock);
        HF_TRY(status);
    }
    purge_settle(service, purge); /* of a repeat too */
    purge_show(service, purge, out);
    return HF_OK;
}

#define DEFINE_ORDER(name, verb_, event)                                       \
    HF_STATUS name(struct service *service, const struct caller *caller,       \
                   const struct purge_order *request, struct purge_view *out,  \
                   struct problem *problem)                                    \
    {                                                                          \
        struct admin admin = {                                                 \
            .service = service,                                                \
            .caller = caller,                                                  \
            .verb = (verb_),                                                   \
            .mutation = &request->mutation,                                    \
            .problem = problem,                                                \
        };                                                                     \
        return order(&admin, request, (event), out);                           \
    }

DEFINE_ORDER(purges_renew, VERB_RENEW_PURGE_DOCUMENT, PURGE_EV_RENEW)
DEFINE_ORDER(purges_cancel, VERB_CANCEL_PURGE, PURGE_EV_CANCEL)
DEFINE_ORDER(purges_pause, VERB_PAUSE_PURGE, PURGE_EV_PAUSE)
DEFINE_ORDER(purges_resume, VERB_RESUME_PURGE, PURGE_EV_RESUME)
