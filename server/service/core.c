#include "server/service/core.h"

#include "server/service/keys.h"
#include "server/store/hash.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct caller service_itself = {.identity = "holdfast"};

int64_t service_wall_ms(const struct service *service)
{
    return clock_wall_ms(service->settings.clock);
}

int64_t service_monotonic_ms(const struct service *service)
{
    return clock_monotonic_ms(service->settings.clock);
}

/* Every role at once fits. */
#define ROLES_TEXT_BYTES 320

static void roles_text(uint32_t roles, char out[ROLES_TEXT_BYTES])
{
    size_t len = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < ROLE_BITS; i++) {
        enum role role = (enum role)(1u << i);
        if ((roles & (uint32_t)role) != 0 && len < ROLES_TEXT_BYTES) {
            int more = snprintf(out + len, ROLES_TEXT_BYTES - len, "%s%s",
                                len > 0 ? ", " : "", role_text(role));
            len += more > 0 ? (size_t)more : 0;
        }
    }
}

static HF_STATUS refuse(struct problem *problem, enum reason reason,
                        enum verb verb)
{
    if (reason == REASON_NOT_FOUND) {
        /* another tenant's and a missing one: the same bytes (N02) */
        return problem_set(problem, reason, "no such tenant");
    }
    if (reason == REASON_SYSTEM_NOT_ALLOWED) {
        return problem_set(problem, reason,
                           "SYSTEM access needs the system-workload role; ask "
                           "as USER or with another identity");
    }
    char roles[ROLES_TEXT_BYTES];
    roles_text(access_roles_of(verb), roles);
    return problem_set(problem, reason,
                       "%s is not for any role of this identity; it is for %s",
                       verb_method(verb), roles);
}

static HF_STATUS refuse_ended(const struct tenant_entry *tenant, enum verb verb,
                              struct problem *problem)
{
    return tenant->ended && !access_outlives_tenant(verb)
               ? problem_set(problem, REASON_TENANT_DELETED,
                             "this tenant was deleted: its keys are destroyed, "
                             "or are being")
               : HF_OK;
}

static HF_STATUS admit_locked(struct service *service,
                              const struct caller *caller,
                              struct access_facts *facts, const char *tenant,
                              struct tenant_entry **out_tenant,
                              struct problem *problem)
{
    char folded[HF_NAME_MAX_BYTES + 1];
    char own[HF_NAME_MAX_BYTES + 1];
    name_fold(tenant, folded);
    name_fold(caller->tenant, own);
    facts->roles = caller->roles;
    facts->caller_has_tenant = caller->tenant[0] != '\0';
    facts->request_has_tenant = tenant[0] != '\0';
    facts->tenant_matches = strcmp(folded, own) == 0;
    enum reason reason = access_decide(facts);
    if (reason != REASON_NONE) {
        return refuse(problem, reason, facts->verb);
    }
    if (out_tenant == NULL) {
        return HF_OK;
    }
    *out_tenant = NULL;
    if (tenant[0] == '\0') {
        return HF_OK;
    }
    *out_tenant = catalogue_tenant(&service->catalogue, tenant);
    if (*out_tenant == NULL) {
        return refuse(problem, REASON_NOT_FOUND, facts->verb);
    }
    return refuse_ended(*out_tenant, facts->verb, problem);
}

HF_STATUS service_admit(struct service *service, const struct caller *caller,
                        enum verb verb, const char *tenant,
                        struct tenant_entry **out_tenant,
                        struct problem *problem)
{
    struct access_facts facts = {
        .verb = verb,
        .initiator = INITIATOR_USER,
    };
    pthread_rwlock_rdlock(&service->catalogue.lock);
    enum hf_status status =
        admit_locked(service, caller, &facts, tenant, out_tenant, problem);
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (status != HF_OK) {
        service_note_denial(service, caller, verb, tenant, problem);
    }
    return status;
}

/* Whose thing it is. */
static uint32_t workload_role(enum resource_type type,
                              const struct workload_row *row)
{
    if (type == RESOURCE_WORKLOAD) {
        return row == NULL ? 0 : (uint32_t)row->identity;
    }
    return type == RESOURCE_MAILBOX ? ROLE_WORKLOAD_EXCHANGE
                                    : ROLE_WORKLOAD_SHAREPOINT;
}

