#include "server/service/customer_keys.h"

#include "hsm/base/pkcs11_uri.h"
#include "hsm/base/text.h"

#include "hsm/token/ability.h"

#include "server/service/customer_key_view.h"
#include "server/service/key_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- register ----------------------------------------------------------- */

static HF_STATUS check_uri(const struct admin *admin, const char *text,
                           const struct token_record *token,
                           struct pkcs11_uri *out)
{
    const char *why = "";
    if (pkcs11_uri_parse(text, out, &why) != HF_OK) {
        return problem_field(admin->problem, "uri", "%s", why);
    }
    if (out->id_len == 0) {
        return problem_field(admin->problem, "uri",
                             "must name the key by id=, as holdfast-hsm key "
                             "list shows it");
    }
    if ((out->token[0] != '\0' && strcmp(out->token, token->label) != 0) ||
        (out->serial[0] != '\0' && strcmp(out->serial, token->serial) != 0)) {
        return problem_field(admin->problem, "uri",
                             "names another token than %s", token->name);
    }
    return HF_OK;
}

static HF_STATUS find_of_type(const struct token *token,
                              const struct pkcs11_uri *uri,
                              enum token_key_type type,
                              struct token_key_report *report)
{
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .u.find =
            {
                     .key = {.type = type, .id_len = uri->id_len},
                     .tentative = true,
                     .report = report,
                     },
    };
    memcpy(request.u.find.key.id, uri->id, uri->id_len);
    return token_call(token, &request);
}

static HF_STATUS find_in_token(const struct admin *admin,
                               const struct token_entry *token,
                               const struct pkcs11_uri *uri,
                               struct token_key_report *report)
{
    const struct configured_token *configured =
        token_entry_ask(admin->service, token);
    if (configured == NULL) {
        return problem_set(admin->problem, REASON_KEY_UNAVAILABLE,
                           "token %s is not in the service's configuration",
                           token->record.name);
    }
    enum hf_status status =
        find_of_type(configured->token, uri, TOKEN_KEY_RSA, report);
    if (hf_status_class(status) == HF_CLASS_MISSING) {
        /* so that check_report can say what is wrong with it */
        status = find_of_type(configured->token, uri, TOKEN_KEY_EC, report);
    }
    if (hf_status_class(status) == HF_CLASS_MISSING) {
        return problem_set(admin->problem, REASON_NOT_FOUND,
                           "no key pair with this id in token %s",
                           token->record.name);
    }
    if (status != HF_OK) {
        return problem_set(admin->problem, REASON_KEY_UNAVAILABLE,
                           "token %s: %s", token->record.name,
                           hf_status_text(status));
    }
    /* it may have been opened only now, and be another than the enrolled one */
    if (token_entry_ask(admin->service, token) == NULL) {
        return problem_set(admin->problem, REASON_KEY_UNAVAILABLE,
                           "what is configured as token %s is another token",
                           token->record.name);
    }
    return HF_OK;
}

/* an elliptic-curve key cannot wrap. */
static HF_STATUS check_report(const struct admin *admin,
                              const struct pkcs11_uri *uri,
                              const struct token_key_report *report)
{
    if (uri->object[0] != '\0' && strcmp(uri->object, report->label) != 0) {
        return problem_field(admin->problem, "uri",
                             "names another object than the key with this id");
    }
    bool size_is_good =
        report->bits == 2048 || report->bits == 3072 || report->bits == 4096;
    if (report->key.type != TOKEN_KEY_RSA || !size_is_good) {
        return problem_set(admin->problem, REASON_KEY_TYPE,
                           "a customer key is RSA of 2048, 3072 or 4096 bits; "
                           "this one is %s of %u",
                           report->key.type == TOKEN_KEY_RSA  ? "RSA"
                           : report->key.type == TOKEN_KEY_EC ? "elliptic-curve"
                                                              : "another kind",
                           report->bits);
    }
    return HF_OK;
}

static void narrow(struct token_profile *common, const struct token *token)
{
    struct token_profile profile = {.label = ""};
    if (token != NULL) {
        token_profile_get(token, &profile);
    }
    if (token_profile_is_known(&profile)) {
        common->oaep_sha256 = common->oaep_sha256 && profile.oaep_sha256;
        common->oaep_sha1 = common->oaep_sha1 && profile.oaep_sha1;
    }
}

