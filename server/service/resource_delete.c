#include "server/service/resource_delete.h"

#include "server/service/admin.h"
#include "server/service/mailbox_view.h"
#include "server/service/purge_book.h"
#include "server/service/resources.h"
#include "server/service/wrapped.h"

#include <stdlib.h>
#include <string.h>

#define RACES_MAX 3

/* One deletion while it is made. */
struct deleting {
    struct admin admin;
    const struct resource_delete *request;
    struct resource_view view;
    struct resource_record before;
    struct deletion_record deletion;
};

static HF_STATUS load(struct deleting *deleting)
{
    const struct resource_delete *request = deleting->request;
    const struct admin *admin = &deleting->admin;
    enum hf_status status =
        resource_load(admin->service, admin->tenant, request->type, request->id,
                      &deleting->view);
    if (status == HF_E_NOT_FOUND) {
        return problem_set(admin->problem, REASON_NOT_FOUND, "no such %s",
                           resource_noun(request->type));
    }
    return problem_of_status(admin->problem, status);
}

/* What stays of its record: who it was. A site keeps its geo, which it is shown
 * with; nothing of it is to be moved. */
static void empty_record(struct resource_record *record)
{
    const struct resource_record before = *record;
    *record = (struct resource_record){
        .tenant = before.tenant,
        .type = before.type,
        .kind = before.kind,
        .licensed = before.licensed,
        .created_ms = before.created_ms,
    };
    memcpy(record->id, before.id, sizeof record->id);
    if (record->type == RESOURCE_SITE) {
        record->assigned = before.assigned;
        record->assigned_ms = before.assigned_ms;
    }
}

static void fill_deletion(struct deleting *deleting)
{
    const struct resource_record *record = &deleting->view.record;
    deleting->deletion = (struct deletion_record){
        .tenant = record->tenant,
        .type = record->type,
        .deleted_ms = service_wall_ms(deleting->admin.service),
    };
    memcpy(deleting->deletion.id, record->id, sizeof deleting->deletion.id);
    memcpy(deleting->deletion.identity, deleting->admin.caller->identity,
           sizeof deleting->deletion.identity);
}

static HF_STATUS put_rows(struct deleting *deleting, struct record *record,
                          struct change *change)
{
    const struct stamp none = {.version = 0};
    const struct dep_entry *assigned = deleting->view.assigned;
    HF_TRY(deletion_encode(&deleting->deletion, record));
    HF_TRY(change_put(change, record, &none, NULL));
    if (deleting->before.type == RESOURCE_SITE || assigned == NULL) {
        return HF_OK;
    }
    HF_TRY(assigned_encode(&assigned->record.id, &deleting->before, record));
    return change_remove(change, RECORD_ASSIGNED,
                         (struct bytes){record->key, record->key_len}, 1);
}

static HF_STATUS make_change(struct deleting *deleting, struct change *change)
{
    char object[RESOURCE_NAME_BYTES];
    const struct hf_id nobody = {{0}};
    struct resource_view *view = &deleting->view;
    resource_name(view->tenant->record.name, view->record.type, view->record.id,
                  object);
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = put_rows(deleting, record, change);
    free(record);
    HF_TRY(status);
    HF_TRY(resource_put(view, change, NULL));
    HF_TRY(wrapped_forget_earlier(change, &deleting->before,
                                  &deleting->before.effective));
    return admin_finish_change(&deleting->admin, change, object, NULL, &nobody);
}

/* Its tombstone first: whoever still holds a row of it asks for that. */
static HF_STATUS follow(struct deleting *deleting)
{
    struct service *service = deleting->admin.service;
    const struct resource_record *before = &deleting->before;
    struct record_key key =
        key_of_resource(&before->tenant, before->type, before->id);
    pthread_rwlock_wrlock(&service->catalogue.lock);
    enum hf_status status = purge_book_add_tombstone(service->purges, &key);
    pthread_rwlock_unlock(&service->catalogue.lock);
    rows_forget(service, &before->tenant, before->type, before->id);
    if (before->type != RESOURCE_SITE && deleting->view.assigned != NULL) {
        atomic_fetch_sub(&deleting->view.assigned->assigned_count, 1);
    }
    return status;
}

