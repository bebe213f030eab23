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

void selftest_found(struct selftest *test, enum token_ability ability,
                    enum token_verdict verdict)
{
    if (test->findings->of[ability] != TOKEN_BREAKS) {
        test->findings->of[ability] = verdict;
    }
}

static void explain(struct selftest *test, const char *reason)
{
    HF_IGNORE(
        text_copy(test->refusal->text, sizeof test->refusal->text, reason),
        "all reasons are shorter than the text");
    test->refusal->rv = test->work->rv;
}

HF_STATUS selftest_breaks(struct selftest *test, enum token_ability promise,
                          const char *reason)
{
    selftest_found(test, promise, TOKEN_BREAKS);
    if (test->findings->broken[0] == '\0') {
        HF_IGNORE(text_copy(test->findings->broken,
                            sizeof test->findings->broken, reason),
                  "all reasons are shorter than the text");
        explain(test, reason);
    }
    return test->whole ? HF_OK : HF_E_UNSUPPORTED;
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
    selftest_found(test, TOKEN_ABILITY_OAEP_SHA256,
                   profile->oaep_sha256 ? TOKEN_CAN : TOKEN_CANNOT);
    selftest_found(test, TOKEN_ABILITY_OAEP_SHA1,
                   profile->oaep_sha1 ? TOKEN_CAN : TOKEN_CANNOT);
    if (test->suite == TOKEN_SUITE_NONE) {
        explain(test, "RSA-OAEP does not give back what was encrypted, neither "
                      "with SHA-256 nor with SHA-1");
        return HF_E_UNSUPPORTED;
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

/* A general error may mean "no" in some modules and trouble in others. Where
 * the token itself lists what was tried, it means trouble. */
static void note_doubt(struct selftest *test, enum hf_status status)
{
    if (status != HF_OK && test->work->kind == RV_DOUBTFUL &&
        test->work->trouble == HF_OK) {
        test->work->trouble = status;
    }
}

static void probe_unwrap(struct selftest *test)
{
    struct p11_template lease;
    p11_template_lease(&lease);
    test->work->kind = RV_FINAL;
    enum hf_status status = selftest_unwrap(test, &lease, &test->lease);
    bool unwraps = status == HF_OK;
    note_doubt(test, status);
    test->work->token->profile.unwrap_to_object = unwraps;
    selftest_found(test, TOKEN_ABILITY_UNWRAP,
                   unwraps ? TOKEN_CAN : TOKEN_CANNOT);
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

/* The key behind `object` is `value`: its GCM is what OpenSSL's is, or
 * HF_E_BAD_BLOB. */
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
        return HF_E_BAD_BLOB;
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
        return selftest_breaks(test, TOKEN_ABILITY_ANSWERS,
                               "AES-GCM does not open what it sealed");
    }
    if (gcm_open(test, sealed, sealed_len, BYTES_NONE, out) == HF_OK) {
        return selftest_breaks(test, TOKEN_ABILITY_GCM_CHECKS,
                               "AES-GCM ignores the associated data");
    }
    sealed[sealed_len - 1] ^= 1;
    if (gcm_open(test, sealed, sealed_len, aad, out) == HF_OK) {
        return selftest_breaks(test, TOKEN_ABILITY_GCM_CHECKS,
                               "AES-GCM ignores the last bit of the tag");
    }
    selftest_found(test, TOKEN_ABILITY_GCM_CHECKS, TOKEN_CAN);
    return HF_OK;
}

/* SoftHSM 2.6.1 takes both: an empty IV repeats itself, a tag of 32 bits is
 * soon guessed. The port lets nobody ask for either (struct token_aead). */
static void probe_leniency(struct selftest *test)
{
    struct p11_work *work = test->work;
    CK_FUNCTION_LIST *calls = work->token->calls;
    const struct {
        enum token_ability ability;
        CK_ULONG iv_len;
        CK_ULONG tag_bits;
    } tries[] = {
        {TOKEN_ABILITY_GCM_EMPTY_IV,  0,               8 * HF_GCM_TAG_BYTES},
        {TOKEN_ABILITY_GCM_SHORT_TAG, HF_GCM_IV_BYTES, 32                  },
    };
    for (size_t i = 0; i < HF_COUNT(tries); i++) {
        CK_GCM_PARAMS gcm = {.pIv = (CK_BYTE *)test_iv,
                             .ulIvLen = tries[i].iv_len,
                             .ulIvBits = tries[i].iv_len * 8,
                             .ulTagBits = tries[i].tag_bits};
        CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm, sizeof gcm};
        uint8_t out[sizeof test_text + HF_GCM_TAG_BYTES];
        CK_ULONG len = sizeof out;
        bool taken = calls->C_EncryptInit(work->session, &mechanism,
                                          test->lease) == CKR_OK &&
                     calls->C_Encrypt(work->session, (CK_BYTE *)test_text,
                                      sizeof test_text, out, &len) == CKR_OK;
        selftest_found(test, tries[i].ability,
                       taken ? TOKEN_LENIENT : TOKEN_CAN);
    }
}

