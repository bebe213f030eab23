#include "tests/fakes/token_fake_crypto.h"

#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <string.h>

#define ECDSA_DER_MAX 80

static void cipher_free(EVP_CIPHER_CTX **ctx)
{
    EVP_CIPHER_CTX_free(*ctx);
}

static void pkey_free(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void pkey_ctx_free(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
}

static void ecdsa_free(ECDSA_SIG **signature)
{
    ECDSA_SIG_free(*signature);
}

HF_STATUS fake_gcm_seal(const uint8_t key[HF_KEY_BYTES],
                        const struct token_aead *aead, uint8_t *out,
                        size_t *out_len)
{
    HF_OWNED(cipher_free) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    if (ctx == NULL ||
        EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, aead->iv) != 1 ||
        (aead->aad.len > 0 && EVP_EncryptUpdate(ctx, NULL, &len, aead->aad.data,
                                                (int)aead->aad.len) != 1) ||
        (aead->in.len > 0 && EVP_EncryptUpdate(ctx, out, &len, aead->in.data,
                                               (int)aead->in.len) != 1) ||
        EVP_EncryptFinal_ex(ctx, out + aead->in.len, &len) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, HF_GCM_TAG_BYTES,
                            out + aead->in.len) != 1) {
        return HF_E_INTERNAL;
    }
    *out_len = aead->in.len + HF_GCM_TAG_BYTES;
    return HF_OK;
}

HF_STATUS fake_gcm_open(const uint8_t key[HF_KEY_BYTES],
                        const struct token_aead *aead, uint8_t *out,
                        size_t *out_len)
{
    HF_OWNED(cipher_free) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t tag[HF_GCM_TAG_BYTES];
    uint8_t plain[HF_SEALED_MAX_BYTES];
    size_t body = aead->in.len - HF_GCM_TAG_BYTES;
    int len = 0;
    for (size_t i = 0; i < sizeof tag; i++) {
        tag[i] = aead->in.data[body + i];
    }
    if (ctx == NULL ||
        EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, aead->iv) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1 ||
        (aead->aad.len > 0 && EVP_DecryptUpdate(ctx, NULL, &len, aead->aad.data,
                                                (int)aead->aad.len) != 1) ||
        (body > 0 &&
         EVP_DecryptUpdate(ctx, plain, &len, aead->in.data, (int)body) != 1)) {
        return HF_E_INTERNAL;
    }
    bool good = EVP_DecryptFinal_ex(ctx, plain + body, &len) == 1;
    if (good) {
        memcpy(out, plain, body);
        *out_len = body;
    }
    wipe(plain, sizeof plain);
    return good ? HF_OK : HF_E_BAD_BLOB;
}

HF_STATUS fake_kwp_wrap(const uint8_t root[HF_KEY_BYTES],
                        const uint8_t key[HF_KEY_BYTES],
                        uint8_t out[HF_KWP_BYTES])
{
    HF_OWNED(cipher_free) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    if (ctx == NULL) {
        return HF_E_INTERNAL;
    }
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    if (EVP_EncryptInit_ex(ctx, EVP_aes_256_wrap_pad(), NULL, root, NULL) !=
            1 ||
        EVP_EncryptUpdate(ctx, out, &len, key, HF_KEY_BYTES) != 1 ||
        len != HF_KWP_BYTES) {
        return HF_E_INTERNAL;
    }
    return HF_OK;
}

HF_STATUS fake_kwp_unwrap(const uint8_t root[HF_KEY_BYTES],
                          struct bytes wrapped, uint8_t out[HF_KEY_BYTES])
{
    HF_OWNED(cipher_free) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t plain[HF_RSA_MAX_BYTES + HF_KWP_BYTES];
    int len = 0;
    if (wrapped.len != HF_KWP_BYTES) {
        return HF_E_BAD_BLOB;
    }
    if (ctx == NULL) {
        return HF_E_INTERNAL;
    }
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    if (EVP_DecryptInit_ex(ctx, EVP_aes_256_wrap_pad(), NULL, root, NULL) !=
        1) {
        return HF_E_INTERNAL;
    }
    bool good = EVP_DecryptUpdate(ctx, plain, &len, wrapped.data,
                                  (int)wrapped.len) == 1 &&
                len == HF_KEY_BYTES;
    if (good) {
        memcpy(out, plain, HF_KEY_BYTES);
    }
    wipe(plain, sizeof plain);
    return good ? HF_OK : HF_E_BAD_BLOB;
}

HF_STATUS fake_hmac(const uint8_t key[HF_KEY_BYTES], struct bytes in,
                    uint8_t out[HF_SHA256_BYTES])
{
    unsigned int len = 0;
    if (HMAC(EVP_sha256(), key, HF_KEY_BYTES, in.data, in.len, out, &len) ==
            NULL ||
        len != HF_SHA256_BYTES) {
        return HF_E_INTERNAL;
    }
    return HF_OK;
}