HF_STATUS workload_check(const struct workload_row *row,
                         struct problem *problem)
{
    if (row == NULL) {
        return problem_set(problem, REASON_NOT_FOUND, "no such workload");
    }
    if (row->coverage == WORKLOAD_BY_MAILBOX) {
        return problem_field(problem, "resource",
                             "%s have no key of their own: the keys are those "
                             "of tenants/{tenant}/mailboxes/{mailbox}",
                             row->title);
    }
    if (row->coverage != WORKLOAD_NOT_COVERED) {
        return HF_OK;
    }
    if ((int)row->covered_by == 0) {
        return problem_set(problem, REASON_WORKLOAD_NOT_COVERED,
                           "%s: not covered by any DEP", row->title);
    }
    return problem_set(problem, REASON_WORKLOAD_NOT_COVERED,
                       "%s: not covered by a multi-workload DEP, but by a DEP "
                       "of type %s",
                       row->title, dep_type_text(row->covered_by));
}

HF_STATUS service_admit_workload(struct service *service,
                                 const struct caller *caller, enum verb verb,
                                 const struct workload_name *name,
                                 struct tenant_entry **out_tenant,
                                 struct problem *problem)
{
    struct access_facts facts = {
        .verb = verb,
        .initiator = INITIATOR_USER,
        .workload = workload_role(RESOURCE_WORKLOAD, name->row),
    };
    pthread_rwlock_rdlock(&service->catalogue.lock);
    enum hf_status status = admit_locked(service, caller, &facts, name->tenant,
                                         out_tenant, problem);
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (status != HF_OK) {
        service_note_denial(service, caller, verb, name->tenant, problem);
    }
    return status;
}

void service_note_denial(struct service *service, const struct caller *caller,
                         enum verb verb, const char *tenant,
                         const struct problem *problem)
{
    char object[HF_NAME_MAX_BYTES + 16] = "";
    if (tenant[0] != '\0') {
        snprintf(object, sizeof object, "tenants/%s", tenant);
    }
    const struct denial denial = {
        .caller = caller,
        .verb = verb,
        .tenant = tenant,
        .object = object,
        .reason = problem->reason,
    };
    denials_note(service, &denial);
}

HF_STATUS service_admit_call(struct service *service,
                             const struct key_call *call,
                             struct tenant_entry **out_tenant,
                             struct problem *problem)
{
    if (call->caller == &service_itself) {
        *out_tenant = catalogue_tenant(&service->catalogue, call->tenant);
        return *out_tenant != NULL
                   ? refuse_ended(*out_tenant, call->verb, problem)
                   : refuse(problem, REASON_NOT_FOUND, call->verb);
    }
    const struct workload_row *row = call->type == RESOURCE_WORKLOAD
                                         ? workload_by_word(call->resource)
                                         : NULL;
    struct access_facts facts = {
        .verb = call->verb,
        .initiator = call->initiator,
        .workload = workload_role(call->type, row),
    };
    HF_TRY(admit_locked(service, call->caller, &facts, call->tenant, out_tenant,
                        problem));
    return call->type == RESOURCE_WORKLOAD ? workload_check(row, problem)
                                           : HF_OK;
}

const struct configured_token *
token_entry_configured(const struct token_entry *entry)
{
    struct token_profile profile;
    if (entry->configured == NULL) {
        return NULL;
    }
    token_profile_get(entry->configured->token, &profile);
    bool is_it = strcmp(profile.serial, entry->record.serial) == 0 &&
                 strcmp(profile.label, entry->record.label) == 0;
    return is_it || !token_profile_is_known(&profile) ? entry->configured
                                                      : NULL;
}

const struct configured_token *token_entry_ask(struct service *service,
                                               const struct token_entry *entry)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct configured_token *configured = token_entry_configured(entry);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return configured;
}

/* --- repeats ------------------------------------------------------------ */

/* Requests that belong to no tenant are filed under this one. */
static struct hf_id owner_of(const struct repeat *repeat)
{
    struct hf_id owner = repeat->tenant;
    if (id_is_nil(&owner)) {
        memset(owner.bytes, 0xff, sizeof owner.bytes);
    }
    return owner;
}

static HF_STATUS request_digest(const struct repeat *repeat,
                                uint8_t out[HF_SHA256_BYTES])
{
    uint8_t input[HF_URI_MAX_BYTES + 64 + HF_ID_TEXT];
    struct byte_writer writer = byte_writer_on(input, sizeof input);
    put_text(&writer, repeat->caller->identity);
    put_u32(&writer, (uint32_t)repeat->verb);
    put_text(&writer, repeat->mutation->request_id);
    if (writer.overrun) {
        return HF_E_INVALID;
    }
    return sha256((struct bytes){input, writer.len}, out);
}

