#include "hsm/pkcs11/mint.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/canary.h"
#include "hsm/pkcs11/gcm.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/missing.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/public_key.h"
#include "hsm/pkcs11/repair.h"
#include "hsm/pkcs11/session_pool.h"

static void session_key(struct p11_template *to, bool opens)
{
    *to = (struct p11_template){.count = 0};
    p11_add_number(to, CKA_CLASS, CKO_SECRET_KEY);
    p11_add_number(to, CKA_KEY_TYPE, CKK_AES);
    p11_add_flag(to, CKA_TOKEN, false);
    p11_add_flag(to, CKA_PRIVATE, true);
    p11_add_flag(to, CKA_SENSITIVE, true);
    p11_add_flag(to, CKA_EXTRACTABLE, true);
    p11_add_flag(to, CKA_ENCRYPT, true);
    p11_add_flag(to, CKA_DECRYPT, opens);
    p11_add_flag(to, CKA_WRAP, false);
    p11_add_flag(to, CKA_UNWRAP, false);
    p11_add_flag(to, CKA_SIGN, false);
    p11_add_flag(to, CKA_VERIFY, false);
}

static HF_STATUS make_key(struct p11_work *work, CK_OBJECT_HANDLE *out)
{
    struct p11_template key;
    session_key(&key, false);
    p11_add_number(&key, CKA_VALUE_LEN, HF_KEY_BYTES);
    CK_MECHANISM generate = {.mechanism = CKM_AES_KEY_GEN};
    return P11_CALL(work, C_GenerateKey, work->session, &generate, key.at,
                    key.count, out);
}

/* --- a key that is there already ---------------------------------------- */

/* On a session that may fail: the key dies with ours. */
static HF_STATUS works(const struct p11_work *work, CK_OBJECT_HANDLE key)
{
    struct p11_work trial = p11_work_begin(work->token);
    HF_TRY(p11_session_need(&trial));
    enum hf_status status = p11_canary_object(&trial, key);
    p11_session_end(&trial);
    return status;
}

/* It is the key that sealed the check text (crypto.md: a commitment verifies
 * after every unwrap), or it is wrapped under nothing. */
static HF_STATUS check_source(struct p11_work *work, CK_OBJECT_HANDLE key,
                              const struct token_mint *mint)
{
    uint8_t text[HF_SEALED_MAX_BYTES];
    struct p11_gcm gcm = {
        .key = key,
        .iv = mint->check_iv,
        .aad = mint->check_aad,
        .in = {mint->check_sealed, mint->check_sealed_len},
        .out = text,
        .out_len = sizeof text
    };
    work->kind = RV_FINAL;
    enum hf_status status = p11_gcm_open(work, &gcm);
    if (status != HF_OK && work->kind == RV_DOUBTFUL) {
        HF_TRY(works(work, key));
        work->kind = RV_FINAL;
        return HF_E_BAD_BLOB;
    }
    HF_TRY(status);
    return bytes_equal((struct bytes){text, gcm.out_len}, mint->check_text)
               ? HF_OK
               : HF_E_BAD_BLOB;
}

struct source {
    const struct token_mint *mint;
    CK_OBJECT_HANDLE key; /* result */
};

/* Bad data or a bad token: the canary of the root says which. */
static HF_STATUS unwrap_failed(struct p11_work *work,
                               const struct p11_cached_key *root,
                               const struct token_mint_source *source,
                               enum hf_status status)
{
    if (work->kind != RV_DOUBTFUL) {
        return status;
    }
    work->suspect = true;
    p11_session_end(work);
    HF_TRY(p11_session_need(work));
    HF_TRY(source->suite == TOKEN_SUITE_AES_KWP
               ? p11_canary_kwp(work, root)
               : p11_canary_unwrap(work, root, source->suite));
    work->kind = RV_FINAL;
    return HF_E_BAD_BLOB;
}

