#include "server/service/wrapped.h"

#include "server/service/index_build.h"
#include "server/service/purges.h"

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

/* A line of its own, beside those of its earlier keys. */
static bool has_line(const struct resource_record *resource)
{
    return !id_is_nil(&resource->effective.dep) &&
           !is_needed_by_earlier(resource, &resource->effective);
}

static HF_STATUS add(struct change *change,
                     const struct resource_record *resource,
                     struct record *scratch)
{
    const struct stamp none = {.version = 0};
    if (!has_line(resource)) {
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

struct looking {
    struct service *service;
    uint32_t before;
    bool left;
};

/* Lines are in the order of generations. */
static enum hf_status look_for_left(void *context, const struct record *record,
                                    const struct stamp *stamp)
{
    struct looking *looking = context;
    struct byte_reader reader = byte_reader_on((struct bytes){
        record->key + HF_ID_BYTES, record->key_len - HF_ID_BYTES});
    struct record_key key = {.len = record->key_len - WRAPPED_PREFIX_BYTES};
    (void)stamp;
    if (get_u32(&reader) >= looking->before) {
        return HF_E_LIMIT;
    }
    memcpy(key.bytes, record->key + WRAPPED_PREFIX_BYTES, key.len);
    pthread_rwlock_rdlock(&looking->service->catalogue.lock);
    looking->left = !purges_is_tombstoned(looking->service, &key);
    pthread_rwlock_unlock(&looking->service->catalogue.lock);
    return looking->left ? HF_E_LIMIT : HF_OK;
}

HF_STATUS wrapped_is_left(struct service *service, const struct hf_id *dep,
                          uint32_t before, bool *out_left)
{
    struct looking looking = {.service = service, .before = before};
    const struct store_page page = {.prefix = BYTES_OF(dep->bytes),
                                    .max = SIZE_MAX};
    enum hf_status status = ledger_each(service->ledger, RECORD_WRAPPED, &page,
                                        look_for_left, &looking);
    *out_left = looking.left;
    return status == HF_E_LIMIT ? HF_OK : status;
}

/* --- for stores of before ----------------------------------------------- */

static enum hf_status line_of(const struct resource_record *resource,
                              struct record *out)
{
    return has_line(resource)
               ? wrapped_encode(&resource->effective, resource, out)
               : HF_E_NOT_FOUND;
}

HF_STATUS wrapped_open(struct service *service, struct problem *problem)
{
    return index_open(service, INDEX_WRAPPED, line_of, problem);
}
