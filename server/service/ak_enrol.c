#include "server/service/ak_enrol.h"

#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "server/service/ak_copies.h"
#include "server/service/ak_objects.h"
#include "server/service/attempt.h"
#include "server/service/availability_key.h"
#include "server/service/operations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS 2000

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

bool ak_copy_is_carried(const struct generation_entry *generation)
{
    const struct dep_entry *dep = generation->dep;
    return generation->record.copies[ROOT_AK].wrapped_len > 0 && !dep->closed &&
           dep->record.ak_state != AK_DESTROYED &&
           dep->record.state != DEP_PURGING && dep->record.state != DEP_PURGED;
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

static HF_STATUS put_token(const struct ak_token_record *token,
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
        HF_TRY(put_token(&first->record, &none, change, &first->stamp));
        HF_TRY(ak_token_audit(admin->service, change, &fact));
    }
    HF_TRY(put_token(&mirror->record, &none, change, &mirror->stamp));
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

/* --- carrying over ------------------------------------------------------ */

static HF_STATUS audit_carried(struct service *service,
                               const struct dep_entry *dep,
                               const struct ak_token_ref *to,
                               uint32_t generation, struct change *change)
{
    char object[HF_NAME_MAX_BYTES + HF_ID_TEXT + 32];
    char id[HF_ID_TEXT];
    char details[HF_NAME_MAX_BYTES + 96];
    id_format(&dep->record.id, id);
    snprintf(object, sizeof object, "tenants/%s/deps/%s",
             dep->tenant->record.name, id);
    snprintf(details, sizeof details,
             "{\"generation\":%u,\"token\":\"%s\",\"serial\":\"%s\"}",
             generation, to->name, to->serial);
    const struct audit_entry entry = {
        .activity = "AvailabilityKeyCopyCarried",
        .tenant = dep->record.tenant,
        .object = object,
        .details = details,
    };
    return audit_change(service, change, &entry);
}

/* record_lock is held. A purge, a roll or another's record may have come
 * between: then what was made is of no use. */
static HF_STATUS record_carried(struct service *service,
                                struct generation_entry *generation,
                                const struct stamp *made_from,
                                const struct ak_token_ref *to,
                                const struct generation_record *next)
{
    struct stamp stamp;
    HF_OWNED(change_freep) struct change *change = NULL;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool stands = ak_copy_is_carried(generation);
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (!stands || generation->stamp.version != made_from->version) {
        return HF_E_CONFLICT;
    }
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = generation_encode(next, record);
    }
    if (status == HF_OK) {
        status = change_put(change, record, &generation->stamp, &stamp);
    }
    free(record);
    if (status == HF_OK) {
        status = audit_carried(service, generation->dep, to, next->generation,
                               change);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (admin_is_stored(status)) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        ak_copies_take(&generation->record, next);
        generation->stamp = stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    return status;
}

/* The one version that a copy which serves is under. */
static uint32_t version_of(const struct generation_record *generation,
                           const struct ak_token_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct wrapped_copy *copy = ak_copy_of(generation, &set->at[i]);
        if (copy != NULL) {
            return copy->key_version;
        }
    }
    return 0;
}

/* It opens in the mirror, to the key that sealed the commitment. */
static HF_STATUS try_carried(struct service *service, struct dep_entry *dep,
                             const struct ak_token_ref *to,
                             const struct generation_record *next)
{
    struct generation_entry *trial = generation_entry_new();
    struct lease *lease = NULL;
    if (trial == NULL) {
        return HF_E_NO_MEMORY;
    }
    trial->dep = dep;
    trial->record = *next;
    enum hf_status status = attempt_root_in(service, trial, to, 0, &lease);
    if (status == HF_OK) {
        lease_release(lease);
    }
    generation_entry_free(trial);
    return status;
}

static HF_STATUS carry_one(struct service *service,
                           struct generation_entry *generation,
                           const struct ak_token_set *set,
                           const struct ak_token_ref *to)
{
    struct generation_record *next = malloc(sizeof *next);
    if (next == NULL) {
        return HF_E_NO_MEMORY;
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    *next = generation->record;
    const struct stamp made_from = generation->stamp;
    const struct dep_record dep = generation->dep->record;
    pthread_rwlock_unlock(&service->catalogue.lock);
    const struct ak_carry carry = {
        .dep = &dep,
        .version = version_of(next, set),
        .generation = next,
        .set = set,
    };
    enum hf_status status =
        carry.version == 0 ? HF_E_NOT_FOUND : ak_token_open(to);
    if (status == HF_OK) {
        status = ak_generate_in(to->token, &dep, carry.version);
    }
    if (status == HF_OK) {
        status = ak_carry_from_any(service, &carry, to);
    }
    if (status == HF_OK) {
        status = try_carried(service, generation->dep, to, next);
    }
    if (status == HF_OK) {
        pthread_mutex_lock(&service->record_lock);
        status = record_carried(service, generation, &made_from, to, next);
        pthread_mutex_unlock(&service->record_lock);
    }
    free(next);
    return status;
}

/* A purge that ended meanwhile had looked before the mirror's key was made. */
static void undo_if_ended(struct service *service, struct dep_entry *dep)
{
    struct ak_destroyed destroyed;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool ended = dep->closed || dep->record.ak_state == AK_DESTROYED;
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (ended) {
        HF_IGNORE(ak_objects_destroy(service, dep, &destroyed),
                  "the daily look finds what is left");
    }
}

static bool lacks_copy(struct service *service, const struct dep_entry *dep,
                       uint32_t number, const struct ak_token_ref *to)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct generation_entry *generation =
        catalogue_generation(dep, number);
    bool lacks = generation != NULL && ak_copy_is_carried(generation) &&
                 ak_copy_of(&generation->record, to) == NULL;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return lacks;
}

