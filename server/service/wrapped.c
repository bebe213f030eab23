#include "server/service/wrapped.h"

#include <stdlib.h>
#include <string.h>

static bool is_same(const struct dep_ref *a, const struct dep_ref *b)
{
    return a->generation == b->generation && id_equal(&a->dep, &b->dep);
}

/* An earlier key needs its generation as the stored one does:
 * its line was written when it was the stored one, and stays. */
static bool is_needed_by_earlier(const struct resource_record *resource,
                                 const struct dep_ref *ref)
{
    for (size_t i = 0; i < resource->earlier_count; i++) {
        if (is_same(&resource->earlier[i].by, ref)) {
            return true;
        }
    }
    return false;
}

static HF_STATUS remove_line(struct change *change,
                             const struct resource_record *resource,
                             const struct dep_ref *from, struct record *scratch)
{
    HF_TRY(wrapped_encode(from, resource, scratch));
    return change_remove(change, RECORD_WRAPPED,
                         (struct bytes){scratch->key, scratch->key_len}, 1);
}

static HF_STATUS take_away(struct change *change,
                           const struct resource_record *resource,
                           const struct dep_ref *from, struct record *scratch)
{
    if (id_is_nil(&from->dep) || is_needed_by_earlier(resource, from)) {
        return HF_OK;
    }
    return remove_line(change, resource, from, scratch);
}

static HF_STATUS add(struct change *change,
                     const struct resource_record *resource,
                     struct record *scratch)
{
    const struct stamp none = {.version = 0};
    if (id_is_nil(&resource->effective.dep) ||
        is_needed_by_earlier(resource, &resource->effective)) {
        return HF_OK;
    }
    HF_TRY(wrapped_encode(&resource->effective, resource, scratch));
    return change_put(change, scratch, &none, NULL);
}

HF_STATUS wrapped_move(struct change *change,
                       const struct resource_record *resource,
                       const struct dep_ref *from)
{
    if (is_same(from, &resource->effective)) {
        return HF_OK;
    }
    struct record *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = take_away(change, resource, from, scratch);
    if (status == HF_OK) {
        status = add(change, resource, scratch);
    }
    free(scratch);
    return status;
}

static bool is_repeated(const struct earlier_key *keys, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (is_same(&keys[i].by, &keys[at].by)) {
            return true;
        }
    }
    return false;
}

HF_STATUS wrapped_forget_earlier(struct change *change,
                                 const struct resource_record *before,
                                 const struct dep_ref *except)
{
    struct record *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = HF_OK;
    for (size_t i = 0; i < before->earlier_count && status == HF_OK; i++) {
        const struct dep_ref *by = &before->earlier[i].by;
        if (!is_same(by, except) && !is_repeated(before->earlier, i)) {
            status = remove_line(change, before, by, scratch);
        }
    }
    free(scratch);
    return status;
}

HF_STATUS wrapped_count(struct service *service, const struct hf_id *dep,
                        uint32_t generation, struct wrapped_counts *out)
{
    struct record_key key = key_of_numbered(dep, generation);
    uint64_t all = 0;
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(ledger_store(service->ledger), STORE_READ, &txn));
    HF_TRY(store_count(txn, RECORD_WRAPPED, BYTES_OF(dep->bytes), &all));
    HF_TRY(store_count(txn, RECORD_WRAPPED, record_key_view(&key), &out->here));
    out->elsewhere = all - out->here;
    return HF_OK;
}

/* --- for stores of before ----------------------------------------------- */

#define BATCH_MAX 12 /* in one change */

struct building {
    struct service *service;
    struct resource_record batch[BATCH_MAX];
    size_t count;
    uint8_t cursor[RECORD_KEY_MAX_BYTES];
    size_t cursor_len;
};

static enum hf_status collect(void *context, const struct record *record,
                              const struct stamp *stamp)
{
    struct building *building = context;
    (void)stamp;
    if (building->count == BATCH_MAX) {
        return HF_E_LIMIT;
    }
    HF_TRY(resource_decode(record, &building->batch[building->count]));
    if (building->batch[building->count].envelope_len > 0) {
        building->count++;
    }
    memcpy(building->cursor, record->key, record->key_len);
    building->cursor_len = record->key_len;
    return HF_OK;
}

/* Unless it is there: a start that was cut short came so far. */
static HF_STATUS add_missing(struct service *service, struct change *change,
                             const struct resource_record *resource,
                             struct record *scratch)
{
    struct stamp stamp;
    HF_TRY(wrapped_encode(&resource->effective, resource, scratch));
    uint8_t key[RECORD_KEY_MAX_BYTES];
    size_t key_len = scratch->key_len;
    memcpy(key, scratch->key, key_len);
    enum hf_status status =
        ledger_get(service->ledger, RECORD_WRAPPED,
                   (struct bytes){key, key_len}, scratch, &stamp);
    return status == HF_E_NOT_FOUND ? add(change, resource, scratch) : status;
}

static HF_STATUS write_batch(struct building *building, struct record *scratch)
{
    struct service *service = building->service;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    for (size_t i = 0; i < building->count; i++) {
        HF_TRY(add_missing(service, change, &building->batch[i], scratch));
    }
    building->count = 0;
    return ledger_commit(service->ledger, change);
}

static HF_STATUS build(struct building *building, struct record *scratch)
{
    enum hf_status status = HF_E_LIMIT;
    while (status == HF_E_LIMIT) {
        uint8_t cursor[RECORD_KEY_MAX_BYTES];
        memcpy(cursor, building->cursor, building->cursor_len);
        const struct store_page page = {
            .after = {cursor, building->cursor_len},
            .max = SIZE_MAX,
        };
        status = ledger_each(building->service->ledger, RECORD_RESOURCE, &page,
                             collect, building);
        if (status != HF_OK && status != HF_E_LIMIT) {
            return status;
        }
        if (building->count > 0) {
            HF_TRY(write_batch(building, scratch));
        }
    }
    return HF_OK;
}

static HF_STATUS note_complete(struct service *service, struct record *scratch)
{
    const struct stamp none = {.version = 0};
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    index_encode(INDEX_WRAPPED, scratch);
    HF_TRY(change_put(change, scratch, &none, NULL));
    return ledger_commit(service->ledger, change);
}

static HF_STATUS open_with(struct building *building, struct record *scratch)
{
    struct service *service = building->service;
    struct stamp stamp;
    index_encode(INDEX_WRAPPED, scratch);
    const uint8_t key[1] = {scratch->key[0]};
    enum hf_status status = ledger_get(service->ledger, RECORD_INDEX,
                                       BYTES_OF(key), scratch, &stamp);
    if (status != HF_E_NOT_FOUND) {
        return status;
    }
    HF_TRY(build(building, scratch));
    return note_complete(service, scratch);
}

HF_STATUS wrapped_open(struct service *service, struct problem *problem)
{
    struct building *building = calloc(1, sizeof *building);
    struct record *scratch = calloc(1, sizeof *scratch);
    enum hf_status status = HF_E_NO_MEMORY;
    if (building != NULL && scratch != NULL) {
        building->service = service;
        status = open_with(building, scratch);
    }
    free(building);
    free(scratch);
    return problem_of_status(problem, status);
}
