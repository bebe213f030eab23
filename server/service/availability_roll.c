#include "server/service/availability_roll.h"

#include "hsm/sys/log.h"

#include "server/domain/availability.h"

#include "server/service/ak_copies.h"
#include "server/service/attempt.h"
#include "server/service/availability_key.h"
#include "server/service/availability_loss.h"
#include "server/service/dep_generation.h"
#include "server/service/dep_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS        5000
#define GENERATIONS_MAX 8 /* in one step */
#define LATER_WALK      1 /* the number of an order for every DEP: see below */

/* One with an AES key of its own in the AK token, that is to stay. */
static bool is_rolled(const struct dep_record *dep)
{
    if (dep->state == DEP_PURGING || dep->state == DEP_PURGED) {
        return false;
    }
    return (dep->type == DEP_TYPE_EXCHANGE_MAILBOX ||
            dep->type == DEP_TYPE_MULTI_WORKLOAD) &&
           dep->ak_state != AK_DESTROYED;
}

/* --- one DEP ------------------------------------------------------------ */

static struct dep_record record_of(struct service *service,
                                   const struct dep_entry *dep)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_record record = dep->record;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return record;
}

static HF_STATUS audit_rolled(struct service *service,
                              const struct dep_entry *dep,
                              const struct dep_record *next,
                              struct change *change)
{
    char object[HF_NAME_MAX_BYTES + HF_ID_TEXT + 32];
    char id[HF_ID_TEXT];
    char details[96];
    id_format(&next->id, id);
    snprintf(object, sizeof object, "tenants/%s/deps/%s",
             dep->tenant->record.name, id);
    snprintf(details, sizeof details, "{\"state\":\"%s\",\"version\":%u}",
             ak_state_text(next->ak_state), next->ak_version);
    const struct audit_entry entry = {
        .activity = next->ak_state == AK_ROLLING ? "AvailabilityKeyRollBegan"
                                                 : "AvailabilityKeyRolled",
        .tenant = next->tenant,
        .object = object,
        .details = details,
    };
    return audit_change(service, change, &entry);
}

/* record_lock is held. */
static HF_STATUS change_locked(struct service *service, struct dep_entry *dep,
                               enum ak_event event)
{
    struct dep_record next = dep->record;
    struct stamp stamp;
    enum reason reason = REASON_NONE;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(ak_next(dep->record.ak_state, event, &next.ak_state, &reason));
    if (event == AK_EV_ROLLED) {
        ak_set_version(&next, dep->record.ak_version + 1);
    }
    next.updated_ms = service_wall_ms(service);
    HF_TRY(change_new(&change));
    HF_TRY(dep_put(&next, &dep->stamp, change, &stamp));
    HF_TRY(audit_rolled(service, dep, &next, change));
    enum hf_status status = ledger_commit(service->ledger, change);
    if (admin_is_stored(status)) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        dep->record = next;
        dep->stamp = stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    return status;
}

static HF_STATUS change_state(struct service *service, struct dep_entry *dep,
                              enum ak_event event)
{
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = change_locked(service, dep, event);
    pthread_mutex_unlock(&service->record_lock);
    return status;
}

/* Each token's copy under the next version, made inside the token. */
static HF_STATUS rewrap_copies(struct service *service,
                               const struct dep_record *dep,
                               const struct ak_token_set *set,
                               struct generation_record *generation)
{
    const struct ak_carry carry = {
        .dep = dep,
        .version = dep->ak_version + 1,
        .generation = generation,
        .set = set,
    };
    return ak_copies_bring(service, &carry);
}

/* Each opens under the new version, to the key that sealed the commitment. */
static HF_STATUS verify_copies(struct service *service, struct dep_entry *dep,
                               const struct ak_token_set *set,
                               const struct generation_record *next)
{
    struct generation_entry *trial = generation_entry_new();
    enum hf_status status = HF_OK;
    if (trial == NULL) {
        return HF_E_NO_MEMORY;
    }
    trial->dep = dep;
    trial->record = *next;
    for (size_t i = 0; i < set->count && status == HF_OK; i++) {
        struct lease *lease = NULL;
        status = attempt_root_in(service, trial, &set->at[i], 0, &lease);
        if (status == HF_OK) {
            lease_release(lease);
        }
    }
    generation_entry_free(trial);
    return status;
}

