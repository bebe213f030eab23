/* customer_key_changes: enable, disable, dates, grants. What narrows has ended
 * every lease it touches before it is answered. */
#include "server/service/customer_key_view.h"
#include "server/service/key_force.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static HF_STATUS find(const struct admin *admin, const char *name,
                      struct key_entry **out_key)
{
    *out_key = customer_key_find(admin->service, admin->tenant, name);
    return *out_key != NULL ? HF_OK
                            : problem_set(admin->problem, REASON_NOT_FOUND,
                                          "no such customer key");
}

/* Also when the answer is not yet certain: the narrower facts hold. And also
 * for a repeat: what the first one ended may still be in use. */
static void wait_for_effect(const struct admin *admin,
                            const struct key_entry *key)
{
    leases_settle_for_key(admin->service, key);
    if (admin->changed) {
        health_refresh(admin->service);
    }
}

/* --- attributes of a version -------------------------------------------- */

static HF_STATUS next_version(const struct admin *admin,
                              const struct customer_key_update *request,
                              struct key_version_record *next)
{
    if (request->set_enabled) {
        next->enabled = request->enabled;
    }
    if (request->set_not_before) {
        next->not_before_ms = request->not_before_ms;
    }
    if (request->set_expires) {
        if (next->expires_ms != 0 && request->expires_ms == 0) {
            /* */
            return problem_field(admin->problem, "expire_time",
                                 "once set it cannot be removed, only "
                                 "changed; 9999-12-31 means never");
        }
        next->expires_ms = request->expires_ms;
    }
    next->updated_ms = service_wall_ms(admin->service);
    return HF_OK;
}

static HF_STATUS put_version(const struct key_version_record *next,
                             const struct stamp *current, struct change *change,
                             struct stamp *out_next)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = key_version_encode(next, record);
    if (status == HF_OK) {
        status = change_put(change, record, current, out_next);
    }
    free(record);
    return status;
}

/* record_lock is held. */
static HF_STATUS update_locked(struct admin *admin,
                               const struct customer_key_update *request,
                               struct key_entry *key)
{
    struct service *service = admin->service;
    uint32_t number =
        request->version == 0 ? key->record.current_version : request->version;
    struct stamp stamp;
    bool forced = false;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    if (number > key->record.current_version) {
        return problem_set(admin->problem, REASON_NOT_FOUND,
                           "customer key %s has no version %u",
                           key->record.name, number);
    }
    const struct stamp whole = customer_key_stamp(key);
    HF_TRY(etag_check(request->mutation.etag, &whole, admin->problem));
    struct key_version_entry *entry = key->versions[number - 1];
    struct key_version_record next = entry->record;
    HF_TRY(next_version(admin, request, &next));
    if (entry->record.enabled && !next.enabled) { /* */
        HF_TRY(key_may_go(admin, key, number, &request->force, &forced));
    }
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    enum hf_status status = details_new(DETAILS_OF_CHANGE, &details);
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = put_version(&next, &entry->stamp, change, &stamp);
    }
    if (status == HF_OK) {
        customer_key_note(details, &entry->record, &next);
        if (forced) {
            key_force_note(details, &request->force);
        }
        status = customer_key_finish_change(admin, change, &key->record, number,
                                            details);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    admin->changed = admin_is_stored(status);
    if (admin->changed) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        entry->record = next;
        entry->stamp = stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
        leases_narrow_for_key(service, key);
    }
    return admin_answer(admin, status);
}

HF_STATUS customer_keys_update(struct service *service,
                               const struct caller *caller,
                               const struct customer_key_update *request,
                               struct customer_key_view *out,
                               struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_UPDATE_CUSTOMER_KEY,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct key_entry *key = NULL;
    HF_TRY(admin_begin(&admin, request->tenant));
    HF_TRY(find(&admin, request->name, &key));
    enum hf_status status = HF_OK;
    pthread_mutex_lock(&service->record_lock);
    if (!admin.seen) {
        status = update_locked(&admin, request, key);
    }
    pthread_mutex_unlock(&service->record_lock);
    wait_for_effect(&admin, key);
    HF_TRY(status);
    return customer_key_show_named(&admin, request->name, out);
}

/* --- grants ------------------------------------------------------------- */

static bool is_spiffe_rest(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/";
    return text[0] != '\0' && strspn(text, allowed) == strlen(text);
}

static HF_STATUS check_grant(const struct admin *admin,
                             const struct customer_key_grant *request)
{
    static const char scheme[] = "spiffe://";
    const uint32_t all = PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP;
    if (strncmp(request->identity, scheme, sizeof scheme - 1) != 0 ||
        !is_spiffe_rest(request->identity + sizeof scheme - 1)) {
        return problem_field(admin->problem, "identity",
                             "must be the SPIFFE URI of a workload: spiffe:// "
                             "and then letters, digits, '.', '-', '_' and '/'");
    }
    if (admin->verb == VERB_GRANT_CUSTOMER_KEY &&
        (request->permissions == 0 || (request->permissions & ~all) != 0)) {
        return problem_field(admin->problem, "permissions",
                             "must name at least one of GET, WRAP, UNWRAP");
    }
    return HF_OK;
}

