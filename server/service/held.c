#include "server/service/held.h"

#include "server/service/purges.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_LINES 64

/* --- since when ---------------------------------------------------------- */

static HF_STATUS begin(struct service *service, struct record *scratch)
{
    const struct stamp none = {.version = 0};
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    service->held_since_ms = service_wall_ms(service);
    index_encode_since(INDEX_HELD, service->held_since_ms, scratch);
    HF_TRY(change_put(change, scratch, &none, NULL));
    return ledger_commit(service->ledger, change);
}

HF_STATUS held_open(struct service *service, struct problem *problem)
{
    struct stamp stamp;
    struct record *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    index_encode(INDEX_HELD, scratch);
    const uint8_t key[1] = {scratch->key[0]};
    enum hf_status status = ledger_get(service->ledger, RECORD_INDEX,
                                       BYTES_OF(key), scratch, &stamp);
    if (status == HF_OK) {
        status = index_decode_since(scratch, &service->held_since_ms);
    } else if (status == HF_E_NOT_FOUND) {
        status = begin(service, scratch);
    }
    free(scratch);
    return problem_of_status(problem, status);
}

/* --- lines --------------------------------------------------------------- */

static struct dep_ref ref_of(const struct generation_entry *generation)
{
    return (struct dep_ref){
        .dep = generation->record.dep,
        .generation = generation->record.generation,
    };
}

HF_STATUS held_is_noted(struct service *service,
                        const struct generation_entry *generation,
                        const struct resource_record *resource, bool *out_noted)
{
    struct stamp stamp;
    uint8_t key[RECORD_KEY_MAX_BYTES];
    const struct dep_ref ref = ref_of(generation);
    if (generation->dep->record.type != DEP_TYPE_SERVICE_MANAGED) {
        *out_noted = true;
        return HF_OK;
    }
    struct record *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = held_encode(&ref, resource, scratch);
    if (status == HF_OK) {
        size_t len = scratch->key_len;
        memcpy(key, scratch->key, len);
        status = ledger_get(service->ledger, RECORD_HELD,
                            (struct bytes){key, len}, scratch, &stamp);
    }
    free(scratch);
    *out_noted = status == HF_OK;
    return status == HF_E_NOT_FOUND ? HF_OK : status;
}

HF_STATUS held_note(struct change *change,
                    const struct generation_entry *generation,
                    const struct resource_record *resource)
{
    const struct stamp none = {.version = 0};
    const struct dep_ref ref = ref_of(generation);
    struct record *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = held_encode(&ref, resource, scratch);
    if (status == HF_OK) {
        status = change_put(change, scratch, &none, NULL);
    }
    free(scratch);
    return status;
}

/* --- need ---------------------------------------------------------------- */

struct page {
    struct record_key lines[PAGE_LINES];
    size_t count;
};

static enum hf_status collect(void *context, const struct record *record,
                              const struct stamp *stamp)
{
    struct page *page = context;
    (void)stamp;
    if (page->count == PAGE_LINES) {
        return HF_E_LIMIT;
    }
    struct record_key *line = &page->lines[page->count++];
    memcpy(line->bytes, record->key, record->key_len);
    line->len = record->key_len;
    return HF_OK;
}

static bool has_wrap(const struct resource_record *resource,
                     const struct dep_ref *ref)
{
    for (size_t i = 0; i < resource->wrap_count; i++) {
        if (resource->wraps[i].generation == ref->generation &&
            id_equal(&resource->wraps[i].dep, &ref->dep)) {
            return true;
        }
    }
    return false;
}

static bool is_purged(struct service *service, const struct record_key *key)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool purged = purges_is_tombstoned(service, key);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return purged;
}

static HF_STATUS counts(struct service *service, const struct record_key *line,
                        const struct dep_ref *ref, bool *out_counts)
{
    struct stamp stamp;
    struct record_key key = {.len = line->len - WRAPPED_PREFIX_BYTES};
    memcpy(key.bytes, line->bytes + WRAPPED_PREFIX_BYTES, key.len);
    *out_counts = false;
    if (is_purged(service, &key)) {
        return HF_OK;
    }
    struct record *record = malloc(sizeof *record);
    struct resource_record *resource = malloc(sizeof *resource);
    enum hf_status status = HF_E_NO_MEMORY;
    if (record != NULL && resource != NULL) {
        status = ledger_get(service->ledger, RECORD_RESOURCE,
                            record_key_view(&key), record, &stamp);
    }
    if (status == HF_OK) {
        status = resource_decode(record, resource);
    }
    if (status == HF_OK) {
        *out_counts = has_wrap(resource, ref);
    }
    free(record);
    free(resource);
    return status;
}

/* Stops at the first line that counts. */
static HF_STATUS walk(struct service *service, const struct dep_ref *ref,
                      struct page *page, bool *out_needed)
{
    struct record_key cursor = {.len = 0};
    const struct record_key prefix =
        key_of_numbered(&ref->dep, ref->generation);
    enum hf_status listed = HF_E_LIMIT;
    while (listed == HF_E_LIMIT && !*out_needed) {
        const struct store_page lines = {
            .prefix = record_key_view(&prefix),
            .after = record_key_view(&cursor),
            .max = SIZE_MAX,
        };
        page->count = 0;
        listed =
            ledger_each(service->ledger, RECORD_HELD, &lines, collect, page);
        if (listed != HF_OK && listed != HF_E_LIMIT) {
            return listed;
        }
        for (size_t i = 0; i < page->count && !*out_needed; i++) {
            HF_TRY(counts(service, &page->lines[i], ref, out_needed));
            cursor = page->lines[i];
        }
    }
    return HF_OK;
}

HF_STATUS held_is_needed(struct service *service,
                         const struct generation_entry *generation,
                         bool *out_needed)
{
    const struct dep_ref ref = ref_of(generation);
    *out_needed = generation->record.created_ms < service->held_since_ms;
    if (*out_needed) {
        return HF_OK;
    }
    struct page *page = malloc(sizeof *page);
    if (page == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = walk(service, &ref, page, out_needed);
    free(page);
    return status;
}
