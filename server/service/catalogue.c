#include "server/service/catalogue.h"

#include "hsm/base/check.h"

#include "server/service/ak_tokens.h"
#include "server/service/core.h"
#include "server/service/geo_entries.h"
#include "server/service/onboardings.h"
#include "server/service/purges.h"

#include <stdlib.h>
#include <string.h>

/* --- new entries -------------------------------------------------------- */

struct key_version_entry *key_version_entry_new(void)
{
    struct key_version_entry *version = calloc(1, sizeof *version);
    if (version != NULL) {
        pthread_mutex_init(&version->health_lock, NULL);
    }
    return version;
}

void key_version_entry_free(struct key_version_entry *version)
{
    if (version != NULL) {
        pthread_mutex_destroy(&version->health_lock);
        free(version);
    }
}

struct generation_entry *generation_entry_new(void)
{
    struct generation_entry *generation = calloc(1, sizeof *generation);
    if (generation != NULL) {
        pthread_mutex_init(&generation->lock, NULL);
        pthread_cond_init(&generation->drained, NULL);
    }
    return generation;
}

static void key_entry_free(struct key_entry *key)
{
    for (size_t i = 0; i < KEY_VERSIONS_MAX; i++) {
        key_version_entry_free(key->versions[i]);
    }
    for (size_t i = 0; i < key->grant_count; i++) {
        free(key->grants[i]);
    }
    free(key);
}

void generation_entry_free(struct generation_entry *generation)
{
    if (generation != NULL) {
        pthread_mutex_destroy(&generation->lock);
        pthread_cond_destroy(&generation->drained);
        free(generation);
    }
}

#define FREE_LIST(list, free_entry)                                            \
    do {                                                                       \
        while ((list) != NULL) {                                               \
            __typeof__(list) entry_ = (list);                                  \
            (list) = entry_->next;                                             \
            free_entry(entry_);                                                \
        }                                                                      \
    } while (0)

static void tenant_entry_free(struct tenant_entry *tenant)
{
    FREE_LIST(tenant->onboardings, free);
    free(tenant);
}

static void dep_entry_free(struct dep_entry *dep)
{
    for (size_t i = 0; i < DEP_GENERATIONS_MAX; i++) {
        generation_entry_free(dep->generations[i]);
    }
    free(dep);
}

/* --- linking: the lock is held for writing ------------------------------ */

#define APPEND(list, entry)                                                    \
    do {                                                                       \
        __typeof__(&(list)) end_ = &(list);                                    \
        while (*end_ != NULL) {                                                \
            end_ = &(*end_)->next;                                             \
        }                                                                      \
        *end_ = (entry);                                                       \
    } while (0)

static HF_STATUS link_tenant(struct service *service,
                             struct tenant_entry *entry)
{
    struct catalogue *catalogue = &service->catalogue;
    name_fold(entry->record.name, entry->folded);
    entry->assignment.tenant = entry->record.id;
    entry->assignment.state = ASSIGNMENT_NONE;
    HF_TRY(table_put(catalogue->tenants_by_id, BYTES_OF(entry->record.id.bytes),
                     entry));
    enum hf_status status = table_put(catalogue->tenants_by_name,
                                      bytes_of_text(entry->folded), entry);
    if (status != HF_OK) {
        table_remove(catalogue->tenants_by_id,
                     BYTES_OF(entry->record.id.bytes));
        return status;
    }
    APPEND(catalogue->tenants, entry);
    return HF_OK;
}

static const struct configured_token *
configured_of(const struct service *service, const struct token_record *record)
{
    for (size_t i = 0; i < service->settings.token_count; i++) {
        const struct configured_token *token = &service->settings.tokens[i];
        if (strcmp(token->name, record->name) == 0) {
            return token;
        }
    }
    return NULL;
}

static HF_STATUS link_token(struct service *service, struct token_entry *entry)
{
    struct catalogue *catalogue = &service->catalogue;
    entry->tenant = catalogue_tenant_by_id(catalogue, &entry->record.tenant);
    if (entry->tenant == NULL) {
        return HF_E_CORRUPT;
    }
    entry->configured = configured_of(service, &entry->record);
    HF_TRY(table_put(catalogue->tokens_by_id, BYTES_OF(entry->record.id.bytes),
                     entry));
    APPEND(catalogue->tokens, entry);
    return HF_OK;
}

