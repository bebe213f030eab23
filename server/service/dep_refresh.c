#include "server/service/dep_refresh.h"

#include "server/service/ak_tokens.h"
#include "server/service/customer_key_view.h"
#include "server/service/dep_generation.h"
#include "server/service/dep_view.h"
#include "server/service/key_facts.h"
#include "server/service/sweep.h"
#include "server/service/wrapped.h"

#include <stdio.h>
#include <string.h>

/* One order, of either kind. */
struct update {
    struct admin *admin;
    enum dep_event event;
    enum operation_kind kind;
    struct dep_entry *dep;
    struct facts_request keys;
    char identity[HF_URI_MAX_BYTES + 1];
    struct generation_making making;
    struct hf_id operation;
};

/* --- what is to be ------------------------------------------------------ */

static void read_dep(struct update *update)
{
    struct service *service = update->admin->service;
    struct dep_entry *dep = update->dep;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct generation_entry *newest =
        catalogue_generation(dep, dep->record.generation);
    update->keys = (struct facts_request){
        .keys = {newest->keys[0], newest->keys[1]},
        .tenant = update->admin->tenant,
        .identity = update->identity,
        .residency = dep->record.residency,
        .dep_type = dep->record.type,
        .except = dep,
    };
    pthread_rwlock_unlock(&service->catalogue.lock);
    dep_find_workload(service, newest, update->identity);
}

static HF_STATUS take_new_pair(struct update *update,
                               const struct dep_replace *request)
{
    const struct admin *admin = update->admin;
    bool same = true;
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        struct key_entry *key = customer_key_find(admin->service, admin->tenant,
                                                  request->keys[slot]);
        if (key == NULL) {
            return problem_set(admin->problem, REASON_NOT_FOUND,
                               "no such customer key");
        }
        same = same && key == update->keys.keys[slot];
        update->keys.keys[slot] = key;
    }
    if (same) {
        return problem_field(admin->problem, "customer_keys",
                             "are the keys it has: RefreshDep takes new "
                             "versions of them");
    }
    if (request->workload_identity[0] != '\0') {
        memcpy(update->identity, request->workload_identity,
               sizeof update->identity);
    }
    return HF_OK;
}

static struct operation_order order_of(const struct update *update)
{
    return (struct operation_order){
        .kind = update->kind,
        .object = update->dep->record.id,
        .number = update->dep->record.generation + 1,
    };
}

/* --- record ------------------------------------------------------------- */

static HF_STATUS put_all(struct update *update, struct change *change,
                         struct operation_entry **entry)
{
    struct admin *admin = update->admin;
    const struct operation_order order = order_of(update);
    const struct dep_record *before = &update->dep->record;
    const struct dep_record *after = &update->making.next;
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(details_new(DETAILS_OF_CHANGE, &details));
    details_number(details, "generation", before->generation,
                   after->generation);
    details_text(details, "keyUpdate", key_update_text(before->key_update),
                 key_update_text(after->key_update));
    dep_note_keys(
        details, &catalogue_generation(update->dep, before->generation)->record,
        &update->making.fresh->record);
    HF_TRY(generation_put(&update->making, change));
    HF_TRY(operation_begin(admin, &order, change, entry));
    update->operation = *operation_entry_id(*entry);
    return dep_finish_order(admin, change, &update->making.next, details,
                            &update->operation);
}

/* record_lock is held. */
static HF_STATUS record_locked(struct update *update)
{
    struct admin *admin = update->admin;
    struct service *service = admin->service;
    struct operation_entry *entry = NULL;
    struct dep_step step;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(dep_decide(admin, update->event, update->dep, &step));
    update->making.next.state = step.next;
    update->making.next.key_update = step.key_update;
    update->making.next.updated_ms = service_wall_ms(service);
    enum hf_status status = generation_may_record(service, &update->making);
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = put_all(update, change, &entry);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (!admin_is_stored(status)) {
        operation_drop(entry);
        return admin_answer(admin, status);
    }
    enum hf_status adopted = generation_adopt(service, &update->making);
    operations_adopt(service, entry);
    return admin_answer(admin, adopted == HF_OK ? status : adopted);
}

