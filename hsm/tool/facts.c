#include "hsm/tool/facts.h"

#include "hsm/base/mechanisms.h"
#include "hsm/base/own.h"
#include "hsm/base/pkcs11_uri.h"

#include "hsm/sys/clock.h"

#include "hsm/token/names.h"
#include "hsm/tool/output.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <string.h>

static json_t *number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* A token that does not tell its memory says 0 of 0. */
static json_t *memory(const struct token_profile *profile, uint64_t value)
{
    return profile->total_private_bytes == 0 ? json_null() : number(value);
}

json_t *facts_of_custody(const struct custody *custody)
{
    char when[CLOCK_UTC_TEXT];
    clock_format_utc(custody->created_s * 1000, when);
    return json_pack("{s:o, s:s, s:o, s:b, s:s}", "domain",
                     output_text(custody->domain), "deletion_protection",
                     custody_protection_text(custody->protection),
                     "retention_days", number(custody->retention_days),
                     "test_only", (int)custody->test_only, "declared_at", when);
}

static json_t *uri_json(const struct pkcs11_uri *uri)
{
    char text[HF_URI_MAX_BYTES + 1];
    /* a token or key with a name that cannot be written has no URI */
    if (pkcs11_uri_format(uri, text, sizeof text) != HF_OK) {
        return json_null();
    }
    return json_string(text);
}

json_t *facts_token_uri(const struct token_profile *profile)
{
    struct pkcs11_uri uri = {0};
    memcpy(uri.token, profile->label, sizeof uri.token);
    memcpy(uri.serial, profile->serial, sizeof uri.serial);
    return uri_json(&uri);
}

json_t *facts_of_token(const struct token_profile *profile)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:b, s:b, s:o, s:o}", "label",
        output_text(profile->label), "serial", output_text(profile->serial),
        "manufacturer", output_text(profile->manufacturer), "model",
        output_text(profile->model), "uri", facts_token_uri(profile),
        "hardware", (int)profile->hardware, "login_required",
        (int)profile->login_required, "pin_count_low",
        (int)profile->pin_count_low, "pin_final_try",
        (int)profile->pin_final_try, "pin_locked", (int)profile->pin_locked,
        "free_private_bytes", memory(profile, profile->free_private_bytes),
        "total_private_bytes", memory(profile, profile->total_private_bytes));
}

json_t *facts_of_profile(const struct token_profile *profile)
{
    return json_pack(
        "{s:o, s:{s:b, s:b, s:b, s:b, s:b, s:s}, s:{s:b, s:b}}", "token",
        facts_of_token(profile), "mechanisms", "rsa_oaep_sha256",
        (int)profile->oaep_sha256, "rsa_oaep_sha1", (int)profile->oaep_sha1,
        "unwrap_into_token", (int)profile->unwrap_to_object, "aes_kwp",
        (int)profile->aes_kwp, "aes_gcm", (int)profile->aes_gcm, "root_suite",
        token_suite_text(token_suite_preferred(profile)), "honoured",
        "unwrap_template", (int)profile->unwrap_template_honoured,
        "destroyable", (int)profile->destroyable_honoured);
}

static json_t *key_uri(const struct token_profile *profile,
                       const struct token_key_report *key)
{
    bool pair = key->key.type == TOKEN_KEY_RSA || key->key.type == TOKEN_KEY_EC;
    struct pkcs11_uri uri = {.id_len = key->key.id_len,
                             .type = pair ? PKCS11_URI_PRIVATE
                                          : PKCS11_URI_SECRET_KEY};
    memcpy(uri.token, profile->label, sizeof uri.token);
    memcpy(uri.serial, profile->serial, sizeof uri.serial);
    memcpy(uri.id, key->key.id, sizeof uri.id);
    memcpy(uri.object, key->label, sizeof uri.object);
    return uri_json(&uri);
}

static void bio_free(BIO **bio)
{
    BIO_free(*bio);
}

/* The public half as PEM; null for secret keys. */
static json_t *public_pem(const struct token_key_report *key)
{
    HF_OWNED(bio_free) BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *at = key->spki;
    char *text = NULL;
    if (bio == NULL || key->spki_len == 0) {
        return json_null();
    }
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)key->spki_len);
    bool written = pkey != NULL && PEM_write_bio_PUBKEY(bio, pkey) == 1;
    EVP_PKEY_free(pkey);
    long len = BIO_get_mem_data(bio, &text);
    return written ? json_stringn(text, (size_t)len) : json_null();
}

