#include "server/service/admin.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_SIZE_DEFAULT 100
#define PAGE_SIZE_MAX     1000

HF_STATUS admin_begin(struct admin *admin, const char *tenant)
{
    HF_TRY(service_admit(admin->service, admin->caller, admin->verb, tenant,
                         &admin->tenant, admin->problem));
    const struct repeat repeat = {
        .caller = admin->caller,
        .verb = admin->verb,
        .tenant = admin->tenant == NULL ? (struct hf_id){{0}}
                                        : admin->tenant->record.id,
        .mutation = admin->mutation,
    };
    return repeat_check(admin->service, &repeat, &admin->seen, &admin->object,
                        admin->problem);
}

static HF_STATUS put_audit(const struct admin *admin, struct change *change,
                           const char *object, const struct details *details)
{
    char *text = NULL;
    if (details != NULL) {
        HF_TRY(details_text_of(details, &text));
    }
    const struct audit_entry entry = {
        .caller = admin->caller,
        .activity = verb_method(admin->verb),
        .tenant = admin->tenant == NULL ? (struct hf_id){{0}}
                                        : admin->tenant->record.id,
        .object = object,
        .details = text,
        .request_id = admin->mutation->request_id,
    };
    enum hf_status status = audit_change(admin->service, change, &entry);
    free(text);
    return status;
}

HF_STATUS admin_finish_change(const struct admin *admin, struct change *change,
                              const char *object, const struct details *details,
                              const struct hf_id *made)
{
    const struct repeat repeat = {
        .caller = admin->caller,
        .verb = admin->verb,
        .tenant = admin->tenant == NULL ? (struct hf_id){{0}}
                                        : admin->tenant->record.id,
        .mutation = admin->mutation,
    };
    if (admin_is_cancelled(admin)) {
        return HF_E_CANCELLED;
    }
    /* let in before its tenant was deleted: nothing new comes under it */
    if (admin->tenant != NULL && admin->tenant->ended) {
        return HF_E_CONFLICT;
    }
    HF_TRY(put_audit(admin, change, object, details));
    return repeat_record(admin->service, &repeat, made, change);
}

bool admin_is_cancelled(const struct admin *admin)
{
    const struct cancellation *client = &admin->mutation->cancellation;
    return client->asked != NULL && client->asked(client->self);
}

bool admin_is_stored(enum hf_status committed)
{
    return committed == HF_OK || committed == HF_E_TIMEOUT;
}

HF_STATUS admin_answer(const struct admin *admin, enum hf_status status)
{
    if (status == HF_E_TIMEOUT) {
        return problem_set(admin->problem, REASON_SERVICE_UNAVAILABLE,
                           "recorded, but not yet secured against a rollback "
                           "of the store: repeat with the same request_id");
    }
    if (hf_status_class(status) == HF_CLASS_CONFLICT) {
        return problem_set(admin->problem, REASON_CONFLICT,
                           "changed by somebody else meanwhile; repeat");
    }
    return problem_of_status(admin->problem, status);
}

HF_STATUS name_check(const char *field, const char *name,
                     struct problem *problem)
{
    struct hf_id id;
    if (!name_is_valid(name)) {
        return problem_field(problem, field,
                             "must have 1 to %d of letters, digits, '_', '-' "
                             "and '.', without spaces",
                             HF_NAME_MAX_BYTES);
    }
    if (id_parse(name, &id) == HF_OK) {
        return problem_field(problem, field,
                             "must not look like a UUID: a thing is found by "
                             "its UUID as well as by its name");
    }
    return HF_OK;
}

HF_STATUS put_folded_name(struct change *change, enum name_scope scope,
                          const struct hf_id *owner, const char *folded,
                          const struct hf_id *id)
{
    const struct stamp none = {.version = 0};
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = name_encode(scope, owner, folded, id, record);
    if (status == HF_OK) {
        status = change_put(change, record, &none, NULL);
    }
    free(record);
    return status;
}

HF_STATUS put_name(struct change *change, enum name_scope scope,
                   const struct hf_id *owner, const char *name,
                   const struct hf_id *id)
{
    char folded[HF_NAME_MAX_BYTES + 1];
    name_fold(name, folded);
    return put_folded_name(change, scope, owner, folded, id);
}

HF_STATUS page_begin(const struct page_request *page, size_t cap,
                     struct page_walk *out, struct problem *problem)
{
    *out = (struct page_walk){
        .size = page->size == 0 ? PAGE_SIZE_DEFAULT : page->size,
        .from_start = page->token[0] == '\0',
    };
    if (page->size > PAGE_SIZE_MAX) {
        return problem_field(problem, "page_size", "must be at most %d",
                             PAGE_SIZE_MAX);
    }
    if (out->size > cap) {
        out->size = cap;
    }
    if (!out->from_start && id_parse(page->token, &out->after) != HF_OK) {
        return problem_field(problem, "page_token",
                             "is not one that was returned here");
    }
    return HF_OK;
}
