#include "tests/support/pki.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include "hsm/sys/clock.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHAIN_MAX 4

struct pki_ca {
    EVP_PKEY *key;
    X509 *certificate;
    X509 *chain[CHAIN_MAX]; /* itself and its parents, without the root */
    size_t chain_count;
    uint64_t next_serial;
};

static void time_set(ASN1_TIME *at, int64_t from_now_s)
{
    int64_t now_s = clock_wall_ms(clock_system()) / 1000;
    CHECK(ASN1_TIME_set(at, (time_t)(now_s + from_now_s)) != NULL);
}

static FILE *file_new(const char *dir, const char *file)
{
    char path[PKI_PATH_BYTES];
    pki_path(path, dir, file);
    FILE *out = fopen(path, "wb");
    CHECK(out != NULL);
    return out;
}

static void extension_add(X509 *certificate, X509 *issuer, int nid,
                          const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(extension != NULL);
    CHECK(X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static X509 *certificate_new(const char *common_name, EVP_PKEY *key,
                             uint64_t serial)
{
    X509 *made = X509_new();
    CHECK(made != NULL);
    CHECK(X509_set_version(made, X509_VERSION_3) == 1);
    CHECK(ASN1_INTEGER_set_uint64(X509_get_serialNumber(made), serial) == 1);
    CHECK(X509_NAME_add_entry_by_txt(
              X509_get_subject_name(made), "CN", MBSTRING_UTF8,
              (const unsigned char *)common_name, -1, -1, 0) == 1);
    CHECK(X509_set_pubkey(made, key) == 1);
    return made;
}

struct pki_ca *pki_ca_new(const char *common_name, struct pki_ca *parent)
{
    struct pki_ca *ca = calloc(1, sizeof *ca);
    CHECK(ca != NULL);
    ca->next_serial = 100;
    ca->key = EVP_EC_gen("P-256");
    CHECK(ca->key != NULL);
    uint64_t serial = parent == NULL ? 1 : parent->next_serial++;
    ca->certificate = certificate_new(common_name, ca->key, serial);
    X509 *issuer = parent == NULL ? ca->certificate : parent->certificate;
    CHECK(X509_set_issuer_name(ca->certificate,
                               X509_get_subject_name(issuer)) == 1);
    time_set(X509_getm_notBefore(ca->certificate), -PKI_DAY_S);
    time_set(X509_getm_notAfter(ca->certificate), 3650 * PKI_DAY_S);
    extension_add(ca->certificate, issuer, NID_basic_constraints,
                  "critical,CA:TRUE");
    extension_add(ca->certificate, issuer, NID_key_usage,
                  "critical,keyCertSign,cRLSign");
    extension_add(ca->certificate, issuer, NID_subject_key_identifier, "hash");
    EVP_PKEY *signer = parent == NULL ? ca->key : parent->key;
    CHECK(X509_sign(ca->certificate, signer, EVP_sha256()) > 0);
    if (parent != NULL) {
        CHECK(parent->chain_count < CHAIN_MAX);
        ca->chain[ca->chain_count++] = ca->certificate;
        for (size_t i = 0; i < parent->chain_count; i++) {
            ca->chain[ca->chain_count++] = parent->chain[i];
        }
        for (size_t i = 0; i < ca->chain_count; i++) {
            X509_up_ref(ca->chain[i]);
        }
    }
    return ca;
}

uint64_t pki_ca_serial(const struct pki_ca *ca)
{
    uint64_t serial = 0;
    CHECK(ASN1_INTEGER_get_uint64(
              &serial, X509_get0_serialNumber(ca->certificate)) == 1);
    return serial;
}

void pki_ca_free(struct pki_ca *ca)
{
    if (ca == NULL) {
        return;
    }
    for (size_t i = 0; i < ca->chain_count; i++) {
        X509_free(ca->chain[i]);
    }
    X509_free(ca->certificate);
    EVP_PKEY_free(ca->key);
    free(ca);
}

void pki_ca_write(const struct pki_ca *ca, const char *dir, const char *file)
{
    FILE *out = file_new(dir, file);
    CHECK(PEM_write_X509(out, ca->certificate) == 1);
    CHECK(fclose(out) == 0);
}

static void usage_add(X509 *certificate, X509 *issuer, enum pki_usage usage)
{
    const char *text = NULL;
    switch (usage) {
    case PKI_CLIENT:
        text = "clientAuth";
        break;
    case PKI_SERVER:
        text = "serverAuth";
        break;
    case PKI_CLIENT_SERVER:
        text = "clientAuth,serverAuth";
        break;
    case PKI_CODE_SIGNING:
        text = "codeSigning";
        break;
    case PKI_ANY:
        text = "anyExtendedKeyUsage";
        break;
    case PKI_NO_USAGE:
        return;
    }
    extension_add(certificate, issuer, NID_ext_key_usage, text);
}

static void name_add(GENERAL_NAMES *names, int kind, const void *data,
                     size_t len)
{
    ASN1_STRING *value =
        kind == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    CHECK(value != NULL && name != NULL);
    CHECK(ASN1_STRING_set(value, data, (int)len) == 1);
    GENERAL_NAME_set0_value(name, kind, value);
    CHECK(sk_GENERAL_NAME_push(names, name) > 0);
}

static void names_add(X509 *certificate, const struct pki_leaf *leaf)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    CHECK(names != NULL);
    for (size_t i = 0; i < PKI_URIS_MAX && leaf->uris[i] != NULL; i++) {
        size_t len = leaf->uri_lens[i];
        name_add(names, GEN_URI, leaf->uris[i],
                 len == 0 ? strlen(leaf->uris[i]) : len);
    }
    if (leaf->dns != NULL) {
        name_add(names, GEN_DNS, leaf->dns, strlen(leaf->dns));
    }
    if (leaf->ip != NULL) {
        ASN1_OCTET_STRING *ip = a2i_IPADDRESS(leaf->ip);
        CHECK(ip != NULL);
        name_add(names, GEN_IPADD, ASN1_STRING_get0_data(ip),
                 (size_t)ASN1_STRING_length(ip));
        ASN1_OCTET_STRING_free(ip);
    }
    if (sk_GENERAL_NAME_num(names) > 0) {
        CHECK(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0,
                                X509V3_ADD_DEFAULT) == 1);
    }
    GENERAL_NAMES_free(names);
}