/* the key's token unwraps what a token of availability keys has wrapped
 * both must have it. */
static enum token_suite suite_for(const struct service_settings *settings,
                                  const struct token_profile *profile)
{
    struct token_profile common = *profile;
    narrow(&common, settings->ak_token);
    narrow(&common, settings->sharepoint_ak_token);
    for (size_t i = 0; i < settings->ak_mirror_count; i++) {
        narrow(&common, settings->ak_mirrors[i].token);
    }
    return token_suite_preferred(&common);
}

static HF_STATUS fill_version(const struct admin *admin,
                              const struct customer_key_register *request,
                              const struct token_entry *token,
                              const struct token_key_report *report,
                              struct key_version_record *version)
{
    struct token_profile profile;
    char lacks[128];
    token_profile_get(token->configured->token, &profile);
    version->suite = (uint8_t)suite_for(&admin->service->settings, &profile);
    if (version->suite == TOKEN_SUITE_NONE) {
        return problem_set(admin->problem, REASON_KEY_OPS,
                           "token %s and those of availability keys have "
                           "RSA-OAEP neither with SHA-256 nor with SHA-1 in "
                           "common",
                           token->record.name);
    }
    /* what the key allows and the token can do */
    token_profile_lacks(&profile, TOKEN_ROLE_CUSTOMER_TOKEN, lacks,
                        sizeof lacks);
    if (!report->can_decrypt && lacks[0] != '\0') {
        return problem_set(admin->problem, REASON_KEY_OPS,
                           "this key may only unwrap, and token %s cannot; it "
                           "lacks: %s",
                           token->record.name, lacks);
    }
    memcpy(version->cka_id, report->key.id, report->key.id_len);
    version->cka_id_len = report->key.id_len;
    memcpy(version->fingerprint, report->key.fingerprint,
           sizeof version->fingerprint);
    if (text_is_plain(bytes_of_text(report->label))) { /* else: as none */
        memcpy(version->label, report->label, sizeof version->label);
    }
    memcpy(version->spki, report->spki, report->spki_len);
    version->spki_len = report->spki_len;
    version->bits = report->bits;
    version->enabled = true;
    version->not_before_ms = request->not_before_ms;
    version->expires_ms = request->expires_ms;
    version->allows_token = report->can_unwrap && lacks[0] == '\0';
    version->allows_memory = report->can_decrypt;
    version->imported = !report->local;
    version->attributes_known = true;
    version->sensitive = report->sensitive;
    version->extractable = report->extractable;
    version->always_sensitive = report->always_sensitive;
    version->never_extractable = report->never_extractable;
    version->mechanisms = report->mechanisms;
    version->created_ms = service_wall_ms(admin->service);
    version->updated_ms = version->created_ms;
    return HF_OK;
}

/* A new name, or one more version of a key that is there. */
struct registering {
    struct key_entry *existing;
    struct key_entry *fresh; /* NULL: existing gets a version */
    struct key_version_entry *version;
};

static HF_STATUS put_registering(const struct registering *making,
                                 const struct customer_key_record *key,
                                 struct stamp *next, struct change *change)
{
    const struct stamp none = {.version = 0};
    const struct stamp *current =
        making->existing == NULL ? &none : &making->existing->stamp;
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = customer_key_encode(key, record);
    if (status == HF_OK) {
        status = change_put(change, record, current, next);
    }
    if (status == HF_OK) {
        status = key_version_encode(&making->version->record, record);
    }
    if (status == HF_OK) {
        status = change_put(change, record, &none, &making->version->stamp);
    }
    free(record);
    HF_TRY(status);
    if (making->existing == NULL) {
        HF_TRY(put_name(change, NAME_CUSTOMER_KEY, &key->tenant, key->name,
                        &key->id));
    }
    return HF_OK;
}

