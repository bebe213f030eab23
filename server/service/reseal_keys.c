/* What the keys themselves say: tokens are the ones that were enrolled and
 * prove the customers' public keys, every wrapped copy opens to the key that
 * sealed the commitment of its generation, and every stored key opens under it.
 */
#include "server/service/ak_tokens.h"
#include "server/service/attempt.h"
#include "server/service/availability_key.h"
#include "server/service/key_check.h"
#include "server/service/leases.h"
#include "server/service/reseal_inside.h"
#include "server/service/resources.h"
#include "server/store/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- tokens and customer keys --------------------------------------------- */

static HF_STATUS look_at_token(struct reseal *reseal,
                               const struct token_entry *entry)
{
    char name[RESEAL_NAME_BYTES];
    struct token_profile profile = {.label = ""};
    snprintf(name, sizeof name, "tenants/%s/tokens/%s",
             entry->tenant->record.name, entry->record.name);
    const struct configured_token *configured = entry->configured;
    if (configured != NULL) {
        token_profile_get(configured->token, &profile);
    }
    if (configured == NULL || !token_profile_is_known(&profile)) {
        return reseal_bad(reseal, name, "the token does not answer");
    }
    if (strcmp(profile.serial, entry->record.serial) != 0) {
        return reseal_bad(reseal, name,
                          "the token is another than the enrolled one");
    }
    /* what its custodian signed stands in the record without the signature */
    return strcmp(configured->custody_domain, entry->record.custody_domain) == 0
               ? reseal_verified(reseal, "tokens there, with their serial")
               : reseal_bad(reseal, name,
                            "it is in another custody domain than the "
                            "configuration says");
}

static HF_STATUS look_at_version(struct reseal *reseal,
                                 const struct key_entry *key,
                                 const struct key_version_record *version)
{
    char name[RESEAL_NAME_BYTES];
    struct token_key_report report = {.spki_len = 0};
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = {.type = TOKEN_KEY_RSA,
                           .id_len = version->cka_id_len},
                   .tentative = true,
                   .report = &report},
    };
    snprintf(name, sizeof name, "tenants/%s/customerKeys/%s/versions/%u",
             key->tenant->record.name, key->record.name, version->version);
    if (key->token->configured == NULL) {
        return reseal_bad(reseal, name, "its token does not answer");
    }
    memcpy(request.u.find.key.id, version->cka_id, version->cka_id_len);
    memcpy(request.u.find.key.fingerprint, version->fingerprint,
           sizeof version->fingerprint);
    enum hf_status status = token_call(key->token->configured->token, &request);
    if (status != HF_OK) {
        return reseal_bad(reseal, name,
                          hf_status_class(status) == HF_CLASS_MISSING
                              ? "its token shows no key of this public key"
                              : "its token does not answer");
    }
    return bytes_equal((struct bytes){report.spki, report.spki_len},
                       (struct bytes){version->spki, version->spki_len})
               ? reseal_verified(reseal, "customer keys proved by their token")
               : reseal_bad(reseal, name,
                            "the public key of the record is another than "
                            "the token's");
}

static HF_STATUS look_at_roots(struct reseal *reseal)
{
    const struct catalogue *catalogue = &reseal->service->catalogue;
    for (const struct token_entry *token = catalogue->tokens; token != NULL;
         token = token->next) {
        HF_TRY(look_at_token(reseal, token));
    }
    for (const struct key_entry *key = catalogue->keys; key != NULL;
         key = key->next) {
        for (uint32_t i = 0; i < key->record.current_version; i++) {
            HF_TRY(look_at_version(reseal, key, &key->versions[i]->record));
        }
    }
    return HF_OK;
}

/* --- tokens of availability keys ------------------------------------------ */

