#include "server/app/config.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/pkcs11_uri.h"

#include "server/app/config_limits.h"
#include "server/app/config_people.h"
#include "server/app/config_tokens.h"
#include "server/app/yaml_reader.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const root_keys[] = {"listen",
                                        "state_dir",
                                        "store",
                                        "spool",
                                        "tls",
                                        "service_token",
                                        "service_mirrors",
                                        "ak_token",
                                        "ak_mirrors",
                                        "sharepoint_ak_mirrors",
                                        "sharepoint_ak_token",
                                        "sharepoint_ak_scope",
                                        "tokens",
                                        "identities",
                                        "limits",
                                        "log_level",
                                        "custody_domains",
                                        "holdfast_hsm",
                                        "holdfast_tokend",
                                        NULL};
static const char *const key_in_token_keys[] = {"uri", "module", "pin_file",
                                                NULL};
static const char *const tls_keys[] = {"certificate", "key", "key_in_token",
                                       "client_ca",   "crl", NULL};

static bool is_address(const char *text)
{
    struct in6_addr address;
    return inet_pton(AF_INET, text, &address) == 1 ||
           inet_pton(AF_INET6, text, &address) == 1;
}

/* ADDRESS:PORT, an IPv6 address in brackets. */
static bool split_listen(const char *text, struct config *out)
{
    char copy[EDGE_LISTEN_ADDRESS_BYTES + 8];
    if (text_copy(copy, sizeof copy, text) != HF_OK) {
        return false;
    }
    char *colon = strrchr(copy, ':');
    size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;
    if (digits == 0 || digits > 5 || colon[1 + digits] != '\0') {
        return false;
    }
    unsigned long port = strtoul(colon + 1, NULL, 10);
    *colon = '\0';
    char *address = copy;
    size_t len = strlen(address);
    bool bracketed = len > 2 && address[0] == '[' && address[len - 1] == ']';
    if (bracketed) {
        address[len - 1] = '\0';
        address++;
    }
    if (port > UINT16_MAX || !is_address(address) ||
        bracketed != (strchr(address, ':') != NULL)) {
        return false;
    }
    out->listen_port = (uint16_t)port;
    return text_copy(out->listen_address, sizeof out->listen_address,
                     address) == HF_OK;
}

static void read_listen(struct yaml_reader *reader,
                        const struct yaml_place *root, struct config *out)
{
    struct yaml_place place = yaml_member(reader, root, "listen");
    char text[EDGE_LISTEN_ADDRESS_BYTES + 8];
    if (yaml_text(reader, &place, text, sizeof text) &&
        !split_listen(text, out)) {
        yaml_mistake(reader, place.line,
                     "listen is \"%s\"; ADDRESS:PORT is expected, for example "
                     "127.0.0.1:7443 or [::1]:7443",
                     text);
    }
}

/* A file of the TLS section, readable. */
static void read_file(struct yaml_reader *reader, const struct yaml_place *tls,
                      const char *key, char out[CONFIG_PATH_BYTES])
{
    struct yaml_place place = yaml_member(reader, tls, key);
    if (yaml_path(reader, &place, out) && access(out, R_OK) != 0) {
        yaml_mistake(reader, place.line, "%s: %s: %s", place.name, out,
                     strerror(errno));
    }
}

/* RFC 7512: a key of a token, never the PIN. */
static void read_key_in_token(struct yaml_reader *reader,
                              const struct yaml_place *in_token,
                              struct config *out)
{
    struct pkcs11_uri uri;
    const char *why = NULL;
    struct yaml_place place = yaml_member(reader, in_token, "uri");
    if (yaml_text(reader, &place, out->key_uri, sizeof out->key_uri) &&
        (pkcs11_uri_parse(out->key_uri, &uri, &why) != HF_OK ||
         uri.token[0] == '\0' || (uri.object[0] == '\0' && uri.id_len == 0))) {
        yaml_mistake(reader, place.line,
                     "%s is not an RFC 7512 URI of a key without a PIN: "
                     "pkcs11:token=NAME;object=NAME;type=private",
                     place.name);
    }
    read_file(reader, in_token, "module", out->key_module);
    read_file(reader, in_token, "pin_file", out->key_pin_file);
}

