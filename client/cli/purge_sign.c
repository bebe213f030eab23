#include "client/cli/purge_sign.h"

#include "hsm/base/own.h"

#include "hsm/sys/signature.h"

#include "client/lib/message.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <string.h>

#define KEY_FILE_MAX_BYTES 8192

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

static HF_STATUS read_key(const char *path, EVP_PKEY **out)
{
    struct file_data file = {NULL, 0};
    HF_TRY(file_read(path, KEY_FILE_MAX_BYTES, &file));
    HF_OWNED(bio_free) BIO *bio = BIO_new_mem_buf(file.bytes, (int)file.len);
    EVP_PKEY *key =
        bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    file_data_clear(&file);
    ERR_clear_error();
    if (key == NULL || (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC &&
                        EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519)) {
        EVP_PKEY_free(key);
        return HF_E_INVALID;
    }
    *out = key;
    return HF_OK;
}

HF_STATUS purge_sign(const char *key_path, struct bytes text,
                     struct file_data *out)
{
    HF_OWNED(pkey_free) EVP_PKEY *key = NULL;
    HF_OWNED(digest_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    HF_TRY(read_key(key_path, &key));
    size_t len = SIGNATURE_MAX_BYTES;
    uint8_t *signature = wiped_alloc(SIGNATURE_MAX_BYTES + 1);
    const EVP_MD *hash =
        EVP_PKEY_get_base_id(key) == EVP_PKEY_EC ? EVP_sha256() : NULL;
    bool good = ctx != NULL && signature != NULL &&
                EVP_DigestSignInit(ctx, NULL, hash, NULL, key) == 1 &&
                EVP_DigestSign(ctx, signature, &len, text.data, text.len) == 1;
    ERR_clear_error();
    if (!good) {
        wiped_free(signature);
        return HF_E_INVALID;
    }
    *out = (struct file_data){signature, len};
    return HF_OK;
}

#define PEM_BEGIN "-----BEGIN PUBLIC KEY-----"

/* The PEM text that begins at the first key at or after from, up to the next
 * one; the whole where there is none: DER. */
static struct bytes next_key(struct bytes keys, size_t from)
{
    const size_t mark = sizeof PEM_BEGIN - 1;
    struct bytes rest = {keys.data + from, keys.len - from};
    const uint8_t *first = memmem(rest.data, rest.len, PEM_BEGIN, mark);
    if (first == NULL) {
        return from == 0 ? keys : BYTES_NONE;
    }
    const uint8_t *end = keys.data + keys.len;
    const uint8_t *next =
        memmem(first + mark, (size_t)(end - first) - mark, PEM_BEGIN, mark);
    return (struct bytes){first, (size_t)((next != NULL ? next : end) - first)};
}

HF_STATUS purge_verify(struct bytes public_keys, struct bytes text,
                       struct bytes signature)
{
    enum hf_status status = HF_E_INVALID;
    size_t at = 0;
    while (status != HF_OK && at < public_keys.len) {
        struct bytes key = next_key(public_keys, at);
        if (key.len == 0) {
            break;
        }
        status = signature_verify(key, text, signature);
        at = (size_t)(key.data - public_keys.data) + key.len;
    }
    return status;
}

HF_STATUS purge_key_to_pem(struct bytes public_key, struct file_data *out)
{
    const uint8_t *at = public_key.data;
    HF_OWNED(pkey_free)
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)public_key.len);
    HF_OWNED(bio_free) BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (key == NULL || bio == NULL || PEM_write_bio_PUBKEY(bio, key) != 1) {
        return HF_E_INVALID;
    }
    long len = BIO_get_mem_data(bio, &text);
    out->bytes = len > 0 ? wiped_alloc((size_t)len + 1) : NULL;
    if (out->bytes == NULL) {
        return HF_E_NO_MEMORY;
    }
    memcpy(out->bytes, text, (size_t)len);
    out->bytes[len] = '\0';
    out->len = (size_t)len;
    return HF_OK;
}