static HF_STATUS unwrap_source(struct p11_work *work,
                               const struct p11_cached_key *root,
                               void *argument)
{
    struct source *source = argument;
    const struct token_mint_source *from = &source->mint->source;
    struct p11_mechanism mechanism;
    struct p11_template template;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    HF_TRY(p11_mechanism_of(work->token, from->suite, &mechanism));
    session_key(&template, true);
    enum hf_status status =
        P11_CALL(work, C_UnwrapKey, work->session, &mechanism.mechanism,
                 root->handle, (CK_BYTE *)from->wrapped.data, from->wrapped.len,
                 template.at, template.count, &key);
    if (status != HF_OK) {
        return unwrap_failed(work, root, from, status);
    }
    status = check_source(work, key, source->mint);
    if (status != HF_OK) {
        enum rv_kind kind = work->kind;
        HF_IGNORE(p11_object_destroy(work, key), "it dies with its session");
        work->suspect = true;
        work->kind = kind;
        return status;
    }
    source->key = key;
    return HF_OK;
}

static HF_STATUS birth(struct p11_work *work, const struct token_mint *mint,
                       CK_OBJECT_HANDLE *out)
{
    if (mint->source.suite == TOKEN_SUITE_NONE) {
        return make_key(work, out);
    }
    struct source source = {.mint = mint};
    HF_TRY(p11_with_key(work, &mint->source.key, unwrap_source, &source));
    *out = source.key;
    return HF_OK;
}

/* ------------------------------------------------------------------------ */

static HF_STATUS import_public(struct p11_work *work, struct bytes spki,
                               size_t *out_bytes, CK_OBJECT_HANDLE *out)
{
    struct p11_rsa_parts parts;
    HF_TRY(p11_public_parts(spki, &parts));
    struct p11_template key = {.count = 0};
    p11_add_number(&key, CKA_CLASS, CKO_PUBLIC_KEY);
    p11_add_number(&key, CKA_KEY_TYPE, CKK_RSA);
    p11_add_flag(&key, CKA_TOKEN, false);
    p11_add_flag(&key, CKA_PRIVATE, false);
    p11_add_flag(&key, CKA_WRAP, true);
    p11_add_flag(&key, CKA_ENCRYPT, false);
    p11_add_flag(&key, CKA_VERIFY, false);
    p11_add_bytes(&key, CKA_MODULUS, parts.modulus, parts.modulus_len);
    p11_add_bytes(&key, CKA_PUBLIC_EXPONENT, parts.exponent,
                  parts.exponent_len);
    *out_bytes = parts.modulus_len;
    return P11_CALL(work, C_CreateObject, work->session, key.at, key.count,
                    out);
}

static HF_STATUS wrap(struct p11_work *work, CK_OBJECT_HANDLE under,
                      CK_OBJECT_HANDLE key, size_t expected,
                      struct token_mint_copy *copy)
{
    struct p11_mechanism mechanism;
    HF_TRY(p11_mechanism_of(work->token, copy->suite, &mechanism));
    CK_ULONG len = sizeof copy->wrapped;
    HF_TRY(P11_CALL(work, C_WrapKey, work->session, &mechanism.mechanism, under,
                    key, copy->wrapped, &len));
    copy->wrapped_len = len;
    return len == expected ? HF_OK : HF_E_UNREACHABLE;
}

static HF_STATUS wrap_by_public(struct p11_work *work, CK_OBJECT_HANDLE key,
                                struct token_mint_copy *copy)
{
    CK_OBJECT_HANDLE public_key = CK_INVALID_HANDLE;
    size_t bytes = 0;
    HF_TRY(import_public(work, copy->spki, &bytes, &public_key));
    enum hf_status status = wrap(work, public_key, key, bytes, copy);
    enum hf_status dropped = p11_object_destroy(work, public_key);
    return status != HF_OK ? status : dropped;
}

struct kwp {
    CK_OBJECT_HANDLE key;
    struct token_mint_copy *copy;
};

static HF_STATUS wrap_by_root(struct p11_work *work,
                              const struct p11_cached_key *root, void *argument)
{
    struct kwp *kwp = argument;
    return wrap(work, root->handle, kwp->key, HF_KWP_BYTES, kwp->copy);
}

static HF_STATUS wrap_one(struct p11_work *work, CK_OBJECT_HANDLE key,
                          struct token_mint_copy *copy)
{
    if (copy->suite != TOKEN_SUITE_AES_KWP) {
        return wrap_by_public(work, key, copy);
    }
    struct kwp kwp = {key, copy};
    return p11_with_key(work, &copy->key, wrap_by_root, &kwp);
}

