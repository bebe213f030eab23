/* purge_document: what the approvers sign, and what the service signs when all
 * is done: plain text, one line a fact (hsm/base/statement.h), so that a person
 * can read it and `openssl dgst -sha256 -verify` alone can check it. */
#include "hsm/base/statement.h"

#include "server/service/ak_objects.h"
#include "server/service/ak_tokens.h"
#include "server/service/purge_verify.h"
#include "server/service/sign.h"
#include "server/store/hash.h"

#include <stdio.h>
#include <string.h>

#define APPROVAL_TITLE    "holdfast-approval-v1"
#define CERTIFICATE_TITLE "holdfast-purge-certificate-v1"
#define LINE_BYTES        160

static void put_id(struct statement_writer *writer, const char *key,
                   const struct hf_id *id)
{
    char text[HF_ID_TEXT];
    id_format(id, text);
    statement_put_text(writer, key, text, HF_ID_TEXT);
}

static void put_hex(struct statement_writer *writer, const char *key,
                    const uint8_t *data, size_t len)
{
    char text[2 * HF_SHA256_BYTES + 1];
    hex_encode(data, len, text, sizeof text);
    statement_put_text(writer, key, text, sizeof text);
}

static void put_count(struct statement_writer *writer, const char *key,
                      uint64_t count)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)count);
    statement_put_text(writer, key, text, sizeof text);
}

static void put_time(struct statement_writer *writer, const char *key,
                     int64_t ms)
{
    statement_put_time(writer, key, ms / 1000);
}

/* By name: the DEP, the generation, and of how many resources. */
static void put_earlier(struct service *service,
                        struct statement_writer *writer, const char *key,
                        const struct purge_earlier *list, size_t count)
{
    char line[LINE_BYTES];
    char id[HF_ID_TEXT];
    for (size_t i = 0; i < count; i++) {
        const struct purge_earlier *earlier = &list[i];
        pthread_rwlock_rdlock(&service->catalogue.lock);
        const struct dep_entry *dep =
            catalogue_dep_by_id(&service->catalogue, &earlier->ref.dep);
        id_format(&earlier->ref.dep, id);
        snprintf(line, sizeof line, "%s %s generation %u of %llu resources",
                 dep == NULL ? "?" : dep->record.name, id,
                 earlier->ref.generation,
                 (unsigned long long)earlier->resources);
        pthread_rwlock_unlock(&service->catalogue.lock);
        statement_put_text(writer, key, line, sizeof line);
    }
    if (count == 0) {
        statement_put_text(writer, key, "none", LINE_BYTES);
    }
}

/* Every DEP of the tenant: how many, and which, in the order of their making.
 */
static HF_STATUS put_deps(struct service *service,
                          struct statement_writer *writer,
                          const struct purge_entry *purge)
{
    uint8_t digest[HF_SHA256_BYTES] = {0};
    uint8_t link[HF_SHA256_BYTES + HF_ID_BYTES];
    uint64_t count = 0;
    struct dep_entry *dep = NULL;
    while ((dep = purge_next_dep(service, purge, dep)) != NULL) {
        memcpy(link, digest, sizeof digest);
        memcpy(link + sizeof digest, dep->record.id.bytes, HF_ID_BYTES);
        HF_TRY(sha256(BYTES_OF(link), digest));
        count++;
    }
    put_count(writer, "deps", count);
    put_hex(writer, "deps_digest", digest, sizeof digest);
    return HF_OK;
}

