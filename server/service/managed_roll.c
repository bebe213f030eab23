#include "server/service/managed_roll.h"

#include "hsm/base/check.h"

#include "server/domain/availability.h"

#include "server/service/ak_copies.h"
#include "server/service/ak_tokens.h"
#include "server/service/availability_key.h"
#include "server/service/dep_generation.h"
#include "server/service/dep_view.h"
#include "server/service/held.h"
#include "server/service/leases.h"
#include "server/service/purges.h"
#include "server/service/resources.h"
#include "server/service/rewrap.h"
#include "server/service/wrapped.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 64 /* stored keys in one step */
#define RETRY_MS  5000

/* --- order -------------------------------------------------------------- */

/* record_lock is held. */
static HF_STATUS record_locked(const struct admin *admin,
                               struct generation_making *making,
                               struct hf_id *out_id)
{
    struct service *service = admin->service;
    const struct operation_order order = {
        .kind = OPERATION_ROLL_SERVICE_MANAGED,
        .object = making->next.id,
        .number = making->next.generation,
    };
    struct operation_entry *entry = NULL;
    struct dep_step step;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(dep_decide(admin, DEP_EV_REFRESH, making->dep, &step));
    making->next.key_update = step.key_update;
    making->next.updated_ms = service_wall_ms(service);
    enum hf_status status = generation_may_record(service, making);
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = generation_put(making, change);
    }
    if (status == HF_OK) {
        status = operation_begin(admin, &order, change, &entry);
    }
    if (status == HF_OK) {
        *out_id = *operation_entry_id(entry);
        status = dep_finish_order(admin, change, &making->next, NULL, out_id);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (!admin_is_stored(status)) {
        operation_drop(entry);
        return admin_answer(admin, status);
    }
    enum hf_status adopted = generation_adopt(service, making);
    operations_adopt(service, entry);
    return admin_answer(admin, adopted == HF_OK ? status : adopted);
}

static HF_STATUS make_and_record(const struct admin *admin,
                                 struct dep_entry *dep, struct hf_id *out_id)
{
    struct service *service = admin->service;
    struct generation_making making;
    enum hf_status status = generation_make(service, dep, NULL, NULL, &making);
    if (status != HF_OK) {
        generation_drop(&making);
        return problem_set(admin->problem, REASON_KEY_UNAVAILABLE,
                           "the new root could not be made: %s; nothing was "
                           "recorded",
                           hf_status_text(status));
    }
    pthread_mutex_lock(&service->record_lock);
    status = record_locked(admin, &making, out_id);
    pthread_mutex_unlock(&service->record_lock);
    generation_drop(&making);
    return status;
}

static struct dep_entry *built_in(struct service *service,
                                  const struct tenant_entry *tenant)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_entry *dep = catalogue_dep_by_id(
        &service->catalogue, &tenant->record.service_managed);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return dep;
}

HF_STATUS tenants_roll_managed(struct service *service,
                               const struct caller *caller,
                               const struct managed_roll *request,
                               struct operation_view *out,
                               struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_ROLL_SERVICE_MANAGED_KEY,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct dep_step step;
    struct hf_id id = {{0}};
    HF_TRY(admin_begin(&admin, request->tenant));
    if (admin.seen) {
        return operation_show(&admin, &admin.object, out);
    }
    struct dep_entry *dep = built_in(service, admin.tenant);
    if (dep == NULL) {
        return problem_of_status(problem, HF_E_CORRUPT);
    }
    HF_TRY(dep_decide(&admin, DEP_EV_REFRESH, dep, &step));
    HF_TRY(ak_tokens_check(service, DEP_TYPE_SERVICE_MANAGED, problem));
    if (request->mutation.validate_only) {
        const struct operation_order order = {
            .kind = OPERATION_ROLL_SERVICE_MANAGED,
            .object = dep->record.id,
            .number = dep->record.generation + 1,
        };
        operation_preview(&admin, &order, out);
        return HF_OK;
    }
    HF_TRY(make_and_record(&admin, dep, &id));
    return operation_show(&admin, &id, out);
}

