#include "server/service/tokens.h"

#include "hsm/base/enrolment.h"
#include "hsm/base/pkcs11_uri.h"

#include "hsm/sys/signature.h"

#include "server/service/token_statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECT_NAME_BYTES (2 * HF_NAME_MAX_BYTES + 32)

/* The catalogue's lock is held. The profile is a copy the adapter keeps: no
 * token is asked. */
static void fill_view(const struct token_entry *token, struct token_view *out)
{
    const struct token_record *record = &token->record;
    struct pkcs11_uri uri = {.type = PKCS11_URI_NO_TYPE};
    *out = (struct token_view){
        .id = record->id,
        .protection = record->protection,
        .retention_days = record->retention_days,
        .test_only = record->test_only,
        .hardware = record->hardware,
        .enrolled_ms = record->enrolled_ms,
        .revision = token->stamp.version,
    };
    memcpy(out->tenant, token->tenant->record.name, sizeof out->tenant);
    memcpy(out->name, record->name, sizeof out->name);
    memcpy(out->custody_domain, record->custody_domain,
           sizeof out->custody_domain);
    memcpy(uri.token, record->label, sizeof uri.token);
    memcpy(uri.serial, record->serial, sizeof uri.serial);
    if (pkcs11_uri_format(&uri, out->uri, sizeof out->uri) != HF_OK) {
        out->uri[0] = '\0';
    }
    const struct configured_token *configured = token_entry_configured(token);
    if (configured != NULL) {
        struct token_profile profile;
        token_profile_get(configured->token, &profile);
        out->suite = token_suite_preferred(&profile);
        out->free_bytes = profile.free_private_bytes;
        out->is_configured = true;
        token_state_get(configured->token, &out->state);
    }
}

static bool is_reachable(const struct configured_token *configured)
{
    struct token_request request = {.op = TOKEN_OP_HEALTH};
    return configured != NULL &&
           token_call(configured->token, &request) == HF_OK;
}

void token_show(struct service *service, const struct token_entry *token,
                struct token_view *out)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    fill_view(token, out);
    const struct configured_token *configured = token_entry_configured(token);
    pthread_rwlock_unlock(&service->catalogue.lock);
    out->reachable = is_reachable(configured);
}

/* --- enroll ------------------------------------------------------------- */

const struct configured_token *token_configured(const struct service *service,
                                                const char *name)
{
    for (size_t i = 0; i < service->settings.token_count; i++) {
        if (strcmp(service->settings.tokens[i].name, name) == 0) {
            return &service->settings.tokens[i];
        }
    }
    return NULL;
}

HF_STATUS token_check_statement(const struct admin *admin,
                                const struct token_enroll *request,
                                const struct configured_token *configured,
                                struct enrolment *out)
{
    struct problem *problem = admin->problem;
    struct token_profile profile;
    char tenant_id[HF_ID_TEXT];
    const struct tenant_record *tenant = &admin->tenant->record;
    if (signature_verify(bytes_of_text(configured->custodian_key_pem),
                         request->statement, request->signature) != HF_OK) {
        return problem_field(problem, "signature",
                             "does not verify under the custodian's key of "
                             "domain %s",
                             configured->custody_domain);
    }
    if (enrolment_parse(request->statement, out) != HF_OK) {
        return problem_field(problem, "statement",
                             "is no enrolment as holdfast-hsm token enroll "
                             "writes it");
    }
    id_format(&tenant->id, tenant_id);
    token_profile_get(configured->token, &profile);
    if (!token_profile_is_known(&profile)) {
        return problem_set(problem, REASON_KEY_UNAVAILABLE,
                           "token %s could not be opened yet; the service's "
                           "log says why",
                           configured->name);
    }
    if (strcmp(out->tenant, tenant->name) != 0 &&
        strcmp(out->tenant, tenant_id) != 0) {
        return problem_field(problem, "statement",
                             "names another tenant than %s", tenant->name);
    }
    if (strcmp(out->token_label, profile.label) != 0 ||
        strcmp(out->token_serial, profile.serial) != 0) {
        return problem_field(problem, "statement",
                             "names another token than %s, which has label %s "
                             "and serial %s",
                             configured->name, profile.label, profile.serial);
    }
    if (strcmp(out->custody_domain, configured->custody_domain) != 0) {
        return problem_field(problem, "statement",
                             "names custody domain %s; the configuration puts "
                             "%s in %s",
                             out->custody_domain, configured->name,
                             configured->custody_domain);
    }
    return HF_OK;
}

