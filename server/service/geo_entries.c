#include "server/service/geo_entries.h"

#include "server/service/core.h"

#include <stdlib.h>
#include <string.h>

static bool same_name(const char *a, const char *b)
{
    char folded_a[HF_NAME_MAX_BYTES + 1];
    char folded_b[HF_NAME_MAX_BYTES + 1];
    name_fold(a, folded_a);
    name_fold(b, folded_b);
    return strcmp(folded_a, folded_b) == 0;
}

struct geo_entry *catalogue_geo(struct catalogue *catalogue,
                                const struct tenant_entry *tenant,
                                const char *name)
{
    struct hf_id id;
    if (id_parse(name, &id) == HF_OK) {
        struct geo_entry *geo = catalogue_geo_by_id(catalogue, &id);
        return geo != NULL && geo->tenant == tenant ? geo : NULL;
    }
    for (struct geo_entry *geo = catalogue->geos; geo != NULL;
         geo = geo->next) {
        if (geo->tenant == tenant && same_name(geo->record.name, name)) {
            return geo;
        }
    }
    return NULL;
}

struct geo_entry *catalogue_geo_by_id(struct catalogue *catalogue,
                                      const struct hf_id *id)
{
    return table_get(catalogue->geos_by_id, BYTES_OF(id->bytes));
}

/* Its DEPs know it, and it knows the one that counts. */
static HF_STATUS join_deps(struct catalogue *catalogue, struct geo_entry *geo)
{
    geo->dep = NULL;
    for (struct dep_entry *dep = catalogue->deps; dep != NULL;
         dep = dep->next) {
        if (dep->tenant != geo->tenant ||
            dep->record.type != DEP_TYPE_SHAREPOINT_GEO ||
            !same_name(dep->record.name, geo->record.name)) {
            continue;
        }
        dep->geo = geo;
        if (id_equal(&dep->record.id, &geo->record.dep)) {
            geo->dep = dep;
        }
    }
    return (geo->dep == NULL) == id_is_nil(&geo->record.dep) ? HF_OK
                                                             : HF_E_CORRUPT;
}

static HF_STATUS link_geo(struct service *service, struct geo_entry *geo)
{
    struct catalogue *catalogue = &service->catalogue;
    geo->tenant = catalogue_tenant_by_id(catalogue, &geo->record.tenant);
    if (geo->tenant == NULL) {
        return HF_E_CORRUPT;
    }
    HF_TRY(join_deps(catalogue, geo));
    HF_TRY(
        table_put(catalogue->geos_by_id, BYTES_OF(geo->record.id.bytes), geo));
    struct geo_entry **end = &catalogue->geos;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = geo;
    return HF_OK;
}

HF_STATUS catalogue_load_geo(void *context, const struct record *record,
                             const struct stamp *stamp)
{
    struct geo_entry *geo = calloc(1, sizeof *geo);
    if (geo == NULL) {
        return HF_E_NO_MEMORY;
    }
    geo->stamp = *stamp;
    enum hf_status status = geo_decode(record, &geo->record);
    if (status == HF_OK) {
        status = link_geo(context, geo);
    }
    if (status != HF_OK) {
        free(geo);
    }
    return status;
}

HF_STATUS catalogue_add_geo(struct service *service, struct geo_entry *entry)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    enum hf_status status = link_geo(service, entry);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return status;
}

void catalogue_set_geo(struct service *service, struct geo_entry *geo,
                       const struct geo_record *record,
                       const struct stamp *stamp)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    geo->record = *record;
    geo->stamp = *stamp;
    HF_IGNORE(join_deps(&service->catalogue, geo),
              "its DEP was added before it");
    pthread_rwlock_unlock(&service->catalogue.lock);
}

void catalogue_free_geos(struct catalogue *catalogue)
{
    while (catalogue->geos != NULL) {
        struct geo_entry *geo = catalogue->geos;
        catalogue->geos = geo->next;
        free(geo);
    }
    table_free(catalogue->geos_by_id);
}
