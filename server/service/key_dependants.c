#include "server/service/key_dependants.h"

#include "server/service/wrapped.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the generations a version wraps ------------------------------------ */

struct refs {
    struct dep_ref *items;
    size_t count;
    size_t cap;
};

/* A purged DEP's copies are gone: nothing is left that names it. */
static bool names(const struct generation_entry *generation,
                  const struct key_version_entry *version)
{
    for (size_t slot = 0; generation != NULL && slot < HF_CUSTOMER_KEYS_PER_DEP;
         slot++) {
        if (generation->versions[slot] == version &&
            generation->record.copies[slot].wrapped_len > 0) {
            return true;
        }
    }
    return false;
}

static HF_STATUS add_ref(struct refs *refs,
                         const struct generation_entry *generation)
{
    if (refs->count == refs->cap) {
        size_t cap = refs->cap == 0 ? 16 : 2 * refs->cap;
        struct dep_ref *items = realloc(refs->items, cap * sizeof *items);
        if (items == NULL) {
            return HF_E_NO_MEMORY;
        }
        refs->items = items;
        refs->cap = cap;
    }
    refs->items[refs->count++] = (struct dep_ref){
        .dep = generation->record.dep,
        .generation = generation->record.generation,
    };
    return HF_OK;
}

static HF_STATUS find_in_dep(const struct dep_entry *dep,
                             const struct key_version_entry *version,
                             struct refs *refs)
{
    for (uint32_t i = 0; i < dep->record.generation; i++) {
        if (names(dep->generations[i], version)) {
            HF_TRY(add_ref(refs, dep->generations[i]));
        }
    }
    return HF_OK;
}

/* The catalogue's lock is held. In the order in which they were made. */
static HF_STATUS find_locked(struct service *service,
                             const struct key_entry *key,
                             const struct key_version_entry *version,
                             struct refs *refs)
{
    for (const struct dep_entry *dep = service->catalogue.deps; dep != NULL;
         dep = dep->next) {
        if (dep->tenant == key->tenant) {
            HF_TRY(find_in_dep(dep, version, refs));
        }
    }
    return HF_OK;
}

static HF_STATUS find_refs(struct service *service, const struct key_entry *key,
                           const struct key_version_entry *version,
                           struct refs *refs)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    enum hf_status status = find_locked(service, key, version, refs);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

/* --- what is under them ------------------------------------------------- */

struct walk {
    struct service *service;
    const struct tenant_entry *tenant;
    struct key_dependant_list *out;
    size_t size;
    struct dep_ref under;
    /* keys of the index that were seen; looked up after the walk */
    struct record_key *keys;
    struct dep_ref *refs;
    bool more;
};

static enum hf_status see(void *context, const struct record *record,
                          const struct stamp *stamp)
{
    struct walk *walk = context;
    struct key_dependant_list *out = walk->out;
    (void)stamp;
    if (out->count == walk->size) {
        walk->more = true;
        return HF_E_LIMIT;
    }
    memcpy(walk->keys[out->count].bytes, record->key, record->key_len);
    walk->keys[out->count].len = record->key_len;
    walk->refs[out->count] = walk->under;
    out->count++;
    return HF_OK;
}

