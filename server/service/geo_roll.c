/* geo_roll: S3: one customer key of a geo is exchanged for another key or
 * version. The next generation of the geo's DEP is a new TIK under the new key,
 * the other one, and the unchanged availability key. */
#include "server/service/ak_tokens.h"
#include "server/service/dep_generation.h"
#include "server/service/dep_view.h"
#include "server/service/geo_inside.h"
#include "server/service/key_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is being made. */
struct rolling {
    struct geo_entry *geo;
    struct geo_record next;
    struct stamp from;
    struct facts_request keys;
    struct generation_making making;
};

static HF_STATUS look(const struct admin *admin, const struct geo_roll *request,
                      struct rolling *rolling)
{
    struct geo_step step;
    rolling->geo = geo_find(admin->service, admin->tenant, request->geo);
    if (rolling->geo == NULL) {
        return problem_set(admin->problem, REASON_NOT_FOUND, "no such geo");
    }
    rolling->next = geo_copy(admin->service, rolling->geo, &rolling->from);
    HF_TRY(etag_check(request->mutation.etag, &rolling->from, admin->problem));
    HF_TRY(geo_decide(admin, &rolling->next, GEO_EV_ROLL, &step));
    rolling->next.state = step.next;
    rolling->next.recovery = step.recovery;
    return HF_OK;
}

/* A site remembers every TIK it was under, and one that cannot
 * remember the next one would hold up the roll for ever. What is left is for
 * restores, which are not refused for it. */
#define RESTORES_LEFT 15

struct full {
    const struct hf_id *geo;
    struct resource_record resource;
    bool found;
};

static enum hf_status look_if_full(void *context, const struct record *record,
                                   const struct stamp *stamp)
{
    struct full *full = context;
    (void)stamp;
    HF_TRY(resource_decode(record, &full->resource));
    full->found =
        id_equal(&full->resource.assigned, full->geo) &&
        full->resource.wrap_count + RESTORES_LEFT >= RESOURCE_WRAPS_MAX;
    return full->found ? HF_E_LIMIT : HF_OK;
}

static HF_STATUS check_room(const struct admin *admin,
                            const struct geo_record *geo)
{
    uint8_t prefix[HF_ID_BYTES + 1];
    struct full *full = calloc(1, sizeof *full);
    if (full == NULL) {
        return problem_of_status(admin->problem, HF_E_NO_MEMORY);
    }
    memcpy(prefix, geo->tenant.bytes, HF_ID_BYTES);
    prefix[HF_ID_BYTES] = RESOURCE_SITE;
    const struct store_page sites = {.prefix = BYTES_OF(prefix),
                                     .max = SIZE_MAX};
    full->geo = &geo->id;
    enum hf_status status = ledger_each(admin->service->ledger, RECORD_RESOURCE,
                                        &sites, look_if_full, full);
    if (full->found) {
        status = problem_set(admin->problem, REASON_GENERATION_LIMIT,
                             "the key of site %s has been under as many TIKs "
                             "as can be kept in mind: the geo cannot be rolled",
                             full->resource.id);
    } else {
        status = problem_of_status(admin->problem, status);
    }
    free(full);
    return status;
}

/* The keys of now, with one of them exchanged. */
static HF_STATUS fill_keys(const struct admin *admin,
                           const struct geo_roll *request,
                           struct rolling *rolling)
{
    struct service *service = admin->service;
    struct facts_request *keys = &rolling->keys;
    struct key_entry *key = NULL;
    struct key_version_entry *version = NULL;
    HF_TRY(geo_find_version(admin, &request->key, &key, &version));
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct dep_entry *dep = rolling->geo->dep;
    const struct generation_entry *newest =
        catalogue_generation(dep, dep->record.generation);
    keys->residency = dep->record.residency;
    keys->except = dep;
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        keys->keys[slot] = newest->keys[slot];
        keys->versions[slot] = newest->versions[slot];
    }
    bool full = dep->record.generation >= DEP_GENERATIONS_MAX;
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (version == keys->versions[request->slot]) {
        return problem_set(admin->problem, REASON_NOTHING_TO_REFRESH,
                           "the geo uses this version of this key already");
    }
    if (full) {
        return problem_set(admin->problem, REASON_GENERATION_LIMIT,
                           "a DEP has at most %d generations",
                           DEP_GENERATIONS_MAX);
    }
    keys->keys[request->slot] = key;
    keys->versions[request->slot] = version;
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        keys->exact[slot] = keys->versions[slot]->record.version;
    }
    return HF_OK;
}

static HF_STATUS validate(const struct admin *admin,
                          const struct geo_roll *request,
                          struct rolling *rolling)
{
    char identity[HF_URI_MAX_BYTES + 1] = "";
    HF_TRY(fill_keys(admin, request, rolling));
    HF_TRY(check_room(admin, &rolling->next));
    if (request->workload_identity[0] != '\0') {
        memcpy(identity, request->workload_identity, sizeof identity);
    } else {
        dep_find_workload(
            admin->service,
            catalogue_generation(rolling->geo->dep,
                                 rolling->geo->dep->record.generation),
            identity);
    }
    rolling->keys.tenant = admin->tenant;
    rolling->keys.identity = identity;
    rolling->keys.dep_type = DEP_TYPE_SHAREPOINT_GEO;
    enum hf_status status = dep_validate(admin, &rolling->keys);
    rolling->keys.identity = NULL; /* it was this function's */
    return status;
}

