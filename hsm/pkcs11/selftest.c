#include "hsm/pkcs11/selftest.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/gcm.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/proof.h"
#include "hsm/pkcs11/public_key.h"
#include "hsm/pkcs11/reference.h"
#include "hsm/pkcs11/session_pool.h"

#include <openssl/rand.h>

#include <string.h>

HF_STATUS selftest_refuse(struct selftest *test, const char *reason)
{
    HF_IGNORE(
        text_copy(test->refusal->text, sizeof test->refusal->text, reason),
        "all reasons are shorter than the text");
    test->refusal->rv = test->work->rv;
    return HF_E_UNSUPPORTED;
}

/* The pair, with the optional attributes that the token takes. */
static HF_STATUS make_pair(struct selftest *test, bool with_template,
                           bool with_allowed)
{
    static const CK_BYTE f4[] = {0x01, 0x00, 0x01};
    static const CK_MECHANISM_TYPE oaep = CKM_RSA_PKCS_OAEP;
    struct p11_work *work = test->work;
    struct p11_template public_key = {.count = 0};
    p11_add_flag(&public_key, CKA_TOKEN, false);
    p11_add_flag(&public_key, CKA_PRIVATE, false);
    p11_add_flag(&public_key, CKA_WRAP, true);
    p11_add_flag(&public_key, CKA_ENCRYPT, true);
    p11_add_number(&public_key, CKA_MODULUS_BITS, HF_RSA_MIN_BITS);
    p11_add_bytes(&public_key, CKA_PUBLIC_EXPONENT, f4, sizeof f4);

    struct p11_template limits = {.count = 0};
    p11_add_flag(&limits, CKA_SENSITIVE, true);
    p11_add_flag(&limits, CKA_EXTRACTABLE, false);
    struct p11_template private_key = {.count = 0};
    p11_add_flag(&private_key, CKA_TOKEN, false);
    p11_add_flag(&private_key, CKA_PRIVATE, true);
    p11_add_flag(&private_key, CKA_SENSITIVE, true);
    p11_add_flag(&private_key, CKA_EXTRACTABLE, false);
    p11_add_flag(&private_key, CKA_UNWRAP, true);
    p11_add_flag(&private_key, CKA_DECRYPT, true);
    if (with_template) {
        p11_add_bytes(&private_key, CKA_UNWRAP_TEMPLATE, limits.at,
                      limits.count * sizeof limits.at[0]);
    }
    if (with_allowed) {
        p11_add_bytes(&private_key, CKA_ALLOWED_MECHANISMS, &oaep, sizeof oaep);
    }
    test->pair_has_template = with_template;
    test->pair_has_allowed = with_allowed;
    CK_MECHANISM generate = {.mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN};
    return P11_CALL(work, C_GenerateKeyPair, work->session, &generate,
                    public_key.at, public_key.count, private_key.at,
                    private_key.count, &test->public_key, &test->private_key);
}

static HF_STATUS get_pair(struct selftest *test)
{
    static const struct {
        bool with_template;
        bool with_allowed;
    } ways[] = {
        {true,  true },
        {true,  false},
        {false, true },
        {false, false}
    };
    enum hf_status status = HF_E_INTERNAL;
    for (size_t i = 0; i < HF_COUNT(ways) && status != HF_OK; i++) {
        status = make_pair(test, ways[i].with_template, ways[i].with_allowed);
        if (status != HF_OK && hf_status_class(status) != HF_CLASS_OURS &&
            hf_status_class(status) != HF_CLASS_CALLER) {
            return status; /* not a matter of attributes */
        }
    }
    if (status != HF_OK) {
        return selftest_refuse(test, "it makes no RSA-2048 session key pair");
    }
    const struct token_key key = {.type = TOKEN_KEY_RSA};
    return p11_public_key_of(test->work, test->private_key, &key, test->spki,
                             &test->spki_len);
}

