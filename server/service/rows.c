#include "server/service/rows.h"

#include "server/service/core.h"
#include "server/service/geo_entries.h"
#include "server/service/resources.h"

#include <stdlib.h>
#include <string.h>

struct rows {
    struct table *by_key;
    struct row **ring; /* the order in which room is looked for */
    uint32_t max;
    uint32_t hand;
};

static void row_free(struct row *row)
{
    if (row != NULL) {
        free(row->wraps);
        free(row);
    }
}

HF_STATUS rows_new(uint32_t max, struct rows **out_rows)
{
    struct rows *rows = calloc(1, sizeof *rows);
    if (rows == NULL) {
        return HF_E_NO_MEMORY;
    }
    rows->max = max;
    rows->ring = calloc(max, sizeof(struct row *));
    if (rows->ring == NULL || table_new(&rows->by_key) != HF_OK) {
        rows_free(rows);
        return HF_E_NO_MEMORY;
    }
    *out_rows = rows;
    return HF_OK;
}

void rows_free(struct rows *rows)
{
    if (rows == NULL) {
        return;
    }
    for (uint32_t i = 0; rows->ring != NULL && i < rows->max; i++) {
        row_free(rows->ring[i]);
    }
    free(rows->ring);
    table_free(rows->by_key);
    free(rows);
}

struct row *rows_get(struct rows *rows, const struct record_key *key)
{
    struct row *row = table_get(rows->by_key, record_key_view(key));
    if (row != NULL) {
        atomic_store_explicit(&row->used, true, memory_order_relaxed);
    }
    return row;
}

static void drop(struct rows *rows, struct row *row)
{
    table_remove(rows->by_key, record_key_view(&row->key));
    rows->ring[row->place] = NULL;
    row_free(row);
}

/* An empty place in the ring, or that of the first row nobody used since the
 * hand last came by (second chance). */
static uint32_t make_room(struct rows *rows)
{
    for (;;) {
        uint32_t place = rows->hand;
        struct row *row = rows->ring[place];
        rows->hand = (rows->hand + 1) % rows->max;
        if (row == NULL) {
            return place;
        }
        if (!atomic_exchange(&row->used, false)) {
            drop(rows, row);
            return place;
        }
    }
}

static struct generation_entry *generation_of(struct catalogue *catalogue,
                                              const struct dep_ref *ref)
{
    struct dep_entry *dep = catalogue_dep_by_id(catalogue, &ref->dep);
    return dep == NULL ? NULL : catalogue_generation(dep, ref->generation);
}

/* False: it refers to what is not there; not to be cached, the slow lane will
 * say what is wrong. */
static bool fill(struct catalogue *catalogue, struct row *row,
                 const struct resource_record *resource)
{
    row->key = key_of_resource(&resource->tenant, resource->type, resource->id);
    resource_hash(resource->id, row->resource_hash);
    row->workload = resource_workload(resource->type, resource->id);
    row->covered = resource_is_covered(resource);
    row->retired = resource->retired_count > 0;
    row->envelope_len = resource->envelope_len;
    memcpy(row->envelope, resource->envelope, resource->envelope_len);
    if (resource->type == RESOURCE_SITE) {
        row->geo = catalogue_geo_by_id(catalogue, &resource->assigned);
        if (row->geo == NULL) {
            return false;
        }
    } else if (!id_is_nil(&resource->assigned)) {
        row->assigned = catalogue_dep_by_id(catalogue, &resource->assigned);
        if (row->assigned == NULL) {
            return false;
        }
    }
    if (resource->envelope_len > 0) {
        row->effective = generation_of(catalogue, &resource->effective);
        if (row->effective == NULL) {
            return false;
        }
    }
    row->wraps = calloc(resource->wrap_count + 1, sizeof *row->wraps);
    if (row->wraps == NULL) {
        return false;
    }
    for (size_t i = 0; i < resource->wrap_count; i++) {
        row->wraps[i] = generation_of(catalogue, &resource->wraps[i]);
        if (row->wraps[i] == NULL) {
            return false;
        }
    }
    row->wrap_count = resource->wrap_count;
    return true;
}

static void put_locked(struct service *service,
                       const struct resource_record *resource,
                       const struct stamp *stamp)
{
    struct rows *rows = service->rows;
    struct record_key key =
        key_of_resource(&resource->tenant, resource->type, resource->id);
    struct row *before = table_get(rows->by_key, record_key_view(&key));
    if (before != NULL && before->stamp.version > stamp->version) {
        return;
    }
    if (before != NULL) {
        drop(rows, before);
    }
    struct row *row = calloc(1, sizeof *row);
    if (row == NULL) {
        return;
    }
    row->stamp = *stamp;
    if (!fill(&service->catalogue, row, resource)) {
        row_free(row);
        return;
    }
    row->place = make_room(rows);
    if (table_put(rows->by_key, record_key_view(&row->key), row) != HF_OK) {
        row_free(row);
        return;
    }
    rows->ring[row->place] = row;
}

void rows_put(struct service *service, const struct resource_record *resource,
              const struct stamp *stamp)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    put_locked(service, resource, stamp);
    pthread_rwlock_unlock(&service->catalogue.lock);
}

void rows_forget(struct service *service, const struct hf_id *tenant,
                 enum resource_type type, const char *resource_id)
{
    struct record_key key = key_of_resource(tenant, type, resource_id);
    pthread_rwlock_wrlock(&service->catalogue.lock);
    struct row *row = table_get(service->rows->by_key, record_key_view(&key));
    if (row != NULL) {
        drop(service->rows, row);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
}