/* A module that lists what it does not do serves what else it can. */
static HF_STATUS probe_gcm(struct selftest *test)
{
    struct p11_work *work = test->work;
    uint8_t sealed[sizeof test_text + HF_GCM_TAG_BYTES];
    bool listed = p11_mechanism_listed(work, CKM_AES_GCM,
                                       CKF_ENCRYPT | CKF_DECRYPT, NULL);
    if (listed && test->lease == CK_INVALID_HANDLE) {
        return HF_OK; /* no key to try it with */
    }
    test->work->kind = RV_FINAL;
    enum hf_status status =
        listed ? gcm_agrees(test, test->lease, test->value, sealed)
               : HF_E_UNSUPPORTED;
    note_doubt(test, status);
    selftest_found(test, TOKEN_ABILITY_GCM,
                   status == HF_OK ? TOKEN_CAN : TOKEN_CANNOT);
    if (status == HF_E_BAD_BLOB) {
        return selftest_breaks(test, TOKEN_ABILITY_ANSWERS,
                               "AES-GCM gives a wrong answer");
    }
    if (status != HF_OK) {
        return HF_OK;
    }
    HF_TRY(gcm_checks(test, sealed, sizeof sealed));
    work->token->profile.aes_gcm = true;
    if (test->whole) {
        probe_leniency(test);
    }
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
    bool testable = test->kek != CK_INVALID_HANDLE && token->profile.aes_gcm;
    selftest_found(test, TOKEN_ABILITY_KWP, TOKEN_CANNOT);
    for (size_t i = 0; i < HF_COUNT(numbers) && !token->profile.aes_kwp; i++) {
        if (!p11_mechanism_listed(test->work, numbers[i], CKF_WRAP | CKF_UNWRAP,
                                  NULL)) {
            continue;
        }
        if (!testable) {
            selftest_found(test, TOKEN_ABILITY_KWP, TOKEN_UNTRIED);
            continue;
        }
        test->work->kind = RV_FINAL;
        enum hf_status status = kwp_agrees(test, numbers[i]);
        note_doubt(test, status);
        if (status == HF_OK) {
            token->kwp = numbers[i];
            token->profile.aes_kwp = true;
            test->findings->kwp = numbers[i];
            selftest_found(test, TOKEN_ABILITY_KWP, TOKEN_CAN);
        }
    }
}

/* From what is known: by an unwrap, or where there is none by C_CreateObject.
 */
static HF_STATUS hmac_key(struct selftest *test, CK_OBJECT_HANDLE *out)
{
    struct p11_work *work = test->work;
    struct p11_template key;
    template_secret(&key, CKK_GENERIC_SECRET);
    p11_add_flag(&key, CKA_SIGN, true);
    if (selftest_unwrap(test, &key, out) == HF_OK) {
        return HF_OK;
    }
    p11_add_bytes(&key, CKA_VALUE, test->value, sizeof test->value);
    return P11_CALL(work, C_CreateObject, work->session, key.at, key.count,
                    out);
}

