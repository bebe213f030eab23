#include "hsm/pkcs11/mint.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/gcm.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/missing.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/public_key.h"
#include "hsm/pkcs11/repair.h"
#include "hsm/pkcs11/session_pool.h"

static HF_STATUS make_key(struct p11_work *work, CK_OBJECT_HANDLE *out)
{
    struct p11_template key = {.count = 0};
    p11_add_number(&key, CKA_CLASS, CKO_SECRET_KEY);
    p11_add_number(&key, CKA_KEY_TYPE, CKK_AES);
    p11_add_flag(&key, CKA_TOKEN, false);
    p11_add_flag(&key, CKA_PRIVATE, true);
    p11_add_flag(&key, CKA_SENSITIVE, true);
    p11_add_flag(&key, CKA_EXTRACTABLE, true);
    p11_add_flag(&key, CKA_ENCRYPT, true);
    p11_add_flag(&key, CKA_DECRYPT, false);
    p11_add_flag(&key, CKA_WRAP, false);
    p11_add_flag(&key, CKA_UNWRAP, false);
    p11_add_flag(&key, CKA_SIGN, false);
    p11_add_flag(&key, CKA_VERIFY, false);
    p11_add_number(&key, CKA_VALUE_LEN, HF_KEY_BYTES);
    CK_MECHANISM generate = {.mechanism = CKM_AES_KEY_GEN};
    return P11_CALL(work, C_GenerateKey, work->session, &generate, key.at,
                    key.count, out);
}

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
    return seal_check_text(work, key, mint);
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
    CK_SESSION_HANDLE session = work->session;
    uint64_t epoch = work->epoch;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    HF_TRY(make_key(work, &key));
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

static HF_STATUS check_suites(const struct p11_token *token,
                              const struct token_mint *mint)
{
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
        mint->check_sealed_len = 0;
    }
    return status;
}
