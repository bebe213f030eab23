#include "server/app/config_tokens.h"

#include "hsm/base/bytes.h"

#include "hsm/sys/signature.h"

#include "server/domain/dep.h"

#include "server/app/config_worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_KEYS                                                             \
    "module", "label", "serial", "sync", "sync_path", CONFIG_WORKER_KEYS
static const char *const own_keys[] = {TOKEN_KEYS, NULL};
static const char *const geo_ak_keys[] = {TOKEN_KEYS, "name", NULL};
static const char *const ak_keys[] = {TOKEN_KEYS, "name", "capacity_objects",
                                      NULL};
static const char *const customer_keys[] = {TOKEN_KEYS, "name",
                                            "custody_domain", NULL};
static const char *const domain_keys[] = {"name", "custodian_key", NULL};

static void read_name(struct yaml_reader *reader,
                      const struct yaml_place *place, char *out)
{
    if (yaml_text(reader, place, out, HF_NAME_MAX_BYTES + 1) &&
        !name_is_valid(out)) {
        yaml_mistake(reader, place->line,
                     "%s is \"%s\"; 1 to %d of letters, digits, '_', '-' and "
                     "'.' are expected",
                     place->name, out, HF_NAME_MAX_BYTES);
    }
}

static void check_exists(struct yaml_reader *reader,
                         const struct yaml_place *place, const char *path,
                         int mode)
{
    if (access(path, mode) != 0) {
        yaml_mistake(reader, place->line, "%s: %s: %s", place->name, path,
                     strerror(errno));
    }
}

static void read_sync(struct yaml_reader *reader, const struct yaml_place *map,
                      struct config_token *out)
{
    static const char *const words[] = {"none", "syncfs", NULL};
    struct yaml_place sync = yaml_member(reader, map, "sync");
    struct yaml_place path = yaml_member(reader, map, "sync_path");
    int choice = yaml_choice(reader, &sync, words);
    out->sync = choice == 1 ? PKCS11_SYNC_SYNCFS : PKCS11_SYNC_NONE;
    if (choice == 1 && yaml_path(reader, &path, out->sync_path)) {
        check_exists(reader, &path, out->sync_path, R_OK | X_OK);
    }
    if (choice == 0 && path.node != NULL) {
        yaml_mistake(reader, path.line, "%s goes with sync: syncfs only",
                     path.name);
    }
}

/* Of one that is opened here, or whose worker is started here. */
static void read_opening(struct yaml_reader *reader,
                         const struct yaml_place *place,
                         struct config_token *out)
{
    struct yaml_place module = yaml_member(reader, place, "module");
    if (yaml_path(reader, &module, out->module)) {
        check_exists(reader, &module, out->module, R_OK);
    }
    read_sync(reader, place, out);
    config_worker_read(reader, place, out);
}

static void read_token(struct yaml_reader *reader,
                       const struct yaml_place *place, const char *const *known,
                       struct config_token *out)
{
    out->line = place->line;
    if (!yaml_map(reader, place, known)) {
        return;
    }
    struct yaml_place label = yaml_member(reader, place, "label");
    struct yaml_place serial = yaml_member(reader, place, "serial");
    if (!yaml_text(reader, &label, out->label, sizeof out->label)) {
        out->label[0] = '\0';
    }
    if (serial.node != NULL &&
        !yaml_text(reader, &serial, out->serial, sizeof out->serial)) {
        out->serial[0] = '\0';
    }
    if (!config_worker_listens(reader, place, out)) {
        read_opening(reader, place, out);
    }
    struct yaml_place name = yaml_member(reader, place, "name");
    if (known != customer_keys && name.node != NULL) {
        read_name(reader, &name, out->name);
    }
    if (known == customer_keys) {
        struct yaml_place domain = yaml_member(reader, place, "custody_domain");
        read_name(reader, &name, out->name);
        read_name(reader, &domain, out->custody_domain);
    }
}

static void read_capacity(struct yaml_reader *reader,
                          const struct yaml_place *place,
                          struct config_token *out)
{
    struct yaml_place one = yaml_member(reader, place, "capacity_objects");
    uint32_t value = 0;
    if (one.node != NULL && yaml_number(reader, &one, 1, UINT32_MAX, &value)) {
        out->capacity_objects = value;
    }
}

