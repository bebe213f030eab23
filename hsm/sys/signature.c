#include "hsm/sys/signature.h"

#include "hsm/base/own.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <stdbool.h>
#include <string.h>

#define PUBLIC_KEY_MAX_BYTES 4096
#define PEM_BEGIN            "-----BEGIN"

static void pkey_free(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void digest_free(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

static void bio_free(BIO **bio)
{
    BIO_free(*bio);
}

static bool is_p256(const EVP_PKEY *pkey)
{
    char group[32] = "";
    size_t len = 0;
    return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(pkey, group, sizeof group, &len) == 1 &&
           strcmp(group, SN_X9_62_prime256v1) == 0;
}

static EVP_PKEY *read_pem(struct bytes from)
{
    HF_OWNED(bio_free) BIO *bio = BIO_new_mem_buf(from.data, (int)from.len);
    return bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
}

static EVP_PKEY *read_der(struct bytes from)
{
    const uint8_t *at = from.data;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)from.len);
    if (pkey != NULL && at != from.data + from.len) {
        EVP_PKEY_free(pkey); /* something stands behind it */
        pkey = NULL;
    }
    return pkey;
}

static HF_STATUS read_key(struct bytes from, EVP_PKEY **out_pkey)
{
    struct bytes mark = bytes_of_text(PEM_BEGIN);
    if (from.len == 0 || from.len > PUBLIC_KEY_MAX_BYTES) {
        return HF_E_INVALID;
    }
    bool pem = from.len > mark.len &&
               bytes_equal((struct bytes){from.data, mark.len}, mark);
    EVP_PKEY *pkey = pem ? read_pem(from) : read_der(from);
    ERR_clear_error();
    if (pkey == NULL) {
        return HF_E_INVALID;
    }
    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_ED25519 && !is_p256(pkey)) {
        EVP_PKEY_free(pkey);
        return HF_E_INVALID;
    }
    *out_pkey = pkey;
    return HF_OK;
}

HF_STATUS signature_verify(struct bytes public_key, struct bytes message,
                           struct bytes signature)
{
    HF_OWNED(pkey_free) EVP_PKEY *pkey = NULL;
    HF_TRY(read_key(public_key, &pkey));
    if (signature.len == 0 || signature.len > SIGNATURE_MAX_BYTES) {
        return HF_E_DENIED;
    }
    HF_OWNED(digest_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *hash =
        EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC ? EVP_sha256() : NULL;
    if (ctx == NULL || EVP_DigestVerifyInit(ctx, NULL, hash, NULL, pkey) != 1) {
        return HF_E_NO_MEMORY;
    }
    /* 0 is a wrong signature, below 0 one that is no signature at all */
    int good = EVP_DigestVerify(ctx, signature.data, signature.len,
                                message.data, message.len);
    ERR_clear_error();
    return good == 1 ? HF_OK : HF_E_DENIED;
}

HF_STATUS signature_key_der(struct bytes public_key, uint8_t *out,
                            size_t out_cap, size_t *out_len)
{
    HF_OWNED(pkey_free) EVP_PKEY *pkey = NULL;
    HF_TRY(read_key(public_key, &pkey));
    int len = i2d_PUBKEY(pkey, NULL);
    if (len <= 0 || (size_t)len > out_cap) {
        return len <= 0 ? HF_E_NO_MEMORY : HF_E_INVALID;
    }
    uint8_t *at = out;
    *out_len = (size_t)i2d_PUBKEY(pkey, &at);
    return HF_OK;
}

HF_STATUS signature_key_fingerprint(struct bytes public_key,
                                    uint8_t out[HF_SHA256_BYTES])
{
    HF_OWNED(pkey_free) EVP_PKEY *pkey = NULL;
    HF_TRY(read_key(public_key, &pkey));
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(pkey, &der);
    if (len <= 0) {
        return HF_E_NO_MEMORY;
    }
    bool done = SHA256(der, (size_t)len, out) != NULL;
    OPENSSL_free(der);
    return done ? HF_OK : HF_E_NO_MEMORY;
}
