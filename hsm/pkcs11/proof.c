#include "hsm/pkcs11/proof.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/session_pool.h"

/* Any byte at all is too much. */
static bool can_be_read(struct p11_work *work, CK_OBJECT_HANDLE object,
                        CK_ATTRIBUTE_TYPE type)
{
    uint8_t out[HF_RSA_MAX_BYTES];
    CK_ATTRIBUTE attribute = {type, out, sizeof out};
    CK_RV rv = work->token->calls->C_GetAttributeValue(work->session, object,
                                                       &attribute, 1);
    wipe(out, sizeof out);
    return rv == CKR_OK && attribute.ulValueLen > 0 &&
           attribute.ulValueLen != CK_UNAVAILABLE_INFORMATION;
}

static HF_STATUS keeps_flags(struct selftest *test, CK_OBJECT_HANDLE object)
{
    bool sensitive = false;
    bool extractable = true;
    HF_TRY(p11_flag(test->work, object, CKA_SENSITIVE, false, &sensitive));
    HF_TRY(p11_flag(test->work, object, CKA_EXTRACTABLE, true, &extractable));
    if (!sensitive || extractable) {
        return selftest_breaks(test, TOKEN_ABILITY_KEEP_FLAGS,
                               "a key asked for as sensitive and not "
                               "extractable is made otherwise");
    }
    return HF_OK;
}

static HF_STATUS cannot_be_loosened(struct selftest *test,
                                    CK_OBJECT_HANDLE object)
{
    static const CK_ATTRIBUTE_TYPE types[] = {CKA_SENSITIVE, CKA_EXTRACTABLE};
    struct p11_work *work = test->work;
    CK_FUNCTION_LIST *calls = work->token->calls;
    for (size_t i = 0; i < HF_COUNT(types); i++) {
        struct p11_template change = {.count = 0};
        p11_add_flag(&change, types[i], types[i] == CKA_EXTRACTABLE);
        /* a module may say yes and do nothing: what counts is the key after */
        CK_RV set = calls->C_SetAttributeValue(work->session, object, change.at,
                                               change.count);
        p11_add_flag(&change, CKA_TOKEN, false);
        CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
        CK_RV copied = calls->C_CopyObject(work->session, object, change.at,
                                           change.count, &copy);
        if (set == CKR_OK && can_be_read(work, object, CKA_VALUE)) {
            return selftest_breaks(test, TOKEN_ABILITY_KEEP_FLAGS,
                                   "a key can be made readable");
        }
        if (copied == CKR_OK && can_be_read(work, copy, CKA_VALUE)) {
            return selftest_breaks(test, TOKEN_ABILITY_KEEP_COPY,
                                   "a readable copy of a sensitive key can be "
                                   "made");
        }
        HF_TRY(keeps_flags(test, object));
        if (copied == CKR_OK) {
            HF_TRY(keeps_flags(test, copy));
        }
    }
    return HF_OK;
}

static bool can_be_wrapped(struct p11_work *work, CK_MECHANISM *mechanism,
                           CK_OBJECT_HANDLE under, CK_OBJECT_HANDLE key)
{
    uint8_t out[4 * HF_RSA_MAX_BYTES];
    CK_ULONG len = sizeof out;
    CK_RV rv = work->token->calls->C_WrapKey(work->session, mechanism, under,
                                             key, out, &len);
    wipe(out, sizeof out);
    return rv == CKR_OK && len > 0;
}

static HF_STATUS cannot_be_wrapped(struct selftest *test,
                                   CK_OBJECT_HANDLE object)
{
    struct p11_work *work = test->work;
    struct p11_mechanism oaep;
    p11_mechanism_raw(test->suite, work->token->kwp, &oaep);
    if (test->public_key != CK_INVALID_HANDLE &&
        can_be_wrapped(work, &oaep.mechanism, test->public_key, object)) {
        return selftest_breaks(test, TOKEN_ABILITY_KEEP_WRAP,
                               "a key that is not extractable can be wrapped "
                               "out under an RSA key");
    }
    /* every wrapping mechanism a module is likely to have, whether or not it
     * says so */
    static CK_BYTE iv[16];
    static const struct {
        CK_MECHANISM_TYPE type;
        CK_ULONG iv_bytes;
    } others[] = {
        {P11_CKM_AES_KWP_V240, 0        },
        {P11_CKM_AES_KWP_V300, 0        },
        {CKM_AES_KEY_WRAP,     0        },
        {CKM_AES_ECB,          0        },
        {CKM_AES_CBC,          sizeof iv},
        {CKM_AES_CBC_PAD,      sizeof iv},
    };
    if (test->kek == CK_INVALID_HANDLE) {
        return HF_OK;
    }
    for (size_t i = 0; i < HF_COUNT(others); i++) {
        CK_MECHANISM mechanism = {.mechanism = others[i].type};
        if (others[i].iv_bytes > 0) {
            mechanism.pParameter = iv;
            mechanism.ulParameterLen = others[i].iv_bytes;
        }
        if (can_be_wrapped(work, &mechanism, test->kek, object)) {
            return selftest_breaks(test, TOKEN_ABILITY_KEEP_WRAP,
                                   "a key that is not extractable can be "
                                   "wrapped out under an AES key");
        }
    }
    return HF_OK;
}

