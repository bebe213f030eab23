/* purge_approvals: an officer's signature, and T10 once there are enough. */
#include "hsm/sys/signature.h"

#include "server/domain/approval.h"

#include "server/service/purge_book.h"
#include "server/service/purge_evidence.h"
#include "server/service/sign.h"
#include "server/store/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- approve ------------------------------------------------------------ */

static HF_STATUS refuse(const struct admin *admin, enum reason reason)
{
    if (reason == REASON_APPROVER_REFUSED) {
        return problem_set(admin->problem, reason,
                           "only an approver who was registered before the "
                           "purge was requested, and who did not request it, "
                           "may approve it");
    }
    if (reason == REASON_APPROVAL_INVALID) {
        return problem_set(admin->problem, reason,
                           "the signature is not this approver's over the "
                           "current document: fetch it again, or renew it if "
                           "it is too old");
    }
    return problem_set(admin->problem, reason,
                       "this approver has approved this version already");
}

/* What is signed, and the record of it. */
struct approving {
    struct purge_document document;
    struct approval_record record;
    struct stamp current; /* of an approval of an earlier version */
    struct stamp next;
};

static HF_STATUS fill_record(const struct admin *admin,
                             const struct purge_approve *request,
                             const struct purge_entry *purge,
                             const struct officer_entry *officer,
                             struct approving *approving)
{
    struct approval_record *record = &approving->record;
    record->tenant = purge->record.tenant;
    record->purge = purge->record.id;
    memcpy(record->identity, admin->caller->identity, sizeof record->identity);
    record->version = request->version;
    record->earlier_accepted = request->accept_earlier_wraps;
    record->approved_ms = service_wall_ms(admin->service);
    if (request->signature.len > sizeof record->signature) {
        record->signature_len = 0; /* longer than any: it fits nothing */
    } else if (request->signature.len > 0) {
        memcpy(record->signature, request->signature.data,
               request->signature.len);
        record->signature_len = request->signature.len;
    }
    if (approving->document.len > sizeof record->text) {
        return HF_E_LIMIT;
    }
    memcpy(record->text, approving->document.text, approving->document.len);
    record->text_len = approving->document.len;
    HF_TRY(sha256(
        (struct bytes){approving->document.text, approving->document.len},
        record->document));
    return officer == NULL
               ? HF_OK
               : sha256((struct bytes){officer->record.public_key,
                                       officer->record.public_key_len},
                        record->key_fingerprint);
}

static bool is_good(const struct officer_entry *officer,
                    const struct approving *approving)
{
    return officer != NULL &&
           signature_verify((struct bytes){officer->record.public_key,
                                           officer->record.public_key_len},
                            (struct bytes){approving->document.text,
                                           approving->document.len},
                            (struct bytes){approving->record.signature,
                                           approving->record.signature_len}) ==
               HF_OK;
}

/* What one approver has signed the next one signs, byte for byte, whatever was
 * renamed since. */
static bool find_signed(const struct purge_entry *purge, bool accepting,
                        struct purge_document *out)
{
    for (size_t i = 0; i < purge->approval_count; i++) {
        const struct approval_record *given = &purge->approvals[i].record;
        if (given->version == purge->record.version &&
            purge_signed_document(given, accepting, out)) {
            return true;
        }
    }
    return false;
}

/* record_lock is held: neither officers nor purges change. */
static HF_STATUS decide(const struct admin *admin,
                        const struct purge_approve *request,
                        struct purge_entry *purge, struct approving *approving)
{
    struct service *service = admin->service;
    const struct officer_entry *officer = purge_book_officer(
        service->purges, &purge->record.tenant, admin->caller->identity);
    struct approval_entry *before =
        purge_entry_approval(purge, admin->caller->identity);
    if (!find_signed(purge, request->accept_earlier_wraps,
                     &approving->document)) {
        HF_TRY(purge_write_document(service, purge, &purge->record,
                                    request->accept_earlier_wraps,
                                    &approving->document));
    }
    HF_TRY(fill_record(admin, request, purge, officer, approving));
    if (before != NULL) {
        approving->current = before->stamp;
    }
    const struct approval_facts facts = {
        .registered = officer != NULL && officer->record.active,
        .registered_before = officer != NULL && officer->record.since_ms <
                                                    purge->record.requested_ms,
        .is_requester =
            strcmp(purge->record.requester, admin->caller->identity) == 0,
        .given =
            before != NULL && before->record.version == purge->record.version,
        .signature_good = is_good(officer, approving),
        .version = request->version,
        .current_version = purge->record.version,
        .now_ms = approving->record.approved_ms,
        .expires_ms = purge->record.expires_ms,
    };
    enum reason reason = approval_decide(&facts);
    return reason == REASON_NONE ? HF_OK : refuse(admin, reason);
}