static HF_STATUS record_deletion(struct deleting *deleting)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    deleting->before = deleting->view.record;
    fill_deletion(deleting);
    empty_record(&deleting->view.record);
    HF_TRY(make_change(deleting, change));
    enum hf_status status =
        ledger_commit(deleting->admin.service->ledger, change);
    if (!admin_is_stored(status)) {
        return status;
    }
    deleting->admin.changed = true;
    enum hf_status kept = follow(deleting);
    return status == HF_OK ? kept : status;
}

/* record_lock is held: nobody assigns, moves or purges it meanwhile. */
static HF_STATUS delete_locked(struct deleting *deleting)
{
    const struct admin *admin = &deleting->admin;
    const struct resource_delete *request = deleting->request;
    enum hf_status status = HF_E_CONFLICT;
    for (int race = 0; race < RACES_MAX && status == HF_E_CONFLICT; race++) {
        HF_TRY(load(deleting));
        HF_TRY(etag_check(request->mutation.etag, &deleting->view.stamp,
                          admin->problem));
        if (deleting->view.facts.purged) {
            return problem_set(admin->problem, REASON_KEY_DESTROYED,
                               "the keys of this %s are destroyed",
                               resource_noun(request->type));
        }
        if (request->mutation.validate_only) {
            fill_deletion(deleting);
            return HF_OK;
        }
        status = record_deletion(deleting);
    }
    return admin_answer(admin, status);
}

/* Every DEP that ever wrapped its keys: calls that were let in before the
 * tombstone was there are over. */
static void end_leases(struct service *service,
                       const struct resource_record *before)
{
    for (size_t i = 0; i < before->wrap_count; i++) {
        pthread_rwlock_rdlock(&service->catalogue.lock);
        struct dep_entry *dep =
            catalogue_dep_by_id(&service->catalogue, &before->wraps[i].dep);
        pthread_rwlock_unlock(&service->catalogue.lock);
        if (dep == NULL) {
            continue;
        }
        pthread_mutex_lock(&service->record_lock);
        leases_narrow_for_dep(service, dep);
        pthread_mutex_unlock(&service->record_lock);
        leases_settle_for_dep(service, dep);
    }
}

static HF_STATUS show_repeat(struct deleting *deleting,
                             struct resource_deletion *out)
{
    const struct resource_delete *request = deleting->request;
    const struct admin *admin = &deleting->admin;
    struct record_key key =
        key_of_resource(&admin->tenant->record.id, request->type, request->id);
    struct stamp stamp;
    struct record *record = malloc(sizeof *record);
    if (record == NULL) {
        return problem_of_status(admin->problem, HF_E_NO_MEMORY);
    }
    enum hf_status status = ledger_get(admin->service->ledger, RECORD_DELETION,
                                       record_key_view(&key), record, &stamp);
    if (status == HF_OK) {
        status = deletion_decode(record, &out->record);
    }
    free(record);
    return problem_of_status(admin->problem, status);
}

static HF_STATUS run(struct deleting *deleting, struct resource_deletion *out)
{
    struct service *service = deleting->admin.service;
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = delete_locked(deleting);
    pthread_mutex_unlock(&service->record_lock);
    if (deleting->admin.changed) {
        end_leases(service, &deleting->before);
    }
    HF_TRY(status);
    out->record = deleting->deletion;
    return HF_OK;
}

HF_STATUS resource_delete(struct service *service, const struct caller *caller,
                          const struct resource_delete *request,
                          struct resource_deletion *out,
                          struct problem *problem)
{
    struct deleting *deleting = calloc(1, sizeof *deleting);
    if (deleting == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    deleting->request = request;
    deleting->admin = (struct admin){
        .service = service,
        .caller = caller,
        .verb = VERB_DELETE_RESOURCE,
        .mutation = &request->mutation,
        .problem = problem,
    };
    enum hf_status status = admin_begin(&deleting->admin, request->tenant);
    memset(out, 0, sizeof *out);
    memcpy(out->tenant, request->tenant, sizeof out->tenant);
    if (status == HF_OK && deleting->admin.seen) {
        status = show_repeat(deleting, out);
    } else if (status == HF_OK && !request->confirm &&
               !request->mutation.validate_only) {
        status = problem_field(problem, "confirm",
                               "must be true: nothing of this %s opens any "
                               "more, and there is no way back",
                               resource_noun(request->type));
    } else if (status == HF_OK) {
        status = run(deleting, out);
    }
    free(deleting);
    return status;
}