/* The public key, so that an enrolment can be verified. */
static void read_pem(struct yaml_reader *reader, const struct yaml_place *place,
                     struct config_domain *out)
{
    FILE *file = fopen(out->custodian_key, "re");
    if (file == NULL) {
        yaml_mistake(reader, place->line, "%s: %s: %s", place->name,
                     out->custodian_key, strerror(errno));
        return;
    }
    size_t len = fread(out->pem, 1, sizeof out->pem - 1, file);
    bool whole = feof(file) != 0 && ferror(file) == 0;
    fclose(file);
    out->pem[len] = '\0';
    uint8_t fingerprint[HF_SHA256_BYTES];
    struct bytes pem = {(const uint8_t *)out->pem, len};
    if (!whole || signature_key_fingerprint(pem, fingerprint) != HF_OK) {
        yaml_mistake(reader, place->line,
                     "%s: %s is no public key of the kinds ECDSA P-256 and "
                     "Ed25519 in PEM",
                     place->name, out->custodian_key);
    }
}

static void read_domain(struct yaml_reader *reader,
                        const struct yaml_place *place,
                        struct config_domain *out)
{
    out->line = place->line;
    if (!yaml_map(reader, place, domain_keys)) {
        return;
    }
    struct yaml_place name = yaml_member(reader, place, "name");
    struct yaml_place key = yaml_member(reader, place, "custodian_key");
    read_name(reader, &name, out->name);
    if (yaml_path(reader, &key, out->custodian_key)) {
        read_pem(reader, &key, out);
    }
}

static void check_domains(struct yaml_reader *reader,
                          const struct config *config)
{
    for (size_t i = 0; i < config->domain_count; i++) {
        const struct config_domain *domain = &config->domains[i];
        for (size_t j = 0; j < i && domain->name[0] != '\0'; j++) {
            if (strcmp(config->domains[j].name, domain->name) == 0) {
                yaml_mistake(reader, domain->line,
                             "custody_domains: \"%s\" stands in line %zu "
                             "already",
                             domain->name, config->domains[j].line);
            }
        }
    }
}

static bool domain_exists(const struct config *config, const char *name)
{
    size_t i = 0;
    while (i < config->domain_count &&
           strcmp(config->domains[i].name, name) != 0) {
        i++;
    }
    return i < config->domain_count;
}

static bool is_same_token(const struct config_token *a,
                          const struct config_token *b)
{
    return a->label[0] != '\0' && strcmp(a->module, b->module) == 0 &&
           strcmp(a->label, b->label) == 0 &&
           strcmp(a->serial, b->serial) == 0 &&
           strcmp(a->worker_socket, b->worker_socket) == 0;
}

/* Roots that belong into different hands are not in one token. */
static void check_distinct(struct yaml_reader *reader,
                           const struct config_token *token,
                           const struct config_token *other)
{
    if (is_same_token(token, other)) {
        yaml_mistake(reader, token->line,
                     "the token \"%s\" is the one of line %zu; each part "
                     "needs a token of its own",
                     token->label, other->line);
    }
}

static void check_mirrors(struct yaml_reader *reader,
                          const struct config *config)
{
    for (size_t i = 0; i < config->service_mirror_count; i++) {
        const struct config_token *mirror = &config->service_mirrors[i];
        check_distinct(reader, mirror, &config->service_token);
        check_distinct(reader, mirror, &config->ak_token);
        check_distinct(reader, mirror, &config->sharepoint_ak_token);
        for (size_t j = 0; j < i; j++) {
            check_distinct(reader, mirror, &config->service_mirrors[j]);
        }
        for (size_t j = 0; j < config->token_count; j++) {
            check_distinct(reader, &config->tokens[j], mirror);
        }
    }
}

static void check_ak_names(struct yaml_reader *reader,
                           const struct config *config, size_t at)
{
    const struct config_token *mirror = &config->ak_mirrors[at];
    bool taken = strcmp(mirror->name, config_ak_name(config, false)) == 0 ||
                 strcmp(mirror->name, config_ak_name(config, true)) == 0;
    for (size_t i = 0; i < at && !taken; i++) {
        taken = strcmp(mirror->name, config->ak_mirrors[i].name) == 0;
    }
    if (taken) {
        yaml_mistake(reader, mirror->line,
                     "\"%s\" is another token of availability keys already",
                     mirror->name);
    }
}

