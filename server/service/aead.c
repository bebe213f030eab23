#include "server/service/aead.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include <openssl/evp.h>

#include <pthread.h>

static EVP_CIPHER *gcm;
static pthread_once_t gcm_once = PTHREAD_ONCE_INIT;

/* Fetched once: a fetch costs more than the whole operation. */
static void fetch(void)
{
    gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
}

static void ctx_freep(EVP_CIPHER_CTX **ctx)
{
    EVP_CIPHER_CTX_free(*ctx); /* wipes */
}

static EVP_CIPHER_CTX *ctx_new(const struct secret *key, const uint8_t *iv,
                               int sealing)
{
    pthread_once(&gcm_once, fetch);
    CHECK(secret_len(key) == HF_KEY_BYTES);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL || gcm == NULL ||
        EVP_CipherInit_ex2(ctx, gcm, secret_bytes(key), iv, sealing, NULL) !=
            1) {
        EVP_CIPHER_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

HF_STATUS aead_seal(const struct secret *key, const uint8_t iv[HF_GCM_IV_BYTES],
                    struct bytes aad, struct bytes in, uint8_t *out)
{
    int len = 0;
    CHECK(in.len <= HF_SEALED_MAX_BYTES && aad.len <= HF_CONTEXT_MAX_BYTES);
    HF_OWNED(ctx_freep) EVP_CIPHER_CTX *ctx = ctx_new(key, iv, 1);
    if (ctx == NULL ||
        EVP_EncryptUpdate(ctx, NULL, &len, aad.data, (int)aad.len) != 1 ||
        EVP_EncryptUpdate(ctx, out, &len, in.data, (int)in.len) != 1 ||
        EVP_EncryptFinal_ex(ctx, out + in.len, &len) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, HF_GCM_TAG_BYTES,
                            out + in.len) != 1) {
        return HF_E_INTERNAL;
    }
    return HF_OK;
}

HF_STATUS aead_open(const struct secret *key, const uint8_t iv[HF_GCM_IV_BYTES],
                    struct bytes aad, struct bytes in, uint8_t *out)
{
    int len = 0;
    uint8_t tag[HF_GCM_TAG_BYTES];
    CHECK(in.len >= sizeof tag && in.len <= HF_SEALED_MAX_BYTES &&
          aad.len <= HF_CONTEXT_MAX_BYTES);
    size_t text_len = in.len - sizeof tag;
    for (size_t i = 0; i < sizeof tag; i++) {
        tag[i] = in.data[text_len + i];
    }
    HF_OWNED(ctx_freep) EVP_CIPHER_CTX *ctx = ctx_new(key, iv, 0);
    if (ctx == NULL ||
        EVP_DecryptUpdate(ctx, NULL, &len, aad.data, (int)aad.len) != 1 ||
        EVP_DecryptUpdate(ctx, out, &len, in.data, (int)text_len) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1) {
        return HF_E_INTERNAL;
    }
    if (EVP_DecryptFinal_ex(ctx, out + text_len, &len) != 1) {
        wipe(out, text_len);
        return HF_E_BAD_BLOB;
    }
    return HF_OK;
}
