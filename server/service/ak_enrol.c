#include "server/service/ak_enrol.h"

#include "hsm/base/check.h"

#include "server/service/admin.h"
#include "server/service/availability_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ak_token_object(const struct ak_token_record *token,
                     char out[AK_TOKEN_OBJECT_BYTES])
{
    snprintf(out, AK_TOKEN_OBJECT_BYTES, "availabilityTokens/%s", token->name);
}

HF_STATUS ak_token_audit(struct service *service, struct change *change,
                         const struct ak_token_fact *fact)
{
    char object[AK_TOKEN_OBJECT_BYTES];
    ak_token_object(fact->token, object);
    const struct audit_entry entry = {
        .activity = fact->activity,
        .object = object,
        .details = fact->details,
    };
    return audit_change(service, change, &entry);
}

/* --- the order ---------------------------------------------------------- */

static HF_STATUS refuse_token(const struct admin *admin, const char *name,
                              enum hf_status status)
{
    return problem_set(admin->problem,
                       hf_status_class(status) == HF_CLASS_MISSING
                           ? REASON_STATE_CONFLICT
                           : REASON_SERVICE_UNAVAILABLE,
                       "the token %s shows no transport pair: %s; prepare it "
                       "with holdfast-hsm ak init",
                       name, hf_status_text(status));
}

/* What the token is, and its transport pair: pinned from now on. */
static HF_STATUS look_at_token(const struct admin *admin, const char *name,
                               const struct ak_token_config *configured,
                               struct ak_token_record *out)
{
    struct service *service = admin->service;
    struct token_key_report pair = {.spki_len = 0};
    struct token_profile profile;
    const struct ak_token_ref nothing = {.first = false};
    struct token_request find = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = ak_transport_key(&nothing), .report = &pair},
    };
    memset(find.u.find.key.fingerprint, 0, sizeof find.u.find.key.fingerprint);
    enum hf_status status = token_call(configured->token, &find);
    if (status != HF_OK) {
        return refuse_token(admin, name, status);
    }
    if (pair.bits != AK_TRANSPORT_BITS || !pair.can_unwrap ||
        pair.can_decrypt || pair.extractable || !pair.never_extractable ||
        !pair.local) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "the transport pair of the token %s is none that "
                           "holdfast-hsm ak init makes",
                           name);
    }
    token_profile_get(configured->token, &profile);
    HF_TRY(problem_of_status(admin->problem,
                             rng_id(service->settings.rng, &out->id)));
    out->sharepoint = configured->sharepoint;
    memcpy(out->name, name, strnlen(name, sizeof out->name - 1));
    memcpy(out->label, profile.label, sizeof out->label);
    memcpy(out->serial, profile.serial, sizeof out->serial);
    memcpy(out->transport, pair.spki, pair.spki_len);
    out->transport_len = pair.spki_len;
    out->enrolled_ms = service_wall_ms(service);
    return HF_OK;
}

struct enrolling {
    struct ak_token_entry *mirror;
    struct ak_token_entry *first; /* NULL: it has a record */
};

static void drop(struct enrolling *enrolling)
{
    free(enrolling->mirror);
    free(enrolling->first);
}

static HF_STATUS look_at_both(const struct admin *admin, const char *name,
                              const struct ak_token_config *configured,
                              struct enrolling *out)
{
    struct service *service = admin->service;
    struct ak_token_config primary;
    const char *own = ak_token_primary(service, configured->sharepoint);
    out->mirror = calloc(1, sizeof *out->mirror);
    if (out->mirror == NULL) {
        return problem_of_status(admin->problem, HF_E_NO_MEMORY);
    }
    out->mirror->record.state = AK_TOKEN_ENROLLING;
    HF_TRY(look_at_token(admin, name, configured, &out->mirror->record));
    if (ak_tokens_have_record(service, configured->sharepoint) || own == NULL ||
        !ak_token_configured(service, own, &primary)) {
        return HF_OK;
    }
    out->first = calloc(1, sizeof *out->first);
    if (out->first == NULL) {
        return problem_of_status(admin->problem, HF_E_NO_MEMORY);
    }
    HF_TRY(look_at_token(admin, own, &primary, &out->first->record));
    out->first->record.state = AK_TOKEN_ACTIVE;
    out->first->record.first = true;
    out->first->record.active_ms = out->first->record.enrolled_ms;
    return HF_OK;
}

/* record_lock is held: once a token, also a retired one, never again. */
static HF_STATUS check_new(const struct admin *admin,
                           const struct enrolling *enrolling)
{
    struct service *service = admin->service;
    CHECK(enrolling->mirror != NULL);
    const struct ak_token_record *wanted = &enrolling->mirror->record;
    struct ak_token_entry *entry = NULL;
    size_t live = enrolling->first != NULL;
    bool same = enrolling->first != NULL &&
                strcmp(enrolling->first->record.serial, wanted->serial) == 0;
    while ((entry = ak_token_visit(service, entry)) != NULL && !same) {
        const struct ak_token_record known = ak_token_record_of(service, entry);
        live += known.state != AK_TOKEN_RETIRED &&
                known.sharepoint == wanted->sharepoint;
        same = strcmp(known.serial, wanted->serial) == 0 ||
               (known.state != AK_TOKEN_RETIRED &&
                strcmp(known.name, wanted->name) == 0);
    }
    if (same) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "the token %s (serial %s) is enrolled, or was "
                           "retired: one that was retired never comes back",
                           wanted->name, wanted->serial);
    }
    return live < AK_TOKENS_MAX
               ? HF_OK
               : problem_set(admin->problem, REASON_STATE_CONFLICT,
                             "there are %d tokens of this kind already",
                             AK_TOKENS_MAX);
}