static void check_ak_mirrors(struct yaml_reader *reader,
                             const struct config *config)
{
    for (size_t i = 0; i < config->ak_mirror_count; i++) {
        const struct config_token *mirror = &config->ak_mirrors[i];
        check_distinct(reader, mirror, &config->service_token);
        check_distinct(reader, mirror, &config->ak_token);
        check_distinct(reader, mirror, &config->sharepoint_ak_token);
        for (size_t j = 0; j < i; j++) {
            check_distinct(reader, mirror, &config->ak_mirrors[j]);
        }
        for (size_t j = 0; j < config->service_mirror_count; j++) {
            check_distinct(reader, mirror, &config->service_mirrors[j]);
        }
        for (size_t j = 0; j < config->token_count; j++) {
            check_distinct(reader, &config->tokens[j], mirror);
        }
        check_ak_names(reader, config, i);
    }
}

static void check_tokens(struct yaml_reader *reader,
                         const struct config *config)
{
    check_mirrors(reader, config);
    check_ak_mirrors(reader, config);
    check_distinct(reader, &config->ak_token, &config->service_token);
    check_distinct(reader, &config->sharepoint_ak_token,
                   &config->service_token);
    check_distinct(reader, &config->sharepoint_ak_token, &config->ak_token);
    for (size_t i = 0; i < config->token_count; i++) {
        const struct config_token *token = &config->tokens[i];
        check_distinct(reader, token, &config->service_token);
        check_distinct(reader, token, &config->ak_token);
        check_distinct(reader, token, &config->sharepoint_ak_token);
        for (size_t j = 0; j < i; j++) {
            const struct config_token *other = &config->tokens[j];
            check_distinct(reader, token, other);
            if (token->name[0] != '\0' &&
                strcmp(token->name, other->name) == 0) {
                yaml_mistake(reader, token->line,
                             "tokens: \"%s\" stands in line %zu already",
                             token->name, other->line);
            }
        }
        if (token->custody_domain[0] != '\0' &&
            !domain_exists(config, token->custody_domain)) {
            yaml_mistake(reader, token->line,
                         "tokens[%zu].custody_domain: \"%s\" is not among the "
                         "custody_domains of this file",
                         i, token->custody_domain);
        }
    }
}

static HF_STATUS read_domains(struct yaml_reader *reader,
                              const struct yaml_place *list, struct config *out)
{
    size_t count = yaml_count(reader, list, CONFIG_TOKENS_MAX);
    out->domains = calloc(count + 1, sizeof *out->domains);
    if (out->domains == NULL) {
        return HF_E_NO_MEMORY;
    }
    out->domain_count = count;
    for (size_t i = 0; i < count; i++) {
        struct yaml_place one = yaml_item(reader, list, i);
        read_domain(reader, &one, &out->domains[i]);
    }
    check_domains(reader, out);
    return HF_OK;
}

/* apart from the mailboxes': one for each geo, or for all. */
static void read_sharepoint(struct yaml_reader *reader,
                            const struct yaml_place *root, struct config *out)
{
    static const char *const scopes[] = {"per-dep", "per-deployment", NULL};
    struct yaml_place token = yaml_member(reader, root, "sharepoint_ak_token");
    struct yaml_place scope = yaml_member(reader, root, "sharepoint_ak_scope");
    out->has_sharepoint_ak = token.node != NULL;
    if (out->has_sharepoint_ak) {
        read_token(reader, &token, geo_ak_keys, &out->sharepoint_ak_token);
    }
    if (scope.node == NULL) {
        return;
    }
    out->sharepoint_ak_shared = yaml_choice(reader, &scope, scopes) == 1;
    if (!out->has_sharepoint_ak) {
        yaml_mistake(reader, scope.line,
                     "%s goes with sharepoint_ak_token only", scope.name);
    }
}

static void read_mirrors(struct yaml_reader *reader,
                         const struct yaml_place *root, struct config *out)
{
    struct yaml_place list = yaml_member(reader, root, "service_mirrors");
    if (list.node == NULL) {
        return;
    }
    out->service_mirror_count = yaml_count(reader, &list, MIRRORS_MAX - 1);
    for (size_t i = 0; i < out->service_mirror_count; i++) {
        struct yaml_place one = yaml_item(reader, &list, i);
        read_token(reader, &one, own_keys, &out->service_mirrors[i]);
    }
}