static HF_STATUS put_approval(struct approving *approving,
                              struct change *change)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = approval_encode(&approving->record, record);
    if (status == HF_OK) {
        status =
            change_put(change, record, &approving->current, &approving->next);
    }
    free(record);
    return status;
}

static void keep(struct service *service, struct purge_entry *purge,
                 const struct approving *approving)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    struct approval_entry *entry =
        purge_entry_approval(purge, approving->record.identity);
    if (entry == NULL && purge->approval_count < OFFICERS_MAX) {
        entry = &purge->approvals[purge->approval_count++];
    }
    if (entry != NULL) {
        *entry = (struct approval_entry){approving->record, approving->next};
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
}

static void fill_next(struct service *service, struct purge_record *next,
                      const struct approving *approving)
{
    bool first = next->approvals == 0;
    next->earlier_accepted =
        approving->record.earlier_accepted && (first || next->earlier_accepted);
    next->approvals++;
    if (next->phase == PURGE_APPROVED) {
        next->approved_ms = approving->record.approved_ms;
        next->hold_until_ms =
            next->approved_ms + service->settings.purge_hold_ms;
    }
}

static HF_STATUS record_approval(const struct admin *admin,
                                 struct purge_move *move,
                                 struct approving *approving)
{
    char object[PURGE_NAME_BYTES];
    HF_OWNED(details_freep) struct details *details = NULL;
    purge_name(move->purge, object);
    HF_TRY(details_new(DETAILS_OF_NEW, &details));
    details_number(details, "version", 0, approving->record.version);
    details_flag(details, "acceptsEarlierWraps", false,
                 approving->record.earlier_accepted);
    fill_next(admin->service, &move->next, approving);
    HF_TRY(purge_move_put(move));
    HF_TRY(put_approval(approving, move->change));
    HF_TRY(admin_finish_change(admin, move->change, object, details,
                               &move->next.id));
    return admin->mutation->validate_only ? HF_OK : purge_move_commit(move);
}

/* record_lock is held. */
static HF_STATUS approve_locked(const struct admin *admin,
                                const struct purge_approve *request,
                                struct purge_entry *purge,
                                struct approving *approving)
{
    const struct purge_seen seen = {.approvals = purge->record.approvals + 1};
    struct purge_move move = {.change = NULL};
    enum reason reason = REASON_NONE;
    enum hf_status status = purge_move_begin(
        admin->service, purge, PURGE_EV_APPROVE, &seen, &move, &reason);
    if (status == HF_E_PRECONDITION) {
        return problem_set(admin->problem, reason,
                           "a purge that is %s is not to be approved",
                           purge_phase_text(purge->record.phase));
    }
    if (status == HF_OK) {
        status = decide(admin, request, purge, approving);
        if (status != HF_OK && admin->problem->reason != REASON_NONE) {
            purge_move_end(&move);
            return status;
        }
    }
    if (status == HF_OK) {
        status = record_approval(admin, &move, approving);
    }
    if (admin_is_stored(status) && !admin->mutation->validate_only) {
        keep(admin->service, purge, approving);
    }
    purge_move_end(&move);
    return admin_answer(admin, status);
}

HF_STATUS purges_approve(struct service *service, const struct caller *caller,
                         const struct purge_approve *request,
                         struct purge_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_APPROVE_PURGE,
        .mutation = &request->order.mutation,
        .problem = problem,
    };
    struct purge_entry *purge = NULL;
    problem->reason = REASON_NONE;
    HF_TRY(admin_begin(&admin, request->order.tenant));
    HF_TRY(purge_find(&admin, request->order.id, &purge));
    if (!admin.seen) {
        struct approving *approving = calloc(1, sizeof *approving);
        if (approving == NULL) {
            return problem_of_status(problem, HF_E_NO_MEMORY);
        }
        pthread_mutex_lock(&service->record_lock);
        enum hf_status status =
            approve_locked(&admin, request, purge, approving);
        pthread_mutex_unlock(&service->record_lock);
        free(approving);
        HF_TRY(status);
    }
    purge_show(service, purge, out);
    return HF_OK;
}

