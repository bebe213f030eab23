#include "server/service/audit.h"

#include "server/service/admin.h"
#include "server/service/chain_end.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* how many records one page, or one reading, looks at, shown or not */
#define PAGE_LOOKED_AT_MAX    10000
#define READING_LOOKED_AT_MAX 2000

/* --- what is asked for -------------------------------------------------- */

static bool text_fits(const json_t *record, const char *member,
                      const char *wanted)
{
    const char *found = json_string_value(json_object_get(record, member));
    return wanted[0] == '\0' || (found != NULL && strcmp(found, wanted) == 0);
}

/* The object itself or something below it. */
static bool object_fits(const json_t *record, const char *wanted)
{
    const char *found = json_string_value(json_object_get(record, "object"));
    size_t len = strlen(wanted);
    return len == 0 || (found != NULL && strncmp(found, wanted, len) == 0 &&
                        (found[len] == '\0' || found[len] == '/'));
}

static bool is_asked_for(const struct audit_filter *filter,
                         const struct audit_link *link)
{
    if (link->time_ms < filter->from_ms ||
        (filter->until_ms != 0 && link->time_ms >= filter->until_ms)) {
        return false;
    }
    if (filter->activity[0] == '\0' && filter->actor[0] == '\0' &&
        filter->object[0] == '\0') {
        return true;
    }
    json_t *record =
        json_loadb((const char *)link->body, link->body_len, 0, NULL);
    bool asked = text_fits(record, "activity", filter->activity) &&
                 text_fits(record, "actor", filter->actor) &&
                 object_fits(record, filter->object);
    json_decref(record);
    return asked;
}

/* --- walking ------------------------------------------------------------ */

struct walk {
    const struct audit_filter *filter;
    audit_record_fn *each;
    audit_digest_fn
        *each_digest; /* NULL: what is not the owner's is left out */
    const struct hf_id *owner;
    void *context;
    size_t shown_max;
    uint64_t looked_at_max;
    size_t shown;
    uint64_t looked_at;
    uint64_t last; /* index */
    bool more;
};

/* What is not for this reader: how the chain goes through it, no more. */
static HF_STATUS step_over(struct walk *walk, const struct audit_link *link)
{
    struct audit_digest digest = {.index = link->index};
    memcpy(digest.previous, link->previous, sizeof digest.previous);
    memcpy(digest.hash, link->hash, sizeof digest.hash);
    HF_TRY(audit_content_hash(link, digest.content));
    walk->shown++;
    return walk->each_digest(walk->context, &digest);
}

static enum hf_status step(void *context, const struct audit_link *link)
{
    struct walk *walk = context;
    if (walk->shown == walk->shown_max ||
        walk->looked_at == walk->looked_at_max) {
        walk->more = true;
        return HF_E_LIMIT;
    }
    walk->looked_at++;
    walk->last = link->index;
    if (!id_equal(&link->tenant, walk->owner)) {
        return step_over(walk, link);
    }
    if (!is_asked_for(walk->filter, link)) {
        return HF_OK;
    }
    walk->shown++;
    return walk->each(walk->context, link);
}

/* Everything behind walk->last, as far as the walk goes. */
static HF_STATUS walk_behind(struct service *service, const struct hf_id *owner,
                             struct walk *walk)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(service->settings.store, STORE_READ, &txn));
    walk->owner = owner;
    enum hf_status status =
        store_audit_list(txn, walk->each_digest == NULL ? owner : NULL,
                         walk->last + 1, SIZE_MAX, step, walk);
    return status == HF_E_LIMIT && walk->more ? HF_OK : status;
}

/* Whose records: a tenant's, or (nil) the service's own. */
static HF_STATUS admit(struct service *service, const struct caller *caller,
                       enum verb verb, const char *tenant,
                       struct hf_id *out_owner, struct problem *problem)
{
    struct tenant_entry *entry = NULL;
    HF_TRY(service_admit(service, caller, verb, tenant, &entry, problem));
    *out_owner = entry == NULL ? (struct hf_id){{0}} : entry->record.id;
    return HF_OK;
}

/* --- a page ------------------------------------------------------------- */

static HF_STATUS last_shown(const struct audit_query *query, uint64_t *out,
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
    *out = last;
    return HF_OK;
}

HF_STATUS audit_list(struct service *service, const struct caller *caller,
                     struct audit_query *query, audit_record_fn *each,
                     void *context, struct problem *problem)
{
    struct hf_id owner;
    struct page_walk page;
    struct audit_filter filter = {.from_ms = 0};
    const struct page_request sizes = {.size = query->page.size};
    struct walk walk = {
        .filter = &filter,
        .each = each,
        .context = context,
        .looked_at_max = PAGE_LOOKED_AT_MAX,
    };
    query->next[0] = '\0';
    memcpy(filter.activity, query->activity, sizeof filter.activity);
    HF_TRY(admit(service, caller, VERB_LIST_AUDIT_RECORDS, query->tenant,
                 &owner, problem));
    HF_TRY(page_begin(&sizes, SIZE_MAX, &page, problem));
    HF_TRY(last_shown(query, &walk.last, problem));
    walk.shown_max = page.size;
    enum hf_status status = walk_behind(service, &owner, &walk);
    if (status == HF_OK && walk.more) {
        snprintf(query->next, sizeof query->next, "%llu",
                 (unsigned long long)walk.last);
    }
    return problem_of_status(problem, status);
}

/* --- a reading ---------------------------------------------------------- */

HF_STATUS audit_read(struct service *service, const struct caller *caller,
                     struct audit_reading *reading, audit_record_fn *each,
                     void *context, struct problem *problem)
{
    struct walk walk = {
        .filter = &reading->filter,
        .each = each,
        .each_digest = reading->each_digest,
        .context = context,
        .shown_max = reading->max,
        .looked_at_max = READING_LOOKED_AT_MAX,
        .last = reading->after,
    };
    HF_TRY(admit(service, caller, reading->verb, reading->tenant,
                 &reading->owner, problem));
    enum hf_status status = walk_behind(service, &reading->owner, &walk);
    reading->after = walk.last;
    reading->more = walk.more;
    return problem_of_status(problem, status);
}

HF_STATUS audit_end(struct service *service, const struct caller *caller,
                    struct audit_reading *reading, struct problem *problem)
{
    struct audit_link end = {.index = 0};
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(admit(service, caller, reading->verb, reading->tenant,
                 &reading->owner, problem));
    enum hf_status status =
        store_begin(service->settings.store, STORE_READ, &txn);
    if (status == HF_OK) {
        status = chain_end(txn, &end);
    }
    reading->after = end.index;
    return problem_of_status(problem, status);
}