/* The words of the statement and of the rules are the same, number for number.
 */
_Static_assert((int)CUSTODY_PROTECTION_NONE == (int)PROTECTION_NONE &&
                   (int)CUSTODY_PROTECTION_TOKEN_PROTECTED ==
                       (int)PROTECTION_TOKEN_PROTECTED,
               "one scale");

HF_STATUS token_take_statement(const struct admin *admin,
                               const struct token_enroll *request,
                               const struct enrolment *enrolment,
                               struct token_record *record)
{
    memcpy(record->label, enrolment->token_label, sizeof record->label);
    memcpy(record->serial, enrolment->token_serial, sizeof record->serial);
    memcpy(record->custody_domain, enrolment->custody_domain,
           sizeof record->custody_domain);
    record->protection = (enum deletion_protection)enrolment->protection;
    record->retention_days = enrolment->retention_days;
    record->test_only = enrolment->test_only;
    record->hardware = enrolment->hardware;
    record->enrolled_ms = service_wall_ms(admin->service);
    if (request->statement.len > sizeof record->statement) {
        return HF_E_INVALID;
    }
    memcpy(record->statement, request->statement.data, request->statement.len);
    record->statement_len = request->statement.len;
    return HF_OK;
}

static HF_STATUS fill_record(const struct admin *admin,
                             const struct token_enroll *request,
                             const struct enrolment *enrolment,
                             struct token_record *record)
{
    HF_TRY(rng_id(admin->service->settings.rng, &record->id));
    record->tenant = admin->tenant->record.id;
    memcpy(record->name, request->name, sizeof record->name);
    return token_take_statement(admin, request, enrolment, record);
}

static HF_STATUS make_change(const struct admin *admin,
                             struct token_entry *entry, struct change *change)
{
    char object[OBJECT_NAME_BYTES];
    char serial[HF_NAME_MAX_BYTES + 1];
    const struct stamp none = {.version = 0};
    const struct hf_id nobody = {{0}};
    const struct token_record *record = &entry->record;
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(details_new(DETAILS_OF_NEW, &details));
    struct record *encoded = calloc(1, sizeof *encoded);
    if (encoded == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = token_record_encode(record, encoded);
    if (status == HF_OK) {
        status = change_put(change, encoded, &none, &entry->stamp);
    }
    free(encoded);
    HF_TRY(status);
    HF_TRY(put_name(change, NAME_TOKEN, &record->tenant, record->name,
                    &record->id));
    /* one tenant for a token, whatever it is called */
    snprintf(serial, sizeof serial, "%s", record->serial);
    HF_TRY(put_name(change, NAME_TOKEN_SERIAL, &nobody, serial, &record->id));
    snprintf(object, sizeof object, "tenants/%s/tokens/%s",
             admin->tenant->record.name, record->name);
    details_text(details, "label", "", record->label);
    details_text(details, "serial", "", record->serial);
    details_text(details, "custodyDomain", "", record->custody_domain);
    details_number(details, "retentionDays", 0, record->retention_days);
    details_flag(details, "testOnly", false, record->test_only);
    details_flag(details, "hardware", false, record->hardware);
    return admin_finish_change(admin, change, object, details, &record->id);
}

static HF_STATUS record_token(const struct admin *admin,
                              struct token_entry *entry)
{
    struct service *service = admin->service;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    HF_TRY(make_change(admin, entry, change));
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = ledger_commit(service->ledger, change);
    if (admin_is_stored(status)) {
        enum hf_status taken = catalogue_add_token(service, entry);
        if (taken != HF_OK) {
            status = taken;
        }
    }
    pthread_mutex_unlock(&service->record_lock);
    return status;
}

static struct token_entry *find(struct service *service,
                                const struct tenant_entry *tenant,
                                const char *name)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct token_entry *entry =
        catalogue_token(&service->catalogue, tenant, name);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return entry;
}