static HF_STATUS make_change(const struct admin *admin, struct rolling *rolling,
                             struct change *change,
                             struct operation_entry **out_operation,
                             struct stamp *out_stamp)
{
    struct geo_record *next = &rolling->next;
    char object[GEO_NAME_BYTES];
    const struct dep_entry *dep = rolling->geo->dep;
    HF_OWNED(details_freep) struct details *details = NULL;
    struct operation_order order = {
        .kind = OPERATION_ROLL_GEO,
        .object = next->id,
        .number = rolling->making.next.generation,
    };
    HF_TRY(geo_count_sites(admin->service, &next->id, &order.total));
    HF_TRY(operation_begin(admin, &order, change, out_operation));
    next->operation = *operation_entry_id(*out_operation);
    next->updated_ms = service_wall_ms(admin->service);
    rolling->making.next.updated_ms = next->updated_ms;
    HF_TRY(generation_put(&rolling->making, change));
    HF_TRY(geo_put(change, next, &rolling->from, out_stamp));
    geo_object_name(admin, next->name, object);
    HF_TRY(geo_details(&rolling->geo->record, next, &details));
    details_number(details, "tikVersion", dep->record.generation, order.number);
    dep_note_keys(details,
                  &catalogue_generation(dep, dep->record.generation)->record,
                  &rolling->making.fresh->record);
    return admin_finish_change(admin, change, object, details,
                               &next->operation);
}

/* record_lock is held. */
static HF_STATUS record_locked(const struct admin *admin,
                               const struct geo_roll *request,
                               struct rolling *rolling, struct hf_id *out_id)
{
    struct service *service = admin->service;
    struct operation_entry *operation = NULL;
    struct stamp stamp;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(look(admin, request, rolling)); /* decided anew */
    enum hf_status status = generation_may_record(service, &rolling->making);
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = make_change(admin, rolling, change, &operation, &stamp);
    }
    if (status == HF_OK) {
        *out_id = *operation_entry_id(operation);
        status = ledger_commit(service->ledger, change);
    }
    if (admin_is_stored(status)) {
        enum hf_status taken = generation_adopt(service, &rolling->making);
        HF_IGNORE(geo_adopt(service, rolling->geo, &rolling->next, &stamp),
                  "it is there");
        operations_adopt(service, operation);
        status = taken == HF_OK ? status : taken;
    } else if (operation != NULL) {
        operation_drop(operation);
    }
    return admin_answer(admin, status);
}

static HF_STATUS make_and_record(const struct admin *admin,
                                 const struct geo_roll *request,
                                 struct rolling *rolling, struct hf_id *out_id)
{
    struct service *service = admin->service;
    if (admin_is_cancelled(admin)) {
        return admin_answer(admin, HF_E_CANCELLED);
    }
    enum hf_status status =
        generation_make(service, rolling->geo->dep, rolling->keys.keys,
                        rolling->keys.versions, &rolling->making);
    if (status == HF_OK) {
        pthread_mutex_lock(&service->record_lock);
        status = record_locked(admin, request, rolling, out_id);
        pthread_mutex_unlock(&service->record_lock);
    } else {
        status = problem_set(admin->problem, REASON_KEY_UNAVAILABLE,
                             "the new TIK could not be made: %s; nothing was "
                             "recorded",
                             hf_status_text(status));
    }
    generation_drop(&rolling->making);
    return status;
}

HF_STATUS geos_roll(struct service *service, const struct caller *caller,
                    const struct geo_roll *request, struct operation_view *out,
                    struct problem *problem)
{
    struct admin admin = {.service = service,
                          .caller = caller,
                          .verb = VERB_ROLL_GEO_KEY,
                          .mutation = &request->mutation,
                          .problem = problem};
    struct rolling rolling = {.geo = NULL};
    struct hf_id id = {{0}};
    HF_TRY(admin_begin(&admin, request->tenant));
    if (admin.seen) {
        return operation_show(&admin, &admin.object, out);
    }
    HF_TRY(look(&admin, request, &rolling));
    HF_TRY(validate(&admin, request, &rolling));
    HF_TRY(ak_tokens_check(service, DEP_TYPE_SHAREPOINT_GEO, problem));
    if (request->mutation.validate_only) {
        const struct operation_order order = {
            .kind = OPERATION_ROLL_GEO,
            .object = rolling.next.id,
            .number = rolling.geo->dep->record.generation + 1,
        };
        operation_preview(&admin, &order, out);
        return HF_OK;
    }
    HF_TRY(make_and_record(&admin, request, &rolling, &id));
    health_refresh(service);
    return operation_show(&admin, &id, out);
}