static void read_key(struct yaml_reader *reader, const struct yaml_place *tls,
                     struct config *out)
{
    struct yaml_place in_token = yaml_member(reader, tls, "key_in_token");
    struct yaml_place key = yaml_member(reader, tls, "key");
    if (in_token.node == NULL) {
        read_file(reader, tls, "key", out->key);
    } else if (key.node != NULL) {
        yaml_mistake(reader, in_token.line,
                     "key and key_in_token: give one of them");
    } else if (yaml_map(reader, &in_token, key_in_token_keys)) {
        read_key_in_token(reader, &in_token, out);
    }
}

static bool says_none(const struct yaml_place *place)
{
    return place->node != NULL && place->node->type == YAML_SCALAR_NODE &&
           strcmp((const char *)place->node->data.scalar.value,
                  EDGE_CRL_NONE) == 0;
}

static void read_tls(struct yaml_reader *reader, const struct yaml_place *root,
                     struct config *out)
{
    struct yaml_place tls = yaml_member(reader, root, "tls");
    if (!yaml_map(reader, &tls, tls_keys)) {
        return;
    }
    read_file(reader, &tls, "certificate", out->certificate);
    read_key(reader, &tls, out);
    read_file(reader, &tls, "client_ca", out->client_ca);
    struct yaml_place crl = yaml_member(reader, &tls, "crl");
    if (says_none(&crl)) {
        memcpy(out->crl, EDGE_CRL_NONE, sizeof EDGE_CRL_NONE);
    } else {
        read_file(reader, &tls, "crl", out->crl);
    }
}

/* What has its place in state_dir unless it is named. */
static void read_place(struct yaml_reader *reader,
                       const struct yaml_place *root, const char *key,
                       const char *otherwise, char out[CONFIG_PATH_BYTES])
{
    struct yaml_place state = yaml_member(reader, root, "state_dir");
    struct yaml_place place = yaml_member(reader, root, key);
    if (place.node != NULL) {
        if (!yaml_path(reader, &place, out)) {
            out[0] = '\0';
        }
        return;
    }
    char folder[CONFIG_PATH_BYTES];
    memcpy(folder, out, sizeof folder);
    int len = snprintf(out, CONFIG_PATH_BYTES, "%s/%s", folder, otherwise);
    if (len < 0 || len >= CONFIG_PATH_BYTES) {
        yaml_mistake(reader, state.line, "state_dir: the path is too long");
    }
}

static void read_places(struct yaml_reader *reader,
                        const struct yaml_place *root, struct config *out)
{
    struct yaml_place state = yaml_member(reader, root, "state_dir");
    if (!yaml_path(reader, &state, out->state_dir)) {
        return;
    }
    memcpy(out->store, out->state_dir, sizeof out->store);
    memcpy(out->spool, out->state_dir, sizeof out->spool);
    read_place(reader, root, "store", "holdfast.db", out->store);
    read_place(reader, root, "spool", "spool", out->spool);
}

static void read_program(struct yaml_reader *reader,
                         const struct yaml_place *root, const char *key,
                         char out[CONFIG_PATH_BYTES])
{
    struct yaml_place place = yaml_member(reader, root, key);
    if (place.node != NULL && yaml_path(reader, &place, out) &&
        access(out, X_OK) != 0) {
        yaml_mistake(reader, place.line, "%s: %s: %s", place.name, out,
                     strerror(errno));
    }
}