static HF_STATUS take_over(const struct admin *admin,
                           struct registering *making,
                           const struct customer_key_record *key,
                           const struct stamp *stamp)
{
    struct service *service = admin->service;
    if (making->fresh != NULL) {
        making->fresh->record = *key;
        making->fresh->stamp = *stamp;
        HF_TRY(catalogue_add_key(service, making->fresh, making->version));
        making->existing = HF_GIVE(making->fresh);
        making->version = NULL;
        return HF_OK;
    }
    HF_TRY(catalogue_add_key_version(service, making->version));
    making->version = NULL;
    pthread_rwlock_wrlock(&service->catalogue.lock);
    making->existing->record = *key;
    making->existing->stamp = *stamp;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return HF_OK;
}

/* The fingerprint ties the record to one key pair, whatever the token says
 * later. */
static HF_STATUS describe(const struct token_entry *token,
                          const struct key_version_record *version,
                          struct details **out_details)
{
    const struct key_version_record none = {.version = 0};
    char fingerprint[2 * HF_SHA256_BYTES + 1];
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(details_new(DETAILS_OF_NEW, &details));
    hex_encode(version->fingerprint, sizeof version->fingerprint, fingerprint,
               sizeof fingerprint);
    details_text(details, "token", "", token->record.name);
    details_text(details, "custodyDomain", "", token->record.custody_domain);
    details_text(details, "fingerprint", "", fingerprint);
    details_text(details, "label", "", version->label);
    details_number(details, "version", 0, version->version);
    details_number(details, "bits", 0, version->bits);
    customer_key_note(details, &none, version);
    *out_details = HF_GIVE(details);
    return HF_OK;
}

/* record_lock is held. */
static HF_STATUS register_locked(const struct admin *admin,
                                 const struct customer_key_register *request,
                                 const struct token_entry *token,
                                 struct registering *making)
{
    struct service *service = admin->service;
    struct customer_key_record key = {.token = token->record.id};
    struct stamp next;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(customer_key_check_name_free(admin, request->name));
    HF_TRY(
        customer_key_check_object_free(admin, token, &making->version->record));
    making->existing = customer_key_find(service, admin->tenant, request->name);
    if (making->existing != NULL) {
        key = making->existing->record;
        HF_TRY(customer_key_may_get_version(admin, making->existing, token));
    } else {
        making->fresh = calloc(1, sizeof *making->fresh);
        if (making->fresh == NULL) {
            return problem_of_status(admin->problem, HF_E_NO_MEMORY);
        }
        HF_TRY(rng_id(service->settings.rng, &key.id));
        key.tenant = admin->tenant->record.id;
        memcpy(key.name, request->name, sizeof key.name);
        key.created_ms = service_wall_ms(service);
    }
    key.current_version++;
    making->version->record.key = key.id;
    making->version->record.version = key.current_version;
    enum hf_status status = describe(token, &making->version->record, &details);
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = put_registering(making, &key, &next, change);
    }
    if (status == HF_OK) {
        status = customer_key_finish_change(admin, change, &key,
                                            key.current_version, details);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (admin_is_stored(status)) {
        enum hf_status taken = take_over(admin, making, &key, &next);
        status = taken == HF_OK ? status : taken;
    }
    return admin_answer(admin, status);
}

