#include "server/app/config_people.h"

#include "server/domain/access.h"
#include "server/domain/dep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OF_NO_TENANT ((uint32_t)(ROLE_OPERATOR | ROLE_AUDITOR))

/* spiffe://trust-domain/path, no '?', '#', '%', empty or dot segments: as the
 * SPIFFE ID specification has it, and as certificates are held to. */
static bool is_spiffe_id(const char *uri)
{
    static const char scheme[] = "spiffe://";
    if (strncmp(uri, scheme, sizeof scheme - 1) != 0) {
        return false;
    }
    const char *domain = uri + sizeof scheme - 1;
    size_t domain_len =
        strspn(domain, "abcdefghijklmnopqrstuvwxyz0123456789.-_");
    const char *at = domain + domain_len;
    if (domain_len == 0 || *at != '/') {
        return false;
    }
    while (*at == '/') {
        const char *segment = at + 1;
        size_t len = strspn(segment, "abcdefghijklmnopqrstuvwxyz"
                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
        bool is_dots = (len == 1 && segment[0] == '.') ||
                       (len == 2 && segment[0] == '.' && segment[1] == '.');
        if (len == 0 || is_dots) {
            return false;
        }
        at = segment + len;
    }
    return *at == '\0';
}

static void list_roles(char *out, size_t cap)
{
    size_t at = 0;
    for (unsigned bit = 0; bit < ROLE_BITS && at < cap; bit++) {
        int n = snprintf(out + at, cap - at, "%s%s", bit == 0 ? "" : ", ",
                         role_text((enum role)(1u << bit)));
        at += n > 0 ? (size_t)n : 0;
    }
}

static uint32_t read_roles(struct yaml_reader *reader,
                           const struct yaml_place *place)
{
    uint32_t roles = 0;
    size_t count = yaml_count(reader, place, ROLE_BITS);
    for (size_t i = 0; i < count; i++) {
        struct yaml_place one = yaml_item(reader, place, i);
        char text[64];
        if (!yaml_text(reader, &one, text, sizeof text)) {
            continue;
        }
        uint32_t role = role_parse(text);
        if (role == 0 || (roles & role) != 0) {
            char list[240];
            list_roles(list, sizeof list);
            yaml_mistake(reader, one.line, "%s: \"%s\" is %s; roles are %s",
                         one.name, text, role == 0 ? "no role" : "named twice",
                         list);
        }
        roles |= role;
    }
    return roles;
}

/* and which roles go with a tenant. */
static void check_roles(struct yaml_reader *reader,
                        const struct yaml_place *place,
                        const struct rpc_identity *who)
{
    if (who->roles == 0) {
        yaml_mistake(reader, place->line, "%s has no role: at least one",
                     place->name);
    } else if (roles_conflict(who->roles)) {
        yaml_mistake(reader, place->line,
                     "%s: vault-contributor and a workload role cannot go "
                     "together (R-13.2); use two identities",
                     place->name);
    } else if (who->tenant[0] == '\0' && (who->roles & ~OF_NO_TENANT) != 0) {
        yaml_mistake(reader, place->line,
                     "%s has no tenant: then its roles can only be operator "
                     "and auditor",
                     place->name);
    } else if (who->tenant[0] != '\0' && (who->roles & ROLE_OPERATOR) != 0) {
        yaml_mistake(reader, place->line,
                     "%s: operator is for the service's own people; leave "
                     "tenant out",
                     place->name);
    }
}

static void read_one(struct yaml_reader *reader, const struct yaml_place *place,
                     struct rpc_identity *out)
{
    static const char *const known[] = {"uri", "tenant", "roles", NULL};
    if (!yaml_map(reader, place, known)) {
        return;
    }
    struct yaml_place uri = yaml_member(reader, place, "uri");
    struct yaml_place tenant = yaml_member(reader, place, "tenant");
    struct yaml_place roles = yaml_member(reader, place, "roles");
    if (yaml_text(reader, &uri, out->uri, sizeof out->uri) &&
        !is_spiffe_id(out->uri)) {
        yaml_mistake(reader, uri.line,
                     "%s: \"%.80s\" is no SPIFFE ID: "
                     "spiffe://trust-domain/path",
                     uri.name, out->uri);
    }
    if (tenant.node != NULL &&
        yaml_text(reader, &tenant, out->tenant, sizeof out->tenant) &&
        !name_is_valid(out->tenant)) {
        yaml_mistake(reader, tenant.line,
                     "%s: \"%s\" is no tenant's name: 1 to %d of letters, "
                     "digits, '_', '-' and '.'",
                     tenant.name, out->tenant, HF_NAME_MAX_BYTES);
    }
    out->roles = read_roles(reader, &roles);
    check_roles(reader, place, out);
}

struct entry {
    const char *uri;
    size_t index;
};

static int order(const void *a, const void *b)
{
    const struct entry *left = a;
    const struct entry *right = b;
    int by_uri = strcmp(left->uri, right->uri);
    return by_uri != 0 ? by_uri : (left->index > right->index ? 1 : -1);
}

static HF_STATUS find_repeats(struct yaml_reader *reader,
                              const struct yaml_place *list,
                              const struct config *config)
{
    size_t count = config->identity_count;
    struct entry *entries = calloc(count + 1, sizeof *entries);
    if (entries == NULL) {
        return HF_E_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        entries[i] = (struct entry){config->identities[i].uri, i};
    }
    qsort(entries, count, sizeof *entries, order);
    for (size_t i = 1; i < count; i++) {
        if (entries[i].uri[0] != '\0' &&
            strcmp(entries[i - 1].uri, entries[i].uri) == 0) {
            struct yaml_place first =
                yaml_item(reader, list, entries[i - 1].index);
            struct yaml_place again = yaml_item(reader, list, entries[i].index);
            yaml_mistake(reader, again.line,
                         "%s: %.120s stands in line %zu already", again.name,
                         entries[i].uri, first.line);
        }
    }
    free(entries);
    return HF_OK;
}

HF_STATUS config_people_read(struct yaml_reader *reader,
                             const struct yaml_place *place, struct config *out)
{
    size_t count = yaml_count(reader, place, CONFIG_IDENTITIES_MAX);
    if (count == 0) {
        yaml_mistake(reader, place->line,
                     "identities: at least one is needed, else nobody can "
                     "call");
        return HF_OK;
    }
    out->identities = calloc(count, sizeof *out->identities);
    if (out->identities == NULL) {
        return HF_E_NO_MEMORY;
    }
    out->identity_count = count;
    for (size_t i = 0; i < count; i++) {
        struct yaml_place one = yaml_item(reader, place, i);
        read_one(reader, &one, &out->identities[i]);
    }
    return find_repeats(reader, place, out);
}
