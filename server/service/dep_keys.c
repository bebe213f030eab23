/* dep_keys: how the keys of a DEP come into being, and how they are proved
 * (R-15.2, R-4.17, R-11.10). */
#include "hsm/sys/log.h"

#include "server/service/aead.h"
#include "server/service/ak_copies.h"
#include "server/service/attempt.h"
#include "server/service/availability_key.h"
#include "server/service/core.h"
#include "server/service/oaep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static HF_STATUS generate_availability_key(struct service *service,
                                           struct dep_record *dep)
{
    dep->ak_version = 1;
    if (dep->type == DEP_TYPE_SHAREPOINT_GEO &&
        service->settings.sharepoint_ak_shared) {
        ak_share(dep);
    } else {
        struct byte_writer writer =
            byte_writer_on(dep->ak_cka_id, sizeof dep->ak_cka_id);
        put_raw(&writer, dep->id.bytes, HF_ID_BYTES);
        put_u32(&writer, dep->ak_version);
        dep->ak_cka_id_len = writer.len;
    }
    HF_TRY(ak_generate(service, dep, dep->ak_version));
    dep->ak_state = AK_ACTIVE;
    return HF_OK;
}

/* The geo's record pins the pair of the token that its keys were born in. */
static bool is_pinned(const struct dep_entry *known,
                      const struct ak_token_ref *birth)
{
    if (known == NULL || known->geo == NULL || known->geo->dep != known) {
        return false;
    }
    const struct generation_entry *newest =
        catalogue_generation(known, known->record.generation);
    return ak_copy_is_of(&newest->record.copies[ROOT_AK], birth);
}

/* The pair is pinned by what the geo's record says; the first look at it pins
 * it (N32). */
static HF_STATUS find_availability_pair(struct service *service,
                                        const struct ak_token_ref *birth,
                                        struct dep_key_plan *plan)
{
    struct token_key_report report = {0};
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .u.find.report = &report,
    };
    struct token_key *key = &request.u.find.key;
    ak_key_of(plan->dep, plan->dep->ak_version, key);
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct dep_entry *known =
        catalogue_dep_by_id(&service->catalogue, &plan->dep->id);
    if (is_pinned(known, birth)) {
        memcpy(key->fingerprint, known->geo->record.ak_fingerprint,
               sizeof key->fingerprint);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    HF_TRY(token_call(birth->token, &request));
    memcpy(plan->ak_spki, report.spki, report.spki_len);
    plan->ak_spki_len = report.spki_len;
    memcpy(plan->ak_fingerprint, report.key.fingerprint,
           sizeof plan->ak_fingerprint);
    return HF_OK;
}

void dep_unmake_keys(struct service *service, const struct dep_record *dep)
{
    enum hf_status status = ak_destroy(service, dep, dep->ak_version);
    if (status != HF_OK) {
        char id[HF_ID_TEXT];
        id_format(&dep->id, id);
        log_event(LOG_WARN, "availability_key.orphan", LOG_TEXT("dep", id),
                  LOG_TEXT("status", hf_status_name(status)));
    }
}

/* AES-KWP inside the token, or OAEP by the pair (crypto.md). */
static void fill_ak_copy(const struct ak_token_ref *birth,
                         const struct dep_key_plan *plan,
                         struct token_mint_copy *ak)
{
    const struct dep_record *dep = plan->dep;
    if (dep->type != DEP_TYPE_SHAREPOINT_GEO) {
        ak->suite = TOKEN_SUITE_AES_KWP;
        ak->key.type = TOKEN_KEY_AES;
        ak->key.id_len = dep->ak_cka_id_len;
        memcpy(ak->key.id, dep->ak_cka_id, dep->ak_cka_id_len);
        return;
    }
    struct token_profile profile;
    token_profile_get(birth->token, &profile);
    ak->suite = token_suite_preferred(&profile);
    ak->spki = (struct bytes){plan->ak_spki, plan->ak_spki_len};
}

/* What is born in the first token goes to its mirrors under their transport
 * pairs. */
static HF_STATUS fill_transports(const struct ak_token_set *set,
                                 struct token_mint *mint)
{
    for (size_t i = 1; i < set->count; i++) {
        const struct ak_token_ref *to = &set->at[i];
        struct token_mint_copy *copy = &mint->copies[mint->copy_count++];
        copy->suite = ak_transport_suite(&set->at[0], to);
        copy->spki = (struct bytes){to->transport, to->transport_len};
        if (copy->suite == TOKEN_SUITE_NONE || copy->spki.len == 0) {
            return HF_E_UNSUPPORTED;
        }
    }
    return HF_OK;
}

