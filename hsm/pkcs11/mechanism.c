#include "hsm/pkcs11/mechanism.h"

#include "hsm/base/check.h"

void p11_mechanism_raw(enum token_suite suite, CK_MECHANISM_TYPE kwp,
                       struct p11_mechanism *out)
{
    *out = (struct p11_mechanism){0};
    if (suite == TOKEN_SUITE_AES_KWP) {
        out->mechanism.mechanism = kwp;
        return;
    }
    bool sha256 = suite == TOKEN_SUITE_OAEP_SHA256;
    out->oaep.hashAlg = sha256 ? CKM_SHA256 : CKM_SHA_1;
    out->oaep.mgf = sha256 ? CKG_MGF1_SHA256 : CKG_MGF1_SHA1;
    /* never a label: SoftHSM ignores it on decrypt (facts.md) */
    out->oaep.source = CKZ_DATA_SPECIFIED;
    out->mechanism.mechanism = CKM_RSA_PKCS_OAEP;
    out->mechanism.pParameter = &out->oaep;
    out->mechanism.ulParameterLen = sizeof out->oaep;
}

HF_STATUS p11_mechanism_of(const struct p11_token *token,
                           enum token_suite suite, struct p11_mechanism *out)
{
    const struct token_profile *profile = &token->profile;
    bool has = false;
    switch (suite) {
    case TOKEN_SUITE_NONE:
        break;
    case TOKEN_SUITE_OAEP_SHA256:
        has = profile->oaep_sha256;
        break;
    case TOKEN_SUITE_OAEP_SHA1:
        has = profile->oaep_sha1;
        break;
    case TOKEN_SUITE_AES_KWP:
        has = profile->aes_kwp;
        break;
    }
    if (!has) {
        return HF_E_UNSUPPORTED;
    }
    p11_mechanism_raw(suite, token->kwp, out);
    return HF_OK;
}

bool p11_mechanism_listed(struct p11_work *work, CK_MECHANISM_TYPE type,
                          CK_FLAGS flags, CK_FLAGS *out_flags)
{
    struct p11_token *token = work->token;
    CK_MECHANISM_INFO info = {0};
    CK_RV rv = token->calls->C_GetMechanismInfo(atomic_load(&token->slot), type,
                                                &info);
    if (rv != CKR_OK && rv != CKR_MECHANISM_INVALID) {
        /* it could not say, and "no" has a code of its own here */
        enum hf_status status = p11_result(work, "C_GetMechanismInfo", rv);
        bool doubtful = work->kind == RV_DOUBTFUL;
        if (work->trouble == HF_OK && doubtful) {
            work->trouble = status;
        }
    }
    if (out_flags != NULL) {
        *out_flags = rv == CKR_OK ? info.flags : 0;
    }
    return rv == CKR_OK && (info.flags & flags) == flags;
}

static void add(struct p11_template *to, CK_ATTRIBUTE_TYPE type, void *data,
                size_t len)
{
    CHECK(to->count < P11_TEMPLATE_MAX);
    to->at[to->count] = (CK_ATTRIBUTE){type, data, len};
    to->count += 1;
}

void p11_add_flag(struct p11_template *to, CK_ATTRIBUTE_TYPE type, bool value)
{
    static CK_BBOOL yes = CK_TRUE;
    static CK_BBOOL no = CK_FALSE;
    add(to, type, value ? &yes : &no, sizeof yes);
}

void p11_add_number(struct p11_template *to, CK_ATTRIBUTE_TYPE type,
                    CK_ULONG value)
{
    CHECK(to->count < P11_TEMPLATE_MAX);
    to->numbers[to->count] = value;
    add(to, type, &to->numbers[to->count], sizeof value);
}

void p11_add_bytes(struct p11_template *to, CK_ATTRIBUTE_TYPE type,
                   const void *data, size_t len)
{
    add(to, type, (void *)data, len); /* Cryptoki knows no const */
}

void p11_template_lease(struct p11_template *to)
{
    *to = (struct p11_template){.count = 0};
    p11_add_number(to, CKA_CLASS, CKO_SECRET_KEY);
    p11_add_number(to, CKA_KEY_TYPE, CKK_AES);
    p11_add_flag(to, CKA_TOKEN, false);
    p11_add_flag(to, CKA_PRIVATE, true);
    p11_add_flag(to, CKA_SENSITIVE, true);
    p11_add_flag(to, CKA_EXTRACTABLE, false);
    p11_add_flag(to, CKA_ENCRYPT, true);
    p11_add_flag(to, CKA_DECRYPT, true);
    p11_add_flag(to, CKA_SIGN, false);
    p11_add_flag(to, CKA_VERIFY, false);
    p11_add_flag(to, CKA_WRAP, false);
    p11_add_flag(to, CKA_UNWRAP, false);
}