/* OAEP without a label; MGF1 with the same hash (crypto.md). */
static bool set_oaep(EVP_PKEY_CTX *ctx, enum token_suite suite)
{
    const EVP_MD *hash =
        suite == TOKEN_SUITE_OAEP_SHA256 ? EVP_sha256() : EVP_sha1();
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, hash) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, hash) == 1;
}

HF_STATUS fake_oaep_wrap(struct bytes spki, enum token_suite suite,
                         const uint8_t key[HF_KEY_BYTES], uint8_t *out,
                         size_t *out_len)
{
    const uint8_t *at = spki.data;
    HF_OWNED(pkey_free)
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)spki.len);
    if (pkey == NULL || at != spki.data + spki.len ||
        EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA ||
        EVP_PKEY_get_bits(pkey) < HF_RSA_MIN_BITS ||
        EVP_PKEY_get_bits(pkey) > HF_RSA_MAX_BITS) {
        return HF_E_INVALID;
    }
    HF_OWNED(pkey_ctx_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    size_t len = HF_RSA_MAX_BYTES;
    if (ctx == NULL || EVP_PKEY_encrypt_init(ctx) != 1 ||
        !set_oaep(ctx, suite) ||
        EVP_PKEY_encrypt(ctx, out, &len, key, HF_KEY_BYTES) != 1) {
        return HF_E_INTERNAL;
    }
    *out_len = len;
    return HF_OK;
}

HF_STATUS fake_oaep_unwrap(EVP_PKEY *pair, enum token_suite suite,
                           struct bytes wrapped, uint8_t out[HF_KEY_BYTES])
{
    HF_OWNED(pkey_ctx_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pair, NULL);
    uint8_t plain[HF_RSA_MAX_BYTES];
    size_t len = sizeof plain;
    if (wrapped.len != (size_t)EVP_PKEY_get_size(pair)) {
        return HF_E_BAD_BLOB;
    }
    if (ctx == NULL || EVP_PKEY_decrypt_init(ctx) != 1 ||
        !set_oaep(ctx, suite)) {
        return HF_E_INTERNAL;
    }
    bool good =
        EVP_PKEY_decrypt(ctx, plain, &len, wrapped.data, wrapped.len) == 1 &&
        len == HF_KEY_BYTES;
    if (good) {
        memcpy(out, plain, HF_KEY_BYTES);
    }
    wipe(plain, sizeof plain);
    return good ? HF_OK : HF_E_BAD_BLOB;
}

HF_STATUS fake_ecdsa_sign(EVP_PKEY *pair, const uint8_t digest[HF_SHA256_BYTES],
                          uint8_t signature[64])
{
    HF_OWNED(pkey_ctx_free) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pair, NULL);
    uint8_t der[ECDSA_DER_MAX];
    size_t len = sizeof der;
    if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1 ||
        EVP_PKEY_sign(ctx, der, &len, digest, HF_SHA256_BYTES) != 1) {
        return HF_E_INTERNAL;
    }
    const uint8_t *at = der;
    HF_OWNED(ecdsa_free)
    ECDSA_SIG *pieces = d2i_ECDSA_SIG(NULL, &at, (long)len);
    if (pieces == NULL ||
        BN_bn2binpad(ECDSA_SIG_get0_r(pieces), signature, 32) != 32 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(pieces), signature + 32, 32) != 32) {
        return HF_E_INTERNAL;
    }
    return HF_OK;
}

HF_STATUS fake_rsa_new(uint32_t bits, EVP_PKEY **out_pair)
{
    EVP_PKEY *pair = EVP_RSA_gen(bits);
    if (pair == NULL) {
        return HF_E_INTERNAL;
    }
    *out_pair = pair;
    return HF_OK;
}

HF_STATUS fake_ec_new(EVP_PKEY **out_pair)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    if (pair == NULL) {
        return HF_E_INTERNAL;
    }
    *out_pair = pair;
    return HF_OK;
}

HF_STATUS fake_public_part(EVP_PKEY *pair, struct token_key_report *report)
{
    int len = i2d_PUBKEY(pair, NULL);
    uint8_t *at = report->spki;
    if (len <= 0 || (size_t)len > sizeof report->spki ||
        i2d_PUBKEY(pair, &at) != len) {
        return HF_E_INTERNAL;
    }
    report->spki_len = (size_t)len;
    if (SHA256(report->spki, report->spki_len, report->key.fingerprint) ==
        NULL) {
        return HF_E_INTERNAL;
    }
    return HF_OK;
}