HF_STATUS ak_token_put(const struct ak_token_record *token,
                       const struct stamp *current, struct change *change,
                       struct stamp *out_next)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = ak_token_encode(token, record);
    if (status == HF_OK) {
        status = change_put(change, record, current, out_next);
    }
    free(record);
    return status;
}

static HF_STATUS describe(const struct ak_token_record *token,
                          struct details **out_details)
{
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(details_new(DETAILS_OF_NEW, &details));
    details_text(details, "state", "", ak_token_state_text(token->state));
    details_text(details, "label", "", token->label);
    details_text(details, "serial", "", token->serial);
    *out_details = HF_GIVE(details);
    return HF_OK;
}

static HF_STATUS fill_change(const struct admin *admin,
                             struct enrolling *enrolling, struct change *change)
{
    const struct stamp none = {.version = 0};
    char object[AK_TOKEN_OBJECT_BYTES];
    struct ak_token_entry *mirror = enrolling->mirror;
    HF_OWNED(details_freep) struct details *details = NULL;
    if (enrolling->first != NULL) {
        struct ak_token_entry *first = enrolling->first;
        const struct ak_token_fact fact = {
            .activity = "AvailabilityTokenRecorded",
            .token = &first->record,
        };
        HF_TRY(ak_token_put(&first->record, &none, change, &first->stamp));
        HF_TRY(ak_token_audit(admin->service, change, &fact));
    }
    HF_TRY(ak_token_put(&mirror->record, &none, change, &mirror->stamp));
    HF_TRY(describe(&mirror->record, &details));
    ak_token_object(&mirror->record, object);
    return admin_finish_change(admin, change, object, details,
                               &mirror->record.id);
}

/* record_lock is held. */
static HF_STATUS record_locked(const struct admin *admin,
                               struct enrolling *enrolling,
                               struct ak_token_entry **out_entry)
{
    struct service *service = admin->service;
    HF_OWNED(change_freep) struct change *change = NULL;
    if (enrolling->first != NULL &&
        ak_tokens_have_record(service, enrolling->first->record.sharepoint)) {
        free(enrolling->first); /* another enrolment recorded it meanwhile */
        enrolling->first = NULL;
    }
    HF_TRY(check_new(admin, enrolling));
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = fill_change(admin, enrolling, change);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (admin_is_stored(status)) {
        *out_entry = enrolling->mirror;
        if (enrolling->first != NULL) {
            ak_token_adopt(service, HF_GIVE(enrolling->first));
        }
        ak_token_adopt(service, HF_GIVE(enrolling->mirror));
    }
    return admin_answer(admin, status);
}

static HF_STATUS enroll(const struct admin *admin, const char *name,
                        const struct ak_token_config *configured,
                        struct ak_token_view *out)
{
    struct service *service = admin->service;
    struct enrolling enrolling = {.first = NULL};
    struct ak_token_entry *entry = NULL;
    enum hf_status status = look_at_both(admin, name, configured, &enrolling);
    if (status == HF_OK) {
        pthread_mutex_lock(&service->record_lock);
        status = admin->mutation->validate_only
                     ? check_new(admin, &enrolling)
                     : record_locked(admin, &enrolling, &entry);
        pthread_mutex_unlock(&service->record_lock);
    }
    drop(&enrolling);
    *out = (struct ak_token_view){.mirrored = true};
    if (entry != NULL) {
        ak_capacity_show(service, entry, out);
    }
    return status;
}

HF_STATUS ak_tokens_enroll(struct service *service, const struct caller *caller,
                           const struct ak_enroll *request,
                           struct ak_token_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_ENROLL_AK_MIRROR,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct ak_token_config configured;
    HF_TRY(admin_begin(&admin, ""));
    struct ak_token_entry *known = ak_token_named(service, request->name);
    if (admin.seen && known != NULL) {
        ak_capacity_show(service, known, out);
        return HF_OK;
    }
    if (!ak_token_configured(service, request->name, &configured)) {
        return problem_set(problem, REASON_NOT_FOUND,
                           "no token %s among the ak_mirrors of the service's "
                           "configuration",
                           request->name);
    }
    const char *own = ak_token_primary(service, configured.sharepoint);
    if (own == NULL || strcmp(own, request->name) == 0) {
        return problem_set(problem, REASON_STATE_CONFLICT,
                           "%s is no mirror in the service's configuration",
                           request->name);
    }
    return enroll(&admin, request->name, &configured, out);
}
