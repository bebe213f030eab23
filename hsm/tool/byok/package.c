#include "hsm/tool/byok/package.h"

#include "hsm/base/own.h"

#include "hsm/tool/base64.h"

#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <string.h>

#define FORMAT "holdfast-import-package-1"

static void bio_free(BIO **bio)
{
    BIO_free(*bio);
}

static void pkey_free(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void context_free(EVP_PKEY_CTX **context)
{
    EVP_PKEY_CTX_free(*context);
}

static void cipher_free(EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX_free(*context);
}

static void json_free(json_t **json)
{
    json_decref(*json);
}

static int no_password(char *buffer, int size, int writing, void *user)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static HF_STATUS read_key(const struct secret *pem, EVP_PKEY **out)
{
    HF_OWNED(bio_free)
    BIO *bio = BIO_new_mem_buf(secret_bytes(pem), (int)secret_len(pem));
    if (bio == NULL) {
        return HF_E_NO_MEMORY;
    }
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    ERR_clear_error();
    int bits = key == NULL ? 0 : EVP_PKEY_get_bits(key);
    if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
        (bits != 2048 && bits != 3072 && bits != 4096)) {
        EVP_PKEY_free(key);
        return HF_E_INVALID;
    }
    *out = key;
    return HF_OK;
}

static HF_STATUS fingerprint_of(const EVP_PKEY *key,
                                uint8_t out[HF_SHA256_BYTES])
{
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    bool good = len > 0 && SHA256(der, (size_t)len, out) != NULL;
    OPENSSL_free(der);
    return good ? HF_OK : HF_E_INTERNAL;
}

/* The PKCS#8 in DER, in locked memory. */
static HF_STATUS pkcs8_of(EVP_PKEY *key, struct secret **out)
{
    HF_OWNED(bio_free) BIO *bio = BIO_new(BIO_s_secmem());
    HF_OWNED(secret_freep) struct secret *der = NULL;
    char *text = NULL;
    if (bio == NULL ||
        i2d_PKCS8PrivateKey_bio(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        return HF_E_INTERNAL;
    }
    long len = BIO_get_mem_data(bio, &text);
    if (len <= 0 || len > PACKAGE_KEY_MAX_BYTES - 16) {
        return HF_E_INTERNAL;
    }
    HF_TRY(secret_new((size_t)len, &der));
    memcpy(secret_writable(der), text, (size_t)len);
    *out = HF_GIVE(der);
    return HF_OK;
}

static HF_STATUS oaep(const struct prepared *prepared, const struct secret *kek,
                      struct package *out)
{
    const uint8_t *at = prepared->spki;
    const EVP_MD *hash =
        prepared->suite == TOKEN_SUITE_OAEP_SHA256 ? EVP_sha256() : EVP_sha1();
    HF_OWNED(pkey_free)
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)prepared->spki_len);
    HF_OWNED(context_free)
    EVP_PKEY_CTX *context = key == NULL ? NULL : EVP_PKEY_CTX_new(key, NULL);
    out->wrapped_kek_len = sizeof out->wrapped_kek;
    bool good =
        context != NULL && EVP_PKEY_encrypt_init(context) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
        EVP_PKEY_CTX_set_rsa_oaep_md(context, hash) == 1 &&
        EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash) == 1 &&
        EVP_PKEY_encrypt(context, out->wrapped_kek, &out->wrapped_kek_len,
                         secret_bytes(kek), secret_len(kek)) == 1;
    ERR_clear_error();
    return good ? HF_OK : HF_E_INTERNAL;
}

static HF_STATUS kwp(const struct secret *kek, const struct secret *key,
                     struct package *out)
{
    HF_OWNED(cipher_free) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int len = 0;
    int rest = 0;
    if (context == NULL) {
        return HF_E_NO_MEMORY;
    }
    EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    if (EVP_EncryptInit_ex(context, EVP_aes_256_wrap_pad(), NULL,
                           secret_bytes(kek), NULL) != 1 ||
        EVP_EncryptUpdate(context, out->wrapped_key, &len, secret_bytes(key),
                          (int)secret_len(key)) != 1 ||
        EVP_EncryptFinal_ex(context, out->wrapped_key + len, &rest) != 1) {
        return HF_E_INTERNAL;
    }
    out->wrapped_key_len = (size_t)len + (size_t)rest;
    return HF_OK;
}

