#include "server/service/ak_copies.h"

#include "server/service/attempt.h"
#include "server/service/availability_key.h"

#include <stdlib.h>
#include <string.h>

/* --- whose is which ----------------------------------------------------- */

bool ak_copy_is_of(const struct wrapped_copy *copy,
                   const struct ak_token_ref *ref)
{
    return id_is_nil(&copy->token) ? ref->first
                                   : id_equal(&copy->token, &ref->id);
}

const struct wrapped_copy *
ak_copy_of(const struct generation_record *generation,
           const struct ak_token_ref *ref)
{
    const struct wrapped_copy *root = &generation->copies[ROOT_AK];
    if (root->wrapped_len > 0 && ak_copy_is_of(root, ref)) {
        return root;
    }
    for (size_t i = 0; i < AK_TOKENS_MAX; i++) {
        const struct wrapped_copy *copy = &generation->mirrors[i];
        if (copy->wrapped_len > 0 && ak_copy_is_of(copy, ref)) {
            return copy;
        }
    }
    return NULL;
}

bool ak_copies_whole(const struct generation_record *generation,
                     const struct ak_token_set *set, uint32_t version)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct wrapped_copy *copy = ak_copy_of(generation, &set->at[i]);
        if (copy == NULL || (version != 0 && copy->key_version != version)) {
            return false;
        }
    }
    return true;
}

uint32_t ak_copies_version(const struct generation_record *generation)
{
    uint32_t version = generation->copies[ROOT_AK].key_version;
    for (size_t i = 0; i < AK_TOKENS_MAX; i++) {
        if (generation->mirrors[i].key_version > version) {
            version = generation->mirrors[i].key_version;
        }
    }
    return version;
}

HF_STATUS ak_copies_may_record(struct service *service, enum dep_type type,
                               const struct generation_record *generation)
{
    struct ak_token_set set;
    ak_tokens_of(service, type, &set);
    return ak_copies_whole(generation, &set, 0) ? HF_OK : HF_E_CONFLICT;
}

void ak_copies_take(struct generation_record *to,
                    const struct generation_record *from)
{
    to->copies[ROOT_AK] = from->copies[ROOT_AK];
    memcpy(to->mirrors, from->mirrors, sizeof to->mirrors);
}

void ak_copies_clear(struct generation_record *generation)
{
    generation->copies[ROOT_AK] = (struct wrapped_copy){.suite = 0};
    memset(generation->mirrors, 0, sizeof generation->mirrors);
}

static bool is_of_any(const struct wrapped_copy *copy,
                      const struct ak_token_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (ak_copy_is_of(copy, &set->at[i])) {
            return true;
        }
    }
    return false;
}

/* Its own place, else an empty one, else a retired token's. */
static struct wrapped_copy *place_for(struct generation_record *generation,
                                      const struct ak_token_set *set,
                                      const struct ak_token_ref *ref)
{
    struct wrapped_copy *root = &generation->copies[ROOT_AK];
    struct wrapped_copy *found = NULL;
    if (root->wrapped_len == 0 || ak_copy_is_of(root, ref)) {
        return root;
    }
    for (size_t i = 0; i < AK_TOKENS_MAX; i++) {
        struct wrapped_copy *copy = &generation->mirrors[i];
        if (copy->wrapped_len > 0 && ak_copy_is_of(copy, ref)) {
            return copy;
        }
        if (found == NULL &&
            (copy->wrapped_len == 0 || !is_of_any(copy, set))) {
            found = copy;
        }
    }
    return found;
}

static HF_STATUS keep(const struct ak_carry *carry,
                      const struct ak_token_ref *ref,
                      const struct token_mint_copy *minted)
{
    struct wrapped_copy *place = place_for(carry->generation, carry->set, ref);
    if (place == NULL) {
        return HF_E_LIMIT;
    }
    *place = (struct wrapped_copy){
        .suite = (uint8_t)minted->suite,
        .key_version = carry->version,
        .token = ref->id,
        .wrapped_len = minted->wrapped_len,
    };
    memcpy(place->wrapped, minted->wrapped, minted->wrapped_len);
    return HF_OK;
}