static HF_STATUS audit_copy(struct service *service,
                            const struct dep_entry *dep,
                            const struct generation_record *next,
                            struct change *change)
{
    char object[HF_NAME_MAX_BYTES + HF_ID_TEXT + 32];
    char id[HF_ID_TEXT];
    char details[96];
    id_format(&next->dep, id);
    snprintf(object, sizeof object, "tenants/%s/deps/%s",
             dep->tenant->record.name, id);
    snprintf(details, sizeof details, "{\"generation\":%u,\"version\":%u}",
             next->generation, dep->record.ak_version + 1);
    const struct audit_entry entry = {
        .activity = "AvailabilityKeyCopyMoved",
        .tenant = next->tenant,
        .object = object,
        .details = details,
    };
    return audit_change(service, change, &entry);
}

static HF_STATUS record_copy(struct service *service,
                             struct generation_entry *generation,
                             const struct generation_record *next)
{
    struct stamp stamp;
    HF_OWNED(change_freep) struct change *change = NULL;
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = generation_encode(next, record);
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = change_put(change, record, &generation->stamp, &stamp);
    }
    free(record);
    if (status == HF_OK) {
        status = audit_copy(service, generation->dep, next, change);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (admin_is_stored(status)) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        ak_copies_take(&generation->record, next);
        generation->stamp = stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    return status;
}

/* record_lock is held. A purge may have come between, a mirror's copy that was
 * carried over, or a mirror: then it comes again. */
static HF_STATUS record_if_current(struct service *service,
                                   struct generation_entry *generation,
                                   const struct stamp *made_from,
                                   const struct generation_record *next)
{
    const struct dep_record *dep = &generation->dep->record;
    if (!is_rolled(dep) || generation->stamp.version != made_from->version) {
        return HF_E_CONFLICT;
    }
    HF_TRY(ak_copies_may_record(service, dep->type, next));
    return record_copy(service, generation, next);
}

static HF_STATUS move_copy(struct service *service, struct dep_entry *dep,
                           const struct dep_record *record,
                           struct generation_entry *generation)
{
    struct ak_token_set set;
    struct generation_record *next = malloc(sizeof *next);
    if (next == NULL) {
        return HF_E_NO_MEMORY;
    }
    ak_tokens_of(service, record->type, &set);
    pthread_rwlock_rdlock(&service->catalogue.lock);
    *next = generation->record;
    const struct stamp made_from = generation->stamp;
    pthread_rwlock_unlock(&service->catalogue.lock);
    enum hf_status status = rewrap_copies(service, record, &set, next);
    if (status == HF_OK) {
        status = verify_copies(service, dep, &set, next);
    }
    if (status == HF_OK) {
        pthread_mutex_lock(&service->record_lock);
        status = record_if_current(service, generation, &made_from, next);
        pthread_mutex_unlock(&service->record_lock);
    }
    free(next);
    return status;
}

/* Some token has no copy under the next version. */
static bool is_wanted(const struct generation_entry *generation,
                      const struct dep_record *record,
                      const struct ak_token_set *set)
{
    return generation != NULL &&
           !ak_copies_whole(&generation->record, set, record->ak_version + 1);
}

/* What became of the copies that are still under the version before. */
struct moving {
    bool more;        /* not all of them were dealt with */
    bool newest_lost; /* the newest generation's does not open any more */
    bool key_missing; /* nor is the version there that one is under */
};

static HF_STATUS move_or_lose(struct service *service, struct dep_entry *dep,
                              const struct dep_record *record,
                              struct generation_entry *generation,
                              struct moving *moving)
{
    enum hf_status status = move_copy(service, dep, record, generation);
    if (!ak_copy_is_lost(service, generation, status)) {
        return status;
    }
    moving->newest_lost |= generation->record.generation == record->generation;
    moving->key_missing |=
        status == HF_E_NOT_FOUND &&
        ak_copies_version(&generation->record) == record->ak_version;
    return HF_OK;
}

