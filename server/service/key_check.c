#include "server/service/key_check.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include <openssl/evp.h>

#include <pthread.h>
#include <string.h>

static const uint8_t magic[] = {'H', 'F', 'K', '1'};

static EVP_MD *digest;
static pthread_once_t digest_once = PTHREAD_ONCE_INIT;

/* Fetched once: a fetch costs more than the whole check. */
static void fetch(void)
{
    digest = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static void ctx_freep(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx); /* wipes */
}

static HF_STATUS compute(const uint8_t context[CONTEXT_BYTES],
                         const struct secret *key, uint8_t out[KEY_CHECK_BYTES])
{
    uint8_t hash[HF_SHA256_BYTES];
    pthread_once(&digest_once, fetch);
    CHECK(secret_len(key) == HF_KEY_BYTES);
    HF_OWNED(ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL || digest == NULL ||
        EVP_DigestInit_ex2(ctx, digest, NULL) != 1 ||
        EVP_DigestUpdate(ctx, magic, sizeof magic) != 1 ||
        EVP_DigestUpdate(ctx, context, CONTEXT_BYTES) != 1 ||
        EVP_DigestUpdate(ctx, secret_bytes(key), HF_KEY_BYTES) != 1 ||
        EVP_DigestFinal_ex(ctx, hash, NULL) != 1) {
        return HF_E_NO_MEMORY;
    }
    memcpy(out, hash, KEY_CHECK_BYTES);
    return HF_OK;
}

HF_STATUS key_check_make(const struct context *context,
                         const struct secret *key, uint8_t out[KEY_CHECK_BYTES])
{
    uint8_t encoded[CONTEXT_BYTES];
    context_encode(context, ENVELOPE_SUITE_CHECKED, encoded);
    return compute(encoded, key, out);
}

HF_STATUS key_check_look(const struct key_binding *binding,
                         const struct secret *key)
{
    uint8_t check[KEY_CHECK_BYTES];
    if (binding->len == CONTEXT_BYTES) {
        return HF_OK; /* suite 1 */
    }
    CHECK(binding->len == BINDING_MAX_BYTES);
    HF_TRY(compute(binding->bytes, key, check));
    return equal_constant_time(check, binding->bytes + CONTEXT_BYTES,
                               sizeof check)
               ? HF_OK
               : HF_E_BAD_BLOB;
}