static HF_STATUS link_key(struct service *service, struct key_entry *entry)
{
    struct catalogue *catalogue = &service->catalogue;
    entry->tenant = catalogue_tenant_by_id(catalogue, &entry->record.tenant);
    entry->token =
        table_get(catalogue->tokens_by_id, BYTES_OF(entry->record.token.bytes));
    if (entry->tenant == NULL || entry->token == NULL ||
        entry->token->tenant != entry->tenant) {
        return HF_E_CORRUPT;
    }
    HF_TRY(table_put(catalogue->keys_by_id, BYTES_OF(entry->record.id.bytes),
                     entry));
    APPEND(catalogue->keys, entry);
    return HF_OK;
}

static struct key_entry *key_by_id(struct catalogue *catalogue,
                                   const struct hf_id *id)
{
    return table_get(catalogue->keys_by_id, BYTES_OF(id->bytes));
}

static HF_STATUS link_key_version(struct service *service,
                                  struct key_version_entry *entry)
{
    struct key_entry *key = key_by_id(&service->catalogue, &entry->record.key);
    uint32_t version = entry->record.version;
    if (key == NULL || version == 0 || version > KEY_VERSIONS_MAX ||
        key->versions[version - 1] != NULL) {
        return HF_E_CORRUPT;
    }
    key->versions[version - 1] = entry;
    return HF_OK;
}

static HF_STATUS link_grant(struct service *service, struct grant_entry *entry)
{
    struct key_entry *key = key_by_id(&service->catalogue, &entry->record.key);
    if (key == NULL || key->grant_count == KEY_GRANTS_MAX ||
        key_entry_grant(key, entry->record.identity) != NULL) {
        return HF_E_CORRUPT;
    }
    key->grants[key->grant_count++] = entry;
    return HF_OK;
}

static HF_STATUS link_dep(struct service *service, struct dep_entry *entry)
{
    struct catalogue *catalogue = &service->catalogue;
    entry->tenant = catalogue_tenant_by_id(catalogue, &entry->record.tenant);
    if (entry->tenant == NULL) {
        return HF_E_CORRUPT;
    }
    HF_TRY(table_put(catalogue->deps_by_id, BYTES_OF(entry->record.id.bytes),
                     entry));
    APPEND(catalogue->deps, entry);
    return HF_OK;
}

static HF_STATUS link_copy(struct service *service,
                           struct generation_entry *entry, size_t slot)
{
    const struct wrapped_copy *copy = &entry->record.copies[slot];
    if (entry->dep->record.type == DEP_TYPE_SERVICE_MANAGED) {
        return copy->suite == TOKEN_SUITE_NONE ? HF_OK : HF_E_CORRUPT;
    }
    struct key_entry *key = key_by_id(&service->catalogue, &copy->key);
    if (key == NULL || key->tenant != entry->dep->tenant ||
        copy->key_version == 0 || copy->key_version > KEY_VERSIONS_MAX ||
        key->versions[copy->key_version - 1] == NULL) {
        return HF_E_CORRUPT;
    }
    entry->keys[slot] = key;
    entry->versions[slot] = key->versions[copy->key_version - 1];
    return HF_OK;
}

static HF_STATUS link_generation(struct service *service,
                                 struct generation_entry *entry)
{
    uint32_t number = entry->record.generation;
    entry->dep = catalogue_dep_by_id(&service->catalogue, &entry->record.dep);
    if (entry->dep == NULL || number == 0 || number > DEP_GENERATIONS_MAX ||
        entry->dep->generations[number - 1] != NULL ||
        !id_equal(&entry->record.tenant, &entry->dep->record.tenant)) {
        return HF_E_CORRUPT;
    }
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        HF_TRY(link_copy(service, entry, slot));
    }
    entry->dep->generations[number - 1] = entry;
    return HF_OK;
}

HF_STATUS catalogue_add_tenant(struct service *service,
                               struct tenant_entry *entry)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    enum hf_status status = link_tenant(service, entry);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

HF_STATUS catalogue_add_token(struct service *service,
                              struct token_entry *entry)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    enum hf_status status = link_token(service, entry);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

