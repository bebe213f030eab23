#include "server/service/catalogue_backup.h"

#include <jansson.h>

#include <stdio.h>
#include <string.h>

#define FORMAT "holdfast-catalogue-1"

/* Takes the item over; false: there was none, or no memory for it. */
static bool add(json_t *array, json_t *item)
{
    return json_array_append_new(array, item) == 0;
}

/* The object, or NULL when something of it could not be added. */
static json_t *whole(json_t *object, bool complete)
{
    if (complete) {
        return object;
    }
    json_decref(object);
    return NULL;
}

static json_t *id_json(const struct hf_id *id)
{
    char text[HF_ID_TEXT];
    id_format(id, text);
    return json_string(text);
}

static json_t *hex_json(struct bytes bytes)
{
    char text[2 * HF_SPKI_MAX_BYTES + 1];
    hex_encode(bytes.data, bytes.len, text, sizeof text);
    return json_string(text);
}

static json_t *token_json(const struct token_record *token)
{
    return json_pack(
        "{s:o s:s s:s s:s s:s s:i s:i s:b s:b s:I}", "id", id_json(&token->id),
        "name", token->name, "label", token->label, "serial", token->serial,
        "custodyDomain", token->custody_domain, "deletionProtection",
        (int)token->protection, "retentionDays", (int)token->retention_days,
        "testOnly", token->test_only, "hardware", token->hardware, "enrolledMs",
        (json_int_t)token->enrolled_ms);
}

/* What a key is bound by after a restore: label, id and fingerprint.
 */
static json_t *version_json(const struct key_version_record *version)
{
    return json_pack(
        "{s:I s:o s:s s:o s:o s:i s:b s:b s:I s:I s:I}", "version",
        (json_int_t)version->version, "ckaId",
        hex_json((struct bytes){version->cka_id, version->cka_id_len}), "label",
        version->label, "fingerprint", hex_json(BYTES_OF(version->fingerprint)),
        "publicKey", hex_json((struct bytes){version->spki, version->spki_len}),
        "bits", (int)version->bits, "enabled", version->enabled, "imported",
        version->imported, "notBeforeMs", (json_int_t)version->not_before_ms,
        "expiresMs", (json_int_t)version->expires_ms, "createdMs",
        (json_int_t)version->created_ms);
}

static json_t *grant_json(const struct grant_record *grant)
{
    return json_pack("{s:s s:b s:b s:b}", "identity", grant->identity, "get",
                     (grant->granted & PERMISSION_GET) != 0, "wrap",
                     (grant->granted & PERMISSION_WRAP) != 0, "unwrap",
                     (grant->granted & PERMISSION_UNWRAP) != 0);
}

static json_t *key_json(const struct key_entry *key)
{
    bool complete = true;
    json_t *versions = json_array();
    json_t *grants = json_array();
    for (uint32_t i = 0; i < key->record.current_version; i++) {
        complete &= add(versions, version_json(&key->versions[i]->record));
    }
    for (size_t i = 0; i < key->grant_count; i++) {
        complete &= add(grants, grant_json(&key->grants[i]->record));
    }
    json_t *made = json_pack("{s:o s:s s:s s:s s:I s:o s:o}", "id",
                             id_json(&key->record.id), "name", key->record.name,
                             "token", key->token->record.name, "state",
                             key_state_text(key->record.state), "purgeMs",
                             (json_int_t)key->record.purge_ms, "versions",
                             versions, "grants", grants);
    return whole(made, complete);
}

static json_t *generation_json(const struct generation_entry *generation)
{
    bool complete = true;
    json_t *keys = json_array();
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        complete &=
            add(keys,
                json_pack("{s:s s:I}", "name", generation->keys[i]->record.name,
                          "version",
                          (json_int_t)generation->versions[i]->record.version));
    }
    json_t *made =
        json_pack("{s:I s:o s:I}", "generation",
                  (json_int_t)generation->record.generation, "customerKeys",
                  keys, "createdMs", (json_int_t)generation->record.created_ms);
    return whole(made, complete);
}