static HF_STATUS declare_retirement(struct reseal *reseal, const char *name,
                                    const struct ak_token_record *record)
{
    return reseal_declared(
        reseal,
        record->state == AK_TOKEN_RETIRED ? "retired availability token"
                                          : "retirement asked for",
        name,
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "serial", record->serial,
                  "disposal", record->disposal, "requested_by",
                  record->requested_by, "approved_by_1", record->approved_by[0],
                  "approved_by_2", record->approved_by[1]));
}

static const char *why_not_ak_token(const struct reseal *reseal,
                                    const struct ak_token_record *record)
{
    struct ak_token_config configured;
    struct token_profile profile = {.label = ""};
    struct token_key_report pair = {.spki_len = 0};
    struct ak_token_ref ref = {.transport_len = record->transport_len};
    if (!ak_token_configured(reseal->service, record->name, &configured) ||
        configured.sharepoint != record->sharepoint) {
        return "the configuration names no such token of this kind";
    }
    token_profile_get(configured.token, &profile);
    if (!token_profile_is_known(&profile)) {
        return "the token does not answer";
    }
    if (strcmp(profile.serial, record->serial) != 0) {
        return "the token is another than the enrolled one";
    }
    memcpy(ref.transport, record->transport, record->transport_len);
    struct token_request find = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = ak_transport_key(&ref),
                   .tentative = true,
                   .report = &pair},
    };
    if (token_call(configured.token, &find) != HF_OK) {
        return "the token shows no transport pair of this public key";
    }
    return bytes_equal((struct bytes){pair.spki, pair.spki_len},
                       (struct bytes){record->transport, record->transport_len})
               ? NULL
               : "the transport pair of the record is another than the token's";
}

/* A purge ends without asking a token that is retired, and three people said
 * that it is: who can write to the store could have said so for them. */
static HF_STATUS look_at_ak_token(struct reseal *reseal,
                                  const struct ak_token_record *record)
{
    char name[RESEAL_NAME_BYTES];
    snprintf(name, sizeof name, "availabilityTokens/%s", record->name);
    if (record->state == AK_TOKEN_RETIRED || record->requested_by[0] != '\0') {
        HF_TRY(declare_retirement(reseal, name, record));
    }
    if (record->state == AK_TOKEN_RETIRED) {
        return HF_OK;
    }
    const char *why = why_not_ak_token(reseal, record);
    return why == NULL
               ? reseal_verified(reseal, "availability tokens, with their "
                                         "transport pair")
               : reseal_bad(reseal, name, why);
}

static HF_STATUS look_at_ak_tokens(struct reseal *reseal)
{
    struct ak_token_entry *entry = NULL;
    while ((entry = ak_token_visit(reseal->service, entry)) != NULL) {
        HF_TRY(look_at_ak_token(reseal, &entry->record));
    }
    return HF_OK;
}

/* --- copies --------------------------------------------------------------- */

/* The keys that were opened, to look at what is under them. */
struct opened {
    struct lease **leases;
    size_t count;
    size_t cap;
};

static HF_STATUS keep(struct opened *opened, struct lease *lease)
{
    if (opened->count == opened->cap) {
        size_t cap = opened->cap == 0 ? 64 : 2 * opened->cap;
        struct lease **more =
            reallocarray(opened->leases, cap, sizeof(struct lease *));
        if (more == NULL) {
            lease_release(lease);
            return HF_E_NO_MEMORY;
        }
        opened->leases = more;
        opened->cap = cap;
    }
    opened->leases[opened->count++] = lease;
    return HF_OK;
}

static const struct lease *find(const struct opened *opened,
                                const struct hf_id *dep, uint32_t generation)
{
    for (size_t i = 0; i < opened->count; i++) {
        const struct generation_record *record =
            &opened->leases[i]->generation->record;
        if (record->generation == generation && id_equal(&record->dep, dep)) {
            return opened->leases[i];
        }
    }
    return NULL;
}