/* --- from token to token ------------------------------------------------ */

enum token_suite ak_transport_suite(const struct ak_token_ref *from,
                                    const struct ak_token_ref *to)
{
    struct token_profile a;
    struct token_profile b;
    token_profile_get(from->token, &a);
    token_profile_get(to->token, &b);
    if (a.oaep_sha256 && b.oaep_sha256) {
        return TOKEN_SUITE_OAEP_SHA256;
    }
    return a.oaep_sha1 && b.oaep_sha1 ? TOKEN_SUITE_OAEP_SHA1
                                      : TOKEN_SUITE_NONE;
}

/* One that rewraps what it is given, and checks it by the commitment. */
struct rewrap {
    struct token_mint mint;
    uint8_t context[CONTEXT_BYTES];
    struct token_key_report pair; /* the target's, of a geo */
};

static HF_STATUS rewrap_new(const struct generation_record *generation,
                            struct rewrap **out)
{
    struct rewrap *rewrap = calloc(1, sizeof *rewrap);
    if (rewrap == NULL) {
        return HF_E_NO_MEMORY;
    }
    struct token_mint *mint = &rewrap->mint;
    commitment_context(generation, rewrap->context);
    memcpy(mint->check_iv, generation->check_iv, sizeof mint->check_iv);
    mint->check_aad = BYTES_OF(rewrap->context);
    mint->check_text = bytes_of_text(COMMITMENT_TEXT);
    memcpy(mint->check_sealed, generation->check_sealed,
           generation->check_sealed_len);
    mint->check_sealed_len = generation->check_sealed_len;
    mint->copy_count = 1;
    *out = rewrap;
    return HF_OK;
}

static HF_STATUS ask(const struct ak_token_ref *ref, struct rewrap *rewrap)
{
    struct token_request request = {.op = TOKEN_OP_MINT,
                                    .u.mint = &rewrap->mint};
    return token_call(ref->token, &request);
}

/* By its own copy. */
static void from_copy(const struct ak_carry *carry,
                      const struct wrapped_copy *copy, struct rewrap *rewrap)
{
    rewrap->mint.source = (struct token_mint_source){
        .suite = (enum token_suite)copy->suite,
        .wrapped = {copy->wrapped, copy->wrapped_len},
    };
    ak_key_of(carry->dep, copy->key_version, &rewrap->mint.source.key);
}

/* Under its own availability key: AES-KWP, or by the pair (crypto.md). */
static HF_STATUS to_own_key(const struct ak_carry *carry,
                            const struct ak_token_ref *ref,
                            struct rewrap *rewrap)
{
    struct token_mint_copy *copy = &rewrap->mint.copies[0];
    struct token_request find = {
        .op = TOKEN_OP_FIND,
        .u.find.report = &rewrap->pair,
    };
    struct token_profile profile;
    ak_key_of(carry->dep, carry->version, &copy->key);
    if (copy->key.type == TOKEN_KEY_AES) {
        copy->suite = TOKEN_SUITE_AES_KWP;
        return HF_OK;
    }
    find.u.find.key = copy->key;
    HF_TRY(token_call(ref->token, &find));
    if (!rewrap->pair.local || rewrap->pair.extractable ||
        !rewrap->pair.never_extractable) {
        return HF_E_DENIED;
    }
    token_profile_get(ref->token, &profile);
    copy->suite = token_suite_preferred(&profile);
    copy->spki = (struct bytes){rewrap->pair.spki, rewrap->pair.spki_len};
    return HF_OK;
}

static HF_STATUS finish(const struct ak_carry *carry,
                        const struct ak_token_ref *ref, struct rewrap *rewrap)
{
    HF_TRY(to_own_key(carry, ref, rewrap));
    HF_TRY(ask(ref, rewrap));
    return keep(carry, ref, &rewrap->mint.copies[0]);
}

