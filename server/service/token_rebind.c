/* token_rebind: after a token was restored from its vendor's backup, into other
 * hardware perhaps, its customer keys are bound again: every registered version
 * must be there under its label and id with the fingerprint of its registration
 * . All of them, or nothing changes. */
#include "server/service/token_statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- are all keys there ------------------------------------------------- */

struct looking {
    const struct admin *admin;
    const struct configured_token *configured;
    uint32_t checked;
};

static HF_STATUS refuse(const struct looking *looking,
                        const struct key_entry *key, uint32_t version,
                        const char *why)
{
    return problem_set(looking->admin->problem, REASON_KEY_MISMATCH,
                       "version %u of customer key %s %s; nothing was bound",
                       version, key->record.name, why);
}

static HF_STATUS check_version(struct looking *looking,
                               const struct key_entry *key,
                               const struct key_version_record *version)
{
    struct token_key_report report = {0};
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .u.find =
            {
                     .key = {.type = TOKEN_KEY_RSA, .id_len = version->cka_id_len},
                     .tentative = true,
                     .report = &report,
                     },
    };
    memcpy(request.u.find.key.id, version->cka_id, version->cka_id_len);
    enum hf_status status = token_call(looking->configured->token, &request);
    if (hf_status_class(status) == HF_CLASS_MISSING) {
        return refuse(looking, key, version->version, "is not in the token");
    }
    if (status != HF_OK) {
        return problem_set(looking->admin->problem, REASON_KEY_UNAVAILABLE,
                           "token %s: %s", looking->configured->name,
                           hf_status_text(status));
    }
    if (!bytes_equal(BYTES_OF(report.key.fingerprint),
                     BYTES_OF(version->fingerprint))) {
        return refuse(looking, key, version->version,
                      "is another key pair than the registered one");
    }
    if (version->label[0] != '\0' && /* none: registered in format 1 */
        strcmp(version->label, report.label) != 0) {
        return refuse(looking, key, version->version,
                      "has another label than the registered one");
    }
    looking->checked++;
    return HF_OK;
}

/* Keys and versions are only ever appended. What is gone for good is not asked
 * for; what is soft-deleted may be recovered. */
static HF_STATUS check_keys(struct looking *looking,
                            const struct token_entry *token)
{
    struct catalogue *catalogue = &looking->admin->service->catalogue;
    pthread_rwlock_rdlock(&catalogue->lock);
    const struct key_entry *key = catalogue->keys;
    while (key != NULL) {
        bool asked = key->token == token && key->record.state != KEY_GONE;
        uint32_t count = asked ? key->record.current_version : 0;
        pthread_rwlock_unlock(&catalogue->lock);
        for (uint32_t i = 0; i < count; i++) {
            HF_TRY(check_version(looking, key, &key->versions[i]->record));
        }
        pthread_rwlock_rdlock(&catalogue->lock);
        key = key->next;
    }
    pthread_rwlock_unlock(&catalogue->lock);
    return HF_OK;
}

/* --- record ------------------------------------------------------------- */

static HF_STATUS put_serial(struct change *change,
                            const struct token_record *before,
                            const struct token_record *after)
{
    const struct hf_id nobody = {{0}};
    char old[HF_NAME_MAX_BYTES + 1];
    char fresh[HF_NAME_MAX_BYTES + 1];
    name_fold(before->serial, old);
    name_fold(after->serial, fresh);
    if (strcmp(old, fresh) == 0) {
        return HF_OK;
    }
    struct record_key key = key_of_name(NAME_TOKEN_SERIAL, &nobody, old);
    HF_TRY(change_remove(change, RECORD_NAME, record_key_view(&key), 1));
    return put_name(change, NAME_TOKEN_SERIAL, &nobody, after->serial,
                    &after->id);
}

/* The record as it was when it was looked at, and as it is to be. */
struct binding {
    struct token_record before;
    struct stamp current;
    struct token_record next;
};