/* What the grant is to be; false: there is nothing to change. */
static bool next_grant(const struct admin *admin,
                       const struct customer_key_grant *request,
                       struct grant_record *grant)
{
    uint8_t before = grant->granted;
    uint8_t asked = (uint8_t)request->permissions;
    if (admin->verb == VERB_GRANT_CUSTOMER_KEY) {
        grant->granted |= asked;
        grant->ever_held |= asked;
    } else {
        grant->granted &= (uint8_t)(asked == 0 ? 0 : ~asked);
    }
    grant->updated_ms = service_wall_ms(admin->service);
    return grant->granted != before;
}

static void note_permission(struct details *details, const char *field,
                            const struct grant_record *before,
                            const struct grant_record *after,
                            enum permission permission)
{
    details_flag(details, field, (before->granted & permission) != 0,
                 (after->granted & permission) != 0);
}

/* before: as it was, with nothing granted where there was none. */
static HF_STATUS make_grant_change(const struct admin *admin,
                                   const struct key_entry *key,
                                   const struct grant_entry *before,
                                   const struct grant_record *grant,
                                   struct stamp *out_next,
                                   struct change *change)
{
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(details_new(DETAILS_OF_CHANGE, &details));
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = grant_encode(grant, record);
    if (status == HF_OK) {
        status = change_put(change, record, &before->stamp, out_next);
    }
    free(record);
    HF_TRY(status);
    details_about(details, "identity", grant->identity);
    note_permission(details, "get", &before->record, grant, PERMISSION_GET);
    note_permission(details, "wrap", &before->record, grant, PERMISSION_WRAP);
    note_permission(details, "unwrap", &before->record, grant,
                    PERMISSION_UNWRAP);
    return customer_key_finish_change(admin, change, &key->record,
                                      key->record.current_version, details);
}

static HF_STATUS apply_grant(struct service *service, struct key_entry *key,
                             const struct grant_record *grant,
                             const struct stamp *stamp)
{
    struct grant_entry *entry = key_entry_grant(key, grant->identity);
    if (entry != NULL) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        entry->record = *grant;
        entry->stamp = *stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
        return HF_OK;
    }
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return HF_E_NO_MEMORY;
    }
    entry->record = *grant;
    entry->stamp = *stamp;
    enum hf_status status = catalogue_add_grant(service, entry);
    if (status != HF_OK) {
        free(entry);
    }
    return status;
}

/* record_lock is held. */
static HF_STATUS grant_locked(struct admin *admin,
                              const struct customer_key_grant *request,
                              struct key_entry *key)
{
    struct service *service = admin->service;
    const struct grant_entry *entry = key_entry_grant(key, request->identity);
    struct grant_entry before = {.record.key = key->record.id};
    struct stamp next;
    HF_OWNED(change_freep) struct change *change = NULL;
    memcpy(before.record.identity, request->identity,
           sizeof before.record.identity);
    if (entry != NULL) {
        before = *entry;
    } else if (key->grant_count == KEY_GRANTS_MAX) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "customer key %s knows %d identities, as many as "
                           "it may",
                           key->record.name, KEY_GRANTS_MAX);
    }
    struct grant_record grant = before.record;
    if (!next_grant(admin, request, &grant) ||
        request->mutation.validate_only) {
        return HF_OK;
    }
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = make_grant_change(admin, key, &before, &grant, &next, change);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    admin->changed = admin_is_stored(status);
    if (admin->changed) {
        enum hf_status applied = apply_grant(service, key, &grant, &next);
        leases_narrow_for_key(service, key);
        status = applied == HF_OK ? status : applied;
    }
    return admin_answer(admin, status);
}

static HF_STATUS change_grant(struct admin *admin,
                              const struct customer_key_grant *request,
                              struct customer_key_view *out)
{
    struct service *service = admin->service;
    struct key_entry *key = NULL;
    HF_TRY(admin_begin(admin, request->tenant));
    HF_TRY(check_grant(admin, request));
    HF_TRY(find(admin, request->name, &key));
    enum hf_status status = HF_OK;
    pthread_mutex_lock(&service->record_lock);
    if (!admin->seen) {
        status = grant_locked(admin, request, key);
    }
    pthread_mutex_unlock(&service->record_lock);
    wait_for_effect(admin, key);
    HF_TRY(status);
    return customer_key_show_named(admin, request->name, out);
}

HF_STATUS customer_keys_grant(struct service *service,
                              const struct caller *caller,
                              const struct customer_key_grant *request,
                              struct customer_key_view *out,
                              struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_GRANT_CUSTOMER_KEY,
        .mutation = &request->mutation,
        .problem = problem,
    };
    return change_grant(&admin, request, out);
}

HF_STATUS customer_keys_revoke(struct service *service,
                               const struct caller *caller,
                               const struct customer_key_grant *request,
                               struct customer_key_view *out,
                               struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_REVOKE_CUSTOMER_KEY,
        .mutation = &request->mutation,
        .problem = problem,
    };
    return change_grant(&admin, request, out);
}