/* It is not asked of every token: one that lacks it is not for the service. */
static HF_STATUS probe_hmac(struct selftest *test)
{
    struct p11_work *work = test->work;
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    selftest_found(test, TOKEN_ABILITY_HMAC, TOKEN_CANNOT);
    if (!p11_mechanism_listed(work, CKM_SHA256_HMAC, CKF_SIGN, NULL) ||
        hmac_key(test, &object) != HF_OK) {
        return HF_OK;
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
        return selftest_breaks(test, TOKEN_ABILITY_ANSWERS,
                               "HMAC-SHA-256 gives a wrong answer");
    }
    work->token->profile.hmac_sha256 = true;
    selftest_found(test, TOKEN_ABILITY_HMAC, TOKEN_CAN);
    return HF_OK;
}

/* A pair of the session; the whole table tries one of the token where there is
 * none (examine.c). */
static HF_STATUS probe_ecdsa(struct selftest *test)
{
    struct p11_work *work = test->work;
    CK_OBJECT_HANDLE pair[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    if (!work->token->honours.session_keys) {
        return HF_OK;
    }
    selftest_found(test, TOKEN_ABILITY_ECDSA, TOKEN_CANNOT);
    if (!p11_mechanism_listed(work, CKM_ECDSA, CKF_SIGN, NULL) ||
        selftest_ec_pair(test, false, pair) != HF_OK) {
        return HF_OK;
    }
    return selftest_ecdsa(test, pair[0]);
}

static HF_STATUS run(struct selftest *test)
{
    struct p11_work *work = test->work;
    CK_FLAGS flags = 0;
    work->token->profile.hardware =
        p11_mechanism_listed(work, CKM_RSA_PKCS_KEY_PAIR_GEN, 0, &flags) &&
        (flags & CKF_HW) != 0;
    selftest_found(test, TOKEN_ABILITY_LOG_IN, TOKEN_CAN);
    if (RAND_bytes(test->value, sizeof test->value) != 1) {
        return HF_E_INTERNAL;
    }
    enum hf_status status = selftest_pair_get(test);
    if (status != HF_OK) {
        explain(test, "it makes no RSA-2048 key pair, neither for a session "
                      "nor in the token");
        return hf_status_class(status) == HF_CLASS_TRANSIENT ? status
                                                             : HF_E_UNSUPPORTED;
    }
    HF_TRY(probe_suites(test));
    probe_unwrap(test);
    HF_TRY(proof_of_keeping(test));
    HF_TRY(proof_of_ending(test));
    HF_TRY(probe_gcm(test));
    probe_kwp(test);
    HF_TRY(probe_hmac(test));
    HF_TRY(probe_ecdsa(test));
    proof_of_honours(test);
    selftest_found(test, TOKEN_ABILITY_ANSWERS, TOKEN_CAN);
    return HF_OK;
}

HF_STATUS p11_selftest(struct p11_work *work, struct pkcs11_refusal *refusal,
                       struct token_findings *findings)
{
    struct token_findings own = {.broken = ""};
    struct selftest test = {.work = work,
                            .refusal = refusal,
                            .findings = findings != NULL ? findings : &own,
                            .whole = findings != NULL};
    HF_TRY(p11_session_need(work));
    work->trouble = HF_OK;
    enum hf_status status = run(&test);
    enum hf_status trouble = test.whole ? HF_OK : work->trouble;
    if (status == HF_OK && test.whole) {
        selftest_import(&test);
        selftest_wrap_out(&test);
    }
    selftest_pair_end(&test);
    if (status == HF_OK || status == HF_E_UNSUPPORTED) {
        /* what was found lacking may be there once the trouble is over; a
         * profile is kept for as long as the token is open */
        status = trouble != HF_OK ? trouble : status;
    }
    wipe(test.value, sizeof test.value);
    work->suspect = true; /* closing it destroys all that was made on it */
    p11_session_end(work);
    return status;
}