HF_STATUS catalogue_add_key(struct service *service, struct key_entry *entry,
                            struct key_version_entry *first)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    enum hf_status status = link_key(service, entry);
    if (status == HF_OK) {
        status = link_key_version(service, first);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

HF_STATUS catalogue_add_key_version(struct service *service,
                                    struct key_version_entry *entry)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    enum hf_status status = link_key_version(service, entry);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

HF_STATUS catalogue_add_grant(struct service *service,
                              struct grant_entry *entry)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    enum hf_status status = link_grant(service, entry);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

HF_STATUS catalogue_add_dep(struct service *service, struct dep_entry *entry,
                            struct generation_entry *first)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    enum hf_status status = link_dep(service, entry);
    if (status == HF_OK) {
        status = link_generation(service, first);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

HF_STATUS catalogue_add_generation(struct service *service,
                                   struct generation_entry *entry,
                                   const struct dep_record *dep,
                                   const struct stamp *stamp)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    enum hf_status status = link_generation(service, entry);
    if (status == HF_OK) {
        entry->dep->record = *dep;
        entry->dep->stamp = *stamp;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

/* --- loading ------------------------------------------------------------ */

/* One step per kind: decode into a new entry, then link it. */
#define DEFINE_LOAD(name, type, make, decode)                                  \
    static enum hf_status load_##name(                                         \
        void *context, const struct record *record, const struct stamp *stamp) \
    {                                                                          \
        struct type *entry = make;                                             \
        if (entry == NULL) {                                                   \
            return HF_E_NO_MEMORY;                                             \
        }                                                                      \
        entry->stamp = *stamp;                                                 \
        enum hf_status status = decode(record, &entry->record);                \
        if (status == HF_OK) {                                                 \
            status = link_##name(context, entry);                              \
        }                                                                      \
        if (status != HF_OK) {                                                 \
            free(entry);                                                       \
        }                                                                      \
        return status;                                                         \
    }

#define FRESH(type) (struct type *)calloc(1, sizeof(struct type))

DEFINE_LOAD(tenant, tenant_entry, FRESH(tenant_entry), tenant_decode)
DEFINE_LOAD(token, token_entry, FRESH(token_entry), token_record_decode)
DEFINE_LOAD(key, key_entry, FRESH(key_entry), customer_key_decode)
DEFINE_LOAD(key_version, key_version_entry, key_version_entry_new(),
            key_version_decode)
DEFINE_LOAD(grant, grant_entry, FRESH(grant_entry), grant_decode)
DEFINE_LOAD(dep, dep_entry, FRESH(dep_entry), dep_decode)
DEFINE_LOAD(generation, generation_entry, generation_entry_new(),
            generation_decode)

static struct dep_entry *
dep_of_assignment(struct catalogue *catalogue,
                  const struct tenant_assignment_record *assignment)
{
    struct dep_entry *dep = catalogue_dep_by_id(catalogue, &assignment->dep);
    return dep != NULL && dep->record.type == DEP_TYPE_MULTI_WORKLOAD &&
                   id_equal(&dep->record.tenant, &assignment->tenant)
               ? dep
               : NULL;
}

HF_STATUS
catalogue_set_assignment(struct catalogue *catalogue,
                         const struct tenant_assignment_record *assignment,
                         const struct stamp *stamp)
{
    struct tenant_entry *tenant =
        catalogue_tenant_by_id(catalogue, &assignment->tenant);
    if (tenant == NULL) {
        return HF_E_CORRUPT;
    }
    struct dep_entry *before =
        dep_of_assignment(catalogue, &tenant->assignment);
    struct dep_entry *now = dep_of_assignment(catalogue, assignment);
    if (now == NULL) {
        return HF_E_CORRUPT;
    }
    if (before != NULL) {
        atomic_store(&before->assigned_count, 0);
    }
    atomic_store(&now->assigned_count,
                 assignment_holds(assignment->state) ? 1 : 0);
    tenant->multi_workload = assignment_applies(assignment->state) ? now : NULL;
    tenant->assignment = *assignment;
    tenant->assignment_stamp = *stamp;
    return HF_OK;
}

static enum hf_status load_assignment(void *context,
                                      const struct record *record,
                                      const struct stamp *stamp)
{
    struct service *service = context;
    struct tenant_assignment_record assignment;
    HF_TRY(tenant_assignment_decode(record, &assignment));
    return catalogue_set_assignment(&service->catalogue, &assignment, stamp);
}

static enum hf_status load_onboarding(void *context,
                                      const struct record *record,
                                      const struct stamp *stamp)
{
    struct service *service = context;
    return onboarding_load(&service->catalogue, record, stamp);
}

static HF_STATUS count_assigned(struct service *service)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(ledger_store(service->ledger), STORE_READ, &txn));
    for (struct dep_entry *dep = service->catalogue.deps; dep != NULL;
         dep = dep->next) {
        uint64_t count = 0;
        HF_TRY(store_count(txn, RECORD_ASSIGNED, BYTES_OF(dep->record.id.bytes),
                           &count));
        /* beside the tenant, where it is assigned to that */
        atomic_fetch_add(&dep->assigned_count, (unsigned)count);
    }
    return HF_OK;
}