static HF_STATUS make_and_record(struct update *update)
{
    struct admin *admin = update->admin;
    struct service *service = admin->service;
    if (admin_is_cancelled(admin)) {
        return admin_answer(admin, HF_E_CANCELLED);
    }
    enum hf_status status =
        generation_make(service, update->dep, update->keys.keys,
                        update->keys.versions, &update->making);
    if (status != HF_OK) {
        return problem_set(admin->problem, REASON_KEY_UNAVAILABLE,
                           "the keys of the new generation could not be made: "
                           "%s; nothing was recorded",
                           hf_status_text(status));
    }
    pthread_mutex_lock(&service->record_lock);
    status = record_locked(update);
    pthread_mutex_unlock(&service->record_lock);
    return status;
}

/* --- use cases ---------------------------------------------------------- */

/* replace: NULL for a refresh. */
static HF_STATUS order_update(struct update *update,
                              const struct dep_replace *replace,
                              struct operation_view *out)
{
    struct admin *admin = update->admin;
    struct dep_step step;
    HF_TRY(dep_decide(admin, update->event, update->dep, &step));
    read_dep(update);
    if (replace != NULL) {
        HF_TRY(take_new_pair(update, replace));
    }
    HF_TRY(dep_validate(admin, &update->keys));
    HF_TRY(ak_tokens_check(admin->service, update->dep->record.type,
                           admin->problem));
    if (admin->mutation->validate_only) {
        const struct operation_order order = order_of(update);
        operation_preview(admin, &order, out);
        return HF_OK;
    }
    enum hf_status status = make_and_record(update);
    generation_drop(&update->making);
    HF_TRY(status);
    health_refresh(admin->service);
    return operation_show(admin, &update->operation, out);
}

static HF_STATUS begin(struct update *update, const char *tenant,
                       const char *dep)
{
    struct admin *admin = update->admin;
    HF_TRY(admin_begin(admin, tenant));
    update->dep = dep_find(admin->service, admin->tenant, dep);
    return update->dep != NULL
               ? dep_admit(admin, update->dep->record.type)
               : problem_set(admin->problem, REASON_NOT_FOUND, "no such DEP");
}

HF_STATUS deps_refresh(struct service *service, const struct caller *caller,
                       const struct dep_refresh *request,
                       struct operation_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_REFRESH_DEP,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct update update = {
        .admin = &admin,
        .event = DEP_EV_REFRESH,
        .kind = OPERATION_REFRESH,
    };
    HF_TRY(begin(&update, request->tenant, request->dep));
    return admin.seen ? operation_show(&admin, &admin.object, out)
                      : order_update(&update, NULL, out);
}

HF_STATUS deps_replace(struct service *service, const struct caller *caller,
                       const struct dep_replace *request,
                       struct operation_view *out, struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_REPLACE_DEP_KEYS,
        .mutation = &request->mutation,
        .problem = problem,
    };
    struct update update = {
        .admin = &admin,
        .event = DEP_EV_REPLACE,
        .kind = OPERATION_REPLACE,
    };
    HF_TRY(begin(&update, request->tenant, request->dep));
    return admin.seen ? operation_show(&admin, &admin.object, out)
                      : order_update(&update, request, out);
}

/* --- the operation ------------------------------------------------------ */

#define WATCH_MS     2000 /* at first */
#define WATCH_MAX_MS 60000
#define RETRY_MS     5000

static HF_STATUS put_end(struct service *service,
                         const struct tenant_entry *tenant,
                         const struct dep_entry *dep,
                         const struct dep_record *next, struct change *change,
                         struct stamp *stamp)
{
    char object[HF_NAME_MAX_BYTES + HF_ID_TEXT + 32];
    char id[HF_ID_TEXT];
    char details[96];
    id_format(&next->id, id);
    snprintf(object, sizeof object, "tenants/%s/deps/%s", tenant->record.name,
             id);
    snprintf(details, sizeof details, "{\"generation\":%u,\"before\":\"%s\"}",
             next->generation, key_update_text(dep->record.key_update));
    const struct audit_entry entry = {
        .activity = "KeyUpdateEnded",
        .tenant = next->tenant,
        .object = object,
        .details = details,
    };
    HF_TRY(dep_put(next, &dep->stamp, change, stamp));
    return audit_change(service, change, &entry);
}