/* What OpenSSL encrypted must come back unchanged. */
static bool suite_works(struct selftest *test, enum token_suite suite)
{
    struct p11_work *work = test->work;
    uint8_t wrapped[HF_RSA_MAX_BYTES];
    size_t wrapped_len = 0;
    if (p11_oaep_encrypt((struct bytes){test->spki, test->spki_len}, suite,
                         BYTES_OF(test->value), wrapped,
                         &wrapped_len) != HF_OK) {
        return false;
    }
    struct p11_mechanism mechanism;
    p11_mechanism_raw(suite, work->token->kwp, &mechanism);
    uint8_t out[HF_RSA_MAX_BYTES];
    CK_ULONG len = sizeof out;
    CK_FUNCTION_LIST *calls = work->token->calls;
    return calls->C_DecryptInit(work->session, &mechanism.mechanism,
                                test->private_key) == CKR_OK &&
           calls->C_Decrypt(work->session, wrapped, wrapped_len, out, &len) ==
               CKR_OK &&
           bytes_equal((struct bytes){out, len}, BYTES_OF(test->value));
}

static HF_STATUS probe_suites(struct selftest *test)
{
    struct token_profile *profile = &test->work->token->profile;
    profile->oaep_sha256 = suite_works(test, TOKEN_SUITE_OAEP_SHA256);
    profile->oaep_sha1 = suite_works(test, TOKEN_SUITE_OAEP_SHA1);
    test->suite = token_suite_preferred(profile);
    if (test->suite == TOKEN_SUITE_NONE) {
        return selftest_refuse(test, "RSA-OAEP does not give back what was "
                                     "encrypted, neither with SHA-256 nor "
                                     "with SHA-1");
    }
    return HF_OK;
}

HF_STATUS selftest_unwrap(struct selftest *test, struct p11_template *as,
                          CK_OBJECT_HANDLE *out)
{
    struct p11_work *work = test->work;
    uint8_t wrapped[HF_RSA_MAX_BYTES];
    size_t wrapped_len = 0;
    HF_TRY(p11_oaep_encrypt((struct bytes){test->spki, test->spki_len},
                            test->suite, BYTES_OF(test->value), wrapped,
                            &wrapped_len));
    struct p11_mechanism mechanism;
    p11_mechanism_raw(test->suite, work->token->kwp, &mechanism);
    return P11_CALL(work, C_UnwrapKey, work->session, &mechanism.mechanism,
                    test->private_key, wrapped, wrapped_len, as->at, as->count,
                    out);
}

static void template_secret(struct p11_template *to, CK_KEY_TYPE type)
{
    *to = (struct p11_template){.count = 0};
    p11_add_number(to, CKA_CLASS, CKO_SECRET_KEY);
    p11_add_number(to, CKA_KEY_TYPE, type);
    p11_add_flag(to, CKA_TOKEN, false);
    p11_add_flag(to, CKA_PRIVATE, true);
    p11_add_flag(to, CKA_SENSITIVE, true);
    p11_add_flag(to, CKA_EXTRACTABLE, false);
}

static void probe_unwrap(struct selftest *test)
{
    struct p11_template lease;
    p11_template_lease(&lease);
    test->work->token->profile.unwrap_to_object =
        selftest_unwrap(test, &lease, &test->lease) == HF_OK;
    struct p11_template kek;
    template_secret(&kek, CKK_AES);
    p11_add_flag(&kek, CKA_WRAP, true);
    p11_add_flag(&kek, CKA_UNWRAP, true);
    if (selftest_unwrap(test, &kek, &test->kek) != HF_OK) {
        test->kek = CK_INVALID_HANDLE;
    }
}

static const uint8_t test_iv[HF_GCM_IV_BYTES] = {1, 2, 3, 4,  5,  6,
                                                 7, 8, 9, 10, 11, 12};
static const uint8_t test_aad[] = "holdfast self-test";
static const uint8_t test_text[] = "a text of no fixed length";