/* --- stored keys -------------------------------------------------------- */

/* The resource of a line of the index. */
static struct record_key resource_of(const struct record *line)
{
    struct record_key key = {.len = line->key_len - WRAPPED_PREFIX_BYTES};
    memcpy(key.bytes, line->key + WRAPPED_PREFIX_BYTES, key.len);
    return key;
}

/* What was purged opens under no root: it needs none. */
static bool is_purged(struct service *service, const struct record_key *key)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool purged = purges_is_tombstoned(service, key);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return purged;
}

struct batch {
    struct service *service;
    struct record_key keys[BATCH_MAX]; /* of resources */
    size_t count;
    uint32_t before; /* generations from this on are not looked at */
    bool at_end;     /* the first of those was met */
    struct operation_record *record;
};

static enum hf_status collect(void *context, const struct record *record,
                              const struct stamp *stamp)
{
    struct batch *batch = context;
    const struct record_key key = resource_of(record);
    struct byte_reader reader = byte_reader_on((struct bytes){
        record->key + HF_ID_BYTES, record->key_len - HF_ID_BYTES});
    (void)stamp;
    if (get_u32(&reader) >= batch->before) {
        batch->at_end = true; /* they are in the order of generations */
        return HF_E_LIMIT;
    }
    if (batch->count == BATCH_MAX) {
        return HF_E_LIMIT;
    }
    if (!is_purged(batch->service, &key)) {
        batch->keys[batch->count++] = key;
    }
    memcpy(batch->record->cursor, record->key, record->key_len);
    batch->record->cursor_len = record->key_len;
    return HF_OK;
}

static HF_STATUS move_one(struct operation_step *step,
                          const struct record_key *key)
{
    struct stamp stamp;
    struct problem problem = {.reason = REASON_NONE};
    struct record *record = malloc(sizeof *record);
    struct resource_record *resource = malloc(sizeof *resource);
    enum hf_status status = HF_E_NO_MEMORY;
    if (record != NULL && resource != NULL) {
        status = ledger_get(step->service->ledger, RECORD_RESOURCE,
                            record_key_view(key), record, &stamp);
    }
    if (status == HF_OK) {
        status = resource_decode(record, resource);
    }
    if (status == HF_OK) {
        status = rewrap_resource(step->service, step->tenant, resource->type,
                                 resource->id, &problem);
    }
    if (status != HF_OK) {
        step->record.failed++;
        snprintf(step->record.error, sizeof step->record.error, "%.200s",
                 problem.text[0] != '\0' ? problem.text
                                         : hf_status_text(status));
    }
    free(record);
    free(resource);
    return status;
}

/* Some of what is under earlier generations. *out_over: a whole walk met
 * nothing that could not be moved; what is still there are earlier keys. */
static HF_STATUS move_some(struct operation_step *step, bool *out_over)
{
    struct operation_record *record = &step->record;
    uint8_t cursor[RECORD_KEY_MAX_BYTES];
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        return HF_E_NO_MEMORY;
    }
    batch->service = step->service;
    batch->before = record->number;
    batch->record = record;
    memcpy(cursor, record->cursor, record->cursor_len);
    const struct store_page page = {
        .prefix = BYTES_OF(record->object.bytes),
        .after = {cursor, record->cursor_len},
        .max = SIZE_MAX,
    };
    enum hf_status status = ledger_each(step->service->ledger, RECORD_WRAPPED,
                                        &page, collect, batch);
    bool at_end = status == HF_OK || batch->at_end;
    if (status == HF_E_LIMIT) {
        status = HF_OK;
    }
    for (size_t i = 0; status == HF_OK && i < batch->count; i++) {
        HF_IGNORE(move_one(step, &batch->keys[i]), "counted; it comes again");
    }
    free(batch);
    if (at_end) { /* from the start, for what is left */
        *out_over = status == HF_OK && record->failed == 0;
        step->wait_ms = record->failed > 0 ? RETRY_MS : 0;
        record->cursor_len = 0;
        record->failed = 0;
    }
    return status;
}