static void leaf_write(const struct pki_ca *ca, X509 *leaf, EVP_PKEY *key,
                       const char *dir, const char *name)
{
    char file[PKI_PATH_BYTES];
    snprintf(file, sizeof file, "%s.crt", name);
    FILE *out = file_new(dir, file);
    CHECK(PEM_write_X509(out, leaf) == 1);
    for (size_t i = 0; i < ca->chain_count; i++) {
        CHECK(PEM_write_X509(out, ca->chain[i]) == 1);
    }
    CHECK(fclose(out) == 0);
    snprintf(file, sizeof file, "%s.key", name);
    out = file_new(dir, file);
    CHECK(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1);
    CHECK(fclose(out) == 0);
}

uint64_t pki_issue(struct pki_ca *ca, const struct pki_leaf *leaf,
                   const char *dir, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    CHECK(key != NULL);
    uint64_t serial = leaf->serial == 0 ? ca->next_serial++ : leaf->serial;
    X509 *made = certificate_new(
        leaf->common_name == NULL ? name : leaf->common_name, key, serial);
    CHECK(X509_set_issuer_name(made, X509_get_subject_name(ca->certificate)) ==
          1);
    time_set(X509_getm_notBefore(made),
             leaf->not_before_s == 0 ? -3600 : leaf->not_before_s);
    time_set(X509_getm_notAfter(made),
             leaf->not_after_s == 0 ? 30 * PKI_DAY_S : leaf->not_after_s);
    extension_add(made, ca->certificate, NID_basic_constraints,
                  leaf->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extension_add(made, ca->certificate, NID_key_usage,
                  leaf->is_ca ? "critical,digitalSignature,keyCertSign"
                              : "critical,digitalSignature");
    usage_add(made, ca->certificate, leaf->usage);
    names_add(made, leaf);
    extension_add(made, ca->certificate, NID_authority_key_identifier,
                  "keyid:always");
    CHECK(X509_sign(made, ca->key, EVP_sha256()) > 0);
    leaf_write(ca, made, key, dir, name);
    X509_free(made);
    EVP_PKEY_free(key);
    return serial;
}

static void revoked_add(X509_CRL *crl, uint64_t serial)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    ASN1_TIME *when = ASN1_TIME_new();
    CHECK(entry != NULL && number != NULL && when != NULL);
    CHECK(ASN1_INTEGER_set_uint64(number, serial) == 1);
    time_set(when, -3600);
    CHECK(X509_REVOKED_set_serialNumber(entry, number) == 1);
    CHECK(X509_REVOKED_set_revocationDate(entry, when) == 1);
    CHECK(X509_CRL_add0_revoked(crl, entry) == 1);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(when);
}