static HF_STATUS put(const struct admin *admin, const struct binding *binding,
                     struct stamp *stamp, struct change *change)
{
    const struct token_record *before = &binding->before;
    const struct token_record *next = &binding->next;
    char object[2 * HF_NAME_MAX_BYTES + 32];
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(details_new(DETAILS_OF_CHANGE, &details));
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = token_record_encode(next, record);
    if (status == HF_OK) {
        status = change_put(change, record, &binding->current, stamp);
    }
    free(record);
    HF_TRY(status);
    HF_TRY(put_serial(change, before, next));
    snprintf(object, sizeof object, "tenants/%s/tokens/%s",
             admin->tenant->record.name, next->name);
    details_text(details, "label", before->label, next->label);
    details_text(details, "serial", before->serial, next->serial);
    details_number(details, "retentionDays", before->retention_days,
                   next->retention_days);
    details_flag(details, "testOnly", before->test_only, next->test_only);
    details_flag(details, "hardware", before->hardware, next->hardware);
    return admin_finish_change(admin, change, object, details, &next->id);
}

/* record_lock is held. */
static HF_STATUS record_locked(const struct admin *admin,
                               struct token_entry *token,
                               const struct binding *binding)
{
    struct service *service = admin->service;
    struct stamp stamp = {.version = 0};
    HF_OWNED(change_freep) struct change *change = NULL;
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = put(admin, binding, &stamp, change);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (status == HF_E_EXISTS) {
        return problem_set(admin->problem, REASON_ALREADY_REGISTERED,
                           "the token of serial %s is enrolled already",
                           binding->next.serial);
    }
    if (admin_is_stored(status)) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        token->record = binding->next;
        token->stamp = stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    return admin_answer(admin, status);
}

static HF_STATUS rebind(struct looking *looking, struct token_entry *token,
                        const struct token_enroll *request)
{
    const struct admin *admin = looking->admin;
    struct service *service = admin->service;
    struct enrolment enrolment = {0};
    HF_TRY(
        token_check_statement(admin, request, looking->configured, &enrolment));
    struct binding binding;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    binding.before = token->record;
    binding.current = token->stamp;
    pthread_rwlock_unlock(&service->catalogue.lock);
    binding.next = binding.before;
    if (strcmp(binding.before.custody_domain, enrolment.custody_domain) != 0) {
        return problem_field(admin->problem, "statement",
                             "names custody domain %s; the token was in %s, "
                             "and what is restored stays there",
                             enrolment.custody_domain,
                             binding.before.custody_domain);
    }
    enum hf_status status =
        token_take_statement(admin, request, &enrolment, &binding.next);
    if (status != HF_OK) {
        return problem_of_status(admin->problem, status);
    }
    HF_TRY(check_keys(looking, token));
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    pthread_mutex_lock(&service->record_lock);
    status = record_locked(admin, token, &binding);
    pthread_mutex_unlock(&service->record_lock);
    HF_TRY(status);
    health_refresh(service);
    return HF_OK;
}

HF_STATUS tokens_rebind(struct service *service, const struct caller *caller,
                        const struct token_enroll *request,
                        struct token_view *out, uint32_t *out_bound,
                        struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_REBIND_KEYS,
        .mutation = &request->mutation,
        .problem = problem,
    };
    *out_bound = 0;
    HF_TRY(admin_begin(&admin, request->tenant));
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct token_entry *token =
        catalogue_token(&service->catalogue, admin.tenant, request->name);
    pthread_rwlock_unlock(&service->catalogue.lock);
    struct looking looking = {
        .admin = &admin,
        .configured = token_configured(service, request->name),
    };
    if (token == NULL || looking.configured == NULL) {
        return problem_set(problem, REASON_NOT_FOUND, "no such token");
    }
    if (!admin.seen) {
        HF_TRY(rebind(&looking, token, request));
    }
    *out_bound = looking.checked;
    token_show(service, token, out);
    return HF_OK;
}