/* The key behind `object` is `value`: its GCM is what OpenSSL's is. */
static HF_STATUS gcm_agrees(struct selftest *test, CK_OBJECT_HANDLE object,
                            const uint8_t value[HF_KEY_BYTES],
                            uint8_t sealed[sizeof test_text + HF_GCM_TAG_BYTES])
{
    size_t sealed_len = sizeof test_text + HF_GCM_TAG_BYTES;
    uint8_t expected[sizeof test_text + HF_GCM_TAG_BYTES];
    HF_TRY(reference_gcm(value, test_iv, BYTES_OF(test_aad),
                         BYTES_OF(test_text), expected));
    struct p11_gcm gcm = {.key = object,
                          .iv = test_iv,
                          .aad = BYTES_OF(test_aad),
                          .in = BYTES_OF(test_text),
                          .out = sealed,
                          .out_len = sealed_len};
    HF_TRY(p11_gcm_seal(test->work, &gcm));
    if (!bytes_equal((struct bytes){sealed, gcm.out_len}, BYTES_OF(expected))) {
        return selftest_refuse(test, "AES-GCM gives a wrong answer");
    }
    return HF_OK;
}

/* out holds as much as sealed_len. */
static HF_STATUS gcm_open(struct selftest *test, const uint8_t *sealed,
                          size_t sealed_len, struct bytes aad, uint8_t *out)
{
    struct p11_gcm gcm = {
        .key = test->lease,
        .iv = test_iv,
        .aad = aad,
        .in = {sealed, sealed_len},
        .out = out,
        .out_len = sealed_len
    };
    return p11_gcm_open(test->work, &gcm);
}

/* What was changed must be refused; that something else comes out is not
 * enough. */
static HF_STATUS gcm_checks(struct selftest *test, uint8_t *sealed,
                            size_t sealed_len)
{
    uint8_t out[sizeof test_text + HF_GCM_TAG_BYTES];
    struct bytes aad = BYTES_OF(test_aad);
    if (gcm_open(test, sealed, sealed_len, aad, out) != HF_OK ||
        !bytes_equal((struct bytes){out, sizeof test_text},
                     BYTES_OF(test_text))) {
        return selftest_refuse(test, "AES-GCM does not open what it sealed");
    }
    if (gcm_open(test, sealed, sealed_len, BYTES_NONE, out) == HF_OK) {
        return selftest_refuse(test, "AES-GCM ignores the associated data");
    }
    sealed[sealed_len - 1] ^= 1;
    if (gcm_open(test, sealed, sealed_len, aad, out) == HF_OK) {
        return selftest_refuse(test, "AES-GCM ignores the last bit of the tag");
    }
    return HF_OK;
}

static HF_STATUS probe_gcm(struct selftest *test)
{
    struct p11_work *work = test->work;
    if (test->lease == CK_INVALID_HANDLE ||
        !p11_mechanism_listed(work, CKM_AES_GCM, CKF_ENCRYPT | CKF_DECRYPT,
                              NULL)) {
        return HF_OK;
    }
    uint8_t sealed[sizeof test_text + HF_GCM_TAG_BYTES];
    enum hf_status status = gcm_agrees(test, test->lease, test->value, sealed);
    if (status != HF_OK) {
        return test->refusal->text[0] != '\0'
                   ? status
                   : selftest_refuse(test, "AES-GCM is listed and fails");
    }
    HF_TRY(gcm_checks(test, sealed, sizeof sealed));
    work->token->profile.aes_gcm = true;
    return HF_OK;
}

/* Wraps a random extractable key, unwraps the result by OpenSSL, and compares
 * the two by their GCM: what MINT does, with both ends in view. */
static HF_STATUS kwp_agrees(struct selftest *test, CK_MECHANISM_TYPE type)
{
    struct p11_work *work = test->work;
    struct p11_template key;
    template_secret(&key, CKK_AES);
    p11_add_flag(&key, CKA_ENCRYPT, true);
    p11_add_number(&key, CKA_VALUE_LEN, HF_KEY_BYTES);
    struct p11_template yes = {.count = 0};
    p11_add_flag(&yes, CKA_EXTRACTABLE, true);
    key.at[5] = yes.at[0];
    CHECK(key.at[5].type == CKA_EXTRACTABLE);
    CK_MECHANISM generate = {.mechanism = CKM_AES_KEY_GEN};
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    HF_TRY(P11_CALL(work, C_GenerateKey, work->session, &generate, key.at,
                    key.count, &made));
    CK_MECHANISM mechanism = {.mechanism = type};
    uint8_t wrapped[HF_KWP_BYTES + 16];
    CK_ULONG len = sizeof wrapped;
    HF_TRY(P11_CALL(work, C_WrapKey, work->session, &mechanism, test->kek, made,
                    wrapped, &len));
    uint8_t value[HF_KEY_BYTES];
    uint8_t sealed[sizeof test_text + HF_GCM_TAG_BYTES];
    HF_TRY(
        reference_kwp_open(test->value, (struct bytes){wrapped, len}, value));
    HF_TRY(gcm_agrees(test, made, value, sealed));
    struct p11_template lease;
    p11_template_lease(&lease);
    CK_OBJECT_HANDLE back = CK_INVALID_HANDLE;
    HF_TRY(P11_CALL(work, C_UnwrapKey, work->session, &mechanism, test->kek,
                    wrapped, len, lease.at, lease.count, &back));
    enum hf_status status = gcm_agrees(test, back, value, sealed);
    wipe(value, sizeof value);
    return status;
}

