#include "hsm/pkcs11/public_key.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/object.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <string.h>

#define EC_P256_POINT_BYTES 65

static void free_pkey(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void free_context(EVP_PKEY_CTX **context)
{
    EVP_PKEY_CTX_free(*context);
}

static void free_bn(BIGNUM **bn)
{
    BN_free(*bn);
}

static void free_builder(OSSL_PARAM_BLD **builder)
{
    OSSL_PARAM_BLD_free(*builder);
}

static void free_params(OSSL_PARAM **params)
{
    OSSL_PARAM_free(*params);
}

static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM *params)
{
    HF_OWNED(free_context)
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;
    if (context == NULL || params == NULL ||
        EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        return NULL;
    }
    return pkey;
}

static EVP_PKEY *rsa_from(const uint8_t *modulus, size_t modulus_len,
                          const uint8_t *exponent, size_t exponent_len)
{
    HF_OWNED(free_bn)
    BIGNUM *n = BN_bin2bn(modulus, (int)modulus_len, NULL);
    HF_OWNED(free_bn)
    BIGNUM *e = BN_bin2bn(exponent, (int)exponent_len, NULL);
    HF_OWNED(free_builder) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (n == NULL || e == NULL || builder == NULL ||
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) != 1) {
        return NULL;
    }
    HF_OWNED(free_params)
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    return pkey_from("RSA", params);
}

static EVP_PKEY *p256_from(uint8_t *point, size_t point_len)
{
    char curve[] = "prime256v1";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, curve, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point,
                                          point_len),
        OSSL_PARAM_construct_end(),
    };
    return pkey_from("EC", params);
}

static HF_STATUS write_spki(EVP_PKEY *pkey, uint8_t *spki, size_t *spki_len)
{
    if (pkey == NULL) {
        return HF_E_UNSUPPORTED;
    }
    int len = i2d_PUBKEY(pkey, NULL);
    if (len <= 0 || len > HF_SPKI_MAX_BYTES) {
        return HF_E_UNSUPPORTED;
    }
    uint8_t *at = spki;
    *spki_len = (size_t)i2d_PUBKEY(pkey, &at);
    return HF_OK;
}

HF_STATUS p11_rsa_spki(struct bytes modulus, struct bytes exponent,
                       uint8_t *spki, size_t *spki_len)
{
    HF_OWNED(free_pkey)
    EVP_PKEY *pkey =
        rsa_from(modulus.data, modulus.len, exponent.data, exponent.len);
    return write_spki(pkey, spki, spki_len);
}

static HF_STATUS rsa_public(struct p11_work *work, CK_OBJECT_HANDLE handle,
                            uint8_t *spki, size_t *spki_len)
{
    uint8_t modulus[HF_RSA_MAX_BYTES + 1];
    uint8_t exponent[8];
    size_t modulus_len = sizeof modulus;
    size_t exponent_len = sizeof exponent;
    HF_TRY(p11_attribute(work, handle, CKA_MODULUS, modulus, &modulus_len));
    HF_TRY(p11_attribute(work, handle, CKA_PUBLIC_EXPONENT, exponent,
                         &exponent_len));
    return p11_rsa_spki((struct bytes){modulus, modulus_len},
                        (struct bytes){exponent, exponent_len}, spki, spki_len);
}

static HF_STATUS ec_public(struct p11_work *work, const struct token_key *key,
                           uint8_t *spki, size_t *spki_len)
{
    CK_OBJECT_CLASS class_ = CKO_PUBLIC_KEY;
    CK_KEY_TYPE type = CKK_EC;
    CK_ATTRIBUTE filter[] = {
        {CKA_CLASS,    &class_,         sizeof class_},
        {CKA_KEY_TYPE, &type,           sizeof type  },
        {CKA_ID,       (void *)key->id, key->id_len  },
    };
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    size_t count = 0;
    HF_TRY(p11_find(work, filter, HF_COUNT(filter), &handle, 1, &count));
    if (count == 0) {
        return HF_E_NOT_FOUND;
    }
    uint8_t point[EC_P256_POINT_BYTES + 2];
    size_t len = sizeof point;
    HF_TRY(p11_attribute(work, handle, CKA_EC_POINT, point, &len));
    /* a DER OCTET STRING; some modules give the bare point */
    size_t skip = len == sizeof point ? 2 : 0;
    if (len - skip != EC_P256_POINT_BYTES || point[skip] != 0x04) {
        return HF_E_UNSUPPORTED;
    }
    HF_OWNED(free_pkey) EVP_PKEY *pkey = p256_from(point + skip, len - skip);
    return write_spki(pkey, spki, spki_len);
}

