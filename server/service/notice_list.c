/* notice_list: what a tenant was told, a page at a time. */
#include "server/service/admin.h"
#include "server/service/dep_view.h"
#include "server/service/notices.h"

#include <string.h>

struct notice_walk {
    struct service *service;
    struct notice_list *out;
    const struct hf_id *dep; /* NULL: every one */
    size_t size;
    struct record_key last;
    bool more;
};

static enum hf_status show_one(void *context, const struct record *record,
                               const struct stamp *stamp)
{
    struct notice_walk *walk = context;
    struct notice_record notice;
    (void)stamp;
    HF_TRY(notice_decode(record, &notice));
    if (walk->dep != NULL && !id_equal(walk->dep, &notice.dep)) {
        return HF_OK;
    }
    if (walk->out->count == walk->size) {
        walk->more = true;
        return HF_E_LIMIT;
    }
    struct notice_view *view = &walk->out->views[walk->out->count++];
    *view = (struct notice_view){.record = notice};
    memcpy(walk->last.bytes, record->key, record->key_len);
    walk->last.len = record->key_len;
    return HF_OK;
}

static void name_deps(struct service *service, struct notice_list *list)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (size_t i = 0; i < list->count; i++) {
        struct notice_view *view = &list->views[i];
        const struct dep_entry *dep =
            catalogue_dep_by_id(&service->catalogue, &view->record.dep);
        if (dep != NULL) {
            memcpy(view->dep_name, dep->record.name, sizeof view->dep_name);
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
}

/* A page token is a key without the tenant's id. */
static HF_STATUS begin_page(const struct notice_list_request *request,
                            size_t cap, const struct record_key *prefix,
                            struct record_key *out_after, size_t *out_size,
                            struct problem *problem)
{
    struct page_walk page;
    size_t len = 0;
    const struct page_request sizes = {.size = request->page.size};
    HF_TRY(page_begin(&sizes, cap, &page, problem));
    *out_after = *prefix;
    if (hex_decode(request->page.token, out_after->bytes + prefix->len,
                   sizeof out_after->bytes - prefix->len, &len) != HF_OK) {
        return problem_field(problem, "page_token",
                             "is not one that was returned here");
    }
    out_after->len = prefix->len + len;
    *out_size = page.size;
    return HF_OK;
}

static HF_STATUS walk_page(struct notice_walk *walk,
                           const struct record_key *prefix,
                           const struct record_key *after)
{
    struct notice_list *out = walk->out;
    const struct store_page page = {
        .prefix = record_key_view(prefix),
        .after = after->len > prefix->len ? record_key_view(after) : BYTES_NONE,
        .max = SIZE_MAX,
    };
    enum hf_status status = ledger_each(walk->service->ledger, RECORD_NOTICE,
                                        &page, show_one, walk);
    if (status != HF_OK && !(status == HF_E_LIMIT && walk->more)) {
        return status;
    }
    if (walk->more) {
        hex_encode(walk->last.bytes + prefix->len, walk->last.len - prefix->len,
                   out->next, sizeof out->next);
    }
    name_deps(walk->service, out);
    return HF_OK;
}

HF_STATUS notices_list(struct service *service, const struct caller *caller,
                       const struct notice_list_request *request,
                       struct notice_list *out, struct problem *problem)
{
    struct tenant_entry *tenant = NULL;
    struct notice_walk walk = {.service = service, .out = out};
    HF_TRY(service_admit(service, caller, VERB_LIST_NOTICES, request->tenant,
                         &tenant, problem));
    const struct record_key prefix = key_of_id(&tenant->record.id);
    struct record_key after;
    HF_TRY(begin_page(request, out->cap, &prefix, &after, &walk.size, problem));
    if (request->dep[0] != '\0') {
        const struct dep_entry *dep = dep_find(service, tenant, request->dep);
        if (dep == NULL) {
            return problem_set(problem, REASON_NOT_FOUND, "no such DEP");
        }
        walk.dep = &dep->record.id;
    }
    out->count = 0;
    out->next[0] = '\0';
    memcpy(out->tenant, tenant->record.name, sizeof out->tenant);
    return problem_of_status(problem, walk_page(&walk, &prefix, &after));
}
