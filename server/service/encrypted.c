#include "server/service/encrypted.h"

#include "server/service/index_build.h"

#include <stdlib.h>

struct hf_id encrypted_under(const struct resource_record *resource)
{
    const struct hf_id none = {{0}};
    bool is_under = resource->type == RESOURCE_MAILBOX &&
                    resource->move == MOVE_NONE && resource->envelope_len > 0 &&
                    id_equal(&resource->effective.dep, &resource->assigned);
    return is_under ? resource->assigned : none;
}

static HF_STATUS replace(struct change *change,
                         const struct resource_record *resource,
                         const struct hf_id *from, const struct hf_id *to,
                         struct record *scratch)
{
    const struct stamp none = {.version = 0};
    if (!id_is_nil(from)) {
        HF_TRY(encrypted_encode(from, resource, scratch));
        HF_TRY(change_remove(change, RECORD_ENCRYPTED,
                             (struct bytes){scratch->key, scratch->key_len},
                             1));
    }
    if (!id_is_nil(to)) {
        HF_TRY(encrypted_encode(to, resource, scratch));
        HF_TRY(change_put(change, scratch, &none, NULL));
    }
    return HF_OK;
}

HF_STATUS encrypted_move(struct change *change,
                         const struct resource_record *resource,
                         const struct hf_id *from)
{
    const struct hf_id to = encrypted_under(resource);
    if (id_equal(from, &to)) {
        return HF_OK;
    }
    struct record *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = replace(change, resource, from, &to, scratch);
    free(scratch);
    return status;
}

HF_STATUS encrypted_count(struct service *service, const struct hf_id *dep,
                          struct encrypted_counts *out)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(ledger_store(service->ledger), STORE_READ, &txn));
    HF_TRY(store_count(txn, RECORD_ASSIGNED, BYTES_OF(dep->bytes),
                       &out->assigned));
    return store_count(txn, RECORD_ENCRYPTED, BYTES_OF(dep->bytes),
                       &out->encrypted);
}

static enum hf_status line_of(const struct resource_record *resource,
                              struct record *out)
{
    const struct hf_id dep = encrypted_under(resource);
    return id_is_nil(&dep) ? HF_E_NOT_FOUND
                           : encrypted_encode(&dep, resource, out);
}

HF_STATUS encrypted_open(struct service *service, struct problem *problem)
{
    return index_open(service, INDEX_ENCRYPTED, line_of, problem);
}