static HF_STATUS open_copy(struct reseal *reseal,
                           struct generation_entry *generation, size_t slot,
                           struct lease **out_lease)
{
    struct attempt_asked asked;
    if (slot == ROOT_AK) {
        return attempt_service_root(reseal->service, generation, 0, NULL,
                                    out_lease);
    }
    HF_TRY(attempt_prepare(reseal->service, generation, slot, &asked));
    HF_TRY(token_call(asked.token, &asked.request));
    return attempt_finish(reseal->service, generation, &asked, out_lease);
}

static const char *why_not(enum hf_status status)
{
    if (status == HF_E_BAD_BLOB || status == HF_E_CORRUPT) {
        return "it does not open to the key of this generation";
    }
    return hf_status_class(status) == HF_CLASS_MISSING
               ? "its token does not show the key that opens it"
               : "the token that opens it does not answer";
}

static HF_STATUS look_at_copy(struct reseal *reseal,
                              struct generation_entry *generation, size_t slot,
                              struct opened *opened)
{
    static const char *const slots[ROOT_SLOTS] = {"ck1", "ck2", "ak"};
    const struct generation_record *record = &generation->record;
    char name[RESEAL_NAME_BYTES];
    char dep[HF_ID_TEXT];
    struct lease *lease = NULL;
    id_format(&record->dep, dep);
    snprintf(name, sizeof name, "tenants/%s/deps/%s/generations/%u/copies/%s",
             generation->dep->tenant->record.name, dep, record->generation,
             slots[slot]);
    if (slot != ROOT_AK &&
        !key_serves_anyone(generation->keys[slot], generation->versions[slot],
                           service_wall_ms(reseal->service))) {
        return reseal_declared(reseal, "copy", name,
                               json_pack("{s:s}", "why",
                                         "its owner withdrew the key: it is "
                                         "not asked"));
    }
    enum hf_status status = open_copy(reseal, generation, slot, &lease);
    if (status != HF_OK) {
        return reseal_bad(reseal, name, why_not(status));
    }
    HF_TRY(reseal_verified(reseal, "wrapped copies opened"));
    if (find(opened, &record->dep, record->generation) != NULL) {
        lease_release(lease);
        return HF_OK;
    }
    return keep(opened, lease);
}

static HF_STATUS look_at_generation(struct reseal *reseal,
                                    struct generation_entry *generation,
                                    struct opened *opened)
{
    for (size_t slot = 0; slot < ROOT_SLOTS; slot++) {
        if (generation->record.copies[slot].wrapped_len > 0) {
            HF_TRY(look_at_copy(reseal, generation, slot, opened));
        }
    }
    return HF_OK;
}

static HF_STATUS look_at_dep_keys(struct reseal *reseal,
                                  const struct dep_entry *dep,
                                  struct opened *opened)
{
    if (dep->closed || dep->record.ak_state == AK_DESTROYED) {
        return HF_OK; /* nothing opens it any more */
    }
    for (size_t i = 0; i < DEP_GENERATIONS_MAX; i++) {
        if (dep->generations[i] != NULL) {
            HF_TRY(look_at_generation(reseal, dep->generations[i], opened));
        }
    }
    return HF_OK;
}

static HF_STATUS look_at_copies(struct reseal *reseal, struct opened *opened)
{
    for (const struct dep_entry *dep = reseal->service->catalogue.deps;
         dep != NULL; dep = dep->next) {
        HF_TRY(look_at_dep_keys(reseal, dep, opened));
    }
    return HF_OK;
}

/* --- stored keys ---------------------------------------------------------- */

struct stored_walk {
    struct reseal *reseal;
    const struct opened *opened;
    struct resource_record resource;
    struct secret *key; /* what an opening leaves here is wiped with it */
};

static void fill_binding(const struct lease *lease,
                         const struct resource_record *resource,
                         const struct envelope *envelope,
                         struct key_binding *out)
{
    const struct generation_record *generation = &lease->generation->record;
    struct context context = {
        .tenant = resource->tenant,
        .dep = generation->dep,
        .generation = generation->generation,
        .workload = resource_workload(resource->type, resource->id),
        .resource_type = resource->type,
        .purpose = resource_purpose(resource->type),
    };
    resource_hash(resource->id, context.resource_hash);
    key_binding_of(&context, envelope, out);
}