static HF_STATUS move_copies(struct service *service, struct dep_entry *dep,
                             const struct dep_record *record,
                             struct moving *moving)
{
    size_t moved = 0;
    struct ak_token_set set;
    ak_tokens_of(service, record->type, &set);
    for (uint32_t i = 0; i < record->generation; i++) {
        pthread_rwlock_rdlock(&service->catalogue.lock);
        struct generation_entry *generation = dep->generations[i];
        bool wanted = is_wanted(generation, record, &set);
        pthread_rwlock_unlock(&service->catalogue.lock);
        if (!wanted) {
            continue;
        }
        if (moved == GENERATIONS_MAX) {
            moving->more = true;
            return HF_OK;
        }
        HF_TRY(move_or_lose(service, dep, record, generation, moving));
        moved++;
    }
    return HF_OK;
}

/* What there is to do for one DEP, as far as one step goes. A DEP that takes no
 * new wraps keeps a lost copy until a roll finds it enabled. */
static HF_STATUS roll(struct service *service, struct dep_entry *dep,
                      bool *out_begun, bool *out_more)
{
    struct dep_record record = record_of(service, dep);
    struct moving moving = {.more = false};
    if (record.ak_state == AK_ACTIVE) {
        HF_TRY(change_state(service, dep, AK_EV_ROLL));
        record = record_of(service, dep);
    }
    HF_TRY(ak_generate(service, &record, record.ak_version + 1));
    *out_begun = true;
    HF_TRY(move_copies(service, dep, &record, &moving));
    *out_more = moving.more;
    if (moving.more) {
        return HF_OK;
    }
    if (moving.newest_lost && record.state == DEP_ENABLED) {
        *out_more = true; /* of the generation that it has now */
        return ak_loss_mend(service, dep);
    }
    if (!moving.key_missing) {
        HF_TRY(ak_destroy(service, &record, record.ak_version));
    }
    return change_state(service, dep, AK_EV_ROLLED);
}

/* --- the operation ------------------------------------------------------ */

/* The next of the tenant behind the one the cursor names; NULL: none is left.
 * DEPs stay in the order in which they were made. */