static void read_log_level(struct yaml_reader *reader,
                           const struct yaml_place *root, struct config *out)
{
    static const char *const words[] = {"debug", "info", "warn", NULL};
    struct yaml_place place = yaml_member(reader, root, "log_level");
    int choice = place.node != NULL ? yaml_choice(reader, &place, words) : 1;
    out->log_level = choice == 0   ? LOG_DEBUG
                     : choice == 2 ? LOG_WARN
                                   : LOG_INFO;
}

static bool shares(const struct config_token *tokens, size_t count,
                   const char *module)
{
    for (size_t i = 0; i < count; i++) {
        if (tokens[i].in_process && strcmp(tokens[i].module, module) == 0) {
            return true;
        }
    }
    return false;
}

/* A renewal of the one would take the module from under the other. */
static void check_key_module(struct yaml_reader *reader,
                             const struct config *config)
{
    const char *module = config->key_module;
    if (module[0] != '\0' &&
        (shares(&config->service_token, 1, module) ||
         shares(config->service_mirrors, config->service_mirror_count,
                module) ||
         shares(&config->ak_token, 1, module) ||
         shares(config->ak_mirrors, config->ak_mirror_count, module) ||
         shares(&config->sharepoint_ak_token, 1, module) ||
         shares(config->tokens, config->token_count, module))) {
        yaml_mistake(reader, 0,
                     "tls.key_in_token.module is also that of a token with "
                     "isolation: none; give that token isolation: process");
    }
}

static HF_STATUS read_all(struct yaml_reader *reader, struct config *out)
{
    struct yaml_place root = yaml_root(reader);
    if (!yaml_map(reader, &root, root_keys)) {
        return HF_OK; /* there is nothing more to say */
    }
    struct yaml_place limits = yaml_member(reader, &root, "limits");
    struct yaml_place people = yaml_member(reader, &root, "identities");
    read_listen(reader, &root, out);
    read_places(reader, &root, out);
    read_program(reader, &root, "holdfast_hsm", out->hsm_program);
    read_program(reader, &root, "holdfast_tokend", out->tokend_program);
    read_tls(reader, &root, out);
    HF_TRY(config_tokens_read(reader, &root, out));
    check_key_module(reader, out);
    HF_TRY(config_people_read(reader, &people, out));
    config_limits_read(reader, &limits, &out->limits);
    read_log_level(reader, &root, out);
    return HF_OK;
}

HF_STATUS config_load(const char *path, struct config **out_config,
                      struct config_mistakes *out_mistakes)
{
    out_mistakes->count = 0;
    HF_OWNED(config_freep) struct config *config = calloc(1, sizeof *config);
    if (config == NULL) {
        return HF_E_NO_MEMORY;
    }
    struct yaml_reader reader;
    if (!yaml_reader_open(&reader, path, out_mistakes)) {
        return HF_E_INVALID;
    }
    if (text_copy(config->path, sizeof config->path, path) != HF_OK) {
        yaml_mistake(&reader, 0, "the path is longer than %d bytes",
                     CONFIG_PATH_BYTES - 1);
    }
    enum hf_status status = read_all(&reader, config);
    yaml_reader_close(&reader);
    HF_TRY(status);
    if (out_mistakes->count > 0) {
        return HF_E_INVALID;
    }
    *out_config = HF_GIVE(config);
    return HF_OK;
}

void config_free(struct config *config)
{
    if (config != NULL) {
        free(config->tokens);
        free(config->domains);
        free(config->identities);
        free(config);
    }
}

static bool same_token(const struct config_token *a,
                       const struct config_token *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->module, b->module) == 0 &&
           strcmp(a->label, b->label) == 0 &&
           strcmp(a->serial, b->serial) == 0 &&
           strcmp(a->pin_file, b->pin_file) == 0 && a->sync == b->sync &&
           a->pin == b->pin && strcmp(a->activation, b->activation) == 0 &&
           strcmp(a->worker_socket, b->worker_socket) == 0 &&
           strcmp(a->sync_path, b->sync_path) == 0 &&
           a->in_process == b->in_process &&
           a->worker_memory_mb == b->worker_memory_mb &&
           strcmp(a->custody_domain, b->custody_domain) == 0;
}