static HF_STATUS make_tables(struct catalogue *catalogue)
{
    /* writers first: a revocation does not wait for a stream of readers. No
     * reader takes the lock twice. */
    pthread_rwlockattr_t writers_first;
    pthread_rwlockattr_init(&writers_first);
    pthread_rwlockattr_setkind_np(&writers_first,
                                  PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&catalogue->lock, &writers_first);
    pthread_rwlockattr_destroy(&writers_first);
    HF_TRY(table_new(&catalogue->tenants_by_name));
    HF_TRY(table_new(&catalogue->tenants_by_id));
    HF_TRY(table_new(&catalogue->tokens_by_id));
    HF_TRY(table_new(&catalogue->keys_by_id));
    HF_TRY(table_new(&catalogue->geos_by_id));
    return table_new(&catalogue->deps_by_id);
}

struct loading {
    struct service *service;
    struct problem *problem;
};

static enum hf_status load_one(void *context, const struct record *record,
                               const struct stamp *stamp)
{
    static const struct {
        ledger_each_fn *load;
        const char *what;
    } kinds[] = {
        [RECORD_TENANT] = {load_tenant,        "tenant"              },
        [RECORD_TOKEN] = {load_token,         "token"               },
        [RECORD_CUSTOMER_KEY] = {load_key,           "customer key"        },
        [RECORD_KEY_VERSION] = {load_key_version,   "customer key version"},
        [RECORD_GRANT] = {load_grant,         "grant"               },
        [RECORD_DEP] = {load_dep,           "DEP"                 },
        [RECORD_GENERATION] = {load_generation,    "DEP generation"      },
        [RECORD_TENANT_ASSIGNMENT] = {load_assignment,    "tenant assignment"   },
        [RECORD_ONBOARDING] = {load_onboarding,    "onboarding request"  },
        [RECORD_OFFICER] = {purges_load,        "purge approver"      },
        [RECORD_PURGE] = {purges_load,        "purge"               },
        [RECORD_APPROVAL] = {purges_load,        "approval"            },
        [RECORD_CERTIFICATE] = {purges_load,        "certificate"         },
        [RECORD_DELETION] = {purges_load,        "deletion"            },
        [RECORD_GEO] = {catalogue_load_geo, "geo"                 },
        [RECORD_AK_TOKEN] = {ak_tokens_load,     "availability token"  },
    };
    const struct loading *loading = context;
    CHECK((size_t)record->kind < HF_COUNT(kinds) &&
          kinds[record->kind].load != NULL);
    enum hf_status status =
        kinds[record->kind].load(loading->service, record, stamp);
    if (status == HF_E_CORRUPT) {
        return problem_set(loading->problem, REASON_RECORD_INVALID,
                           "a %s record is damaged or leads nowhere",
                           kinds[record->kind].what);
    }
    return problem_of_status(loading->problem, status);
}

HF_STATUS catalogue_load(struct service *service, struct problem *problem)
{
    struct loading loading = {service, problem};
    enum hf_status status = make_tables(&service->catalogue);
    if (status != HF_OK) {
        return problem_of_status(problem, status);
    }
    HF_TRY(ledger_load(service->ledger, load_one, &loading, problem));
    return problem_of_status(problem, count_assigned(service));
}

void catalogue_free(struct catalogue *catalogue)
{
    catalogue_free_geos(catalogue);
    FREE_LIST(catalogue->deps, dep_entry_free);
    FREE_LIST(catalogue->keys, key_entry_free);
    FREE_LIST(catalogue->tokens, free);
    FREE_LIST(catalogue->tenants, tenant_entry_free);
    table_free(catalogue->tenants_by_name);
    table_free(catalogue->tenants_by_id);
    table_free(catalogue->tokens_by_id);
    table_free(catalogue->keys_by_id);
    table_free(catalogue->deps_by_id);
    pthread_rwlock_destroy(&catalogue->lock);
}