/* --- retiring ----------------------------------------------------------- */

static HF_STATUS audit_managed(struct operation_step *step,
                               const char *activity, uint32_t generation,
                               struct change *change)
{
    char object[HF_NAME_MAX_BYTES + 16];
    char details[64];
    snprintf(object, sizeof object, "tenants/%s", step->tenant->record.name);
    snprintf(details, sizeof details, "{\"generation\":%u}", generation);
    const struct audit_entry entry = {
        .activity = activity,
        .tenant = step->tenant->record.id,
        .object = object,
        .details = details,
    };
    return audit_change(step->service, change, &entry);
}

/* record_lock is held: the generation has no copy any more. */
static HF_STATUS retire_locked(struct operation_step *step,
                               struct generation_entry *generation,
                               struct record *record)
{
    struct service *service = step->service;
    struct generation_record next = generation->record;
    struct stamp stamp;
    HF_OWNED(change_freep) struct change *change = NULL;
    ak_copies_clear(&next);
    HF_TRY(change_new(&change));
    HF_TRY(generation_encode(&next, record));
    HF_TRY(change_put(change, record, &generation->stamp, &stamp));
    HF_TRY(audit_managed(step, "ServiceManagedGenerationRetired",
                         next.generation, change));
    enum hf_status status = ledger_commit(service->ledger, change);
    if (admin_is_stored(status)) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        ak_copies_clear(&generation->record);
        generation->stamp = stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    return status;
}

static HF_STATUS retire(struct operation_step *step,
                        struct generation_entry *generation)
{
    struct service *service = step->service;
    struct record *record = malloc(sizeof *record);
    enum hf_status status = HF_E_NO_MEMORY;
    if (record != NULL) {
        pthread_mutex_lock(&service->record_lock);
        status = generation->record.copies[ROOT_AK].wrapped_len == 0
                     ? HF_OK
                     : retire_locked(step, generation, record);
        pthread_mutex_unlock(&service->record_lock);
    }
    free(record);
    return status;
}

/* record_lock is held. T7, and the root is ACTIVE again. */
static HF_STATUS end_locked(struct operation_step *step, struct dep_entry *dep)
{
    struct service *service = step->service;
    struct dep_record next = dep->record;
    struct stamp stamp;
    enum reason reason = REASON_NONE;
    HF_OWNED(change_freep) struct change *change = NULL;
    if (next.key_update == KEY_UPDATE_NONE) {
        return HF_OK; /* this step ran before */
    }
    HF_TRY(ak_next(next.ak_state, AK_EV_ROLLED, &next.ak_state, &reason));
    next.key_update = KEY_UPDATE_NONE;
    next.updated_ms = service_wall_ms(service);
    HF_TRY(change_new(&change));
    HF_TRY(dep_put(&next, &dep->stamp, change, &stamp));
    HF_TRY(audit_managed(step, "ServiceManagedKeyRolled", next.generation,
                         change));
    enum hf_status status = ledger_commit(service->ledger, change);
    if (admin_is_stored(status)) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        dep->record = next;
        dep->stamp = stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    return status;
}

struct need {
    struct service *service;
    uint64_t count;
};

static enum hf_status see_need(void *context, const struct record *record,
                               const struct stamp *stamp)
{
    struct need *need = context;
    const struct record_key key = resource_of(record);
    (void)stamp;
    need->count += !is_purged(need->service, &key);
    return HF_OK;
}