static bool same_mirrors(const struct config *a, const struct config *b)
{
    bool same = a->ak_mirror_count == b->ak_mirror_count;
    for (size_t i = 0; same && i < a->ak_mirror_count; i++) {
        same = same_token(&a->ak_mirrors[i], &b->ak_mirrors[i]) &&
               a->ak_mirrors[i].sharepoint == b->ak_mirrors[i].sharepoint;
    }
    return same;
}

static bool same_tokens(const struct config *a, const struct config *b)
{
    bool same =
        a->token_count == b->token_count && a->domain_count == b->domain_count;
    for (size_t i = 0; same && i < a->token_count; i++) {
        same = same_token(&a->tokens[i], &b->tokens[i]);
    }
    for (size_t i = 0; same && i < a->domain_count; i++) {
        same = strcmp(a->domains[i].name, b->domains[i].name) == 0 &&
               strcmp(a->domains[i].pem, b->domains[i].pem) == 0;
    }
    return same;
}

static bool same_service(const struct config *a, const struct config *b)
{
    bool same = same_token(&a->service_token, &b->service_token) &&
                a->service_mirror_count == b->service_mirror_count;
    for (size_t i = 0; same && i < a->service_mirror_count; i++) {
        same = same_token(&a->service_mirrors[i], &b->service_mirrors[i]);
    }
    return same;
}

static bool same_tls(const struct config *a, const struct config *b)
{
    return strcmp(a->certificate, b->certificate) == 0 &&
           strcmp(a->key, b->key) == 0 && strcmp(a->key_uri, b->key_uri) == 0 &&
           strcmp(a->key_module, b->key_module) == 0 &&
           strcmp(a->key_pin_file, b->key_pin_file) == 0 &&
           strcmp(a->client_ca, b->client_ca) == 0 &&
           strcmp(a->crl, b->crl) == 0;
}

const char *config_restart_needed(const struct config *running,
                                  const struct config *wanted)
{
    const struct {
        const char *name;
        bool same;
    } parts[] = {
        {"listen",
         strcmp(running->listen_address,                                                 wanted->listen_address) == 0 &&
             running->listen_port == wanted->listen_port                     },
        {"state_dir",                                  strcmp(running->state_dir,        wanted->state_dir) == 0     },
        {"store",                                      strcmp(running->store,            wanted->store) == 0         },
        {"spool",                                      strcmp(running->spool,            wanted->spool) == 0         },
        {"tls (paths)",                                same_tls(running,                 wanted)                     },
        {"service_token or service_mirrors",           same_service(running,             wanted)                     },
        {"sharepoint_ak_token or sharepoint_ak_scope",
         running->has_sharepoint_ak == wanted->has_sharepoint_ak &&
             running->sharepoint_ak_shared == wanted->sharepoint_ak_shared &&
             same_token(&running->sharepoint_ak_token,
         &wanted->sharepoint_ak_token)                                                                               },
        {"ak_token",                                   same_token(&running->ak_token,    &wanted->ak_token)          },
        {"ak_mirrors or sharepoint_ak_mirrors",        same_mirrors(running,             wanted)                     },
        {"tokens or custody_domains",                  same_tokens(running,              wanted)                     },
        {"holdfast_hsm",
         strcmp(running->hsm_program,                                                    wanted->hsm_program) == 0   },
        {"holdfast_tokend",
         strcmp(running->tokend_program,                                                 wanted->tokend_program) == 0},
        {"limits",                                     bytes_equal((struct bytes){(const uint8_t *)&running->limits,
                                              sizeof running->limits},
         (struct bytes){(const uint8_t *)&wanted->limits,
                                              sizeof wanted->limits})                                                },
    };
    for (size_t i = 0; i < HF_COUNT(parts); i++) {
        if (!parts[i].same) {
            return parts[i].name;
        }
    }
    return NULL;
}
