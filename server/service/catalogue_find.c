/* catalogue_find: looking things up in the catalogue; its lock is held. */
#include "server/service/catalogue.h"

#include <string.h>

struct tenant_entry *catalogue_tenant(struct catalogue *catalogue,
                                      const char *name)
{
    char folded[HF_NAME_MAX_BYTES + 1];
    name_fold(name, folded);
    return table_get(catalogue->tenants_by_name, bytes_of_text(folded));
}

struct tenant_entry *catalogue_tenant_by_id(struct catalogue *catalogue,
                                            const struct hf_id *id)
{
    return table_get(catalogue->tenants_by_id, BYTES_OF(id->bytes));
}

static bool same_name(const char *a, const char *b)
{
    char folded_a[HF_NAME_MAX_BYTES + 1];
    char folded_b[HF_NAME_MAX_BYTES + 1];
    name_fold(a, folded_a);
    name_fold(b, folded_b);
    return strcmp(folded_a, folded_b) == 0;
}

struct token_entry *catalogue_token(struct catalogue *catalogue,
                                    const struct tenant_entry *tenant,
                                    const char *name)
{
    for (struct token_entry *token = catalogue->tokens; token != NULL;
         token = token->next) {
        if (token->tenant == tenant && same_name(token->record.name, name)) {
            return token;
        }
    }
    return NULL;
}

static struct key_entry *key_in_state(struct catalogue *catalogue,
                                      const struct tenant_entry *tenant,
                                      const char *name, enum key_state state)
{
    for (struct key_entry *key = catalogue->keys; key != NULL;
         key = key->next) {
        if (key->tenant == tenant && key->record.state == state &&
            same_name(key->record.name, name)) {
            return key;
        }
    }
    return NULL;
}

struct key_entry *catalogue_key(struct catalogue *catalogue,
                                const struct tenant_entry *tenant,
                                const char *name)
{
    return key_in_state(catalogue, tenant, name, KEY_ACTIVE);
}

struct key_entry *catalogue_deleted_key(struct catalogue *catalogue,
                                        const struct tenant_entry *tenant,
                                        const char *name)
{
    return key_in_state(catalogue, tenant, name, KEY_SOFT_DELETED);
}

/* A SERVICE_MANAGED DEP is not listed and not addressed. */
static bool is_shown(const struct dep_entry *dep,
                     const struct tenant_entry *tenant, enum dep_type type)
{
    return dep->tenant == tenant &&
           dep->record.type != DEP_TYPE_SERVICE_MANAGED &&
           ((int)type == 0 || dep->record.type == type);
}

struct dep_entry *catalogue_dep(struct catalogue *catalogue,
                                const struct tenant_entry *tenant,
                                const char *id_or_name, enum dep_type type)
{
    struct hf_id id;
    struct dep_entry *found = NULL;
    if (id_parse(id_or_name, &id) == HF_OK) {
        struct dep_entry *dep = catalogue_dep_by_id(catalogue, &id);
        if (dep != NULL && is_shown(dep, tenant, type)) {
            return dep;
        }
    }
    for (struct dep_entry *dep = catalogue->deps; dep != NULL;
         dep = dep->next) {
        if (is_shown(dep, tenant, type) &&
            same_name(dep->record.name, id_or_name) &&
            (found == NULL || dep->record.type < found->record.type)) {
            found = dep;
        }
    }
    return found;
}

struct dep_entry *catalogue_dep_by_id(struct catalogue *catalogue,
                                      const struct hf_id *id)
{
    return table_get(catalogue->deps_by_id, BYTES_OF(id->bytes));
}

struct generation_entry *catalogue_generation(const struct dep_entry *dep,
                                              uint32_t generation)
{
    if (generation == 0 || generation > DEP_GENERATIONS_MAX) {
        return NULL;
    }
    return dep->generations[generation - 1];
}

struct grant_entry *key_entry_grant(const struct key_entry *key,
                                    const char *identity)
{
    for (size_t i = 0; i < key->grant_count; i++) {
        if (strcmp(key->grants[i]->record.identity, identity) == 0) {
            return key->grants[i];
        }
    }
    return NULL;
}

struct customer_key_verdict key_verdict(const struct key_entry *key,
                                        const struct key_version_entry *version,
                                        const char *identity,
                                        enum customer_key_use use,
                                        int64_t wall_ms)
{
    const struct grant_entry *grant = key_entry_grant(key, identity);
    const struct customer_key_facts facts = {
        .deleted = key->record.state != KEY_ACTIVE,
        .enabled = version->record.enabled,
        .not_before_ms = version->record.not_before_ms,
        .expires_ms = version->record.expires_ms,
        .now_ms = wall_ms,
        .granted = grant == NULL ? 0 : grant->record.granted,
        .ever_held = grant == NULL ? 0 : grant->record.ever_held,
    };
    return customer_key_decide(&facts, use);
}