static const char *type_text(enum token_key_type type)
{
    switch (type) {
    case TOKEN_KEY_RSA:
        return "RSA";
    case TOKEN_KEY_EC:
        return "EC";
    case TOKEN_KEY_AES:
        return "AES";
    case TOKEN_KEY_GENERIC:
        return "generic secret";
    }
    return "unknown";
}

/* The transport pair is one of them. */
static bool is_availability_pair(const struct token_key_report *key)
{
    return key->key.type == TOKEN_KEY_RSA &&
           strncmp(key->label, TOKEN_NAME_AVAILABILITY,
                   sizeof TOKEN_NAME_AVAILABILITY - 1) == 0;
}

static const char *role_text(const struct token_key_report *key)
{
    if (strcmp(key->label, TOKEN_NAME_CANARY) == 0) {
        return "canary";
    }
    if (strcmp(key->label, TOKEN_NAME_IMPORT) == 0) {
        return "import transport key";
    }
    if (strcmp(key->label, TOKEN_NAME_RECORD_MAC) == 0) {
        return "record MAC key";
    }
    if (strcmp(key->label, TOKEN_NAME_AUDIT_SIGN) == 0) {
        return "audit signing key";
    }
    if (strcmp(key->label, TOKEN_NAME_TRANSPORT) == 0) {
        return "transport key";
    }
    switch (key->key.type) {
    case TOKEN_KEY_RSA:
        return is_availability_pair(key) ? "availability key" : "customer key";
    case TOKEN_KEY_AES:
        return "availability key";
    case TOKEN_KEY_EC:
    case TOKEN_KEY_GENERIC:
        break;
    }
    return "other";
}

/* which residencies a customer key allows. */
static json_t *residencies(const struct token_key_report *key)
{
    bool canary = strcmp(key->label, TOKEN_NAME_CANARY) == 0;
    if (key->key.type != TOKEN_KEY_RSA || canary || is_availability_pair(key)) {
        return json_null();
    }
    if (key->can_unwrap && key->can_decrypt) {
        return json_pack("[s, s]", "token", "memory");
    }
    if (key->can_unwrap || key->can_decrypt) {
        return json_pack("[s]", key->can_unwrap ? "token" : "memory");
    }
    return json_array();
}

static json_t *attributes(const struct token_key_report *key)
{
    return json_pack(
        "{s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b}",
        "sensitive", (int)key->sensitive, "always_sensitive",
        (int)key->always_sensitive, "extractable", (int)key->extractable,
        "never_extractable", (int)key->never_extractable, "local",
        (int)key->local, "unwrap", (int)key->can_unwrap, "decrypt",
        (int)key->can_decrypt, "wrap", (int)key->can_wrap, "encrypt",
        (int)key->can_encrypt, "sign", (int)key->can_sign, "modifiable",
        (int)key->modifiable, "destroyable", (int)key->destroyable,
        "unwrap_template", (int)key->unwrap_template);
}

/* null: not limited, or the module does not tell. */
static json_t *mechanisms(const struct token_key_report *key)
{
    const char *names[TOKEN_MECHANISM_MAX];
    size_t count = token_mechanisms_text(key->mechanisms, names);
    json_t *list = count == 0 ? json_null() : json_array();
    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(list, json_string(names[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *facts_of_key(const struct token_profile *profile,
                     const struct token_key_report *key)
{
    json_t *fingerprint = key->spki_len > 0
                              ? output_hex(BYTES_OF(key->key.fingerprint))
                              : json_null();
    return json_pack(
        "{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, "
        "s:o}",
        "name", output_text(key->label), "role", role_text(key), "type",
        type_text(key->key.type), "bits", number(key->bits), "id",
        output_hex((struct bytes){key->key.id, key->key.id_len}),
        "public_key_sha256", fingerprint, "public_key", public_pem(key), "uri",
        key_uri(profile, key), "residency", residencies(key), "origin",
        key->local ? "generated" : "imported", "allowed_mechanisms",
        mechanisms(key), "attributes", attributes(key));
}
