#include "hsm/pkcs11/reference.h"

#include "hsm/base/own.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

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

HF_STATUS reference_hmac(const uint8_t key[HF_KEY_BYTES], struct bytes text,
                         uint8_t out[HF_SHA256_BYTES])
{
    return HMAC(EVP_sha256(), key, HF_KEY_BYTES, text.data, text.len, out,
                NULL) != NULL
               ? HF_OK
               : HF_E_INTERNAL;
}
