#include "server/edge/peer.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SERIAL_MAX_BYTES 20 /* RFC 5280, 4.1.2.2 */
#define TRUST_DOMAIN_MAX 255
#define SPIFFE           "spiffe://"

static const struct {
    int error;
    enum edge_refusal refusal;
} refusals[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED,                 EDGE_REFUSED_EXPIRED},
    {X509_V_ERR_CERT_NOT_YET_VALID,               EDGE_REFUSED_EXPIRED},
    {X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD,   EDGE_REFUSED_EXPIRED},
    {X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD,    EDGE_REFUSED_EXPIRED},
    {X509_V_ERR_INVALID_PURPOSE,                  EDGE_REFUSED_PURPOSE},
    {X509_V_ERR_CERT_REVOKED,                     EDGE_REFUSED_REVOKED},
    {X509_V_ERR_UNABLE_TO_GET_CRL,                EDGE_REFUSED_CRL    },
    {X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER,         EDGE_REFUSED_CRL    },
    {X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE,  EDGE_REFUSED_CRL    },
    {X509_V_ERR_CRL_SIGNATURE_FAILURE,            EDGE_REFUSED_CRL    },
    {X509_V_ERR_CRL_NOT_YET_VALID,                EDGE_REFUSED_CRL    },
    {X509_V_ERR_CRL_HAS_EXPIRED,                  EDGE_REFUSED_CRL    },
    {X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD,   EDGE_REFUSED_CRL    },
    {X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD,   EDGE_REFUSED_CRL    },
    {X509_V_ERR_KEYUSAGE_NO_CRL_SIGN,             EDGE_REFUSED_CRL    },
    {X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION, EDGE_REFUSED_CRL    },
    {X509_V_ERR_DIFFERENT_CRL_SCOPE,              EDGE_REFUSED_CRL    },
    {X509_V_ERR_CRL_PATH_VALIDATION_ERROR,        EDGE_REFUSED_CRL    },
};

static enum edge_refusal refusal_of(int error)
{
    for (size_t i = 0; i < HF_COUNT(refusals); i++) {
        if (refusals[i].error == error) {
            return refusals[i].refusal;
        }
    }
    return EDGE_REFUSED_UNTRUSTED;
}

static bool is_name_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ||
           byte == '.' || byte == '-' || byte == '_';
}

/* One or more segments, each after a slash. */
static bool path_valid(const char *path, size_t len)
{
    size_t start = 1;
    for (size_t i = 1; i <= len; i++) {
        if (i < len && path[i] != '/') {
            if (!is_name_byte(path[i]) && !(path[i] >= 'A' && path[i] <= 'Z')) {
                return false;
            }
            continue;
        }
        size_t segment = i - start;
        bool dots =
            (segment == 1 && path[start] == '.') ||
            (segment == 2 && path[start] == '.' && path[start + 1] == '.');
        if (segment == 0 || dots) {
            return false;
        }
        start = i + 1;
    }
    return true;
}

bool peer_uri_valid(const char *uri, size_t len)
{
    size_t scheme = strlen(SPIFFE);
    if (len <= scheme || len > HF_URI_MAX_BYTES ||
        strncmp(uri, SPIFFE, scheme) != 0) {
        return false;
    }
    size_t at = scheme;
    while (at < len && uri[at] != '/') {
        if (!is_name_byte(uri[at])) {
            return false;
        }
        at++;
    }
    if (at == scheme || at - scheme > TRUST_DOMAIN_MAX) {
        return false;
    }
    return at == len || path_valid(uri + at, len - at);
}

static HF_STATUS uri_read(const X509 *leaf, char out[HF_URI_MAX_BYTES + 1])
{
    /* NULL when there is none, when there are two such extensions, and when
     * it does not parse: all refused */
    GENERAL_NAMES *names =
        X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    size_t uris = 0;
    bool valid = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int kind = 0;
        const ASN1_STRING *value =
            GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &kind);
        if (kind != GEN_URI) {
            continue;
        }
        uris++;
        const char *text = (const char *)ASN1_STRING_get0_data(value);
        size_t len = (size_t)ASN1_STRING_length(value);
        valid = peer_uri_valid(text, len);
        if (valid) {
            snprintf(out, HF_URI_MAX_BYTES + 1, "%.*s", (int)len, text);
        }
    }
    GENERAL_NAMES_free(names);
    return uris == 1 && valid ? HF_OK : HF_E_DENIED;
}