static HF_STATUS private_key_keeps(struct selftest *test)
{
    static const CK_ATTRIBUTE_TYPE parts[] = {
        CKA_PRIVATE_EXPONENT, CKA_PRIME_1,    CKA_PRIME_2,
        CKA_EXPONENT_1,       CKA_EXPONENT_2, CKA_COEFFICIENT,
    };
    for (size_t i = 0; i < HF_COUNT(parts); i++) {
        if (can_be_read(test->work, test->private_key, parts[i])) {
            return selftest_breaks(test, TOKEN_ABILITY_KEEP_PRIVATE,
                                   "a sensitive RSA key can be read");
        }
    }
    HF_TRY(keeps_flags(test, test->private_key));
    return cannot_be_wrapped(test, test->private_key);
}

static HF_STATUS lease_keeps(struct selftest *test)
{
    /* opencryptoki 3.8.1: C_UnwrapKey ignores SENSITIVE and EXTRACTABLE */
    if (can_be_read(test->work, test->lease, CKA_VALUE)) {
        HF_TRY(selftest_breaks(test, TOKEN_ABILITY_KEEP_READ,
                               "a key unwrapped as sensitive and not "
                               "extractable can be read back"));
    }
    HF_TRY(keeps_flags(test, test->lease));
    HF_TRY(cannot_be_loosened(test, test->lease));
    HF_TRY(cannot_be_wrapped(test, test->lease));
    selftest_found(test, TOKEN_ABILITY_KEEP_READ, TOKEN_CAN);
    selftest_found(test, TOKEN_ABILITY_KEEP_COPY, TOKEN_CAN);
    return HF_OK;
}

HF_STATUS proof_of_keeping(struct selftest *test)
{
    HF_TRY(private_key_keeps(test));
    if (test->lease != CK_INVALID_HANDLE) {
        HF_TRY(lease_keeps(test));
    }
    selftest_found(test, TOKEN_ABILITY_KEEP_PRIVATE, TOKEN_CAN);
    selftest_found(test, TOKEN_ABILITY_KEEP_FLAGS, TOKEN_CAN);
    selftest_found(test, TOKEN_ABILITY_KEEP_WRAP, TOKEN_CAN);
    return HF_OK;
}

HF_STATUS proof_of_ending(struct selftest *test)
{
    struct p11_work *work = test->work;
    struct p11_work other = p11_work_begin(work->token);
    struct p11_template key;
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    CK_MECHANISM generate = {.mechanism = CKM_AES_KEY_GEN};
    HF_TRY(p11_session_need(&other));
    p11_template_lease(&key);
    p11_add_number(&key, CKA_VALUE_LEN, HF_KEY_BYTES);
    enum hf_status made = P11_CALL(&other, C_GenerateKey, other.session,
                                   &generate, key.at, key.count, &object);
    other.suspect = true; /* closed, not put by */
    p11_session_end(&other);
    if (made != HF_OK) {
        return HF_OK; /* there is nothing to end */
    }
    CK_KEY_TYPE type = 0;
    CK_ATTRIBUTE attribute = {CKA_KEY_TYPE, &type, sizeof type};
    if (work->token->calls->C_GetAttributeValue(work->session, object,
                                                &attribute, 1) == CKR_OK) {
        return selftest_breaks(test, TOKEN_ABILITY_SESSION_ENDS,
                               "a session key is still there when its session "
                               "was closed");
    }
    selftest_found(test, TOKEN_ABILITY_SESSION_ENDS, TOKEN_CAN);
    return HF_OK;
}

/* With CKA_UNWRAP_TEMPLATE on the pair, asking for a readable key must fail, or
 * give one that is not readable. */
