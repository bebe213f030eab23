#include "server/service/key_facts.h"

#include "hsm/base/mechanisms.h"

#include "hsm/token/ability.h"

#include "server/domain/customer_key.h"

#include "server/service/purges.h"

#include <stdio.h>
#include <string.h>

/* a geo names versions exactly, the others take the current one. */
static struct key_version_entry *version_of(const struct facts_request *request,
                                            size_t slot)
{
    const struct key_entry *key = request->keys[slot];
    uint32_t version = request->exact[slot] != 0 ? request->exact[slot]
                                                 : key->record.current_version;
    return key->versions[version - 1];
}

/* What the catalogue knows; its lock is held. */
static void from_catalogue(struct service *service,
                           const struct facts_request *request, size_t slot,
                           struct key_facts *facts)
{
    const struct key_entry *key = request->keys[slot];
    const struct key_version_entry *version = version_of(request, slot);
    const struct token_entry *token = key->token;
    const struct grant_entry *grant = key_entry_grant(key, request->identity);
    uint32_t granted = grant == NULL ? 0 : grant->record.granted;
    facts->deleted = key->record.state != KEY_ACTIVE;
    facts->enabled = version->record.enabled;
    facts->not_before_ms = version->record.not_before_ms;
    facts->expires_ms = version->record.expires_ms;
    facts->mechanism_ok = version->record.suite != TOKEN_SUITE_NONE;
    facts->has_get = (granted & PERMISSION_GET) != 0;
    facts->has_wrap = (granted & PERMISSION_WRAP) != 0;
    facts->has_unwrap = (granted & PERMISSION_UNWRAP) != 0;
    facts->key_record = key->record.id;
    memcpy(facts->fingerprint, version->record.fingerprint,
           sizeof facts->fingerprint);
    facts->token_record = token->record.id;
    memcpy(facts->token_serial, token->record.serial,
           sizeof facts->token_serial);
    memcpy(facts->custody_domain, token->record.custody_domain,
           sizeof facts->custody_domain);
    const struct configured_token *configured = token_entry_configured(token);
    facts->domain_declared = configured != NULL;
    if (request->domains[slot] != NULL) {
        snprintf(facts->stated_domain, sizeof facts->stated_domain, "%s",
                 request->domains[slot]);
    }
    facts->token_in_domain =
        configured != NULL &&
        strcmp(configured->custody_domain, token->record.custody_domain) == 0;
    facts->test_only = token->record.test_only;
    facts->hardware = token->record.hardware;
    facts->protection = token->record.protection;
    facts->retention_days = token->record.retention_days;
    for (const struct dep_entry *dep = service->catalogue.deps; dep != NULL;
         dep = dep->next) {
        const struct generation_entry *generation =
            catalogue_generation(dep, dep->record.generation);
        if (dep == request->except || generation == NULL) {
            continue;
        }
        for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
            facts->token_used_by_other_dep |=
                generation->keys[i] != NULL &&
                generation->keys[i]->token == token;
        }
    }
}

static enum key_mechanisms mechanisms_of(uint32_t allowed)
{
    const uint32_t oaep = TOKEN_MECHANISM_RSA_OAEP;
    if (allowed == 0) {
        return KEY_MECHANISMS_ANY;
    }
    if ((allowed & oaep) == 0) {
        return KEY_MECHANISMS_NO_OAEP;
    }
    return allowed == oaep ? KEY_MECHANISMS_OAEP_ONLY : KEY_MECHANISMS_OAEP_TOO;
}

/* What the token says, and does. */
static void from_token(struct service *service, enum residency residency,
                       struct token_entry *token,
                       const struct key_version_record *version,
                       struct key_facts *facts)
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
    memcpy(request.u.find.key.fingerprint, version->fingerprint,
           sizeof version->fingerprint);
    facts->measured_ms = service_wall_ms(service);
    const struct configured_token *configured = token_entry_ask(service, token);
    if (configured == NULL) {
        return;
    }
    enum hf_status status = token_call(configured->token, &request);
    facts->reachable =
        status == HF_OK || hf_status_class(status) == HF_CLASS_MISSING;
    facts->exists = status == HF_OK;
    if (status != HF_OK) {
        return;
    }
    facts->is_rsa = report.key.type == TOKEN_KEY_RSA;
    facts->bits = report.bits;
    facts->sensitive = report.sensitive;
    facts->extractable = report.extractable;
    facts->always_sensitive = report.always_sensitive;
    facts->never_extractable = report.never_extractable;
    facts->mechanisms = mechanisms_of(report.mechanisms);
    facts->imported = !report.local;
    facts->can_unwrap = report.can_unwrap;
    facts->can_decrypt = report.can_decrypt;
    struct token_profile profile;
    token_profile_get(configured->token, &profile);
    token_profile_lacks(&profile, TOKEN_ROLE_CUSTOMER_TOKEN, facts->token_lacks,
                        sizeof facts->token_lacks);
    facts->round_trip_ok =
        key_round_trip(service, token, version, residency) == HF_OK;
}

void key_facts_collect(struct service *service, struct facts_request *request,
                       struct validation_facts *out)
{
    struct key_version_record versions[HF_CUSTOMER_KEYS_PER_DEP];
    struct token_entry *tokens[HF_CUSTOMER_KEYS_PER_DEP];
    *out = (struct validation_facts){
        .dep_type = request->dep_type,
        .residency = request->residency,
        .now_ms = service_wall_ms(service),
    };
    pthread_rwlock_rdlock(&service->catalogue.lock);
    out->production_tenant = request->tenant->record.production;
    out->licensed = request->tenant->record.licensed;
    out->approvers_recorded =
        purges_officer_count_locked(service, request->tenant) > 0;
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        const struct key_entry *key = request->keys[slot];
        from_catalogue(service, request, slot, &out->keys[slot]);
        request->versions[slot] = version_of(request, slot);
        versions[slot] = request->versions[slot]->record;
        tokens[slot] = key->token;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        from_token(service, request->residency, tokens[slot], &versions[slot],
                   &out->keys[slot]);
    }
}
