#include "server/service/customer_key_view.h"

#include "hsm/base/pkcs11_uri.h"

#include <stdio.h>
#include <string.h>

struct key_entry *customer_key_find(struct service *service,
                                    const struct tenant_entry *tenant,
                                    const char *name)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct key_entry *key = catalogue_key(&service->catalogue, tenant, name);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return key;
}

/* Without the object's label if the URI has no room for it. */
static void fill_uri(const struct token_record *token,
                     const struct key_version_record *version,
                     char out[HF_URI_MAX_BYTES + 1])
{
    struct pkcs11_uri uri = {.type = PKCS11_URI_PRIVATE};
    memcpy(uri.token, token->label, sizeof uri.token);
    memcpy(uri.serial, token->serial, sizeof uri.serial);
    memcpy(uri.id, version->cka_id, version->cka_id_len);
    uri.id_len = version->cka_id_len;
    memcpy(uri.object, version->label, sizeof uri.object);
    if (pkcs11_uri_format(&uri, out, HF_URI_MAX_BYTES + 1) == HF_OK) {
        return;
    }
    uri.object[0] = '\0';
    if (pkcs11_uri_format(&uri, out, HF_URI_MAX_BYTES + 1) != HF_OK) {
        out[0] = '\0';
    }
}

static void fill_versions(const struct key_entry *key,
                          struct customer_key_view *out)
{
    for (uint32_t number = key->record.current_version;
         number > 0 && out->version_count < KEY_VERSIONS_SHOWN; number--) {
        const struct key_version_entry *entry = key->versions[number - 1];
        const struct key_version_record *version = &entry->record;
        out->versions[out->version_count] = *version;
        out->uses[out->version_count] = (struct key_version_use){
            .first_ms = atomic_load(&entry->first_used_ms),
            .last_ms = atomic_load(&entry->last_used_ms),
        };
        fill_uri(&key->token->record, version, out->uris[out->version_count]);
        out->version_count++;
    }
}

static void fill_grants(const struct key_entry *key,
                        struct customer_key_view *out)
{
    for (size_t i = 0;
         i < key->grant_count && out->grant_count < KEY_GRANTS_SHOWN; i++) {
        const struct grant_record *grant = &key->grants[i]->record;
        if (grant->granted == 0) {
            continue; /* withdrawn: remembered, not held */
        }
        struct grant_view *view = &out->grants[out->grant_count++];
        memcpy(view->identity, grant->identity, sizeof view->identity);
        view->permissions = grant->granted;
    }
}

static void fill_recovery(const struct token_record *token,
                          struct customer_key_view *out)
{
    out->recovery =
        key_recovery_level_of(token->protection, token->retention_days);
    out->retention_days =
        key_retention_days(token->protection, token->retention_days);
}

struct stamp customer_key_stamp(const struct key_entry *key)
{
    struct stamp whole = {.version = key->stamp.version};
    for (uint32_t i = 0; i < key->record.current_version; i++) {
        whole.version += key->versions[i]->stamp.version;
    }
    for (size_t i = 0; i < key->grant_count; i++) {
        whole.version += key->grants[i]->stamp.version;
    }
    return whole;
}

/* Of the newest version that may be used: it is what new wraps rest on. */
static struct key_health health_of(const struct key_entry *key)
{
    uint32_t number = key->record.current_version;
    for (uint32_t i = number; i > 0; i--) {
        if (key->versions[i - 1]->record.enabled) {
            number = i;
            break;
        }
    }
    struct key_version_entry *version = key->versions[number - 1];
    pthread_mutex_lock(&version->health_lock);
    struct key_health health = version->health;
    pthread_mutex_unlock(&version->health_lock);
    return health;
}

void customer_key_fill_view(struct key_entry *key,
                            struct customer_key_view *out)
{
    memset(out, 0, sizeof *out);
    out->id = key->record.id;
    memcpy(out->tenant, key->tenant->record.name, sizeof out->tenant);
    memcpy(out->name, key->record.name, sizeof out->name);
    memcpy(out->token, key->token->record.name, sizeof out->token);
    memcpy(out->custody_domain, key->token->record.custody_domain,
           sizeof out->custody_domain);
    out->current_version = key->record.current_version;
    out->created_ms = key->record.created_ms;
    out->state = key->record.state;
    out->deleted_ms = key->record.deleted_ms;
    out->purge_ms = key->record.purge_ms;
    fill_recovery(&key->token->record, out);
    fill_versions(key, out);
    fill_grants(key, out);
    out->health = health_of(key);
    const struct stamp whole = customer_key_stamp(key);
    etag_write(&whole, out->etag);
}