static void probe_kwp(struct selftest *test)
{
    static const CK_MECHANISM_TYPE numbers[] = {P11_CKM_AES_KWP_V300,
                                                P11_CKM_AES_KWP_V240};
    struct p11_token *token = test->work->token;
    if (test->kek == CK_INVALID_HANDLE || !token->profile.aes_gcm) {
        return;
    }
    for (size_t i = 0; i < HF_COUNT(numbers) && !token->profile.aes_kwp; i++) {
        if (p11_mechanism_listed(test->work, numbers[i], CKF_WRAP | CKF_UNWRAP,
                                 NULL) &&
            kwp_agrees(test, numbers[i]) == HF_OK) {
            token->kwp = numbers[i];
            token->profile.aes_kwp = true;
        }
    }
    test->refusal->text[0] = '\0'; /* a number tried in vain is no refusal */
}

static HF_STATUS probe_hmac(struct selftest *test)
{
    struct p11_work *work = test->work;
    struct p11_template key;
    template_secret(&key, CKK_GENERIC_SECRET);
    p11_add_flag(&key, CKA_SIGN, true);
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    if (!p11_mechanism_listed(work, CKM_SHA256_HMAC, CKF_SIGN, NULL) ||
        selftest_unwrap(test, &key, &object) != HF_OK) {
        return HF_OK; /* it is not asked of every token */
    }
    CK_MECHANISM mechanism = {.mechanism = CKM_SHA256_HMAC};
    uint8_t mac[HF_SHA256_BYTES];
    uint8_t expected[HF_SHA256_BYTES];
    CK_ULONG len = sizeof mac;
    HF_TRY(reference_hmac(test->value, BYTES_OF(test_text), expected));
    CK_FUNCTION_LIST *calls = work->token->calls;
    if (calls->C_SignInit(work->session, &mechanism, object) != CKR_OK ||
        calls->C_Sign(work->session, (CK_BYTE *)test_text, sizeof test_text,
                      mac, &len) != CKR_OK ||
        !bytes_equal((struct bytes){mac, len}, BYTES_OF(expected))) {
        return selftest_refuse(test, "HMAC-SHA-256 gives a wrong answer");
    }
    return HF_OK;
}

static HF_STATUS run(struct selftest *test)
{
    struct p11_work *work = test->work;
    CK_FLAGS flags = 0;
    work->token->profile.hardware =
        p11_mechanism_listed(work, CKM_RSA_PKCS_KEY_PAIR_GEN, 0, &flags) &&
        (flags & CKF_HW) != 0;
    if (RAND_bytes(test->value, sizeof test->value) != 1) {
        return HF_E_INTERNAL;
    }
    HF_TRY(get_pair(test));
    HF_TRY(probe_suites(test));
    probe_unwrap(test);
    HF_TRY(proof_of_keeping(test));
    HF_TRY(probe_gcm(test));
    probe_kwp(test);
    HF_TRY(probe_hmac(test));
    proof_of_honours(test);
    return HF_OK;
}

HF_STATUS p11_selftest(struct p11_work *work, struct pkcs11_refusal *refusal)
{
    struct selftest test = {.work = work, .refusal = refusal};
    HF_TRY(p11_session_need(work));
    enum hf_status status = run(&test);
    wipe(test.value, sizeof test.value);
    work->suspect = true; /* closing it destroys all that was made on it */
    p11_session_end(work);
    return status;
}