HF_STATUS customer_keys_register(struct service *service,
                                 const struct caller *caller,
                                 const struct customer_key_register *request,
                                 struct customer_key_view *out,
                                 struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_REGISTER_CUSTOMER_KEY,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct pkcs11_uri uri;
    struct token_key_report report = {0};
    struct registering making = {.existing = NULL};
    HF_TRY(name_check("customer_key_id", request->name, problem));
    HF_TRY(admin_begin(&admin, request->tenant));
    if (admin.seen) {
        return customer_key_show_named(&admin, request->name, out);
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct token_entry *token =
        catalogue_token(&service->catalogue, admin.tenant, request->token);
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (token == NULL) {
        /* another tenant's looks missing (R-15.14, N06) */
        return problem_set(problem, REASON_TOKEN_OF_TENANT, "no such token");
    }
    HF_TRY(customer_key_check_name_free(&admin, request->name));
    HF_TRY(check_uri(&admin, request->uri, &token->record, &uri));
    HF_TRY(find_in_token(&admin, token, &uri, &report));
    HF_TRY(check_report(&admin, &uri, &report));
    making.version = key_version_entry_new();
    if (making.version == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    enum hf_status status =
        fill_version(&admin, request, token, &report, &making.version->record);
    if (status == HF_OK && request->mutation.validate_only) {
        status = customer_key_check_object_free(&admin, token,
                                                &making.version->record);
    }
    if (status == HF_OK && request->mutation.validate_only) {
        customer_key_preview(&admin, request->name, token,
                             &making.version->record, out);
        key_version_entry_free(making.version);
        return HF_OK;
    }
    if (status == HF_OK) {
        pthread_mutex_lock(&service->record_lock);
        status = register_locked(&admin, request, token, &making);
        pthread_mutex_unlock(&service->record_lock);
    }
    free(making.fresh);
    key_version_entry_free(making.version);
    HF_TRY(status);
    return customer_key_show_named(&admin, request->name, out);
}

/* --- look at ------------------------------------------------------------ */

HF_STATUS customer_keys_get(struct service *service,
                            const struct caller *caller, const char *tenant,
                            const char *name, struct customer_key_view *out,
                            struct problem *problem)
{
    struct admin admin = {.service = service, .problem = problem};
    HF_TRY(service_admit(service, caller, VERB_GET_CUSTOMER_KEY, tenant,
                         &admin.tenant, problem));
    return customer_key_show_named(&admin, name, out);
}

/* Those in one state. A page goes on behind a key whatever has become of it. */
static HF_STATUS
list_in_state(struct service *service, const struct tenant_entry *owner,
              enum key_state state, const struct page_request *page,
              struct customer_key_list *out, struct problem *problem)
{
    struct page_walk walk;
    HF_TRY(page_begin(page, out->cap, &walk, problem));
    bool showing = walk.from_start;
    out->count = 0;
    out->next[0] = '\0';
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (struct key_entry *key = service->catalogue.keys; key != NULL;
         key = key->next) {
        if (key->tenant != owner) {
            continue;
        }
        if (!showing) {
            showing = id_equal(&key->record.id, &walk.after);
            continue;
        }
        if (key->record.state != state) {
            continue;
        }
        if (out->count == walk.size) {
            id_format(&out->views[out->count - 1].id, out->next);
            break;
        }
        customer_key_fill_view(key, &out->views[out->count++]);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return HF_OK;
}

HF_STATUS customer_keys_list(struct service *service,
                             const struct caller *caller, const char *tenant,
                             const struct page_request *page,
                             struct customer_key_list *out,
                             struct problem *problem)
{
    struct tenant_entry *owner = NULL;
    HF_TRY(service_admit(service, caller, VERB_LIST_CUSTOMER_KEYS, tenant,
                         &owner, problem));
    return list_in_state(service, owner, KEY_ACTIVE, page, out, problem);
}

HF_STATUS customer_keys_list_deleted(struct service *service,
                                     const struct caller *caller,
                                     const char *tenant,
                                     const struct page_request *page,
                                     struct customer_key_list *out,
                                     struct problem *problem)
{
    struct tenant_entry *owner = NULL;
    HF_TRY(service_admit(service, caller, VERB_LIST_DELETED_CUSTOMER_KEYS,
                         tenant, &owner, problem));
    return list_in_state(service, owner, KEY_SOFT_DELETED, page, out, problem);
}

/* --- validate ----------------------------------------------------------- */

HF_STATUS customer_keys_validate(struct service *service,
                                 const struct caller *caller,
                                 const struct customer_key_validate *request,
                                 struct validation_report *out,
                                 struct problem *problem)
{
    struct facts_request facts_request = {
        .identity = request->identity,
        .residency = request->residency,
        .dep_type = DEP_TYPE_EXCHANGE_MAILBOX,
    };
    struct validation_facts facts;
    HF_TRY(service_admit(service, caller, VERB_VALIDATE_CUSTOMER_KEYS,
                         request->tenant, &facts_request.tenant, problem));
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        facts_request.keys[slot] = customer_key_find(
            service, facts_request.tenant, request->keys[slot]);
        if (facts_request.keys[slot] == NULL) {
            return problem_set(problem, REASON_NOT_FOUND,
                               "no such customer key");
        }
    }
    key_facts_collect(service, &facts_request, &facts);
    validation_run(&facts, out);
    return HF_OK;
}
