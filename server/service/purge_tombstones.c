/* purge_tombstones: every resource that goes with a purge is marked: no
 * envelope of it opens under any root, ever (M8, R-15.15). A few in a
 * transaction; what was marked is known in memory at once. */
#include "server/service/purge_book.h"
#include "server/service/resources.h"

#include <stdlib.h>
#include <string.h>

#define MARK_BATCH 5   /* resources in one transaction */
#define MARK_MAX   200 /* in one step */

struct marks {
    struct service *service;
    const struct purge_entry *purge;
    struct resource_record resource;
    char ids[MARK_MAX][HF_RESOURCE_ID_MAX_BYTES + 1];
    enum resource_type types[MARK_MAX];
    size_t count;
};

/* Every resource of a tenant, or those that are assigned to the DEP (M8). */
static bool goes_with(const struct purge_entry *purge,
                      const struct resource_record *resource)
{
    return purge_is_of_tenant(purge) ||
           id_equal(&resource->assigned, &purge->record.dep);
}

/* Which of them have no tombstone yet. */
static enum hf_status find_unmarked(void *context, const struct record *record,
                                    const struct stamp *stamp)
{
    struct marks *marks = context;
    struct record_key key = {.len = record->key_len};
    (void)stamp;
    if (marks->count == MARK_MAX) {
        return HF_E_LIMIT;
    }
    HF_TRY(resource_decode(record, &marks->resource));
    if (!goes_with(marks->purge, &marks->resource)) {
        return HF_OK;
    }
    memcpy(key.bytes, record->key, record->key_len);
    pthread_rwlock_rdlock(&marks->service->catalogue.lock);
    bool marked = purges_is_tombstoned(marks->service, &key);
    pthread_rwlock_unlock(&marks->service->catalogue.lock);
    if (!marked) {
        memcpy(marks->ids[marks->count], marks->resource.id,
               sizeof marks->resource.id);
        marks->types[marks->count++] = marks->resource.type;
    }
    return HF_OK;
}

/* The resource's record is written again with its tombstone, so that whoever
 * read it before the tombstone and wants to change it loses the race. */
static HF_STATUS put_mark(struct marks *marks, size_t at, struct change *change,
                          struct resource_view *view, struct record_key *key)
{
    struct service *service = marks->service;
    const struct purge_record *purge = &marks->purge->record;
    const struct stamp none = {.version = 0};
    HF_TRY(resource_load(service, marks->purge->tenant, marks->types[at],
                         marks->ids[at], view));
    if (!goes_with(marks->purge, &view->record)) {
        return HF_E_CONFLICT; /* taken elsewhere meanwhile: not ours */
    }
    struct tombstone_record tombstone = {
        .tenant = purge->tenant,
        .type = marks->types[at],
        .purge = purge->id,
        .created_ms = service_wall_ms(service),
    };
    memcpy(tombstone.id, marks->ids[at], sizeof tombstone.id);
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = tombstone_encode(&tombstone, record);
    if (status == HF_OK) {
        status = change_put(change, record, &none, NULL);
    }
    free(record);
    *key = key_of_resource(&purge->tenant, marks->types[at], marks->ids[at]);
    HF_TRY(status);
    return resource_put(view, change, NULL);
}

static HF_STATUS keep_marks(struct service *service,
                            const struct record_key *keys, size_t count)
{
    enum hf_status status = HF_OK;
    pthread_rwlock_wrlock(&service->catalogue.lock);
    for (size_t i = 0; i < count && status == HF_OK; i++) {
        status = purge_book_add_tombstone(service->purges, &keys[i]);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

static HF_STATUS mark_some(struct marks *marks, size_t from, size_t count,
                           struct resource_view *view)
{
    struct service *service = marks->service;
    struct record_key keys[MARK_BATCH];
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    for (size_t i = 0; i < count; i++) {
        HF_TRY(put_mark(marks, from + i, change, view, &keys[i]));
    }
    HF_TRY(ledger_commit(service->ledger, change));
    return keep_marks(service, keys, count);
}

/* Assignments wait meanwhile: none of these is taken elsewhere while it is
 * marked. */
static HF_STATUS mark_all(struct marks *marks, uint64_t *out_marked)
{
    struct service *service = marks->service;
    struct resource_view *view = calloc(1, sizeof *view);
    enum hf_status status = view == NULL ? HF_E_NO_MEMORY : HF_OK;
    for (size_t i = 0; i < marks->count && status == HF_OK; i += MARK_BATCH) {
        size_t count = marks->count - i < MARK_BATCH ? marks->count - i
                                                     : (size_t)MARK_BATCH;
        pthread_mutex_lock(&service->record_lock);
        status = mark_some(marks, i, count, view);
        pthread_mutex_unlock(&service->record_lock);
        *out_marked += status == HF_OK ? count : 0;
    }
    free(view);
    return status;
}

HF_STATUS purge_tombstones_mark(struct service *service,
                                const struct purge_entry *purge,
                                uint64_t *out_marked, bool *out_none)
{
    const struct store_page page = {
        .prefix = BYTES_OF(purge->record.tenant.bytes),
        .max = SIZE_MAX,
    };
    struct marks *marks = calloc(1, sizeof *marks);
    *out_marked = 0;
    *out_none = false;
    if (marks == NULL) {
        return HF_E_NO_MEMORY;
    }
    marks->service = service;
    marks->purge = purge;
    enum hf_status status = ledger_each(service->ledger, RECORD_RESOURCE, &page,
                                        find_unmarked, marks);
    *out_none = status == HF_OK && marks->count == 0;
    if (status == HF_OK || status == HF_E_LIMIT) {
        status = mark_all(marks, out_marked);
    }
    free(marks);
    return status;
}
