/* Parts of the self-test that only some roles need. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/proof.h"
#include "hsm/pkcs11/public_key.h"
#include "hsm/pkcs11/reference.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <string.h>

HF_STATUS selftest_ec_pair(struct selftest *test, bool in_token,
                           CK_OBJECT_HANDLE made[2])
{
    /* OBJECT IDENTIFIER 1.2.840.10045.3.1.7: P-256 */
    static const CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48,
                                   0xce, 0x3d, 0x03, 0x01, 0x07};
    static const char name[] = SELFTEST_OBJECT;
    struct p11_work *work = test->work;
    struct p11_template public_key = {.count = 0};
    struct p11_template private_key = {.count = 0};
    struct p11_template *both[] = {&public_key, &private_key};
    for (size_t i = 0; i < HF_COUNT(both); i++) {
        p11_add_flag(both[i], CKA_TOKEN, in_token);
        p11_add_bytes(both[i], CKA_ID, name, sizeof name - 1);
        p11_add_bytes(both[i], CKA_LABEL, name, sizeof name - 1);
    }
    p11_add_flag(&public_key, CKA_VERIFY, true);
    p11_add_bytes(&public_key, CKA_EC_PARAMS, p256, sizeof p256);
    p11_add_flag(&private_key, CKA_PRIVATE, true);
    p11_add_flag(&private_key, CKA_SENSITIVE, true);
    p11_add_flag(&private_key, CKA_EXTRACTABLE, false);
    p11_add_flag(&private_key, CKA_SIGN, true);
    CK_MECHANISM mechanism = {.mechanism = CKM_EC_KEY_PAIR_GEN};
    return P11_CALL(work, C_GenerateKeyPair, work->session, &mechanism,
                    public_key.at, public_key.count, private_key.at,
                    private_key.count, &made[1], &made[0]);
}

HF_STATUS selftest_ecdsa(struct selftest *test, CK_OBJECT_HANDLE private_key)
{
    struct p11_work *work = test->work;
    struct token_key key = {.type = TOKEN_KEY_EC,
                            .id_len = sizeof SELFTEST_OBJECT - 1};
    memcpy(key.id, SELFTEST_OBJECT, key.id_len);
    uint8_t spki[HF_SPKI_MAX_BYTES];
    size_t spki_len = 0;
    uint8_t signature[64];
    CK_ULONG len = sizeof signature;
    CK_MECHANISM mechanism = {.mechanism = CKM_ECDSA};
    CK_FUNCTION_LIST *calls = work->token->calls;
    if (p11_public_key_of(work, private_key, &key, spki, &spki_len) != HF_OK) {
        return HF_OK;
    }
    /* any 32 bytes do for a digest */
    if (calls->C_SignInit(work->session, &mechanism, private_key) != CKR_OK ||
        calls->C_Sign(work->session, test->value, sizeof test->value, signature,
                      &len) != CKR_OK ||
        len != sizeof signature ||
        reference_ecdsa((struct bytes){spki, spki_len}, test->value,
                        signature) != HF_OK) {
        return selftest_breaks(test, TOKEN_ABILITY_ANSWERS,
                               "ECDSA gives a signature that does not verify");
    }
    work->token->profile.ecdsa_p256 = true;
    selftest_found(test, TOKEN_ABILITY_ECDSA, TOKEN_CAN);
    return HF_OK;
}