static struct dep_entry *next_dep(struct operation_step *step)
{
    const struct operation_record *record = &step->record;
    struct service *service = step->service;
    struct dep_entry *found = NULL;
    bool looking = record->cursor_len == 0;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (struct dep_entry *dep = service->catalogue.deps;
         dep != NULL && found == NULL; dep = dep->next) {
        bool is_its = dep->tenant == step->tenant && is_rolled(&dep->record) &&
                      (id_is_nil(&record->object) ||
                       id_equal(&record->object, &dep->record.id));
        if (looking && is_its) {
            found = dep;
        }
        looking = looking || bytes_equal((struct bytes){record->cursor,
                                                        record->cursor_len},
                                         BYTES_OF(dep->record.id.bytes));
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return found;
}

/* Of a single DEP's order the record says which version it was to come to: a
 * step that ran already is not run again. So of every DEP's (LATER_WALK), once
 * all were walked over: what is ROLLING then is what is left. */
static bool is_rolled_already(struct operation_step *step,
                              const struct dep_entry *dep)
{
    const struct dep_record record = record_of(step->service, dep);
    return step->record.number != 0 && record.ak_state == AK_ACTIVE &&
           record.ak_version >= step->record.number;
}

static void end_walk(struct operation_step *step)
{
    struct operation_record *record = &step->record;
    if (record->failed == 0) {
        step->finished = true;
        record->error[0] = '\0';
        return;
    }
    if (id_is_nil(&record->object)) {
        record->number = LATER_WALK;
    }
    record->failed = 0;
    record->cursor_len = 0;
    step->wait_ms = RETRY_MS;
}

static void go_on_behind(struct operation_step *step,
                         const struct dep_entry *dep)
{
    memcpy(step->record.cursor, dep->record.id.bytes, HF_ID_BYTES);
    step->record.cursor_len = HF_ID_BYTES;
}

static void note_failure(struct operation_step *step,
                         const struct dep_entry *dep, enum hf_status status)
{
    char id[HF_ID_TEXT];
    id_format(&dep->record.id, id);
    snprintf(step->record.error, sizeof step->record.error, "deps/%s: %s", id,
             hf_status_text(status));
}

/* One DEP whose copies do not come over keeps no other from it: it comes again
 * when all were walked over. Where not even the next version of the key can be
 * made, none of the others' can. */
void ak_roll_step(struct operation_step *step)
{
    struct operation_record *record = &step->record;
    struct dep_entry *dep = next_dep(step);
    bool begun = false;
    bool more = false;
    if (dep == NULL) {
        end_walk(step);
        return;
    }
    if (is_rolled_already(step, dep)) {
        record->done += record->number != LATER_WALK; /* else it was counted */
        go_on_behind(step, dep);
        return;
    }
    enum hf_status status = roll(step->service, dep, &begun, &more);
    if (status != HF_OK) {
        note_failure(step, dep, status);
        step->wait_ms = begun ? 0 : RETRY_MS;
        record->failed += begun;
    }
    if (status == HF_OK ? !more : begun) {
        go_on_behind(step, dep);
        record->done += status == HF_OK;
    }
}

/* --- use case ----------------------------------------------------------- */

static HF_STATUS check_dep(const struct admin *admin,
                           const struct dep_record *dep)
{
    enum ak_state next;
    enum reason reason = REASON_NONE;
    if (ak_next(dep->ak_state, AK_EV_ROLL, &next, &reason) != HF_OK) {
        return problem_set(admin->problem, reason,
                           "the availability key of this DEP is %s",
                           ak_state_text(dep->ak_state));
    }
    return is_rolled(dep)
               ? HF_OK
               : problem_set(admin->problem, REASON_STATE_CONFLICT,
                             "the availability key of a %s DEP is not rolled "
                             "by this verb",
                             dep_type_text(dep->type));
}

static uint64_t count_deps(struct service *service,
                           const struct tenant_entry *tenant)
{
    uint64_t count = 0;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct dep_entry *dep = service->catalogue.deps; dep != NULL;
         dep = dep->next) {
        count += dep->tenant == tenant && is_rolled(&dep->record) ? 1 : 0;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return count;
}

/* record_lock is held. */
static HF_STATUS order_locked(const struct admin *admin,
                              const struct operation_order *order,
                              struct hf_id *out_id)
{
    const struct hf_id any = {{0}};
    struct service *service = admin->service;
    struct operation_entry *entry = NULL;
    char object[HF_NAME_MAX_BYTES + 32];
    HF_OWNED(change_freep) struct change *change = NULL;
    if (operations_is_running(service, &admin->tenant->record.id, order->kind,
                              &any)) {
        return problem_set(admin->problem, REASON_STATE_CONFLICT,
                           "a roll of availability keys of this tenant is "
                           "running already");
    }
    if (admin->mutation->validate_only) {
        return HF_OK;
    }
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = operation_begin(admin, order, change, &entry);
    }
    if (status == HF_OK) {
        *out_id = *operation_entry_id(entry);
        snprintf(object, sizeof object, "tenants/%s",
                 admin->tenant->record.name);
        status = admin_finish_change(admin, change, object, NULL, out_id);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (admin_is_stored(status)) {
        operations_adopt(service, entry);
    } else {
        operation_drop(entry);
    }
    return admin_answer(admin, status);
}

static HF_STATUS begin_roll(const struct admin *admin,
                            const struct operation_order *order,
                            struct hf_id *out_id)
{
    pthread_mutex_lock(&admin->service->record_lock);
    enum hf_status status = order_locked(admin, order, out_id);
    pthread_mutex_unlock(&admin->service->record_lock);
    return status;
}

static HF_STATUS fill_order(const struct admin *admin, const char *name,
                            struct operation_order *order)
{
    order->kind = OPERATION_ROLL_AVAILABILITY_KEY;
    if (name[0] == '\0') {
        order->total = count_deps(admin->service, admin->tenant);
        return HF_OK;
    }
    const struct dep_entry *dep = dep_find(admin->service, admin->tenant, name);
    if (dep == NULL) {
        return problem_set(admin->problem, REASON_NOT_FOUND, "no such DEP");
    }
    const struct dep_record record = record_of(admin->service, dep);
    HF_TRY(check_dep(admin, &record));
    order->object = record.id;
    order->number = record.ak_version + 1;
    order->total = 1;
    return HF_OK;
}

HF_STATUS deps_roll_ak(struct service *service, const struct caller *caller,
                       const struct ak_roll *request,
                       struct operation_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_ROLL_AVAILABILITY_KEY,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct operation_order order = {.number = 0};
    struct hf_id id = {{0}};
    HF_TRY(admin_begin(&admin, request->tenant));
    if (admin.seen) {
        return operation_show(&admin, &admin.object, out);
    }
    HF_TRY(fill_order(&admin, request->dep, &order));
    HF_TRY(begin_roll(&admin, &order, &id));
    if (request->mutation.validate_only) {
        operation_preview(&admin, &order, out);
        return HF_OK;
    }
    return operation_show(&admin, &id, out);
}

/* --- schedule (R-7.10) -------------------------------------------------- */

struct last_roll {
    int64_t at_ms;
};

static enum hf_status see_operation(void *context, const struct record *record,
                                    const struct stamp *stamp)
{
    struct last_roll *last = context;
    struct operation_record operation;
    (void)stamp;
    HF_TRY(operation_decode(record, &operation));
    if (operation.kind == OPERATION_ROLL_AVAILABILITY_KEY &&
        id_is_nil(&operation.object) && operation.created_ms > last->at_ms) {
        last->at_ms = operation.created_ms;
    }
    return HF_OK;
}

/* When its keys were last rolled, or its oldest DEP was made; 0: it has none.
 */
static HF_STATUS last_roll_of(struct service *service,
                              const struct tenant_entry *tenant,
                              int64_t *out_ms)
{
    struct last_roll last = {.at_ms = 0};
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct dep_entry *dep = service->catalogue.deps;
         dep != NULL && last.at_ms == 0; dep = dep->next) {
        if (dep->tenant == tenant && is_rolled(&dep->record)) {
            last.at_ms = dep->record.created_ms;
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    const struct store_page page = {
        .prefix = BYTES_OF(tenant->record.id.bytes),
        .max = SIZE_MAX,
    };
    if (last.at_ms > 0) {
        HF_TRY(ledger_each(service->ledger, RECORD_OPERATION, &page,
                           see_operation, &last));
    }
    *out_ms = last.at_ms;
    return HF_OK;
}

static void roll_if_due(struct service *service, struct tenant_entry *tenant)
{
    const struct mutation mutation = {.validate_only = false};
    struct problem problem = {.reason = REASON_NONE};
    const struct admin admin = {
        .service = service,
        .caller = &service_itself,
        .verb = VERB_ROLL_AVAILABILITY_KEY,
        .mutation = &mutation,
        .problem = &problem,
        .tenant = tenant,
    };
    struct operation_order order;
    struct hf_id id;
    int64_t last_ms = 0;
    enum hf_status status = last_roll_of(service, tenant, &last_ms);
    if (status != HF_OK || last_ms == 0 ||
        service_wall_ms(service) - last_ms < service->settings.ak_roll_ms) {
        return;
    }
    order = (struct operation_order){.number = 0};
    status = fill_order(&admin, "", &order);
    if (status == HF_OK) {
        status = begin_roll(&admin, &order, &id);
    }
    if (status != HF_OK && problem.reason != REASON_STATE_CONFLICT) {
        log_event(LOG_WARN, "availability_key.roll_not_begun",
                  LOG_TEXT("tenant", tenant->record.name),
                  LOG_TEXT("status", hf_status_name(status)));
    }
}

static bool has_ended(struct service *service,
                      const struct tenant_entry *tenant)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool ended = tenant->ended;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return ended;
}

void ak_roll_by_schedule(struct service *service)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct tenant_entry *tenant = service->catalogue.tenants;
    pthread_rwlock_unlock(&service->catalogue.lock);
    while (tenant != NULL) {
        if (!has_ended(service, tenant)) {
            roll_if_due(service, tenant);
        }
        pthread_rwlock_rdlock(&service->catalogue.lock);
        tenant = tenant->next;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
}
