#include "hsm/pkcs11/reference.h"

#include "hsm/base/own.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/x509.h>

static void free_cipher(EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX_free(*context);
}

HF_STATUS reference_gcm(const uint8_t key[HF_KEY_BYTES],
                        const uint8_t iv[HF_GCM_IV_BYTES], struct bytes aad,
                        struct bytes plain, uint8_t *out_sealed)
{
    HF_OWNED(free_cipher) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int len = 0;
    if (context == NULL ||
        EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, iv) != 1 ||
        EVP_EncryptUpdate(context, NULL, &len, aad.data, (int)aad.len) != 1 ||
        EVP_EncryptUpdate(context, out_sealed, &len, plain.data,
                          (int)plain.len) != 1 ||
        EVP_EncryptFinal_ex(context, out_sealed + plain.len, &len) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, HF_GCM_TAG_BYTES,
                            out_sealed + plain.len) != 1) {
        return HF_E_INTERNAL;
    }
    return HF_OK;
}

HF_STATUS reference_kwp_open(const uint8_t key[HF_KEY_BYTES],
                             struct bytes wrapped, uint8_t out[HF_KEY_BYTES])
{
    uint8_t plain[2 * HF_KEY_BYTES] = {0};
    HF_OWNED(free_cipher) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context == NULL) {
        return HF_E_INTERNAL;
    }
    EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    int len = 0;
    if (wrapped.len != HF_KWP_BYTES ||
        EVP_DecryptInit_ex(context, EVP_aes_256_wrap_pad(), NULL, key, NULL) !=
            1 ||
        EVP_DecryptUpdate(context, plain, &len, wrapped.data,
                          (int)wrapped.len) != 1 ||
        len != HF_KEY_BYTES) {
        return HF_E_BAD_BLOB;
    }
    for (size_t i = 0; i < HF_KEY_BYTES; i++) {
        out[i] = plain[i];
    }
    OPENSSL_cleanse(plain, sizeof plain);
    return HF_OK;
}

HF_STATUS reference_kwp_seal(const uint8_t key[HF_KEY_BYTES], struct bytes in,
                             uint8_t *out, size_t *out_len)
{
    HF_OWNED(free_cipher) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context == NULL) {
        return HF_E_INTERNAL;
    }
    EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    int len = 0;
    if (EVP_EncryptInit_ex(context, EVP_aes_256_wrap_pad(), NULL, key, NULL) !=
            1 ||
        EVP_EncryptUpdate(context, out, &len, in.data, (int)in.len) != 1) {
        return HF_E_INTERNAL;
    }
    *out_len = (size_t)len;
    return HF_OK;
}

static void free_signature(ECDSA_SIG **signature)
{
    ECDSA_SIG_free(*signature);
}

static void free_pkey(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void free_pkey_context(EVP_PKEY_CTX **context)
{
    EVP_PKEY_CTX_free(*context);
}

HF_STATUS reference_ecdsa(struct bytes spki,
                          const uint8_t digest[HF_SHA256_BYTES],
                          const uint8_t signature[64])
{
    const uint8_t *at = spki.data;
    uint8_t der[80];
    uint8_t *end = der;
    HF_OWNED(free_pkey) EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)spki.len);
    HF_OWNED(free_signature) ECDSA_SIG *both = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, 32, NULL);
    BIGNUM *s = BN_bin2bn(signature + 32, 32, NULL);
    if (pkey == NULL || both == NULL || ECDSA_SIG_set0(both, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return HF_E_INTERNAL;
    }
    int len = i2d_ECDSA_SIG(both, NULL);
    if (len <= 0 || (size_t)len > sizeof der) {
        return HF_E_INTERNAL;
    }
    len = i2d_ECDSA_SIG(both, &end);
    HF_OWNED(free_pkey_context)
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
    if (context == NULL || EVP_PKEY_verify_init(context) != 1) {
        return HF_E_INTERNAL;
    }
    return EVP_PKEY_verify(context, der, (size_t)len, digest,
                           HF_SHA256_BYTES) == 1
               ? HF_OK
               : HF_E_BAD_BLOB;
}

HF_STATUS reference_hmac(const uint8_t key[HF_KEY_BYTES], struct bytes text,
                         uint8_t out[HF_SHA256_BYTES])
{
    return HMAC(EVP_sha256(), key, HF_KEY_BYTES, text.data, text.len, out,
                NULL) != NULL
               ? HF_OK
               : HF_E_INTERNAL;
}