static HF_STATUS count_need(struct service *service,
                            const struct generation_entry *generation,
                            uint64_t *out_count)
{
    const struct record_key prefix =
        key_of_numbered(&generation->record.dep, generation->record.generation);
    const struct store_page page = {
        .prefix = record_key_view(&prefix),
        .max = SIZE_MAX,
    };
    struct need need = {.service = service};
    bool held = false;
    HF_TRY(
        ledger_each(service->ledger, RECORD_WRAPPED, &page, see_need, &need));
    if (need.count == 0) { /* nor any that only a client has */
        HF_TRY(held_is_needed(service, generation, &held));
    }
    *out_count = need.count + held;
    return HF_OK;
}

/* A call that sealed under the generation holds its lease until its record is
 * written: once there is no lease, and none to be had, the index says all. */
static HF_STATUS close_and_count(struct operation_step *step,
                                 struct generation_entry *generation,
                                 uint64_t *out_count)
{
    atomic_store(&generation->closed, true);
    struct lease *of_ak = leases_narrow(generation);
    CHECK(of_ak == NULL); /* the built-in DEP has no availability key */
    leases_settle(generation);
    return count_need(step->service, generation, out_count);
}

/* Generation and version rise together: one root for each generation. */
static HF_STATUS destroy_root(struct operation_step *step,
                              struct dep_entry *dep,
                              struct generation_entry *generation)
{
    HF_TRY(
        ak_destroy(step->service, &dep->record, generation->record.generation));
    atomic_store(&generation->root_gone, true);
    return HF_OK;
}

/* What was retired before a restart: its root is destroyed, for certain, so
 * that resources may forget it (resource_note_wrap). */
static HF_STATUS finish_retired(struct operation_step *step,
                                struct dep_entry *dep)
{
    for (uint32_t number = 1; number < step->record.number; number++) {
        struct generation_entry *generation = catalogue_generation(dep, number);
        if (generation->record.copies[ROOT_AK].wrapped_len == 0 &&
            !atomic_load(&generation->root_gone)) {
            HF_TRY(destroy_root(step, dep, generation));
        }
    }
    return HF_OK;
}

static HF_STATUS retire_one(struct operation_step *step, struct dep_entry *dep,
                            struct generation_entry *generation)
{
    uint64_t count = 0;
    enum hf_status status = close_and_count(step, generation, &count);
    if (status == HF_OK && count == 0) {
        status = retire(step, generation);
    }
    if (status == HF_OK && count == 0) {
        return destroy_root(step, dep, generation);
    }
    /* an earlier key of a workload may need it for ever */
    atomic_store(&generation->closed, false);
    return status;
}

static HF_STATUS end_roll(struct operation_step *step, struct dep_entry *dep)
{
    struct service *service = step->service;
    for (uint32_t number = 1; number < step->record.number; number++) {
        HF_TRY(retire_one(step, dep, catalogue_generation(dep, number)));
    }
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = end_locked(step, dep);
    pthread_mutex_unlock(&service->record_lock);
    return status;
}

void managed_roll_step(struct operation_step *step)
{
    struct operation_record *record = &step->record;
    struct dep_entry *dep = built_in(step->service, step->tenant);
    struct wrapped_counts counts = {0};
    bool over = false;
    enum hf_status status = dep == NULL ? HF_E_CORRUPT : HF_OK;
    if (status == HF_OK && record->cursor_len == 0) { /* once for each walk */
        status = wrapped_count(step->service, &record->object, record->number,
                               &counts);
        record->done = counts.here;
        record->total = counts.here + counts.elsewhere;
    }
    if (status == HF_OK) {
        status = finish_retired(step, dep);
    }
    if (status == HF_OK) {
        status = move_some(step, &over);
    }
    if (status == HF_OK && over) {
        status = end_roll(step, dep);
        step->finished = status == HF_OK;
    }
    if (status != HF_OK) {
        snprintf(record->error, sizeof record->error, "%s",
                 hf_status_text(status));
        step->wait_ms = RETRY_MS;
    } else if (step->finished) {
        record->error[0] = '\0';
    }
}