static HF_STATUS put_subject(struct service *service,
                             struct statement_writer *writer,
                             const struct purge_entry *purge)
{
    char name[HF_NAME_MAX_BYTES + 1];
    if (purge_is_of_tenant(purge)) {
        statement_put_text(writer, "deletes", "the whole tenant", LINE_BYTES);
        return put_deps(service, writer, purge);
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    memcpy(name, purge->dep->record.name, sizeof name);
    pthread_rwlock_unlock(&service->catalogue.lock);
    put_id(writer, "dep", &purge->record.dep);
    statement_put_text(writer, "dep_name", name, HF_NAME_MAX_BYTES);
    return HF_OK;
}

static HF_STATUS put_what(struct service *service,
                          struct statement_writer *writer,
                          const struct purge_entry *purge,
                          const struct purge_record *record)
{
    HF_TRY(put_subject(service, writer, purge));
    statement_put_text(writer, "requester", record->requester,
                       HF_URI_MAX_BYTES);
    put_time(writer, "requested_at", record->requested_ms);
    statement_put_text(writer, "reason", record->reason, PURGE_TEXT_MAX_BYTES);
    statement_put_text(writer, "contact", record->contact,
                       PURGE_TEXT_MAX_BYTES);
    statement_put_flag(writer, "forced", record->force);
    return HF_OK;
}

HF_STATUS purge_write_document(struct service *service,
                               const struct purge_entry *purge,
                               const struct purge_record *record,
                               bool accepting, struct purge_document *out)
{
    char object[PURGE_NAME_BYTES];
    struct statement_writer writer =
        statement_begin((char *)out->text, sizeof out->text, APPROVAL_TITLE);
    purge_name(purge, object);
    statement_put_text(&writer, "verb",
                       verb_method(purge_is_of_tenant(purge)
                                       ? VERB_DELETE_TENANT
                                       : VERB_EXECUTE_PURGE),
                       HF_NAME_MAX_BYTES);
    statement_put_text(&writer, "tenant", purge->tenant->record.name,
                       HF_NAME_MAX_BYTES);
    put_id(&writer, "tenant_id", &record->tenant);
    statement_put_text(&writer, "object", object, sizeof object);
    statement_put_number(&writer, "version", record->version);
    put_hex(&writer, "nonce", record->nonce, sizeof record->nonce);
    put_time(&writer, "expires_at", record->expires_ms);
    HF_TRY(put_what(service, &writer, purge, record));
    put_count(&writer, "resources", record->resources);
    put_earlier(service, &writer, "earlier_wrap", record->earlier,
                record->earlier_count);
    statement_put_flag(&writer, "accepts_earlier_wraps", accepting);
    return statement_end(&writer, &out->len);
}

bool purge_signed_document(const struct approval_record *approval,
                           bool accepting, struct purge_document *out)
{
    if (approval->earlier_accepted != accepting || approval->text_len == 0) {
        return false;
    }
    memcpy(out->text, approval->text, approval->text_len);
    out->len = approval->text_len;
    return true;
}

static void put_approvals(struct statement_writer *writer,
                          const struct purge_entry *purge)
{
    for (size_t i = 0; i < purge->approval_count; i++) {
        const struct approval_record *approval = &purge->approvals[i].record;
        if (approval->version != purge->record.version) {
            continue;
        }
        statement_put_text(writer, "approver", approval->identity,
                           HF_URI_MAX_BYTES);
        put_hex(writer, "approver_key", approval->key_fingerprint,
                sizeof approval->key_fingerprint);
        put_hex(writer, "approved_document", approval->document,
                sizeof approval->document);
        put_time(writer, "approved_at", approval->approved_ms);
    }
}

static void put_token(struct statement_writer *writer, const char *label,
                      const char *serial)
{
    statement_put_text(writer, "token_label", label, 32);
    statement_put_text(writer, "token_serial", serial, 16);
}

static bool is_named(const struct wrapped_copy *copy,
                     const struct ak_token_record *token)
{
    return id_is_nil(&copy->token) ? token->first
                                   : id_equal(&copy->token, &token->id);
}

/* A token that held a copy of it: which one that was stays in the record when
 * the copy is forgotten. */
static bool held_copy(const struct dep_entry *dep,
                      const struct ak_token_record *token)
{
    if (ak_type_is_sharepoint(dep->record.type) != token->sharepoint) {
        return false;
    }
    for (uint32_t i = 0; i < dep->record.generation; i++) {
        if (dep->generations[i] == NULL) {
            continue;
        }
        const struct generation_record *record = &dep->generations[i]->record;
        if (is_named(&record->copies[ROOT_AK], token)) {
            return true;
        }
        for (size_t slot = 0; slot < AK_TOKENS_MAX; slot++) {
            /* nil: an empty place, no copy of the first one */
            if (!id_is_nil(&record->mirrors[slot].token) &&
                is_named(&record->mirrors[slot], token)) {
                return true;
            }
        }
    }
    return false;
}

static bool held_any(struct service *service, const struct purge_entry *purge,
                     const struct ak_token_record *token)
{
    struct dep_entry *dep = NULL;
    while ((dep = purge_next_dep(service, purge, dep)) != NULL) {
        if (held_copy(dep, token)) {
            return true;
        }
    }
    return false;
}

/* each token by its serial, and what is said of it: a fresh process
 * looked, or three people said what became of it. */
static void put_mirrors(struct service *service,
                        struct statement_writer *writer,
                        const struct purge_entry *purge,
                        const struct purge_record *record)
{
    struct ak_token_entry *entry = NULL;
    while ((entry = ak_token_visit(service, entry)) != NULL) {
        const struct ak_token_record token = ak_token_record_of(service, entry);
        if (purge_evidence_names(record->evidence, token.serial)) {
            put_token(writer, token.label, token.serial);
            statement_put_text(writer, "token_state", "verified", 16);
        } else if (token.state == AK_TOKEN_RETIRED &&
                   held_any(service, purge, &token)) {
            put_token(writer, token.label, token.serial);
            statement_put_text(writer, "token_state", "retired", 16);
            put_time(writer, "token_retired_at", token.retired_ms);
            statement_put_text(writer, "token_disposal", token.disposal,
                               DISPOSAL_MAX_BYTES);
        }
    }
}

/* The one token of a kind that never had a mirror. */
static void put_single(struct service *service, struct statement_writer *writer,
                       enum dep_type type)
{
    struct ak_token_set set;
    ak_tokens_of(service, type, &set);
    if (!ak_tokens_have_record(service, ak_type_is_sharepoint(type)) &&
        set.count == 1) {
        put_token(writer, set.at[0].label, set.at[0].serial);
    }
}

/* Where they were, and what their labels began with. */
static void put_objects(struct service *service,
                        struct statement_writer *writer,
                        const struct purge_entry *purge,
                        const struct purge_record *record)
{
    char label[HF_LABEL_MAX_BYTES + 1];
    put_single(service, writer, DEP_TYPE_EXCHANGE_MAILBOX);
    if (purge_is_of_tenant(purge)) {
        put_single(service, writer, DEP_TYPE_SHAREPOINT_GEO);
    }
    put_mirrors(service, writer, purge, record);
    if (purge_is_of_tenant(purge)) {
        statement_put_text(writer, "objects", "hf-ak: of each of its DEPs",
                           sizeof label);
        return;
    }
    ak_label_prefix(&purge->record.dep, label);
    statement_put_text(writer, "objects", label, sizeof label);
}

static HF_STATUS write_certificate(struct service *service,
                                   const struct purge_entry *purge,
                                   const struct purge_record *record,
                                   struct certificate_record *out)
{
    char object[PURGE_NAME_BYTES];
    struct statement_writer writer =
        statement_begin((char *)out->text, sizeof out->text, CERTIFICATE_TITLE);
    purge_name(purge, object);
    statement_put_text(&writer, "tenant", purge->tenant->record.name,
                       HF_NAME_MAX_BYTES);
    put_id(&writer, "tenant_id", &record->tenant);
    statement_put_text(&writer, "object", object, sizeof object);
    HF_TRY(put_what(service, &writer, purge, record));
    put_approvals(&writer, purge);
    statement_put_text(&writer, "executor", record->executor, HF_URI_MAX_BYTES);
    put_time(&writer, "executed_at", record->executed_ms);
    put_time(&writer, "held_until", record->hold_until_ms);
    put_count(&writer, "resources_tombstoned", record->resources);
    put_hex(&writer, "tombstones", record->tombstones,
            sizeof record->tombstones);
    put_time(&writer, "tombstoned_at", record->tombstoned_ms);
    put_objects(service, &writer, purge, record);
    put_time(&writer, "destroyed_at", record->destroyed_ms);
    put_time(&writer, "verified_at", record->verified_ms);
    statement_put_text(&writer, "verified", record->evidence,
                       PURGE_EVIDENCE_BYTES);
    put_earlier(service, &writer, "residual_wrap", record->residual,
                record->residual_count);
    /* crypto.md: nothing is said about copies outside */
    statement_put_text(&writer, "says",
                       "no such object in the token as enumerated at that "
                       "time; nothing about copies outside of it or of the "
                       "store; no resource named here is served any more",
                       2 * LINE_BYTES);
    put_time(&writer, "purged_at", record->purged_ms);
    return statement_end(&writer, &out->text_len);
}

HF_STATUS purge_write_certificate(struct service *service,
                                  const struct purge_entry *purge,
                                  const struct purge_record *record,
                                  struct certificate_record *out)
{
    *out = (struct certificate_record){
        .tenant = record->tenant,
        .purge = record->id,
    };
    HF_TRY(write_certificate(service, purge, record, out));
    struct signer signer;
    HF_TRY(sign_text(service, (struct bytes){out->text, out->text_len}, &signer,
                     out->signature, &out->signature_len));
    memcpy(out->public_key, signer.public_key, signer.public_key_len);
    out->public_key_len = signer.public_key_len;
    return HF_OK;
}