static HF_STATUS fill_mint(const struct ak_token_set *set,
                           const struct dep_key_plan *plan,
                           struct token_mint *mint)
{
    const struct generation_record *generation = plan->generation;
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        if (plan->keys[slot] == NULL) {
            continue;
        }
        const struct key_version_record *version =
            &plan->versions[slot]->record;
        mint->copies[mint->copy_count++] = (struct token_mint_copy){
            .suite = (enum token_suite)version->suite,
            .spki = {version->spki, version->spki_len},
        };
    }
    fill_ak_copy(&set->at[0], plan, &mint->copies[mint->copy_count++]);
    memcpy(mint->check_iv, generation->check_iv, sizeof mint->check_iv);
    mint->check_text = bytes_of_text(COMMITMENT_TEXT);
    return fill_transports(set, mint);
}

static void keep_copy(struct wrapped_copy *copy,
                      const struct token_mint_copy *minted)
{
    copy->suite = (uint8_t)minted->suite;
    memcpy(copy->wrapped, minted->wrapped, minted->wrapped_len);
    copy->wrapped_len = minted->wrapped_len;
}

/* Gives *out_next: the first copy that is none of the record's. */
static void keep_copies(struct dep_key_plan *plan,
                        const struct ak_token_ref *birth,
                        const struct token_mint *mint, size_t *out_next)
{
    struct generation_record *generation = plan->generation;
    size_t next = 0;
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        struct wrapped_copy *copy = &generation->copies[slot];
        if (plan->keys[slot] == NULL) {
            continue;
        }
        keep_copy(copy, &mint->copies[next++]);
        copy->key = plan->keys[slot]->record.id;
        copy->key_version = plan->versions[slot]->record.version;
        copy->token = plan->keys[slot]->token->record.id;
    }
    struct wrapped_copy *ak = &generation->copies[ROOT_AK];
    keep_copy(ak, &mint->copies[next]);
    ak->key_version = plan->dep->ak_version;
    ak->token = birth->id;
    *out_next = next + 1;
    memcpy(generation->check_sealed, mint->check_sealed,
           mint->check_sealed_len);
    generation->check_sealed_len = mint->check_sealed_len;
}

static HF_STATUS carry_to_mirrors(struct service *service,
                                  const struct ak_token_set *set,
                                  const struct dep_key_plan *plan,
                                  const struct token_mint_copy *copies)
{
    const struct ak_carry carry = {
        .dep = plan->dep,
        .version = plan->dep->ak_version,
        .generation = plan->generation,
        .set = set,
    };
    for (size_t i = 1; i < set->count; i++) {
        const struct token_mint_copy *copy = &copies[i - 1];
        const struct ak_carried carried = {
            copy->suite, {copy->wrapped, copy->wrapped_len}
        };
        HF_TRY(ak_carry_in(service, &carry, &set->at[i], &carried));
    }
    return HF_OK;
}

static HF_STATUS mint_dep_key(struct service *service,
                              const struct ak_token_set *set,
                              struct dep_key_plan *plan)
{
    uint8_t context[CONTEXT_BYTES];
    struct generation_record *generation = plan->generation;
    HF_TRY(rng_fill(service->settings.rng, generation->check_iv,
                    sizeof generation->check_iv));
    struct token_mint *mint = calloc(1, sizeof *mint);
    if (mint == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = fill_mint(set, plan, mint);
    commitment_context(generation, context);
    mint->check_aad = BYTES_OF(context);
    struct token_request request = {.op = TOKEN_OP_MINT, .u.mint = mint};
    if (status == HF_OK) {
        status = token_call(set->at[0].token, &request);
    }
    if (status == HF_OK) {
        size_t next = 0;
        keep_copies(plan, &set->at[0], mint, &next);
        status = carry_to_mirrors(service, set, plan, &mint->copies[next]);
    }
    free(mint);
    return status;
}

static HF_STATUS try_copy(struct service *service,
                          struct generation_entry *generation,
                          enum root_slot slot)
{
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    return attempt_customer_key(service, generation, (size_t)slot, 0, &lease);
}

HF_STATUS generation_test(struct service *service,
                          struct generation_entry *generation,
                          enum root_slot slot)
{
    /* the availability key is for fallbacks only */
    return slot == ROOT_AK ? HF_E_INVALID : try_copy(service, generation, slot);
}

/* crypto.md: the copies are checked against each other at creation: each opens
 * to the key that sealed the commitment. */
static HF_STATUS try_mirrors(struct service *service,
                             const struct ak_token_set *set,
                             struct generation_entry *generation)
{
    for (size_t i = 0; i < set->count; i++) {
        HF_OWNED(lease_releasep) struct lease *lease = NULL;
        HF_TRY(attempt_root_in(service, generation, &set->at[i], 0, &lease));
    }
    return HF_OK;
}

static HF_STATUS check_copies(struct service *service,
                              const struct ak_token_set *set,
                              const struct dep_key_plan *plan)
{
    struct generation_entry *generation = generation_entry_new();
    struct dep_entry *dep = calloc(1, sizeof *dep);
    enum hf_status status = HF_OK;
    if (generation == NULL || dep == NULL) {
        status = HF_E_NO_MEMORY;
    } else {
        dep->record = *plan->dep;
        generation->dep = dep;
        generation->record = *plan->generation;
        for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
            generation->keys[slot] = plan->keys[slot];
            generation->versions[slot] = plan->versions[slot];
            if (status == HF_OK && plan->keys[slot] != NULL) {
                status = try_copy(service, generation, (enum root_slot)slot);
            }
        }
        if (status == HF_OK) {
            status = try_mirrors(service, set, generation);
        }
    }
    generation_entry_free(generation);
    free(dep);
    return status;
}