HF_STATUS package_wrap(const struct prepared *prepared,
                       const struct secret *pem, struct package *out)
{
    HF_OWNED(pkey_free) EVP_PKEY *key = NULL;
    HF_OWNED(secret_freep) struct secret *kek = NULL;
    HF_OWNED(secret_freep) struct secret *der = NULL;
    *out = (struct package){.suite = prepared->suite};
    HF_TRY(read_key(pem, &key));
    HF_TRY(hex_decode(prepared->transport_id, out->transport_id,
                      sizeof out->transport_id, &out->transport_id_len));
    HF_TRY(fingerprint_of(key, out->fingerprint));
    HF_TRY(secret_random(HF_KEY_BYTES, &kek));
    HF_TRY(pkcs8_of(key, &der));
    HF_TRY(oaep(prepared, kek, out));
    return kwp(kek, der, out);
}

static json_t *hex(struct bytes value)
{
    char text[2 * HF_CKA_ID_MAX_BYTES + 2 * HF_SHA256_BYTES + 1];
    hex_encode(value.data, value.len, text, sizeof text);
    return json_string(text);
}

HF_STATUS package_write(const struct package *package, char **out_text)
{
    HF_OWNED(json_free)
    json_t *file = json_pack(
        "{s:s, s:o, s:i, s:o, s:o, s:o}", "format", FORMAT, "transport_id",
        hex((struct bytes){package->transport_id, package->transport_id_len}),
        "suite", (int)package->suite, "public_key_sha256",
        hex(BYTES_OF(package->fingerprint)), "wrapped_aes_key",
        base64_json(
            (struct bytes){package->wrapped_kek, package->wrapped_kek_len}),
        "wrapped_private_key",
        base64_json(
            (struct bytes){package->wrapped_key, package->wrapped_key_len}));
    *out_text = file == NULL ? NULL : json_dumps(file, JSON_INDENT(2));
    return *out_text == NULL ? HF_E_NO_MEMORY : HF_OK;
}

static bool hex_get(const json_t *file, const char *key, uint8_t *out,
                    size_t cap, size_t *out_len)
{
    const char *text = json_string_value(json_object_get(file, key));
    return text != NULL && hex_decode(text, out, cap, out_len) == HF_OK &&
           *out_len > 0;
}

HF_STATUS package_read(struct bytes text, struct package *out)
{
    HF_OWNED(json_free)
    json_t *file = json_loadb((const char *)text.data, text.len, 0, NULL);
    const char *format = json_string_value(json_object_get(file, "format"));
    json_int_t suite = json_integer_value(json_object_get(file, "suite"));
    size_t hash_len = 0;
    *out = (struct package){0};
    if (format == NULL || strcmp(format, FORMAT) != 0 ||
        (suite != TOKEN_SUITE_OAEP_SHA256 && suite != TOKEN_SUITE_OAEP_SHA1) ||
        !hex_get(file, "transport_id", out->transport_id,
                 sizeof out->transport_id, &out->transport_id_len) ||
        !hex_get(file, "public_key_sha256", out->fingerprint,
                 sizeof out->fingerprint, &hash_len) ||
        hash_len != sizeof out->fingerprint) {
        return HF_E_CORRUPT;
    }
    out->suite = suite == TOKEN_SUITE_OAEP_SHA256 ? TOKEN_SUITE_OAEP_SHA256
                                                  : TOKEN_SUITE_OAEP_SHA1;
    HF_TRY(base64_get(file, "wrapped_aes_key", out->wrapped_kek,
                      sizeof out->wrapped_kek, &out->wrapped_kek_len));
    return base64_get(file, "wrapped_private_key", out->wrapped_key,
                      sizeof out->wrapped_key, &out->wrapped_key_len);
}