HF_STATUS repeat_check(struct service *service, const struct repeat *repeat,
                       bool *out_seen, struct hf_id *out_object,
                       struct problem *problem)
{
    uint8_t digest[HF_SHA256_BYTES];
    struct stamp stamp;
    struct request_record seen;
    *out_seen = false;
    if (repeat->mutation->request_id[0] == '\0') {
        return HF_OK;
    }
    enum hf_status status = request_digest(repeat, digest);
    if (status != HF_OK) {
        return problem_of_status(problem, status);
    }
    struct hf_id owner = owner_of(repeat);
    struct record_key key = key_of_request(&owner, digest);
    struct record *record = malloc(sizeof *record);
    if (record == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    status = ledger_get(service->ledger, RECORD_REQUEST, record_key_view(&key),
                        record, &stamp);
    if (status == HF_OK) {
        status = request_decode(record, &seen);
    }
    free(record);
    if (status == HF_E_NOT_FOUND) {
        return HF_OK;
    }
    if (status != HF_OK) {
        return problem_of_status(problem, status);
    }
    if (!bytes_equal(BYTES_OF(seen.digest),
                     BYTES_OF(repeat->mutation->content))) {
        return problem_set(problem, REASON_REQUEST_ID_REUSED,
                           "request_id %s was used for a request with other "
                           "content; make a new one",
                           repeat->mutation->request_id);
    }
    status = ledger_settle(service->ledger);
    if (status != HF_OK) {
        return problem_set(problem, REASON_SERVICE_UNAVAILABLE,
                           "done, but not yet secured against a rollback; "
                           "repeat with the same request_id");
    }
    *out_seen = true;
    *out_object = seen.object;
    return HF_OK;
}

HF_STATUS repeat_record(struct service *service, const struct repeat *repeat,
                        const struct hf_id *object, struct change *change)
{
    const struct stamp none = {0};
    struct request_record request = {
        .tenant = owner_of(repeat),
        .object = *object,
        .created_ms = service_wall_ms(service),
    };
    if (repeat->mutation->request_id[0] == '\0') {
        return HF_OK;
    }
    memcpy(request.digest, repeat->mutation->content, sizeof request.digest);
    HF_TRY(request_digest(repeat, request.request));
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = request_encode(&request, record);
    if (status == HF_OK) {
        status = change_put(change, record, &none, NULL);
    }
    free(record);
    return status;
}

void etag_write(const struct stamp *stamp, char out[ETAG_BYTES])
{
    snprintf(out, ETAG_BYTES, "%llu", (unsigned long long)stamp->version);
}

HF_STATUS etag_check(const char *etag, const struct stamp *stamp,
                     struct problem *problem)
{
    char now[ETAG_BYTES];
    etag_write(stamp, now);
    if (etag[0] == '\0' || strcmp(etag, now) == 0) {
        return HF_OK;
    }
    return problem_set(problem, REASON_ETAG_MISMATCH,
                       "changed meanwhile: etag is %s now; read it again", now);
}

/* --- audit -------------------------------------------------------------- */

/* True: it stands there, or there was nothing to say. */
static bool add_text(json_t *object, const char *key, const char *value)
{
    return value == NULL || value[0] == '\0' ||
           json_object_set_new(object, key, json_string(value)) == 0;
}

static bool fill_audit(json_t *object, const struct audit_entry *entry,
                       const char *time)
{
    char tenant[HF_ID_TEXT] = "";
    if (!id_is_nil(&entry->tenant)) {
        id_format(&entry->tenant, tenant);
    }
    const char *actor = entry->caller == NULL ? service_itself.identity
                                              : entry->caller->identity;
    return add_text(object, "time", time) &&
           add_text(object, "activity", entry->activity) &&
           add_text(object, "organisation", tenant) &&
           add_text(object, "actor", actor) &&
           add_text(object, "object", entry->object) &&
           add_text(object, "requestId", entry->request_id) &&
           (entry->details == NULL ||
            json_object_set_new(object, "details",
                                json_loads(entry->details, 0, NULL)) == 0);
}

/* Whole, or none: a record without its actor is no record. */
static json_t *audit_json(const struct audit_entry *entry, const char *time)
{
    json_t *object = json_object();
    if (object != NULL && !fill_audit(object, entry, time)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

HF_STATUS audit_change(struct service *service, struct change *change,
                       const struct audit_entry *entry)
{
    char time[CLOCK_UTC_TEXT];
    clock_format_utc(service_wall_ms(service), time);
    json_t *object = audit_json(entry, time);
    if (object == NULL) {
        return HF_E_NO_MEMORY;
    }
    char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(object);
    if (text == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = change_audit(change, &entry->tenant, text);
    free(text);
    return status;
}

void topics_watch(struct service *service, topic_fn *changed, void *context)
{
    ledger_watch(service->ledger, changed, context);
}