HF_STATUS dep_make_generation(struct service *service,
                              struct dep_key_plan *plan)
{
    plan->generation->tenant = plan->dep->tenant;
    plan->generation->dep = plan->dep->id;
    plan->generation->generation = plan->dep->generation;
    plan->generation->created_ms = service_wall_ms(service);
    struct ak_token_set set;
    ak_tokens_of(service, plan->dep->type, &set);
    for (size_t i = 0; i < set.count; i++) {
        HF_TRY(ak_token_open(&set.at[i]));
    }
    if (set.count == 0) {
        return HF_E_MISUSE;
    }
    if (plan->dep->type == DEP_TYPE_SHAREPOINT_GEO && plan->ak_spki_len == 0) {
        HF_TRY(find_availability_pair(service, &set.at[0], plan));
    }
    HF_TRY(mint_dep_key(service, &set, plan));
    return check_copies(service, &set, plan);
}

HF_STATUS dep_make_keys(struct service *service, struct dep_key_plan *plan)
{
    plan->dep->generation = 1;
    enum hf_status status = generate_availability_key(service, plan->dep);
    if (status == HF_OK) {
        status = dep_make_generation(service, plan);
    }
    if (status != HF_OK) {
        dep_unmake_keys(service, plan->dep);
    }
    return status;
}

/* --- round trips -------------------------------------------------------- */

/* Proves that the token's object is the key we know: what it seals, we open. */
static HF_STATUS prove_object(struct service *service,
                              const struct token *token,
                              struct token_object object,
                              const struct secret *key)
{
    static const char text[] = "holdfast round trip";
    uint8_t sealed[sizeof text + HF_GCM_TAG_BYTES];
    uint8_t opened[sizeof text];
    struct token_request request = {
        .op = TOKEN_OP_SEAL,
        .u.aead = {.key = object,
                   .in = {(const uint8_t *)text, sizeof text},
                   .out = sealed,
                   .out_cap = sizeof sealed},
    };
    HF_TRY(rng_fill(service->settings.rng, request.u.aead.iv,
                    sizeof request.u.aead.iv));
    HF_TRY(token_call(token, &request));
    HF_TRY(aead_open(key, request.u.aead.iv, BYTES_NONE, BYTES_OF(sealed),
                     opened));
    return equal_constant_time(opened, text, sizeof text) ? HF_OK
                                                          : HF_E_BAD_BLOB;
}

static HF_STATUS unwrap_and_prove(struct service *service,
                                  const struct token *token,
                                  struct token_request *request,
                                  const struct secret *key)
{
    HF_TRY(token_call(token, request));
    if (request->op == TOKEN_OP_DECRYPT) {
        HF_OWNED(secret_freep) struct secret *back = request->u.unwrap.secret;
        return secret_equal(back, key) ? HF_OK : HF_E_BAD_BLOB;
    }
    enum hf_status status =
        prove_object(service, token, request->u.unwrap.object, key);
    struct token_request forget = {
        .op = TOKEN_OP_FORGET,
        .u.forget = request->u.unwrap.object,
    };
    HF_IGNORE(token_call(token, &forget), "it dies with its session");
    return status;
}

HF_STATUS key_round_trip(struct service *service, struct token_entry *token,
                         const struct key_version_record *version,
                         enum residency residency)
{
    HF_OWNED(secret_freep) struct secret *key = NULL;
    uint8_t wrapped[HF_RSA_MAX_BYTES];
    size_t wrapped_len = 0;
    enum token_suite suite = (enum token_suite)version->suite;
    const struct configured_token *configured = token_entry_ask(service, token);
    if (configured == NULL) {
        return HF_E_MISUSE;
    }
    HF_TRY(secret_random(HF_KEY_BYTES, &key));
    HF_TRY(oaep_wrap((struct bytes){version->spki, version->spki_len}, suite,
                     key, wrapped, &wrapped_len));
    struct token_request request = {
        .op =
            residency == RESIDENCY_MEMORY ? TOKEN_OP_DECRYPT : TOKEN_OP_UNWRAP,
        .attempt_ms = service->settings.attempt_ms,
        .u.unwrap =
            {
                       .key = {.type = TOKEN_KEY_RSA, .id_len = version->cka_id_len},
                       .suite = suite,
                       .wrapped = {wrapped, wrapped_len},
                       },
    };
    memcpy(request.u.unwrap.key.id, version->cka_id, version->cka_id_len);
    memcpy(request.u.unwrap.key.fingerprint, version->fingerprint,
           sizeof version->fingerprint);
    atomic_fetch_add(&service->root_ops, 1);
    return unwrap_and_prove(service, configured->token, &request, key);
}
