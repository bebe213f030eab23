/* dep_keys: how the keys of a DEP come into being, and how they are proved
 * (R-15.2, R-4.17, R-11.10). */
#include "hsm/sys/log.h"

#include "server/service/aead.h"
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

/* The pair is pinned by what the geo's record says; the first look at it pins
 * it (N32). */
static HF_STATUS find_availability_pair(struct service *service,
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
    if (known != NULL && known->geo != NULL && known->geo->dep == known) {
        memcpy(key->fingerprint, known->geo->record.ak_fingerprint,
               sizeof key->fingerprint);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    HF_TRY(ak_call(service, plan->dep->type, &request));
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
static void fill_ak_copy(struct service *service,
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
    token_profile_get(service->settings.sharepoint_ak_token, &profile);
    ak->suite = token_suite_preferred(&profile);
    ak->spki = (struct bytes){plan->ak_spki, plan->ak_spki_len};
}

static void fill_mint(struct service *service, const struct dep_key_plan *plan,
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
    fill_ak_copy(service, plan, &mint->copies[mint->copy_count++]);
    memcpy(mint->check_iv, generation->check_iv, sizeof mint->check_iv);
    mint->check_text = bytes_of_text(COMMITMENT_TEXT);
}

static void keep_copy(struct wrapped_copy *copy,
                      const struct token_mint_copy *minted)
{
    copy->suite = (uint8_t)minted->suite;
    memcpy(copy->wrapped, minted->wrapped, minted->wrapped_len);
    copy->wrapped_len = minted->wrapped_len;
}

static void keep_copies(struct dep_key_plan *plan,
                        const struct token_mint *mint)
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
    keep_copy(&generation->copies[ROOT_AK], &mint->copies[next]);
    generation->copies[ROOT_AK].key_version = plan->dep->ak_version;
    memcpy(generation->check_sealed, mint->check_sealed,
           mint->check_sealed_len);
    generation->check_sealed_len = mint->check_sealed_len;
}

static HF_STATUS mint_dep_key(struct service *service,
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
    fill_mint(service, plan, mint);
    commitment_context(generation, context);
    mint->check_aad = BYTES_OF(context);
    struct token_request request = {.op = TOKEN_OP_MINT, .u.mint = mint};
    enum hf_status status = ak_call(service, plan->dep->type, &request);
    if (status == HF_OK) {
        keep_copies(plan, mint);
    }
    free(mint);
    return status;
}

static HF_STATUS try_copy(struct service *service,
                          struct generation_entry *generation,
                          enum root_slot slot)
{
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    if (slot == ROOT_AK) {
        return attempt_service_root(service, generation, 0, &lease);
    }
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
static HF_STATUS check_copies(struct service *service,
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
            status = try_copy(service, generation, ROOT_AK);
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
    if (plan->dep->type == DEP_TYPE_SHAREPOINT_GEO && plan->ak_spki_len == 0) {
        HF_TRY(find_availability_pair(service, plan));
    }
    HF_TRY(mint_dep_key(service, plan));
    return check_copies(service, plan);
}

HF_STATUS dep_make_keys(struct service *service, struct dep_key_plan *plan)
{
    plan->dep->generation = 1;
    HF_TRY(generate_availability_key(service, plan->dep));
    enum hf_status status = dep_make_generation(service, plan);
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
