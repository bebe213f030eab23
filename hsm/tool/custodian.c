#include "hsm/tool/custodian.h"

#include "hsm/base/own.h"

#include "hsm/sys/secret_file.h"

#include "hsm/tool/tool.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>

#include <stdlib.h>
#include <string.h>

struct custodian {
    EVP_PKEY *key;
};

static void bio_free(BIO **bio)
{
    BIO_free(*bio);
}

static void digest_free(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

/* Takes over key, which may be NULL. */
static HF_STATUS of_key(EVP_PKEY *key, struct custodian **out_custodian)
{
    struct custodian *custodian = calloc(1, sizeof *custodian);
    if (custodian == NULL || key == NULL) {
        EVP_PKEY_free(key);
        free(custodian);
        return HF_E_INTERNAL;
    }
    custodian->key = key;
    *out_custodian = custodian;
    return HF_OK;
}

HF_STATUS custodian_new(bool ed25519, struct custodian **out_custodian)
{
    return of_key(ed25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                          : EVP_EC_gen("P-256"),
                  out_custodian);
}

static bool is_usable(const EVP_PKEY *key)
{
    char group[32] = "";
    size_t len = 0;
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519) {
        return true;
    }
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &len) == 1 &&
           strcmp(group, SN_X9_62_prime256v1) == 0;
}

/* An encrypted key is refused, not asked about. */
static int no_password(char *buffer, int size, int writing, void *user)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

HF_STATUS custodian_read(const struct secret *pem,
                         struct custodian **out_custodian)
{
    HF_OWNED(bio_free)
    BIO *bio = BIO_new_mem_buf(secret_bytes(pem), (int)secret_len(pem));
    if (bio == NULL) {
        return HF_E_NO_MEMORY;
    }
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    ERR_clear_error();
    if (key == NULL || !is_usable(key)) {
        EVP_PKEY_free(key);
        return HF_E_INVALID;
    }
    return of_key(key, out_custodian);
}

void custodian_free(struct custodian *custodian)
{
    if (custodian != NULL) {
        EVP_PKEY_free(custodian->key);
        free(custodian);
    }
}

HF_STATUS custodian_private_pem(const struct custodian *custodian,
                                struct secret **out_pem)
{
    HF_OWNED(bio_free) BIO *bio = BIO_new(BIO_s_secmem());
    HF_OWNED(secret_freep) struct secret *pem = NULL;
    char *text = NULL;
    if (bio == NULL ||
        PEM_write_bio_PKCS8PrivateKey(bio, custodian->key, NULL, NULL, 0, NULL,
                                      NULL) != 1) {
        return HF_E_INTERNAL;
    }
    long len = BIO_get_mem_data(bio, &text);
    if (len <= 0 || len > CUSTODIAN_PEM_MAX_BYTES) {
        return HF_E_INTERNAL;
    }
    HF_TRY(secret_new((size_t)len, &pem));
    memcpy(secret_writable(pem), text, (size_t)len);
    *out_pem = HF_GIVE(pem);
    return HF_OK;
}

HF_STATUS custodian_public_pem(const struct custodian *custodian,
                               char out[CUSTODIAN_PEM_MAX_BYTES],
                               size_t *out_len)
{
    HF_OWNED(bio_free) BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (bio == NULL || PEM_write_bio_PUBKEY(bio, custodian->key) != 1) {
        return HF_E_INTERNAL;
    }
    long len = BIO_get_mem_data(bio, &text);
    if (len <= 0 || len > CUSTODIAN_PEM_MAX_BYTES) {
        return HF_E_INTERNAL;
    }
    memcpy(out, text, (size_t)len);
    *out_len = (size_t)len;
    return HF_OK;
}

HF_STATUS custodian_sign(const struct custodian *custodian,
                         struct bytes message, uint8_t out[SIGNATURE_MAX_BYTES],
                         size_t *out_len)
{
    HF_OWNED(digest_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = SIGNATURE_MAX_BYTES;
    const EVP_MD *hash = EVP_PKEY_get_base_id(custodian->key) == EVP_PKEY_EC
                             ? EVP_sha256()
                             : NULL;
    if (ctx == NULL ||
        EVP_DigestSignInit(ctx, NULL, hash, NULL, custodian->key) != 1 ||
        EVP_DigestSign(ctx, out, &len, message.data, message.len) != 1) {
        return HF_E_INTERNAL;
    }
    *out_len = len;
    return HF_OK;
}

HF_STATUS custodian_fingerprint(const struct custodian *custodian,
                                uint8_t out[HF_SHA256_BYTES])
{
    char pem[CUSTODIAN_PEM_MAX_BYTES];
    size_t len = 0;
    HF_TRY(custodian_public_pem(custodian, pem, &len));
    return signature_key_fingerprint((struct bytes){(uint8_t *)pem, len}, out);
}

HF_STATUS custodian_open(struct tool *tool, const char *path,
                         struct custodian **out_custodian)
{
    HF_OWNED(secret_freep) struct secret *pem = NULL;
    enum hf_status status =
        secret_from_whole_file(path, CUSTODIAN_PEM_MAX_BYTES, &pem);
    if (status == HF_E_PRECONDITION) {
        return tool_fail(tool, HF_E_DENIED,
                         "the key file %s is refused: it must be a regular "
                         "file of yours that nobody else can read or write; "
                         "if others may have read it, make a new key",
                         path);
    }
    if (status != HF_OK) {
        return tool_fail(tool, status, "the key file %s cannot be read: %s",
                         path, hf_status_text(status));
    }
    status = custodian_read(pem, out_custodian);
    if (status != HF_OK) {
        return tool_fail(tool, status,
                         "%s is not a custodian's key: the PEM of an ECDSA "
                         "P-256 or Ed25519 private key without a password",
                         path);
    }
    return HF_OK;
}