static void free_pkey(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void free_pkcs8(PKCS8_PRIV_KEY_INFO **pkcs8)
{
    PKCS8_PRIV_KEY_INFO_free(*pkcs8);
}

#define PKCS8_MAX_BYTES 2048

static HF_STATUS wrapped_pkcs8(const uint8_t kek[HF_KEY_BYTES], EVP_PKEY *pkey,
                               uint8_t *out, size_t *out_len)
{
    uint8_t plain[PKCS8_MAX_BYTES];
    uint8_t *end = plain;
    HF_OWNED(free_pkcs8)
    PKCS8_PRIV_KEY_INFO *pkcs8 = pkey == NULL ? NULL : EVP_PKEY2PKCS8(pkey);
    int len = pkcs8 == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(pkcs8, NULL);
    if (len <= 0 || (size_t)len > sizeof plain) {
        return HF_E_INTERNAL;
    }
    len = i2d_PKCS8_PRIV_KEY_INFO(pkcs8, &end);
    enum hf_status status = reference_kwp_seal(
        kek, (struct bytes){plain, (size_t)len}, out, out_len);
    wipe(plain, sizeof plain);
    return status;
}

static bool takes_in(struct selftest *test, EVP_PKEY *pkey)
{
    struct p11_work *work = test->work;
    uint8_t wrapped[PKCS8_MAX_BYTES + 16];
    size_t wrapped_len = 0;
    if (wrapped_pkcs8(test->value, pkey, wrapped, &wrapped_len) != HF_OK) {
        return false;
    }
    struct p11_template key = {.count = 0};
    p11_add_number(&key, CKA_CLASS, CKO_PRIVATE_KEY);
    p11_add_number(&key, CKA_KEY_TYPE, CKK_RSA);
    p11_add_flag(&key, CKA_TOKEN, false);
    p11_add_flag(&key, CKA_PRIVATE, true);
    p11_add_flag(&key, CKA_SENSITIVE, true);
    p11_add_flag(&key, CKA_EXTRACTABLE, false);
    p11_add_flag(&key, CKA_UNWRAP, true);
    p11_add_flag(&key, CKA_DECRYPT, true);
    CK_MECHANISM mechanism = {.mechanism = work->token->kwp};
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    const struct token_key what = {.type = TOKEN_KEY_RSA};
    uint8_t spki[HF_SPKI_MAX_BYTES];
    size_t spki_len = 0;
    uint8_t *expected = NULL;
    int expected_len = i2d_PUBKEY(pkey, &expected);
    bool same =
        expected_len > 0 &&
        P11_CALL(work, C_UnwrapKey, work->session, &mechanism, test->kek,
                 wrapped, wrapped_len, key.at, key.count, &object) == HF_OK &&
        p11_public_key_of(work, object, &what, spki, &spki_len) == HF_OK &&
        bytes_equal((struct bytes){spki, spki_len},
                    (struct bytes){expected, (size_t)expected_len});
    OPENSSL_free(expected);
    return same;
}

void selftest_import(struct selftest *test)
{
    selftest_found(test, TOKEN_ABILITY_RSA_IMPORT, TOKEN_CANNOT);
    if (!test->work->token->profile.aes_kwp) {
        return;
    }
    HF_OWNED(free_pkey) EVP_PKEY *pkey = EVP_RSA_gen(HF_RSA_MIN_BITS);
    if (takes_in(test, pkey)) {
        selftest_found(test, TOKEN_ABILITY_RSA_IMPORT, TOKEN_CAN);
    }
}

static HF_STATUS take_public(struct selftest *test, CK_OBJECT_HANDLE *out)
{
    struct p11_work *work = test->work;
    struct p11_rsa_parts parts;
    HF_TRY(
        p11_public_parts((struct bytes){test->spki, test->spki_len}, &parts));
    struct p11_template key = {.count = 0};
    p11_add_number(&key, CKA_CLASS, CKO_PUBLIC_KEY);
    p11_add_number(&key, CKA_KEY_TYPE, CKK_RSA);
    p11_add_flag(&key, CKA_TOKEN, false);
    p11_add_flag(&key, CKA_PRIVATE, false);
    p11_add_flag(&key, CKA_WRAP, true);
    p11_add_bytes(&key, CKA_MODULUS, parts.modulus, parts.modulus_len);
    p11_add_bytes(&key, CKA_PUBLIC_EXPONENT, parts.exponent,
                  parts.exponent_len);
    return P11_CALL(work, C_CreateObject, work->session, key.at, key.count,
                    out);
}

/* The public half is the pair's own, so that its private half tells what was
 * wrapped: a key of 32 bytes. */
static bool wraps_out(struct selftest *test)
{
    struct p11_work *work = test->work;
    CK_OBJECT_HANDLE under = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE born = CK_INVALID_HANDLE;
    struct p11_template key = {.count = 0};
    p11_add_flag(&key, CKA_TOKEN, false);
    p11_add_flag(&key, CKA_SENSITIVE, true);
    p11_add_flag(&key, CKA_EXTRACTABLE, true);
    p11_add_number(&key, CKA_VALUE_LEN, HF_KEY_BYTES);
    CK_MECHANISM generate = {.mechanism = CKM_AES_KEY_GEN};
    struct p11_mechanism oaep;
    p11_mechanism_raw(test->suite, work->token->kwp, &oaep);
    uint8_t wrapped[HF_RSA_MAX_BYTES];
    CK_ULONG wrapped_len = sizeof wrapped;
    uint8_t plain[HF_RSA_MAX_BYTES];
    CK_ULONG plain_len = sizeof plain;
    bool done = take_public(test, &under) == HF_OK &&
                P11_CALL(work, C_GenerateKey, work->session, &generate, key.at,
                         key.count, &born) == HF_OK &&
                P11_CALL(work, C_WrapKey, work->session, &oaep.mechanism, under,
                         born, wrapped, &wrapped_len) == HF_OK &&
                P11_CALL(work, C_DecryptInit, work->session, &oaep.mechanism,
                         test->private_key) == HF_OK &&
                P11_CALL(work, C_Decrypt, work->session, wrapped, wrapped_len,
                         plain, &plain_len) == HF_OK &&
                plain_len == HF_KEY_BYTES;
    wipe(plain, sizeof plain);
    return done;
}

void selftest_wrap_out(struct selftest *test)
{
    selftest_found(test, TOKEN_ABILITY_WRAP_OUT,
                   wraps_out(test) ? TOKEN_CAN : TOKEN_CANNOT);
}
