/* token list, cert list, key public: what a module shows to anybody, without a
 * PIN, through libp11.
 *
 * libp11 0.4.12 waits for ever when it cannot open a session, and its unload
 * finalises the module under others. So only here, in a program that is soon
 * over: an alarm ends it, and nothing is unloaded. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/clock.h"

#include "hsm/tool/commands.h"
#include "hsm/tool/output.h"
#include "hsm/tool/session.h"
#include "hsm/tool/tool.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <fcntl.h>
#include <libp11.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_S 30

struct listing {
    const char *module;
    PKCS11_CTX *context;
    PKCS11_SLOT *slots;
    unsigned int count;
};

static void give_up(int signal_number)
{
    static const char words[] =
        "holdfast-hsm: the module does not answer; nothing was changed\n";
    (void)signal_number;
    ssize_t written = write(STDERR_FILENO, words, sizeof words - 1);
    (void)written;
    _exit(TOOL_UNREACHABLE);
}

/* It tells dlopen's words on standard error, where ours have a form. */
static int load_quietly(PKCS11_CTX *context, const char *module)
{
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (saved >= 0 && nowhere >= 0) {
        dup2(nowhere, STDERR_FILENO);
    }
    int failed = PKCS11_CTX_load(context, module);
    if (saved >= 0 && nowhere >= 0) {
        dup2(saved, STDERR_FILENO);
    }
    close(saved);
    close(nowhere);
    return failed;
}

/* *out is of static storage: what it holds lives until the program ends,
 * because libp11 0.4.12 does not give back all of it. */
static HF_STATUS listing_open(struct tool *tool, struct listing *out)
{
    struct sigaction on_alarm = {.sa_handler = give_up};
    HF_TRY(session_module(tool, &out->module));
    sigaction(SIGALRM, &on_alarm, NULL);
    alarm(ANSWER_S);
    out->context = PKCS11_CTX_new();
    if (out->context == NULL) {
        return tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
    }
    if (load_quietly(out->context, out->module) != 0 ||
        PKCS11_enumerate_slots(out->context, &out->slots, &out->count) != 0) {
        return tool_fail(tool, HF_E_UNREACHABLE,
                         "the module %s cannot be loaded, or shows no slots",
                         out->module);
    }
    return HF_OK;
}

/* The token of --token and --serial, and only one. */
static HF_STATUS listing_token(struct tool *tool, const struct listing *listing,
                               PKCS11_TOKEN **out)
{
    const char *label = tool_value(tool, OPTION_TOKEN);
    const char *serial = tool_value(tool, OPTION_SERIAL);
    size_t found = 0;
    for (unsigned int i = 0; i < listing->count; i++) {
        PKCS11_TOKEN *token = listing->slots[i].token;
        if (token != NULL && token->initialized &&
            strcmp(token->label, label) == 0 &&
            (serial == NULL || strcmp(token->serialnr, serial) == 0)) {
            *out = token;
            found += 1;
        }
    }
    if (found == 0) {
        return tool_fail(tool, HF_E_NOT_FOUND,
                         "there is no token %s in %s; holdfast-hsm token list "
                         "shows those there are",
                         label, listing->module);
    }
    return found == 1
               ? HF_OK
               : tool_fail(tool, HF_E_INVALID,
                           "%zu tokens are named %s: say which with --serial",
                           found, label);
}

static json_t *token_row(const PKCS11_TOKEN *token)
{
    const struct pkcs11_token_info info = {
        .initialised = token->initialized != 0,
        .pin_set = token->userPinSet != 0,
        .pin_count_low = token->userPinCountLow != 0,
        .pin_final_try = token->userPinFinalTry != 0,
        .pin_locked = token->userPinLocked != 0,
        .so_pin_count_low = token->soPinCountLow != 0,
        .so_pin_final_try = token->soPinFinalTry != 0,
        .so_pin_locked = token->soPinLocked != 0,
        .write_protected = token->readOnly != 0,
        .own_path = token->secureLogin != 0,
    };
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:s, s:b}", "label", output_text(token->label),
        "serial", output_text(token->serialnr), "manufacturer",
        output_text(token->manufacturer), "model", output_text(token->model),
        "state", session_state_text(&info), "initialised",
        (int)info.initialised);
}

static HF_STATUS append(struct tool *tool, json_t *list, json_t *item)
{
    return item != NULL && json_array_append_new(list, item) == 0
               ? HF_OK
               : tool_fail(tool, HF_E_NO_MEMORY, "out of memory");
}

static void list_free(json_t **list)
{
    json_decref(*list);
}

