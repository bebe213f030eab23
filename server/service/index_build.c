#include "server/service/index_build.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 12 /* in one change */

struct building {
    struct service *service;
    enum index_word index;
    index_line_fn *line;
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
static HF_STATUS add_missing(const struct building *building,
                             struct change *change,
                             const struct resource_record *resource,
                             struct record *scratch)
{
    const struct stamp none = {.version = 0};
    struct stamp stamp;
    uint8_t key[RECORD_KEY_MAX_BYTES];
    enum hf_status status = building->line(resource, scratch);
    if (status == HF_E_NOT_FOUND) {
        return HF_OK;
    }
    HF_TRY(status);
    size_t key_len = scratch->key_len;
    memcpy(key, scratch->key, key_len);
    status = ledger_get(building->service->ledger, scratch->kind,
                        (struct bytes){key, key_len}, scratch, &stamp);
    if (status != HF_E_NOT_FOUND) {
        return status;
    }
    HF_TRY(building->line(resource, scratch));
    return change_put(change, scratch, &none, NULL);
}

static HF_STATUS write_batch(struct building *building, struct record *scratch)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    for (size_t i = 0; i < building->count; i++) {
        HF_TRY(add_missing(building, change, &building->batch[i], scratch));
    }
    building->count = 0;
    return ledger_commit(building->service->ledger, change);
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

static HF_STATUS note_complete(const struct building *building,
                               struct record *scratch)
{
    const struct stamp none = {.version = 0};
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    index_encode(building->index, scratch);
    HF_TRY(change_put(change, scratch, &none, NULL));
    return ledger_commit(building->service->ledger, change);
}

static HF_STATUS open_with(struct building *building, struct record *scratch)
{
    struct stamp stamp;
    index_encode(building->index, scratch);
    const uint8_t key[1] = {scratch->key[0]};
    enum hf_status status = ledger_get(building->service->ledger, RECORD_INDEX,
                                       BYTES_OF(key), scratch, &stamp);
    if (status != HF_E_NOT_FOUND) {
        return status;
    }
    HF_TRY(build(building, scratch));
    return note_complete(building, scratch);
}

HF_STATUS index_open(struct service *service, enum index_word index,
                     index_line_fn *line, struct problem *problem)
{
    struct building *building = calloc(1, sizeof *building);
    struct record *scratch = calloc(1, sizeof *scratch);
    enum hf_status status = HF_E_NO_MEMORY;
    if (building != NULL && scratch != NULL) {
        building->service = service;
        building->index = index;
        building->line = line;
        status = open_with(building, scratch);
    }
    free(building);
    free(scratch);
    return problem_of_status(problem, status);
}