static void settle(struct yaml_reader *reader, struct config *out)
{
    const char *folder = out->state_dir;
    config_worker_settle(reader, folder, "service", &out->service_token);
    for (size_t i = 0; i < out->service_mirror_count; i++) {
        char name[sizeof "service-mirror-1"];
        snprintf(name, sizeof name, "service-mirror-%zu", i % 10);
        config_worker_settle(reader, folder, name, &out->service_mirrors[i]);
    }
    config_worker_settle(reader, folder, "ak", &out->ak_token);
    config_worker_settle(reader, folder, "sharepoint-ak",
                         &out->sharepoint_ak_token);
    for (size_t i = 0; i < out->ak_mirror_count; i++) {
        char name[HF_NAME_MAX_BYTES + sizeof "ak-"];
        snprintf(name, sizeof name, "ak-%s", out->ak_mirrors[i].name);
        config_worker_settle(reader, folder, name, &out->ak_mirrors[i]);
    }
    for (size_t i = 0; i < out->token_count; i++) {
        config_worker_settle(reader, folder, out->tokens[i].name,
                             &out->tokens[i]);
    }
}

/* */
static void read_mirrors_of_ak(struct yaml_reader *reader,
                               const struct yaml_place *root, const char *key,
                               struct config *out)
{
    bool sharepoint = strcmp(key, "ak_mirrors") != 0;
    struct yaml_place list = yaml_member(reader, root, key);
    if (list.node == NULL) {
        return;
    }
    if (sharepoint && !out->has_sharepoint_ak) {
        yaml_mistake(reader, list.line, "%s goes with sharepoint_ak_token only",
                     list.name);
    }
    size_t count = yaml_count(reader, &list, CONFIG_AK_MIRRORS_MAX / 2);
    for (size_t i = 0; i < count; i++) {
        struct yaml_place one = yaml_item(reader, &list, i);
        struct config_token *mirror = &out->ak_mirrors[out->ak_mirror_count++];
        mirror->sharepoint = sharepoint;
        read_token(reader, &one, ak_keys, mirror);
        read_capacity(reader, &one, mirror);
        if (mirror->name[0] == '\0') {
            yaml_mistake(reader, one.line, "%s[%zu] needs a name", key, i);
        }
    }
}

#define AK_NAME     "ak"
#define GEO_AK_NAME "sharepoint-ak"

const char *config_ak_name(const struct config *config, bool sharepoint)
{
    const char *given =
        sharepoint ? config->sharepoint_ak_token.name : config->ak_token.name;
    if (given[0] != '\0') {
        return given;
    }
    return sharepoint ? GEO_AK_NAME : AK_NAME;
}

const struct config_token *config_ak_token(const struct config *config,
                                           bool sharepoint, const char *name)
{
    if (name[0] == '\0' ||
        strcmp(name, config_ak_name(config, sharepoint)) == 0) {
        return !sharepoint                 ? &config->ak_token
               : config->has_sharepoint_ak ? &config->sharepoint_ak_token
                                           : NULL;
    }
    for (size_t i = 0; i < config->ak_mirror_count; i++) {
        const struct config_token *mirror = &config->ak_mirrors[i];
        if (mirror->sharepoint == sharepoint &&
            strcmp(mirror->name, name) == 0) {
            return mirror;
        }
    }
    return NULL;
}

bool config_ak_has_mirrors(const struct config *config, bool sharepoint)
{
    for (size_t i = 0; i < config->ak_mirror_count; i++) {
        if (config->ak_mirrors[i].sharepoint == sharepoint) {
            return true;
        }
    }
    return false;
}

HF_STATUS config_tokens_read(struct yaml_reader *reader,
                             const struct yaml_place *root, struct config *out)
{
    struct yaml_place service = yaml_member(reader, root, "service_token");
    struct yaml_place ak = yaml_member(reader, root, "ak_token");
    struct yaml_place domains = yaml_member(reader, root, "custody_domains");
    struct yaml_place tokens = yaml_member(reader, root, "tokens");
    read_token(reader, &service, own_keys, &out->service_token);
    read_mirrors(reader, root, out);
    read_token(reader, &ak, ak_keys, &out->ak_token);
    read_sharepoint(reader, root, out);
    read_capacity(reader, &ak, &out->ak_token);
    read_mirrors_of_ak(reader, root, "ak_mirrors", out);
    read_mirrors_of_ak(reader, root, "sharepoint_ak_mirrors", out);
    HF_TRY(read_domains(reader, &domains, out));
    size_t count = yaml_count(reader, &tokens, CONFIG_TOKENS_MAX);
    out->tokens = calloc(count + 1, sizeof *out->tokens);
    if (out->tokens == NULL) {
        return HF_E_NO_MEMORY;
    }
    out->token_count = count;
    for (size_t i = 0; i < count; i++) {
        struct yaml_place one = yaml_item(reader, &tokens, i);
        read_token(reader, &one, customer_keys, &out->tokens[i]);
    }
    settle(reader, out);
    check_tokens(reader, out);
    return HF_OK;
}