HF_STATUS ak_carry_in(struct service *service, const struct ak_carry *carry,
                      const struct ak_token_ref *to,
                      const struct ak_carried *carried)
{
    struct rewrap *rewrap = NULL;
    HF_TRY(ak_token_open(to));
    HF_TRY(rewrap_new(carry->generation, &rewrap));
    struct token_mint_source *source = &rewrap->mint.source;
    source->suite = carried->suite;
    source->wrapped = carried->wrapped;
    source->key = ak_transport_key(to);
    enum hf_status status = finish(carry, to, rewrap);
    free(rewrap);
    ak_token_note(service, to, status);
    return status;
}

/* Out of one token, for the other. */
static HF_STATUS carry_over(struct service *service,
                            const struct ak_carry *carry,
                            const struct ak_token_ref *from,
                            const struct ak_token_ref *to)
{
    struct rewrap *rewrap = NULL;
    const struct wrapped_copy *copy = ak_copy_of(carry->generation, from);
    if (copy == NULL) {
        return HF_E_NOT_FOUND;
    }
    HF_TRY(rewrap_new(carry->generation, &rewrap));
    struct token_mint_copy *out = &rewrap->mint.copies[0];
    out->suite = ak_transport_suite(from, to);
    out->spki = (struct bytes){to->transport, to->transport_len};
    from_copy(carry, copy, rewrap);
    enum hf_status status =
        out->suite == TOKEN_SUITE_NONE ? HF_E_UNSUPPORTED : ask(from, rewrap);
    ak_token_note(service, from, status);
    if (status == HF_OK) {
        const struct ak_carried carried = {
            out->suite, {out->wrapped, out->wrapped_len}
        };
        status = ak_carry_in(service, carry, to, &carried);
    }
    free(rewrap);
    return status;
}

HF_STATUS ak_carry_from_any(struct service *service,
                            const struct ak_carry *carry,
                            const struct ak_token_ref *to)
{
    const struct ak_token_set *set = carry->set;
    size_t order[AK_TOKENS_MAX];
    enum hf_status status = HF_E_UNREACHABLE;
    HF_TRY(ak_token_open(to));
    if (to->transport_len == 0) {
        return HF_E_UNSUPPORTED;
    }
    ak_tokens_in_order(service, set, order);
    for (size_t i = 0; i < set->count && status != HF_OK; i++) {
        const struct ak_token_ref *from = &set->at[order[i]];
        if (from->token != NULL && !id_equal(&from->id, &to->id) &&
            ak_copy_of(carry->generation, from) != NULL) {
            status = carry_over(service, carry, from, to);
        }
    }
    return status;
}

/* --- a roll ------------------------------------------------------------- */

static HF_STATUS by_its_own(struct service *service,
                            const struct ak_carry *carry,
                            const struct ak_token_ref *ref,
                            const struct wrapped_copy *copy)
{
    struct rewrap *rewrap = NULL;
    HF_TRY(ak_token_open(ref));
    HF_TRY(rewrap_new(carry->generation, &rewrap));
    from_copy(carry, copy, rewrap);
    enum hf_status status = finish(carry, ref, rewrap);
    free(rewrap);
    ak_token_note(service, ref, status);
    return status;
}

static HF_STATUS bring_one(struct service *service,
                           const struct ak_carry *carry,
                           const struct ak_token_ref *ref)
{
    const struct wrapped_copy *copy = ak_copy_of(carry->generation, ref);
    enum hf_status status = HF_E_NOT_FOUND;
    if (copy != NULL && copy->key_version == carry->version) {
        return HF_OK;
    }
    if (copy != NULL) {
        status = by_its_own(service, carry, ref, copy);
    }
    bool lost = status == HF_E_NOT_FOUND || status == HF_E_BAD_BLOB;
    return lost && carry->set->count > 1
               ? ak_carry_from_any(service, carry, ref)
               : status;
}

HF_STATUS ak_copies_bring(struct service *service, const struct ak_carry *carry)
{
    for (size_t i = 0; i < carry->set->count; i++) {
        HF_TRY(bring_one(service, carry, &carry->set->at[i]));
    }
    return HF_OK;
}
