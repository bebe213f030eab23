#include "server/service/ak_retire.h"

#include "hsm/base/text.h"

#include "server/service/admin.h"
#include "server/service/ak_enrol.h"

#include <stdlib.h>
#include <string.h>

static bool is_other_active(struct service *service,
                            const struct ak_token_entry *entry)
{
    struct ak_token_entry *other = NULL;
    const struct ak_token_record own = ak_token_record_of(service, entry);
    while ((other = ak_token_visit(service, other)) != NULL) {
        const struct ak_token_record record =
            ak_token_record_of(service, other);
        if (other != entry && record.sharepoint == own.sharepoint &&
            record.state == AK_TOKEN_ACTIVE) {
            return true;
        }
    }
    return false;
}

static bool gave_before(const struct ak_token_record *token, const char *who)
{
    for (size_t i = 0; i < AK_RETIREMENT_APPROVALS; i++) {
        if (strcmp(token->approved_by[i], who) == 0) {
            return true;
        }
    }
    return false;
}

static uint32_t count_approvals(const struct ak_token_record *token)
{
    uint32_t count = 0;
    while (count < AK_RETIREMENT_APPROVALS &&
           token->approved_by[count][0] != '\0') {
        count++;
    }
    return count;
}

/* What was said once is not agreed to for ever. */
static bool is_asked(struct service *service,
                     const struct ak_token_record *token)
{
    return token->requested_by[0] != '\0' &&
           service_wall_ms(service) - token->requested_ms <=
               AK_RETIREMENT_WINDOW_MS;
}

static HF_STATUS explain(const struct admin *admin, enum reason reason)
{
    if (reason == REASON_SECOND_PERSON_REQUIRED) {
        return problem_set(admin->problem, reason,
                           "a retirement takes one who asks for it and %u "
                           "others who say the same serial and disposal",
                           AK_RETIREMENT_APPROVALS);
    }
    return problem_set(admin->problem, reason,
                       "it is retired, or no other token of its kind holds "
                       "every key: enrol another mirror first");
}

static HF_STATUS decide(const struct admin *admin,
                        const struct ak_token_entry *entry,
                        const struct ak_retire *request,
                        enum ak_retirement *out_step)
{
    const struct ak_token_record token =
        ak_token_record_of(admin->service, entry);
    enum reason reason = REASON_NONE;
    const char *who = admin->caller->identity;
    const struct ak_retirement_facts facts = {
        .state = token.state,
        .other_active = is_other_active(admin->service, entry),
        .asked = is_asked(admin->service, &token),
        .same_words = strcmp(token.disposal, request->disposal) == 0,
        .is_requester = strcmp(token.requested_by, who) == 0,
        .gave_before = gave_before(&token, who),
        .approvals = count_approvals(&token),
    };
    return ak_retirement_decide(&facts, out_step, &reason) == HF_OK
               ? HF_OK
               : explain(admin, reason);
}

static HF_STATUS apply(const struct admin *admin,
                       const struct ak_retire *request, enum ak_retirement step,
                       struct ak_token_record *next)
{
    enum reason reason = REASON_NONE;
    int64_t now_ms = service_wall_ms(admin->service);
    const char *who = admin->caller->identity;
    size_t len = strnlen(who, HF_URI_MAX_BYTES);
    switch (step) {
    case AK_RETIREMENT_ASK:
        memset(next->requested_by, 0, sizeof next->requested_by);
        memset(next->approved_by, 0, sizeof next->approved_by);
        memcpy(next->requested_by, who, len);
        memcpy(next->disposal, request->disposal, sizeof next->disposal);
        next->requested_ms = now_ms;
        return HF_OK;
    case AK_RETIREMENT_APPROVE:
    case AK_RETIREMENT_DONE:
        break;
    }
    memcpy(next->approved_by[count_approvals(next)], who, len);
    if (step == AK_RETIREMENT_APPROVE) {
        return HF_OK;
    }
    next->retired_ms = now_ms;
    return ak_token_next(next->state, AK_TOKEN_EV_RETIRE, &next->state,
                         &reason);
}

static HF_STATUS put(const struct admin *admin,
                     const struct ak_token_record *before,
                     const struct ak_token_record *next,
                     const struct stamp *current, struct change *change,
                     struct stamp *out_next)
{
    char object[AK_TOKEN_OBJECT_BYTES];
    HF_OWNED(details_freep) struct details *details = NULL;
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = ak_token_encode(next, record);
    if (status == HF_OK) {
        status = change_put(change, record, current, out_next);
    }
    free(record);
    HF_TRY(status);
    HF_TRY(details_new(DETAILS_OF_CHANGE, &details));
    details_text(details, "state", ak_token_state_text(before->state),
                 ak_token_state_text(next->state));
    details_number(details, "approvals", count_approvals(before),
                   count_approvals(next));
    details_about(details, "serial", next->serial);
    details_about(details, "disposal", next->disposal);
    ak_token_object(next, object);
    return admin_finish_change(admin, change, object, details, &next->id);
}

/* record_lock is held. */
static HF_STATUS retire_locked(const struct admin *admin,
                               struct ak_token_entry *entry,
                               const struct ak_retire *request)
{
    struct service *service = admin->service;
    const struct ak_token_record before = ak_token_record_of(service, entry);
    struct ak_token_record next = before;
    struct stamp stamp;
    enum ak_retirement step = AK_RETIREMENT_ASK;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(decide(admin, entry, request, &step));
    if (admin->mutation->validate_only) {
        return HF_OK;
    }
    enum hf_status status = apply(admin, request, step, &next);
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = put(admin, &before, &next, &entry->stamp, change, &stamp);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (admin_is_stored(status)) {
        ak_token_set_record(service, entry, &next, &stamp);
    }
    return admin_answer(admin, status);
}

static HF_STATUS check_words(const struct admin *admin,
                             const struct ak_retire *request,
                             const struct ak_token_entry *entry)
{
    const struct ak_token_record token =
        ak_token_record_of(admin->service, entry);
    if (strcmp(token.serial, request->serial) != 0) {
        return problem_field(admin->problem, "serial",
                             "must be the serial that the token was enrolled "
                             "with");
    }
    return request->disposal[0] != '\0' &&
                   text_is_plain(bytes_of_text(request->disposal))
               ? HF_OK
               : problem_field(admin->problem, "disposal",
                               "must say in one plain line what became of the "
                               "token: it stands in the certificates of "
                               "purges");
}

HF_STATUS ak_tokens_retire(struct service *service, const struct caller *caller,
                           const struct ak_retire *request,
                           struct ak_token_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_RETIRE_AK_MIRROR,
        .mutation = &request->mutation,
        .problem = problem,
    };
    HF_TRY(admin_begin(&admin, ""));
    struct ak_token_entry *entry = admin.seen
                                       ? ak_token_by_id(service, &admin.object)
                                       : ak_token_named(service, request->name);
    if (entry == NULL) {
        return problem_set(problem, REASON_NOT_FOUND,
                           "no enrolled token %s of availability keys",
                           request->name);
    }
    if (!admin.seen) {
        HF_TRY(check_words(&admin, request, entry));
        pthread_mutex_lock(&service->record_lock);
        enum hf_status status = retire_locked(&admin, entry, request);
        pthread_mutex_unlock(&service->record_lock);
        HF_TRY(status);
    }
    ak_capacity_show(service, entry, out);
    return HF_OK;
}