/* Every one that lacks it; *out_left when some still do. */
static void carry_all(struct service *service, const struct ak_token_set *set,
                      const struct ak_token_ref *to, bool sharepoint,
                      bool *out_left)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_entry *dep = service->catalogue.deps;
    pthread_rwlock_unlock(&service->catalogue.lock);
    while (dep != NULL && !atomic_load(&service->stopping)) {
        for (uint32_t i = 1; i <= DEP_GENERATIONS_MAX; i++) {
            if (ak_type_is_sharepoint(dep->record.type) != sharepoint ||
                !lacks_copy(service, dep, i, to)) {
                continue;
            }
            enum hf_status status =
                carry_one(service, catalogue_generation(dep, i), set, to);
            ak_token_met(service, to->entry, status);
            if (status != HF_OK) {
                *out_left = true;
                undo_if_ended(service, dep);
            }
        }
        pthread_rwlock_rdlock(&service->catalogue.lock);
        dep = dep->next;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    *out_left = *out_left || dep != NULL;
}

static bool is_whole(struct service *service, const struct ak_token_ref *to,
                     bool sharepoint)
{
    bool whole = true;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct dep_entry *dep = service->catalogue.deps;
         dep != NULL && whole; dep = dep->next) {
        for (uint32_t i = 0; i < DEP_GENERATIONS_MAX && whole; i++) {
            const struct generation_entry *generation = dep->generations[i];
            whole = generation == NULL ||
                    ak_type_is_sharepoint(dep->record.type) != sharepoint ||
                    !ak_copy_is_carried(generation) ||
                    ak_copy_of(&generation->record, to) != NULL;
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return whole;
}

/* record_lock is held: nothing is made meanwhile that would lack it. */
static HF_STATUS activate_locked(struct service *service,
                                 struct ak_token_entry *entry)
{
    struct ak_token_record next = ak_token_record_of(service, entry);
    struct stamp stamp;
    enum reason reason = REASON_NONE;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(
        ak_token_next(next.state, AK_TOKEN_EV_CARRIED, &next.state, &reason));
    next.active_ms = service_wall_ms(service);
    const struct ak_token_fact fact = {
        .activity = "AvailabilityTokenActive",
        .token = &next,
    };
    HF_TRY(change_new(&change));
    HF_TRY(put_token(&next, &entry->stamp, change, &stamp));
    HF_TRY(ak_token_audit(service, change, &fact));
    enum hf_status status = ledger_commit(service->ledger, change);
    if (admin_is_stored(status)) {
        ak_token_set_record(service, entry, &next, &stamp);
        log_event(LOG_INFO, "ak_token.active", LOG_TEXT("token", next.name),
                  LOG_TEXT("serial", next.serial));
    }
    return status;
}

static void carry_to(struct service *service, bool sharepoint,
                     const struct ak_token_set *set,
                     const struct ak_token_ref *to)
{
    bool left = false;
    carry_all(service, set, to, sharepoint, &left);
    if (left) {
        return; /* it comes again */
    }
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = is_whole(service, to, sharepoint)
                                ? activate_locked(service, to->entry)
                                : HF_OK;
    pthread_mutex_unlock(&service->record_lock);
    ak_token_met(service, to->entry, status);
}

static void carry(void *argument)
{
    static const enum dep_type kinds[] = {DEP_TYPE_EXCHANGE_MAILBOX,
                                          DEP_TYPE_SHAREPOINT_GEO};
    struct service *service = argument;
    struct ak_token_set set;
    for (size_t kind = 0; kind < HF_COUNT(kinds); kind++) {
        ak_tokens_of(service, kinds[kind], &set);
        for (size_t i = 0; i < set.count; i++) {
            if (set.at[i].enrolling) {
                carry_to(service, ak_type_is_sharepoint(kinds[kind]), &set,
                         &set.at[i]);
            }
        }
    }
    atomic_store(&service->carrying, false);
}

static bool is_any_enrolling(struct service *service)
{
    struct ak_token_entry *entry = NULL;
    while ((entry = ak_token_visit(service, entry)) != NULL) {
        if (ak_token_record_of(service, entry).state == AK_TOKEN_ENROLLING) {
            return true;
        }
    }
    return false;
}

void ak_enrol_round(struct service *service, int64_t now_ms)
{
    const struct pool_job job = {
        .tenant = "",
        .rank = POOL_BACKGROUND,
        .work = carry,
        .argument = service,
    };
    if (now_ms < service->carry_due_ms || !is_any_enrolling(service) ||
        atomic_exchange(&service->carrying, true)) {
        return;
    }
    service->carry_due_ms = now_ms + RETRY_MS;
    if (pool_run(service->pool, &job) != HF_OK) {
        atomic_store(&service->carrying, false);
    }
}
