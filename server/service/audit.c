#include "server/service/audit.h"

#include "server/service/admin.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* how many records one page looks at, shown or not */
#define LOOKED_AT_MAX 10000

struct walk {
    const struct audit_query *query;
    audit_record_fn *each;
    void *context;
    size_t size;
    size_t shown;
    uint64_t looked_at;
    uint64_t last; /* index */
    bool more;
};

static bool is_asked_for(const struct audit_query *query,
                         const struct audit_link *link)
{
    if (query->activity[0] == '\0') {
        return true;
    }
    json_t *record =
        json_loadb((const char *)link->body, link->body_len, 0, NULL);
    const char *activity =
        json_string_value(json_object_get(record, "activity"));
    bool asked = activity != NULL && strcmp(activity, query->activity) == 0;
    json_decref(record);
    return asked;
}

static enum hf_status step(void *context, const struct audit_link *link)
{
    struct walk *walk = context;
    if (walk->shown == walk->size || walk->looked_at == LOOKED_AT_MAX) {
        walk->more = true;
        return HF_E_LIMIT;
    }
    walk->looked_at++;
    walk->last = link->index;
    if (!is_asked_for(walk->query, link)) {
        return HF_OK;
    }
    walk->shown++;
    return walk->each(walk->context, link);
}

static HF_STATUS first_index(const struct audit_query *query, uint64_t *out,
                             struct problem *problem)
{
    char *end = NULL;
    unsigned long long last = 0;
    if (query->page.token[0] != '\0') {
        last = strtoull(query->page.token, &end, 10);
        if (*end != '\0' || last == 0 || last >= INT64_MAX) {
            return problem_field(problem, "page_token",
                                 "is not one that was returned here");
        }
    }
    *out = last + 1;
    return HF_OK;
}

HF_STATUS audit_list(struct service *service, const struct caller *caller,
                     struct audit_query *query, audit_record_fn *each,
                     void *context, struct problem *problem)
{
    struct tenant_entry *tenant = NULL;
    struct page_walk page;
    uint64_t from = 0;
    const struct hf_id nobody = {{0}};
    const struct page_request sizes = {.size = query->page.size};
    struct walk walk = {.query = query, .each = each, .context = context};
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    query->next[0] = '\0';
    HF_TRY(service_admit(service, caller, VERB_LIST_AUDIT_RECORDS,
                         query->tenant, &tenant, problem));
    HF_TRY(page_begin(&sizes, SIZE_MAX, &page, problem));
    HF_TRY(first_index(query, &from, problem));
    walk.size = page.size;
    enum hf_status status =
        store_begin(service->settings.store, STORE_READ, &txn);
    if (status == HF_OK) {
        status =
            store_audit_list(txn, tenant == NULL ? &nobody : &tenant->record.id,
                             from, SIZE_MAX, step, &walk);
    }
    if (status == HF_E_LIMIT && walk.more) {
        snprintf(query->next, sizeof query->next, "%llu",
                 (unsigned long long)walk.last);
        status = HF_OK;
    }
    return problem_of_status(problem, status);
}