HF_STATUS cmd_token_list(struct tool *tool)
{
    static const struct output_column columns[] = {
        {"label",        "LABEL"       },
        {"serial",       "SERIAL"      },
        {"manufacturer", "MANUFACTURER"},
        {"model",        "MODEL"       },
        {"state",        "STATE"       },
    };
    static struct listing listing;
    HF_TRY(listing_open(tool, &listing));
    HF_OWNED(list_free) json_t *list = json_array();
    for (unsigned int i = 0; i < listing.count; i++) {
        if (listing.slots[i].token != NULL) {
            HF_TRY(append(tool, list, token_row(listing.slots[i].token)));
        }
    }
    return output_list(
        tool, json_pack("{s:s, s:O}", "module", listing.module, "tokens", list),
        "tokens", columns, HF_COUNT(columns));
}

static void bio_free(BIO **bio)
{
    BIO_free(*bio);
}

static json_t *text_of(BIO *bio)
{
    char *text = NULL;
    long len = BIO_get_mem_data(bio, &text);
    return json_stringn(text, (size_t)len);
}

static json_t *name_of(const X509_NAME *name)
{
    HF_OWNED(bio_free) BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0) {
        return NULL;
    }
    char *text = NULL;
    char plain[256];
    long len = BIO_get_mem_data(bio, &text);
    snprintf(plain, sizeof plain, "%.*s", (int)len, text);
    return output_text(plain);
}

static json_t *end_of(const X509 *certificate)
{
    struct tm end = {0};
    char when[CLOCK_UTC_TEXT];
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1) {
        return json_null();
    }
    clock_format_utc((int64_t)timegm(&end) * 1000, when);
    return json_string(when);
}

static json_t *certificate_row(const PKCS11_CERT *from)
{
    HF_OWNED(bio_free) BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL || from->x509 == NULL ||
        PEM_write_bio_X509(bio, from->x509) != 1) {
        return NULL;
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "label",
                     output_text(from->label != NULL ? from->label : ""), "id",
                     output_hex((struct bytes){from->id, from->id_len}),
                     "subject", name_of(X509_get_subject_name(from->x509)),
                     "issuer", name_of(X509_get_issuer_name(from->x509)),
                     "not_after", end_of(from->x509), "certificate",
                     text_of(bio));
}

HF_STATUS cmd_cert_list(struct tool *tool)
{
    static const struct output_column columns[] = {
        {"label",     "LABEL"  },
        {"id",        "ID"     },
        {"subject",   "SUBJECT"},
        {"issuer",    "ISSUER" },
        {"not_after", "EXPIRES"},
    };
    static struct listing listing;
    PKCS11_TOKEN *token = NULL;
    PKCS11_CERT *found = NULL;
    unsigned int count = 0;
    HF_TRY(listing_open(tool, &listing));
    HF_TRY(listing_token(tool, &listing, &token));
    if (PKCS11_enumerate_certs(token, &found, &count) != 0) {
        return tool_fail(tool, HF_E_UNREACHABLE,
                         "the token does not list its certificates");
    }
    HF_OWNED(list_free) json_t *list = json_array();
    for (unsigned int i = 0; i < count; i++) {
        HF_TRY(append(tool, list, certificate_row(&found[i])));
    }
    return output_list(tool, json_pack("{s:O}", "certificates", list),
                       "certificates", columns, HF_COUNT(columns));
}

static void pkey_free(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static json_t *public_row(PKCS11_KEY *from)
{
    HF_OWNED(bio_free) BIO *bio = BIO_new(BIO_s_mem());
    HF_OWNED(pkey_free) EVP_PKEY *key = PKCS11_get_public_key(from);
    if (bio == NULL || key == NULL || PEM_write_bio_PUBKEY(bio, key) != 1) {
        return NULL;
    }
    return json_pack("{s:o, s:o, s:s, s:i, s:o}", "name",
                     output_text(from->label != NULL ? from->label : ""), "id",
                     output_hex((struct bytes){from->id, from->id_len}), "type",
                     EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA ? "RSA" : "EC",
                     "bits", EVP_PKEY_get_bits(key), "public_key",
                     text_of(bio));
}

HF_STATUS cmd_key_public(struct tool *tool)
{
    static const struct output_column columns[] = {
        {"name", "NAME"},
        {"type", "TYPE"},
        {"bits", "BITS"},
        {"id",   "ID"  },
    };
    static struct listing listing;
    PKCS11_TOKEN *token = NULL;
    PKCS11_KEY *found = NULL;
    unsigned int count = 0;
    HF_TRY(listing_open(tool, &listing));
    HF_TRY(listing_token(tool, &listing, &token));
    if (PKCS11_enumerate_public_keys(token, &found, &count) != 0) {
        return tool_fail(tool, HF_E_UNREACHABLE,
                         "the token does not list its public keys");
    }
    HF_OWNED(list_free) json_t *list = json_array();
    for (unsigned int i = 0; i < count; i++) {
        HF_TRY(append(tool, list, public_row(&found[i])));
    }
    return output_list(tool, json_pack("{s:O}", "keys", list), "keys", columns,
                       HF_COUNT(columns));
}