static bool unwrap_template_kept(struct selftest *test)
{
    struct p11_template loose = {.count = 0};
    p11_add_number(&loose, CKA_CLASS, CKO_SECRET_KEY);
    p11_add_number(&loose, CKA_KEY_TYPE, CKK_AES);
    p11_add_flag(&loose, CKA_TOKEN, false);
    p11_add_flag(&loose, CKA_SENSITIVE, false);
    p11_add_flag(&loose, CKA_EXTRACTABLE, true);
    p11_add_flag(&loose, CKA_ENCRYPT, true);
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    if (!test->pair_has_template) {
        return false;
    }
    if (selftest_unwrap(test, &loose, &object) != HF_OK) {
        return true;
    }
    return !can_be_read(test->work, object, CKA_VALUE);
}

/* With CKA_ALLOWED_MECHANISMS on the pair, PKCS#1 v1.5 must be refused. */
static bool allowed_mechanisms_kept(struct selftest *test)
{
    struct p11_work *work = test->work;
    CK_MECHANISM old = {.mechanism = CKM_RSA_PKCS};
    if (!test->pair_has_allowed) {
        return false;
    }
    CK_FUNCTION_LIST *calls = work->token->calls;
    if (calls->C_DecryptInit(work->session, &old, test->private_key) !=
        CKR_OK) {
        return true;
    }
    /* an operation is open now: let it fail, so that the session is free */
    uint8_t block[HF_RSA_MAX_BYTES] = {0};
    uint8_t out[HF_RSA_MAX_BYTES];
    CK_ULONG len = sizeof out;
    CK_RV rv =
        calls->C_Decrypt(work->session, block, HF_RSA_MIN_BITS / 8, out, &len);
    (void)rv;
    return false;
}

/* A session key with one attribute set to false; CK_INVALID_HANDLE when the
 * token does not take the attribute. */
static CK_OBJECT_HANDLE key_without(struct p11_work *work,
                                    CK_ATTRIBUTE_TYPE type)
{
    struct p11_template key;
    p11_template_lease(&key);
    p11_add_number(&key, CKA_VALUE_LEN, HF_KEY_BYTES);
    p11_add_flag(&key, type, false);
    CK_MECHANISM generate = {.mechanism = CKM_AES_KEY_GEN};
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    CK_RV rv = work->token->calls->C_GenerateKey(work->session, &generate,
                                                 key.at, key.count, &object);
    return rv == CKR_OK ? object : CK_INVALID_HANDLE;
}

static bool copyable_kept(struct p11_work *work)
{
    CK_OBJECT_HANDLE key = key_without(work, CKA_COPYABLE);
    struct p11_template same = {.count = 0};
    p11_add_flag(&same, CKA_TOKEN, false);
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
    return key != CK_INVALID_HANDLE &&
           work->token->calls->C_CopyObject(work->session, key, same.at,
                                            same.count, &copy) != CKR_OK;
}

static bool destroyable_kept(struct p11_work *work)
{
    CK_OBJECT_HANDLE key = key_without(work, CKA_DESTROYABLE);
    return key != CK_INVALID_HANDLE &&
           work->token->calls->C_DestroyObject(work->session, key) != CKR_OK;
}

static void found_honour(struct selftest *test, enum token_ability ability,
                         bool honoured)
{
    selftest_found(test, ability, honoured ? TOKEN_CAN : TOKEN_CANNOT);
}

void proof_of_honours(struct selftest *test)
{
    struct p11_token *token = test->work->token;
    token->honours = (struct p11_honours){
        .unwrap_template = unwrap_template_kept(test),
        .allowed_mechanisms = allowed_mechanisms_kept(test),
        .copyable = copyable_kept(test->work),
        .destroyable = destroyable_kept(test->work),
        .session_keys = token->honours.session_keys,
    };
    found_honour(test, TOKEN_ABILITY_UNWRAP_TEMPLATE,
                 token->honours.unwrap_template);
    found_honour(test, TOKEN_ABILITY_ALLOWED_MECHANISMS,
                 token->honours.allowed_mechanisms);
    found_honour(test, TOKEN_ABILITY_COPYABLE, token->honours.copyable);
    found_honour(test, TOKEN_ABILITY_DESTROYABLE, token->honours.destroyable);
    token->profile.unwrap_template_honoured = token->honours.unwrap_template;
    token->profile.destroyable_honoured = token->honours.destroyable;
}