/* --- execute ------------------------------------------------------------ */

/* nothing but what was accepted by name. */
static bool is_accepted(const struct purge_record *record,
                        const struct purge_earlier *earlier)
{
    for (size_t i = 0; record->earlier_accepted && i < record->earlier_count;
         i++) {
        if (record->earlier[i].ref.generation == earlier->ref.generation &&
            id_equal(&record->earlier[i].ref.dep, &earlier->ref.dep)) {
            return true;
        }
    }
    return false;
}

static bool has_open(const struct purge_record *record,
                     const struct purge_census *census)
{
    for (size_t i = 0; i < census->earlier_count; i++) {
        if (!is_accepted(record, &census->earlier[i])) {
            return true;
        }
    }
    return census->too_many;
}

static HF_STATUS refuse_execution(const struct admin *admin,
                                  const struct purge_record *record,
                                  const struct purge_census *census,
                                  enum reason reason)
{
    if (reason == REASON_EARLIER_WRAPS) {
        return problem_set(admin->problem, reason,
                           "%zu earlier DEPs or generations wrapped keys of "
                           "these mailboxes, and nobody accepted that they "
                           "stay: purge them, renew the keys, or have the "
                           "approvers accept the list",
                           census->earlier_count);
    }
    if (reason == REASON_DEP_IN_USE) {
        return problem_set(admin->problem, reason,
                           "%llu mailboxes are wrapped under this DEP but "
                           "assigned elsewhere, %.200s among them: RewrapDep "
                           "first, or their keys would be lost",
                           (unsigned long long)census->strays, census->stray);
    }
    if (reason == REASON_APPROVAL_INVALID) {
        return problem_set(admin->problem, reason,
                           "the document that was approved has ended: renew "
                           "it and have it approved again");
    }
    return problem_set(
        admin->problem, reason, "a purge that is %s%s is not to be executed",
        purge_phase_text(record->phase), record->paused ? " (paused)" : "");
}

static bool is_approver(struct purge_entry *purge, const char *identity)
{
    const struct approval_entry *approval =
        purge_entry_approval(purge, identity);
    return approval != NULL &&
           approval->record.version == purge->record.version;
}

static HF_STATUS check_executor(const struct admin *admin,
                                struct purge_entry *purge)
{
    const char *identity = admin->caller->identity;
    return approval_executor_allowed(
               strcmp(purge->record.requester, identity) == 0,
               is_approver(purge, identity))
               ? HF_OK
               : problem_set(admin->problem, REASON_APPROVER_REFUSED,
                             "who requested or approved a purge does not "
                             "execute it");
}

/* What ends a tenant and what ends one of its DEPs do not run beside each
 * other: each verifies what it destroyed itself. */
static HF_STATUS check_alone(const struct admin *admin,
                             const struct purge_entry *purge)
{
    const struct purge_entry *other =
        purge_book_running(admin->service->purges, purge);
    bool hinders = other != NULL &&
                   (purge_is_of_tenant(purge) || purge_is_of_tenant(other));
    return hinders ? problem_set(admin->problem, REASON_STATE_CONFLICT,
                                 "%s of this tenant is running",
                                 purge_is_of_tenant(other) ? "the deletion"
                                                           : "a purge")
                   : HF_OK;
}

static HF_STATUS record_execution(const struct admin *admin,
                                  struct purge_move *move,
                                  const struct operation_order *order,
                                  struct hf_id *out_operation)
{
    struct service *service = admin->service;
    struct operation_entry *entry = NULL;
    char object[PURGE_NAME_BYTES];
    purge_name(move->purge, object);
    memcpy(move->next.executor, admin->caller->identity,
           sizeof move->next.executor);
    move->next.executed_ms = service_wall_ms(service);
    move->next.hold_until_ms =
        purge_hold_until(move->next.hold_until_ms, move->next.executed_ms,
                         service->settings.purge_hold_ms);
    HF_TRY(purge_move_dep(move, DEP_EV_EXECUTE_PURGE));
    HF_TRY(purge_move_put(move));
    HF_TRY(operation_begin(admin, order, move->change, &entry));
    *out_operation = *operation_entry_id(entry);
    enum hf_status status =
        admin_finish_change(admin, move->change, object, NULL, out_operation);
    if (status == HF_OK) {
        status = purge_move_commit(move);
    }
    if (admin_is_stored(status)) {
        operations_adopt(service, entry);
    } else {
        operation_drop(entry);
    }
    return status;
}