HF_STATUS p11_public_key_of(struct p11_work *work, CK_OBJECT_HANDLE handle,
                            const struct token_key *key, uint8_t *spki,
                            size_t *spki_len)
{
    CHECK(p11_key_class(key->type) == CKO_PRIVATE_KEY);
    return key->type == TOKEN_KEY_RSA ? rsa_public(work, handle, spki, spki_len)
                                      : ec_public(work, key, spki, spki_len);
}

HF_STATUS p11_fingerprint(struct bytes spki, uint8_t out[HF_SHA256_BYTES])
{
    unsigned int len = 0;
    if (EVP_Digest(spki.data, spki.len, out, &len, EVP_sha256(), NULL) != 1) {
        return HF_E_INTERNAL;
    }
    return HF_OK;
}

static EVP_PKEY *read_spki(struct bytes spki)
{
    const uint8_t *at = spki.data;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)spki.len);
    if (pkey != NULL && at != spki.data + spki.len) {
        EVP_PKEY_free(pkey); /* something follows the key */
        return NULL;
    }
    return pkey;
}

uint32_t p11_public_bits(struct bytes spki)
{
    HF_OWNED(free_pkey) EVP_PKEY *pkey = read_spki(spki);
    return pkey == NULL ? 0 : (uint32_t)EVP_PKEY_get_bits(pkey);
}

HF_STATUS p11_public_parts(struct bytes spki, struct p11_rsa_parts *out)
{
    HF_OWNED(free_pkey) EVP_PKEY *pkey = read_spki(spki);
    if (pkey == NULL || EVP_PKEY_is_a(pkey, "RSA") != 1 ||
        EVP_PKEY_get_bits(pkey) < HF_RSA_MIN_BITS ||
        EVP_PKEY_get_bits(pkey) > HF_RSA_MAX_BITS) {
        return HF_E_INVALID;
    }
    BIGNUM *found_n = NULL;
    BIGNUM *found_e = NULL;
    int got_n = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &found_n);
    int got_e = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &found_e);
    HF_OWNED(free_bn) BIGNUM *n = found_n;
    HF_OWNED(free_bn) BIGNUM *e = found_e;
    if (got_n != 1 || got_e != 1 ||
        BN_num_bytes(e) > (int)sizeof out->exponent) {
        return HF_E_INVALID;
    }
    out->modulus_len = (size_t)BN_bn2bin(n, out->modulus);
    out->exponent_len = (size_t)BN_bn2bin(e, out->exponent);
    return HF_OK;
}

HF_STATUS p11_oaep_encrypt(struct bytes spki, enum token_suite suite,
                           struct bytes plain, uint8_t *out, size_t *out_len)
{
    HF_OWNED(free_pkey) EVP_PKEY *pkey = read_spki(spki);
    if (pkey == NULL || EVP_PKEY_is_a(pkey, "RSA") != 1 ||
        EVP_PKEY_get_size(pkey) > HF_RSA_MAX_BYTES) {
        return HF_E_INVALID;
    }
    const EVP_MD *hash =
        suite == TOKEN_SUITE_OAEP_SHA256 ? EVP_sha256() : EVP_sha1();
    HF_OWNED(free_context)
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
    size_t len = HF_RSA_MAX_BYTES;
    if (context == NULL || EVP_PKEY_encrypt_init(context) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(context, hash) != 1 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash) != 1 ||
        EVP_PKEY_encrypt(context, out, &len, plain.data, plain.len) != 1) {
        return HF_E_INTERNAL;
    }
    *out_len = len;
    return HF_OK;
}

static void free_signature(ECDSA_SIG **signature)
{
    ECDSA_SIG_free(*signature);
}

/* DER, as OpenSSL wants it: length, or 0. out of 80 bytes. */
static size_t der_of(const uint8_t signature[64], uint8_t *out)
{
    HF_OWNED(free_signature) ECDSA_SIG *pair = ECDSA_SIG_new();
    HF_OWNED(free_bn) BIGNUM *r = BN_bin2bn(signature, 32, NULL);
    HF_OWNED(free_bn) BIGNUM *s = BN_bin2bn(signature + 32, 32, NULL);
    if (pair == NULL || r == NULL || s == NULL ||
        ECDSA_SIG_set0(pair, r, s) != 1) {
        return 0;
    }
    r = NULL; /* the pair's now */
    s = NULL;
    int len = i2d_ECDSA_SIG(pair, &out);
    return len > 0 ? (size_t)len : 0;
}

bool p11_verifies(struct bytes spki, const struct token_sign *sign)
{
    uint8_t der[80];
    size_t der_len = der_of(sign->signature, der);
    HF_OWNED(free_pkey) EVP_PKEY *pkey = read_spki(spki);
    HF_OWNED(free_context)
    EVP_PKEY_CTX *context = pkey != NULL ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;
    return der_len > 0 && context != NULL &&
           EVP_PKEY_verify_init(context) == 1 &&
           EVP_PKEY_verify(context, der, der_len, sign->digest,
                           sizeof sign->digest) == 1;
}