void pki_crl_write(const struct pki_ca *ca, const struct pki_crl *list,
                   const char *dir, const char *file)
{
    CHECK(list->count <= PKI_SERIALS_MAX);
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *when = ASN1_TIME_new();
    CHECK(crl != NULL && when != NULL);
    CHECK(X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1);
    CHECK(X509_CRL_set_issuer_name(
              crl, X509_get_subject_name(ca->certificate)) == 1);
    time_set(when, list->last_update_s == 0 ? -3600 : list->last_update_s);
    CHECK(X509_CRL_set1_lastUpdate(crl, when) == 1);
    if (list->next_update_s != PKI_NO_NEXT_UPDATE) {
        time_set(when, list->next_update_s == 0 ? 30 * PKI_DAY_S
                                                : list->next_update_s);
        CHECK(X509_CRL_set1_nextUpdate(crl, when) == 1);
    }
    for (size_t i = 0; i < list->count; i++) {
        revoked_add(crl, list->serials[i]);
    }
    CHECK(X509_CRL_sort(crl) == 1);
    CHECK(X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
    FILE *out = file_new(dir, file);
    CHECK(PEM_write_X509_CRL(out, crl) == 1);
    CHECK(fclose(out) == 0);
    ASN1_TIME_free(when);
    X509_CRL_free(crl);
}

void pki_append(const char *dir, const char *file, const char *from)
{
    char path[PKI_PATH_BYTES];
    char buffer[4096];
    pki_path(path, dir, from);
    FILE *in = fopen(path, "rb");
    pki_path(path, dir, file);
    FILE *out = fopen(path, "ab");
    CHECK(in != NULL && out != NULL);
    size_t got = 0;
    while ((got = fread(buffer, 1, sizeof buffer, in)) > 0) {
        CHECK(fwrite(buffer, 1, got, out) == got);
    }
    CHECK(fclose(in) == 0);
    CHECK(fclose(out) == 0);
}

void pki_text_write(const char *dir, const char *file, const char *text)
{
    FILE *out = file_new(dir, file);
    CHECK(fputs(text, out) >= 0);
    CHECK(fclose(out) == 0);
}

void pki_path(char out[PKI_PATH_BYTES], const char *dir, const char *file)
{
    int wrote = snprintf(out, PKI_PATH_BYTES, "%s/%s", dir, file);
    CHECK(wrote > 0 && wrote < PKI_PATH_BYTES);
}

void pki_dir_new(char out_dir[PKI_PATH_BYTES])
{
    const char *base = getenv("TMPDIR");
    pki_path(out_dir, base == NULL ? "/tmp" : base, "hf-test-XXXXXX");
    CHECK(mkdtemp(out_dir) != NULL);
}

void pki_dir_remove(const char *dir)
{
    DIR *folder = opendir(dir);
    CHECK(folder != NULL);
    struct dirent *entry = NULL;
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.') {
            char path[PKI_PATH_BYTES];
            pki_path(path, dir, entry->d_name);
            CHECK(unlink(path) == 0);
        }
    }
    CHECK(closedir(folder) == 0);
    CHECK(rmdir(dir) == 0);
}