static HF_STATUS seal_check_text(struct p11_work *work, CK_OBJECT_HANDLE key,
                                 struct token_mint *mint)
{
    struct p11_gcm gcm = {.key = key,
                          .iv = mint->check_iv,
                          .aad = mint->check_aad,
                          .in = mint->check_text,
                          .out = mint->check_sealed,
                          .out_len = sizeof mint->check_sealed};
    HF_TRY(p11_gcm_seal(work, &gcm));
    mint->check_sealed_len = gcm.out_len;
    return HF_OK;
}

static HF_STATUS wrap_all(struct p11_work *work, CK_OBJECT_HANDLE key,
                          struct token_mint *mint)
{
    for (size_t i = 0; i < mint->copy_count; i++) {
        HF_TRY(wrap_one(work, key, &mint->copies[i]));
    }
    /* with a source it was given, and opened */
    return mint->source.suite == TOKEN_SUITE_NONE
               ? seal_check_text(work, key, mint)
               : HF_OK;
}

/* The roots that must be searched for are looked for before the key is born:
 * a search may change the session, and the key dies with it. */
static HF_STATUS find_roots(struct p11_work *work,
                            const struct token_mint *mint)
{
    for (size_t i = 0; i < mint->copy_count; i++) {
        struct p11_cached_key root;
        if (mint->copies[i].suite == TOKEN_SUITE_AES_KWP) {
            HF_TRY(p11_key_need(work, &mint->copies[i].key, &root));
        }
    }
    return HF_OK;
}

static HF_STATUS step(struct p11_work *work, void *argument)
{
    struct token_mint *mint = argument;
    HF_TRY(p11_session_need(work));
    HF_TRY(find_roots(work, mint));
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    HF_TRY(birth(work, mint, &key));
    CK_SESSION_HANDLE session = work->session;
    uint64_t epoch = work->epoch;
    enum hf_status status = wrap_all(work, key, mint);
    if (work->session != session || work->epoch != epoch) {
        /* a root's handle had gone stale: the session was changed to search for
         * it, and the key died */
        return status != HF_OK ? status : HF_E_UNREACHABLE;
    }
    enum hf_status dropped = p11_object_destroy(work, key);
    if (dropped != HF_OK) {
        work->suspect = true; /* closing its session destroys it as well */
    }
    return status != HF_OK ? status : dropped;
}

static HF_STATUS check_source_suite(const struct p11_token *token,
                                    const struct token_mint_source *source)
{
    struct p11_mechanism mechanism;
    bool kwp = source->suite == TOKEN_SUITE_AES_KWP;
    if (source->suite == TOKEN_SUITE_NONE) {
        return HF_OK;
    }
    if (source->key.type != (kwp ? TOKEN_KEY_AES : TOKEN_KEY_RSA)) {
        return HF_E_INVALID;
    }
    if (kwp && source->wrapped.len != HF_KWP_BYTES) {
        return HF_E_BAD_BLOB;
    }
    return p11_mechanism_of(token, source->suite, &mechanism);
}

static HF_STATUS check_suites(const struct p11_token *token,
                              const struct token_mint *mint)
{
    HF_TRY(check_source_suite(token, &mint->source));
    for (size_t i = 0; i < mint->copy_count; i++) {
        const struct token_mint_copy *copy = &mint->copies[i];
        struct p11_mechanism mechanism;
        HF_TRY(p11_mechanism_of(token, copy->suite, &mechanism));
        if (copy->suite == TOKEN_SUITE_AES_KWP &&
            copy->key.type != TOKEN_KEY_AES) {
            return HF_E_INVALID;
        }
    }
    return HF_OK;
}

HF_STATUS p11_mint(struct p11_work *work, struct token_mint *mint)
{
    HF_TRY(check_suites(work->token, mint));
    enum hf_status status = p11_run_repaired(work, step, mint);
    if (status != HF_OK) {
        for (size_t i = 0; i < mint->copy_count; i++) {
            mint->copies[i].wrapped_len = 0;
        }
        if (mint->source.suite == TOKEN_SUITE_NONE) {
            mint->check_sealed_len = 0;
        }
    }
    return status;
}