static bool rests_on_keys(const struct purge_entry *purge)
{
    return !purge_is_of_tenant(purge);
}

/* record_lock is held. */
static HF_STATUS execute_locked(const struct admin *admin,
                                struct purge_entry *purge,
                                const struct purge_ground *ground,
                                struct operation_order *order,
                                struct hf_id *out_operation)
{
    struct service *service = admin->service;
    struct purge_move move = {.change = NULL};
    enum reason reason = REASON_NONE;
    HF_TRY(etag_check(admin->mutation->etag, &purge->stamp, admin->problem));
    HF_TRY(check_executor(admin, purge));
    HF_TRY(check_alone(admin, purge));
    struct purge_census *census = calloc(1, sizeof *census);
    enum hf_status status =
        census == NULL
            ? HF_E_NO_MEMORY
            : purge_census_take(service, purge->tenant, purge->dep, census);
    if (status == HF_OK) {
        const struct purge_seen seen = {
            .approvals = purge->record.approvals,
            .has_strays = census->strays > 0,
            .earlier_open = has_open(&purge->record, census),
        };
        order->total = census->marked;
        status = purge_move_begin(service, purge, PURGE_EV_EXECUTE, &seen,
                                  &move, &reason);
        if (status == HF_E_PRECONDITION) {
            status = refuse_execution(admin, &purge->record, census, reason);
            free(census);
            return status;
        }
    }
    free(census);
    if (status == HF_OK && rests_on_keys(purge) &&
        !purge_evidence_stands(service, purge->dep, ground)) {
        status = HF_E_CONFLICT;
    }
    if (status == HF_OK && !admin->mutation->validate_only) {
        status = record_execution(admin, &move, order, out_operation);
    }
    purge_move_end(&move);
    return admin_answer(admin, status);
}

/* T8 again, by attempts made now: a key that answers by now is a change of
 * mind. One that cannot be asked any more takes nothing back of what was found
 * at the request, as with force. */
static HF_STATUS check_keys(const struct admin *admin,
                            const struct purge_entry *purge,
                            struct purge_ground *out_ground)
{
    /* the end of a tenant rests on no evidence of its keys */
    return rests_on_keys(purge)
               ? purge_evidence_check(admin, purge->dep, true, out_ground)
               : HF_OK;
}

/* What the last steps need is there before the first one is taken. */
static HF_STATUS check_means(const struct admin *admin)
{
    struct signer signer;
    if (admin->service->settings.verifier == NULL ||
        sign_find(admin->service, &signer) != HF_OK) {
        return problem_set(admin->problem, REASON_SERVICE_UNAVAILABLE,
                           "the service cannot sign or verify a destruction "
                           "just now: its token must hold the audit key "
                           "(holdfast-hsm service init)");
    }
    return HF_OK;
}

HF_STATUS purges_execute(struct service *service, const struct caller *caller,
                         const struct purge_execute *request,
                         struct operation_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_EXECUTE_PURGE,
        .mutation = &request->order.mutation,
        .problem = problem,
    };
    struct purge_entry *purge = NULL;
    struct hf_id id = {{0}};
    HF_TRY(admin_begin(&admin, request->order.tenant));
    if (admin.seen) {
        return operation_show(&admin, &admin.object, out);
    }
    if (!request->confirm) {
        return problem_field(problem, "confirm",
                             "must be true: when the hold is over nothing "
                             "below this DEP can be opened by anybody");
    }
    HF_TRY(purge_find(&admin, request->order.id, &purge));
    HF_TRY(check_means(&admin));
    struct purge_ground ground;
    HF_TRY(check_keys(&admin, purge, &ground));
    struct operation_order order = {
        .kind = purge_is_of_tenant(purge) ? OPERATION_DELETE_TENANT
                                          : OPERATION_PURGE,
        .object = purge->record.id,
    };
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = execute_locked(&admin, purge, &ground, &order, &id);
    pthread_mutex_unlock(&service->record_lock);
    purge_settle(service, purge);
    HF_TRY(status);
    if (request->order.mutation.validate_only) {
        operation_preview(&admin, &order, out);
        return HF_OK;
    }
    return operation_show(&admin, &id, out);
}
