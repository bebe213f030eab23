#include "server/service/oaep.h"

#include "hsm/base/own.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <limits.h>

static void pkey_freep(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void pkey_ctx_freep(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
}

HF_STATUS oaep_wrap(struct bytes spki, enum token_suite suite,
                    const struct secret *key, uint8_t out[HF_RSA_MAX_BYTES],
                    size_t *out_len)
{
    const unsigned char *at = spki.data;
    const EVP_MD *digest =
        suite == TOKEN_SUITE_OAEP_SHA256 ? EVP_sha256() : EVP_sha1();
    size_t len = HF_RSA_MAX_BYTES;
    if (suite != TOKEN_SUITE_OAEP_SHA256 && suite != TOKEN_SUITE_OAEP_SHA1) {
        return HF_E_UNSUPPORTED;
    }
    HF_OWNED(pkey_freep)
    EVP_PKEY *pkey =
        spki.len > LONG_MAX ? NULL : d2i_PUBKEY(NULL, &at, (long)spki.len);
    if (pkey == NULL || EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA ||
        EVP_PKEY_get_size(pkey) > HF_RSA_MAX_BYTES) {
        return HF_E_INVALID;
    }
    HF_OWNED(pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    if (ctx == NULL || EVP_PKEY_encrypt_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(ctx, digest) != 1 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digest) != 1 ||
        EVP_PKEY_encrypt(ctx, out, &len, secret_bytes(key), secret_len(key)) !=
            1) {
        return HF_E_INTERNAL;
    }
    *out_len = len;
    return HF_OK;
}