HF_STATUS tokens_enroll(struct service *service, const struct caller *caller,
                        const struct token_enroll *request,
                        struct token_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_ENROLL_TOKEN,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct enrolment enrolment = {0};
    HF_TRY(admin_begin(&admin, request->tenant));
    struct token_entry *existing = find(service, admin.tenant, request->name);
    if (admin.seen && existing != NULL) {
        token_show(service, existing, out);
        return HF_OK;
    }
    const struct configured_token *configured =
        token_configured(service, request->name);
    if (configured == NULL) {
        return problem_set(problem, REASON_NOT_FOUND,
                           "no token %s in the service's configuration",
                           request->name);
    }
    HF_TRY(token_check_statement(&admin, request, configured, &enrolment));
    if (request->mutation.validate_only) {
        *out = (struct token_view){.test_only = enrolment.test_only};
        memcpy(out->name, request->name, sizeof out->name);
        return HF_OK;
    }
    struct token_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    enum hf_status status =
        fill_record(&admin, request, &enrolment, &entry->record);
    if (status == HF_OK) {
        status = record_token(&admin, entry);
    }
    if (!admin_is_stored(status)) {
        free(entry);
        return status == HF_E_EXISTS
                   ? problem_set(problem, REASON_ALREADY_REGISTERED,
                                 "token %s belongs to a tenant already",
                                 request->name)
                   : admin_answer(&admin, status);
    }
    HF_TRY(admin_answer(&admin, status));
    token_show(service, entry, out);
    return HF_OK;
}

/* --- look at ------------------------------------------------------------ */

/* What is wrong may name files and addresses of the service's. */
static void keep_from_customers(const struct caller *caller,
                                struct token_view *view)
{
    if (caller->tenant[0] != '\0') {
        view->state.why[0] = '\0';
    }
}

HF_STATUS tokens_get(struct service *service, const struct caller *caller,
                     const char *tenant, const char *name,
                     struct token_view *out, struct problem *problem)
{
    struct tenant_entry *owner = NULL;
    HF_TRY(service_admit(service, caller, VERB_GET_TOKEN, tenant, &owner,
                         problem));
    const struct token_entry *entry = find(service, owner, name);
    if (entry == NULL) {
        return problem_set(problem, REASON_NOT_FOUND, "no such token");
    }
    token_show(service, entry, out);
    keep_from_customers(caller, out);
    return HF_OK;
}

HF_STATUS tokens_list(struct service *service, const struct caller *caller,
                      const char *tenant, const struct page_request *page,
                      struct token_views *out, struct problem *problem)
{
    struct tenant_entry *owner = NULL;
    struct page_walk walk;
    HF_TRY(service_admit(service, caller, VERB_LIST_TOKENS, tenant, &owner,
                         problem));
    HF_TRY(page_begin(page, out->cap, &walk, problem));
    bool showing = walk.from_start;
    out->count = 0;
    out->next[0] = '\0';
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct token_entry *token = service->catalogue.tokens;
         token != NULL; token = token->next) {
        if (token->tenant != owner) {
            continue;
        }
        if (showing && out->count == walk.size) {
            id_format(&out->views[out->count - 1].id, out->next);
            break;
        }
        if (showing) {
            fill_view(token, &out->views[out->count++]);
        } else {
            showing = id_equal(&token->record.id, &walk.after);
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    /* tokens are asked without the lock */
    for (size_t i = 0; i < out->count; i++) {
        const struct configured_token *configured =
            token_configured(service, out->views[i].name);
        out->views[i].reachable = is_reachable(configured);
        keep_from_customers(caller, &out->views[i]);
    }
    return HF_OK;
}