static HF_STATUS fill_one(const struct walk *walk, const struct record_key *key,
                          struct record *scratch, struct key_dependant *out)
{
    struct stamp stamp;
    struct resource_record *resource = malloc(sizeof *resource);
    const struct bytes of_resource = {key->bytes + WRAPPED_PREFIX_BYTES,
                                      key->len - WRAPPED_PREFIX_BYTES};
    if (resource == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = ledger_get(walk->service->ledger, RECORD_RESOURCE,
                                       of_resource, scratch, &stamp);
    if (status == HF_OK) {
        status = resource_decode(scratch, resource);
    }
    if (status == HF_OK) {
        resource_name(walk->tenant->record.name, resource->type, resource->id,
                      out->resource);
    }
    free(resource);
    return status;
}

static HF_STATUS fill_all(struct walk *walk)
{
    enum hf_status status = HF_OK;
    struct record *scratch = malloc(sizeof *scratch);
    if (scratch == NULL) {
        return HF_E_NO_MEMORY;
    }
    for (size_t i = 0; status == HF_OK && i < walk->out->count; i++) {
        walk->out->items[i].under = walk->refs[i];
        status = fill_one(walk, &walk->keys[i], scratch, &walk->out->items[i]);
    }
    free(scratch);
    return status;
}

/* Where a page begins: behind this key of the index, in this generation. */
struct start {
    size_t ref;
    struct bytes after;
};

static HF_STATUS find_start(const struct refs *refs, struct bytes token,
                            struct start *out)
{
    *out = (struct start){.after = token};
    for (size_t i = 0; token.len > WRAPPED_PREFIX_BYTES && i < refs->count;
         i++) {
        struct record_key prefix =
            key_of_numbered(&refs->items[i].dep, refs->items[i].generation);
        if (bytes_equal(record_key_view(&prefix),
                        (struct bytes){token.data, prefix.len})) {
            out->ref = i;
            return HF_OK;
        }
    }
    return token.len == 0 ? HF_OK : HF_E_INVALID;
}

static HF_STATUS walk_all(struct walk *walk, const struct refs *refs,
                          const struct start *start)
{
    struct bytes after = start->after;
    for (size_t i = start->ref; i < refs->count && !walk->more; i++) {
        struct record_key prefix =
            key_of_numbered(&refs->items[i].dep, refs->items[i].generation);
        const struct store_page page = {
            .prefix = record_key_view(&prefix),
            .after = after,
            .max = SIZE_MAX,
        };
        walk->under = refs->items[i];
        enum hf_status status = ledger_each(walk->service->ledger,
                                            RECORD_WRAPPED, &page, see, walk);
        if (status != HF_OK && !(status == HF_E_LIMIT && walk->more)) {
            return status;
        }
        after = BYTES_NONE;
    }
    return HF_OK;
}

static HF_STATUS count_all(struct service *service, const struct refs *refs,
                           uint64_t *out_total)
{
    *out_total = 0;
    for (size_t i = 0; i < refs->count; i++) {
        struct wrapped_counts counts;
        HF_TRY(wrapped_count(service, &refs->items[i].dep,
                             refs->items[i].generation, &counts));
        *out_total += counts.here;
    }
    return HF_OK;
}

/* One page from start on; size is at most out->cap. */
static HF_STATUS list(struct service *service, const struct tenant_entry *of,
                      const struct refs *refs, const struct start *start,
                      size_t size, struct key_dependant_list *out)
{
    struct walk walk = {
        .service = service,
        .tenant = of,
        .out = out,
        .size = size,
        .keys = calloc(size, sizeof *walk.keys),
        .refs = calloc(size, sizeof *walk.refs),
    };
    out->count = 0;
    out->next[0] = '\0';
    enum hf_status status = HF_E_NO_MEMORY;
    if (walk.keys != NULL && walk.refs != NULL) {
        status = walk_all(&walk, refs, start);
    }
    if (status == HF_OK) {
        status = fill_all(&walk);
    }
    if (status == HF_OK && walk.more) {
        const struct record_key *last = &walk.keys[out->count - 1];
        hex_encode(last->bytes, last->len, out->next, sizeof out->next);
    }
    free(walk.keys);
    free(walk.refs);
    HF_TRY(status);
    return count_all(service, refs, &out->total);
}

/* --- use case ----------------------------------------------------------- */

static HF_STATUS
list_page(struct service *service, const struct tenant_entry *tenant,
          const struct key_dependants_request *request, const struct refs *refs,
          struct key_dependant_list *out, struct problem *problem)
{
    uint8_t token[RECORD_KEY_MAX_BYTES];
    size_t token_len = 0;
    struct page_walk page;
    struct start start;
    const struct page_request sizes = {.size = request->page.size};
    HF_TRY(page_begin(&sizes, out->cap, &page, problem));
    if (hex_decode(request->page.token, token, sizeof token, &token_len) !=
            HF_OK ||
        find_start(refs, (struct bytes){token, token_len}, &start) != HF_OK) {
        return problem_field(problem, "page_token",
                             "is not one that was returned here");
    }
    return problem_of_status(
        problem, list(service, tenant, refs, &start, page.size, out));
}

HF_STATUS customer_keys_dependants(struct service *service,
                                   const struct caller *caller,
                                   const struct key_dependants_request *request,
                                   struct key_dependant_list *out,
                                   struct problem *problem)
{
    struct tenant_entry *tenant = NULL;
    struct refs refs = {.count = 0};
    HF_TRY(service_admit(service, caller, VERB_LIST_KEY_DEPENDANTS,
                         request->tenant, &tenant, problem));
    const struct key_entry *key =
        customer_key_find(service, tenant, request->name);
    if (key == NULL) {
        return problem_set(problem, REASON_NOT_FOUND, "no such customer key");
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    uint32_t number =
        request->version == 0 ? key->record.current_version : request->version;
    const struct key_version_entry *version =
        number > key->record.current_version ? NULL : key->versions[number - 1];
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (version == NULL) {
        return problem_set(problem, REASON_NOT_FOUND,
                           "customer key %s has no version %u", request->name,
                           number);
    }
    enum hf_status status = find_refs(service, key, version, &refs);
    status = status == HF_OK
                 ? list_page(service, tenant, request, &refs, out, problem)
                 : problem_of_status(problem, status);
    free(refs.items);
    return status;
}

/* --- the guard ---------------------------------------------------------- */

#define NAMED_MAX 2 /* as many as fit into the text of a problem */

static HF_STATUS refuse(const struct admin *admin, const struct key_entry *key,
                        const struct key_version_entry *version,
                        const struct key_dependant_list *found)
{
    char names[NAMED_MAX * 64] = "";
    for (size_t i = 0; i < found->count; i++) {
        size_t len = strlen(names);
        snprintf(names + len, sizeof names - len, "%s%.60s", i == 0 ? "" : ", ",
                 found->items[i].resource);
    }
    return problem_set(
        admin->problem, REASON_KEY_IN_USE,
        "version %u of %s is needed by %llu stored keys (%s%s): see "
        "ListKeyDependants. Move them first (RefreshDep, RewrapDep); two "
        "approvers may force it (DraftForcedChange); RevokeCustomerKey "
        "withdraws access at any time",
        version->record.version, key->record.name,
        (unsigned long long)found->total, names,
        found->total > found->count ? ", ..." : "");
}

HF_STATUS key_count_dependants(struct service *service,
                               const struct key_entry *key,
                               const struct key_version_entry *version,
                               uint64_t *out_total)
{
    struct refs refs = {.count = 0};
    enum hf_status status = find_refs(service, key, version, &refs);
    if (status == HF_OK) {
        status = count_all(service, &refs, out_total);
    }
    free(refs.items);
    return status;
}

HF_STATUS key_check_unused(const struct admin *admin,
                           const struct key_entry *key,
                           const struct key_version_entry *version)
{
    struct refs refs = {.count = 0};
    struct key_dependant items[NAMED_MAX];
    struct key_dependant_list found = {.items = items, .cap = NAMED_MAX};
    const struct start start = {.ref = 0};
    enum hf_status status = find_refs(admin->service, key, version, &refs);
    if (status == HF_OK) {
        status = list(admin->service, admin->tenant, &refs, &start, NAMED_MAX,
                      &found);
    }
    free(refs.items);
    if (status != HF_OK) {
        return problem_of_status(admin->problem, status);
    }
    return found.total == 0 ? HF_OK : refuse(admin, key, version, &found);
}