static json_t *dep_json(const struct dep_entry *dep)
{
    const struct dep_record *record = &dep->record;
    bool complete = true;
    json_t *generations = json_array();
    for (uint32_t i = 0; i < record->generation; i++) {
        const struct generation_entry *generation = dep->generations[i];
        if (generation != NULL && generation->keys[0] != NULL &&
            generation->keys[1] != NULL) {
            complete &= add(generations, generation_json(generation));
        }
    }
    json_t *made =
        json_pack("{s:o s:s s:s s:s s:s s:I s:s s:o s:I}", "id",
                  id_json(&record->id), "name", record->name, "type",
                  dep_type_text(record->type), "description",
                  record->description, "state", dep_state_text(record->state),
                  "generation", (json_int_t)record->generation, "keyUpdate",
                  key_update_text(record->key_update), "generations",
                  generations, "createdMs", (json_int_t)record->created_ms);
    return whole(made, complete);
}

/* What could not be made makes the whole NULL: a part is never taken for all,
 * and never signed. */
static json_t *document_locked(struct service *service,
                               const struct tenant_entry *tenant)
{
    struct catalogue *catalogue = &service->catalogue;
    bool complete = true;
    json_t *tokens = json_array();
    json_t *keys = json_array();
    json_t *deps = json_array();
    for (struct token_entry *token = catalogue->tokens; token != NULL;
         token = token->next) {
        if (token->tenant == tenant) {
            complete &= add(tokens, token_json(&token->record));
        }
    }
    for (struct key_entry *key = catalogue->keys; key != NULL;
         key = key->next) {
        if (key->tenant == tenant && key->record.state != KEY_GONE) {
            complete &= add(keys, key_json(key));
        }
    }
    for (struct dep_entry *dep = catalogue->deps; dep != NULL;
         dep = dep->next) {
        if (dep->tenant == tenant &&
            dep->record.type != DEP_TYPE_SERVICE_MANAGED) {
            complete &= add(deps, dep_json(dep));
        }
    }
    json_t *document = json_pack(
        "{s:s s:s s:o s:b s:I s:o s:o s:o}", "format", FORMAT, "tenant",
        tenant->record.name, "tenantId", id_json(&tenant->record.id),
        "production", tenant->record.production, "timeMs",
        (json_int_t)service_wall_ms(service), "tokens", tokens, "customerKeys",
        keys, "deps", deps);
    return whole(document, complete);
}

static HF_STATUS write_text(struct service *service,
                            const struct tenant_entry *tenant,
                            struct catalogue_backup *out,
                            struct problem *problem)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    json_t *document = document_locked(service, tenant);
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (document == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    out->text_len =
        json_dumpb(document, (char *)out->text, CATALOGUE_BACKUP_MAX_BYTES - 1,
                   JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(document);
    if (out->text_len == 0 || out->text_len >= CATALOGUE_BACKUP_MAX_BYTES) {
        return problem_set(problem, REASON_REQUEST_TOO_LARGE,
                           "the catalogue does not fit into one answer; back "
                           "up the store instead");
    }
    out->text[out->text_len++] = '\n';
    return HF_OK;
}

HF_STATUS catalogue_backup(struct service *service, const struct caller *caller,
                           const char *tenant, struct catalogue_backup *out,
                           struct problem *problem)
{
    struct tenant_entry *owner = NULL;
    HF_TRY(service_admit(service, caller, VERB_BACKUP_CATALOGUE, tenant, &owner,
                         problem));
    HF_TRY(write_text(service, owner, out, problem));
    struct signer signer;
    enum hf_status status =
        sign_text(service, (struct bytes){out->text, out->text_len}, &signer,
                  out->signature, &out->signature_len);
    if (status == HF_OK) {
        memcpy(out->public_key, signer.public_key, signer.public_key_len);
        out->public_key_len = signer.public_key_len;
    }
    return problem_of_status(problem, status);
}