static HF_STATUS serial_read(X509 *leaf, char out[EDGE_SERIAL_TEXT])
{
    uint8_t bytes[SERIAL_MAX_BYTES];
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), NULL);
    bool fits = number != NULL && !BN_is_negative(number) &&
                BN_num_bytes(number) <= SERIAL_MAX_BYTES;
    if (fits) {
        int len = BN_bn2bin(number, bytes);
        hex_encode(bytes, (size_t)len, out, EDGE_SERIAL_TEXT);
    }
    BN_free(number);
    return fits ? HF_OK : HF_E_DENIED;
}

static HF_STATUS time_read(const ASN1_TIME *time, int64_t *out_ms)
{
    struct tm parts = {0};
    if (ASN1_TIME_to_tm(time, &parts) != 1) {
        return HF_E_DENIED;
    }
    *out_ms = (int64_t)timegm(&parts) * 1000;
    return HF_OK;
}

static HF_STATUS identity_read(X509 *leaf, struct edge_identity *out_identity)
{
    struct edge_identity identity = {0};
    HF_TRY(uri_read(leaf, identity.uri));
    HF_TRY(serial_read(leaf, identity.serial));
    HF_TRY(time_read(X509_get0_notAfter(leaf), &identity.not_after_ms));
    unsigned int len = 0;
    if (X509_digest(leaf, EVP_sha256(), identity.fingerprint, &len) != 1 ||
        len != sizeof identity.fingerprint) {
        return HF_E_INTERNAL;
    }
    *out_identity = identity;
    return HF_OK;
}

/* A certificate of the chain that ends ends the chain. */
static HF_STATUS expiry_read(X509_STORE_CTX *ctx, int64_t *out_ms)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    int64_t earliest_ms = INT64_MAX;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t end_ms = 0;
        HF_TRY(time_read(X509_get0_notAfter(sk_X509_value(chain, i)), &end_ms));
        earliest_ms = end_ms < earliest_ms ? end_ms : earliest_ms;
    }
    *out_ms = earliest_ms;
    return HF_OK;
}

static void subject_write(const X509 *leaf, char out[PEER_SUBJECT_BYTES])
{
    BIO *text = BIO_new(BIO_s_mem());
    if (text == NULL) {
        return;
    }
    /* RFC 2253: control and non-ASCII characters come out escaped */
    if (X509_NAME_print_ex(text, X509_get_subject_name(leaf), 0,
                           XN_FLAG_RFC2253) >= 0) {
        int len = BIO_read(text, out, PEER_SUBJECT_BYTES - 1);
        out[len > 0 ? len : 0] = '\0';
    }
    BIO_free(text);
}

static void refuse(X509_STORE_CTX *ctx, enum edge_refusal refusal,
                   const char *detail, struct peer_verdict *verdict)
{
    verdict->refusal = refusal;
    snprintf(verdict->detail, sizeof verdict->detail, "%s", detail);
    if (X509_STORE_CTX_get_error(ctx) == X509_V_OK) {
        X509_STORE_CTX_set_error(ctx, X509_V_ERR_APPLICATION_VERIFICATION);
    }
}

void peer_verify(X509_STORE_CTX *ctx, const struct clock *clock,
                 struct peer_verdict *out_verdict)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
    CHECK(leaf != NULL);
    *out_verdict = (struct peer_verdict){.certificate_seen = true};
    subject_write(leaf, out_verdict->subject);

    X509_STORE_CTX_set_time(ctx, 0, (time_t)(clock_wall_ms(clock) / 1000));
    if (X509_verify_cert(ctx) != 1) {
        int error = X509_STORE_CTX_get_error(ctx);
        refuse(ctx, refusal_of(error), X509_verify_cert_error_string(error),
               out_verdict);
        return;
    }
    /* OpenSSL takes a certificate without extended key usage as good for all,
     * and does not mind a CA in the place of a client. */
    uint32_t flags = X509_get_extension_flags(leaf);
    if ((flags & EXFLAG_XKUSAGE) == 0 ||
        (X509_get_extended_key_usage(leaf) & XKU_SSL_CLIENT) == 0) {
        refuse(ctx, EDGE_REFUSED_PURPOSE, "no clientAuth", out_verdict);
        return;
    }
    if ((flags & EXFLAG_CA) != 0) {
        refuse(ctx, EDGE_REFUSED_PURPOSE, "is a CA", out_verdict);
        return;
    }
    if (identity_read(leaf, &out_verdict->identity) != HF_OK ||
        expiry_read(ctx, &out_verdict->expires_ms) != HF_OK) {
        refuse(ctx, EDGE_REFUSED_IDENTITY, "not exactly one SPIFFE ID",
               out_verdict);
        return;
    }
    out_verdict->accepted = true;
}