/* record_lock is held. T7. */
static HF_STATUS end_locked(struct service *service,
                            const struct tenant_entry *tenant,
                            struct dep_entry *dep)
{
    struct dep_record next = dep->record;
    struct stamp stamp;
    struct dep_step step;
    enum reason reason = REASON_NONE;
    const struct dep_facts facts = {
        .type = next.type,
        .state = next.state,
        .key_update = next.key_update,
    };
    HF_OWNED(change_freep) struct change *change = NULL;
    if (dep_next(&facts, DEP_EV_UPDATED, &step, &reason) != HF_OK) {
        return HF_OK; /* this step ran before */
    }
    next.key_update = step.key_update;
    next.updated_ms = service_wall_ms(service);
    HF_TRY(change_new(&change));
    HF_TRY(put_end(service, tenant, dep, &next, change, &stamp));
    enum hf_status status = ledger_commit(service->ledger, change);
    if (admin_is_stored(status)) {
        pthread_rwlock_wrlock(&service->catalogue.lock);
        dep->record = next;
        dep->stamp = stamp;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    return status;
}

static HF_STATUS end_update(const struct operation_step *step,
                            struct dep_entry *dep)
{
    struct service *service = step->service;
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = end_locked(service, step->tenant, dep);
    pthread_mutex_unlock(&service->record_lock);
    return status;
}

static bool is_behind(const struct resource_view *view,
                      const struct operation_record *operation)
{
    return mailbox_needs_rewrap(&view->facts) &&
           id_equal(&view->facts.effective.dep, &operation->object);
}

/* It may wait for months: what sleeps comes when it wakes. */
static int64_t watch_ms(const struct operation_step *step)
{
    return operation_pause_ms(service_wall_ms(step->service) -
                                  step->record.created_ms,
                              WATCH_MS, WATCH_MAX_MS);
}

/* what is under a multi-workload DEP comes along by itself; a mailbox
 * DEP's mailboxes come on access. */
static void bring_along(struct operation_step *step)
{
    const struct operation_record counted = step->record;
    sweep_resources(step, SWEEP_EVERY_TYPE, is_behind);
    step->record.done = counted.done;
    step->record.total = counted.total;
    if (step->finished) {
        step->finished = false;
        step->record.cursor_len = 0;
        step->wait_ms = watch_ms(step);
    }
}

void dep_refresh_step(struct operation_step *step)
{
    struct service *service = step->service;
    struct operation_record *record = &step->record;
    struct wrapped_counts counts = {0};
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_entry *dep =
        catalogue_dep_by_id(&service->catalogue, &record->object);
    /* what was purged under an earlier generation goes nowhere any more */
    bool closed = dep != NULL && dep->closed;
    pthread_rwlock_unlock(&service->catalogue.lock);
    enum hf_status status =
        dep == NULL
            ? HF_E_CORRUPT
            : wrapped_count(service, &record->object, record->number, &counts);
    if (status == HF_OK) {
        record->done = counts.here;
        record->total = counts.here + counts.elsewhere;
        step->wait_ms = watch_ms(step);
        if (counts.elsewhere > 0 && !closed) {
            if (dep->record.type == DEP_TYPE_MULTI_WORKLOAD) {
                step->wait_ms = 0;
                bring_along(step);
            }
            return;
        }
        status = end_update(step, dep);
    }
    step->finished = status == HF_OK;
    if (status != HF_OK) {
        snprintf(record->error, sizeof record->error, "%s",
                 hf_status_text(status));
        step->wait_ms = RETRY_MS;
    }
}