HF_STATUS customer_key_show_named(const struct admin *admin, const char *name,
                                  struct customer_key_view *out)
{
    struct catalogue *catalogue = &admin->service->catalogue;
    pthread_rwlock_rdlock(&catalogue->lock);
    struct key_entry *key = catalogue_key(catalogue, admin->tenant, name);
    if (key != NULL) {
        customer_key_fill_view(key, out);
    }
    pthread_rwlock_unlock(&catalogue->lock);
    return key != NULL ? HF_OK
                       : problem_set(admin->problem, REASON_NOT_FOUND,
                                     "no such customer key");
}

void customer_key_preview(const struct admin *admin, const char *name,
                          const struct token_entry *token,
                          const struct key_version_record *version,
                          struct customer_key_view *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->tenant, admin->tenant->record.name, sizeof out->tenant);
    snprintf(out->name, sizeof out->name, "%s", name);
    memcpy(out->token, token->record.name, sizeof out->token);
    memcpy(out->custody_domain, token->record.custody_domain,
           sizeof out->custody_domain);
    out->versions[0] = *version;
    fill_uri(&token->record, version, out->uris[0]);
    fill_recovery(&token->record, out);
    out->version_count = 1;
}

HF_STATUS customer_key_check_name_free(const struct admin *admin,
                                       const char *name)
{
    struct catalogue *catalogue = &admin->service->catalogue;
    pthread_rwlock_rdlock(&catalogue->lock);
    bool deleted =
        catalogue_deleted_key(catalogue, admin->tenant, name) != NULL;
    pthread_rwlock_unlock(&catalogue->lock);
    return deleted
               ? problem_set(admin->problem, REASON_NAME_TAKEN,
                             "customer key %s is soft-deleted and keeps its "
                             "name: recover it, or use another name",
                             name)
               : HF_OK;
}

/* An object is known by its label and id; its key pair by the fingerprint,
 * whatever became of the object. Those registered in format 1 have no label. */
static bool same_object(const struct key_version_record *one,
                        const struct key_version_record *other)
{
    return bytes_equal(BYTES_OF(one->fingerprint),
                       BYTES_OF(other->fingerprint)) ||
           (bytes_equal((struct bytes){one->cka_id, one->cka_id_len},
                        (struct bytes){other->cka_id, other->cka_id_len}) &&
            strcmp(one->label, other->label) == 0);
}

static const struct key_version_record *
version_of_object(const struct key_entry *key,
                  const struct key_version_record *wanted)
{
    for (uint32_t i = 0; i < key->record.current_version; i++) {
        if (same_object(&key->versions[i]->record, wanted)) {
            return &key->versions[i]->record;
        }
    }
    return NULL;
}

/* A token is of one tenant, and so are all keys found here. */
HF_STATUS
customer_key_check_object_free(const struct admin *admin,
                               const struct token_entry *token,
                               const struct key_version_record *fresh)
{
    struct catalogue *catalogue = &admin->service->catalogue;
    const struct key_version_record *taken = NULL;
    char name[HF_NAME_MAX_BYTES + 1];
    pthread_rwlock_rdlock(&catalogue->lock);
    for (const struct key_entry *key = catalogue->keys;
         key != NULL && taken == NULL; key = key->next) {
        if (key->token == token && key->record.state != KEY_GONE) {
            taken = version_of_object(key, fresh);
            memcpy(name, key->record.name, sizeof name);
        }
    }
    pthread_rwlock_unlock(&catalogue->lock);
    return taken == NULL
               ? HF_OK
               : problem_set(admin->problem, REASON_ALREADY_REGISTERED,
                             "this key is version %u of customer key %s: an "
                             "object of a token has one name",
                             taken->version, name);
}

HF_STATUS customer_key_may_get_version(const struct admin *admin,
                                       const struct key_entry *key,
                                       const struct token_entry *token)
{
    if (key->token != token) {
        return problem_field(admin->problem, "token",
                             "customer key %s is in token %s; a key in another "
                             "token is another key",
                             key->record.name, key->token->record.name);
    }
    if (key->record.current_version == KEY_VERSIONS_MAX) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "customer key %s has %d versions, as many as it "
                           "may",
                           key->record.name, KEY_VERSIONS_MAX);
    }
    return HF_OK;
}

void customer_key_note(struct details *details,
                       const struct key_version_record *before,
                       const struct key_version_record *after)
{
    details_flag(details, "enabled", before->enabled, after->enabled);
    details_time(details, "notBefore", before->not_before_ms,
                 after->not_before_ms);
    details_time(details, "expires", before->expires_ms, after->expires_ms);
}

HF_STATUS customer_key_finish_change(const struct admin *admin,
                                     struct change *change,
                                     const struct customer_key_record *key,
                                     uint32_t version,
                                     const struct details *details)
{
    char object[2 * HF_NAME_MAX_BYTES + 64];
    snprintf(object, sizeof object, "tenants/%s/customerKeys/%s/versions/%u",
             admin->tenant->record.name, key->name, version);
    return admin_finish_change(admin, change, object, details, &key->id);
}