static HF_STATUS open_stored(const struct stored_walk *walk,
                             const struct lease *lease)
{
    struct envelope envelope;
    struct key_binding binding;
    HF_TRY(envelope_parse(
        (struct bytes){walk->resource.envelope, walk->resource.envelope_len},
        HF_KEY_BYTES, &envelope));
    if (envelope.generation != walk->resource.effective.generation ||
        !id_equal(&envelope.dep, &walk->resource.effective.dep)) {
        return HF_E_CORRUPT;
    }
    fill_binding(lease, &walk->resource, &envelope, &binding);
    HF_TRY(lease_open(lease, envelope.iv, key_binding_view(&binding),
                      envelope.sealed, secret_writable(walk->key)));
    return key_check_look(&binding, walk->key);
}

static bool is_at_rest(struct reseal *reseal, const struct hf_id *dep)
{
    const struct dep_entry *entry =
        catalogue_dep_by_id(&reseal->service->catalogue, dep);
    return entry != NULL &&
           (entry->closed || entry->record.ak_state == AK_DESTROYED);
}

static enum hf_status look_at_resource(void *context,
                                       const struct record *record,
                                       const struct stamp *stamp)
{
    struct stored_walk *walk = context;
    const struct resource_record *resource = &walk->resource;
    char name[RESEAL_NAME_BYTES];
    char tenant[HF_ID_TEXT];
    (void)stamp;
    HF_TRY(resource_decode(record, &walk->resource));
    const struct tenant_entry *owner = catalogue_tenant_by_id(
        &walk->reseal->service->catalogue, &resource->tenant);
    id_format(&resource->tenant, tenant);
    resource_name(owner != NULL ? owner->record.name : tenant, resource->type,
                  resource->id, name);
    if (owner == NULL) {
        return reseal_bad(walk->reseal, name, "its tenant does not exist");
    }
    if (resource->envelope_len == 0) {
        return reseal_verified(walk->reseal, "resources without a key");
    }
    if (is_at_rest(walk->reseal, &resource->effective.dep)) {
        return reseal_verified(walk->reseal, "resources of ended DEPs");
    }
    const struct lease *lease = find(walk->opened, &resource->effective.dep,
                                     resource->effective.generation);
    if (lease == NULL) {
        return reseal_bad(walk->reseal, name,
                          "no copy of the DEP key that it needs was opened");
    }
    return open_stored(walk, lease) == HF_OK
               ? reseal_verified(walk->reseal, "stored keys opened")
               : reseal_bad(walk->reseal, name,
                            "its stored key does not open for this resource "
                            "under its DEP key");
}

static HF_STATUS look_at_stored(struct reseal *reseal,
                                const struct opened *opened)
{
    const struct store_page all = {.max = SIZE_MAX};
    struct stored_walk *walk = calloc(1, sizeof *walk);
    if (walk == NULL) {
        return HF_E_NO_MEMORY;
    }
    walk->reseal = reseal;
    walk->opened = opened;
    enum hf_status status = secret_new(HF_KEY_BYTES, &walk->key);
    if (status == HF_OK) {
        status = ledger_each(reseal->service->ledger, RECORD_RESOURCE, &all,
                             look_at_resource, walk);
    }
    secret_free(walk->key);
    free(walk);
    return status;
}

HF_STATUS reseal_keys(struct reseal *reseal)
{
    struct opened opened = {.count = 0};
    HF_TRY(look_at_roots(reseal));
    HF_TRY(look_at_ak_tokens(reseal));
    enum hf_status status = look_at_copies(reseal, &opened);
    if (status == HF_OK) {
        status = look_at_stored(reseal, &opened);
    }
    for (size_t i = 0; i < opened.count; i++) {
        lease_release(opened.leases[i]);
    }
    free(opened.leases);
    return status;
}
