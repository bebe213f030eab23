#include "server/service/operations.h"

#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "server/service/operation_steps.h"
#include "server/service/operations_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One that is not ended. Entries are made and freed under the lock; one whose
 * step is under way is not freed. */
struct operation_entry {
    struct operation_record record;
    struct stamp stamp;
    int64_t due_ms; /* monotonic, of the next step */
    bool stepping;
    bool ended; /* freed when its step is over */
    struct operation_entry *next;
};

struct operations {
    pthread_mutex_t lock; /* of the entries; nothing is called while held */
    struct operation_entry *first;
};

/* --- entries ------------------------------------------------------------ */

static void add_locked(struct operations *operations,
                       struct operation_entry *entry)
{
    entry->next = operations->first;
    operations->first = entry;
}

static struct operation_entry *find_locked(struct operations *operations,
                                           const struct hf_id *id)
{
    struct operation_entry *entry = operations->first;
    while (entry != NULL && !id_equal(&entry->record.id, id)) {
        entry = entry->next;
    }
    return entry;
}

static void remove_locked(struct operations *operations,
                          struct operation_entry *entry)
{
    struct operation_entry **link = &operations->first;
    while (*link != entry) {
        link = &(*link)->next;
    }
    *link = entry->next;
    free(entry);
}

static enum hf_status load_one(void *context, const struct record *record,
                               const struct stamp *stamp)
{
    struct operations *operations = context;
    struct operation_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = operation_decode(record, &entry->record);
    entry->stamp = *stamp;
    if (status != HF_OK || entry->record.state != OPERATION_RUNNING) {
        free(entry);
        return status;
    }
    add_locked(operations, entry);
    return HF_OK;
}

HF_STATUS operations_open(struct service *service, struct problem *problem)
{
    const struct store_page all = {.max = SIZE_MAX};
    struct operations *operations = calloc(1, sizeof *operations);
    if (operations == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    pthread_mutex_init(&operations->lock, NULL);
    service->operations = operations;
    return problem_of_status(problem,
                             ledger_each(service->ledger, RECORD_OPERATION,
                                         &all, load_one, operations));
}

void operations_close(struct operations *operations)
{
    if (operations == NULL) {
        return;
    }
    while (operations->first != NULL) {
        remove_locked(operations, operations->first);
    }
    pthread_mutex_destroy(&operations->lock);
    free(operations);
}

/* --- records ------------------------------------------------------------ */

HF_STATUS operation_put(struct change *change,
                        const struct operation_record *operation,
                        const struct stamp *current, struct stamp *out_next)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = operation_encode(operation, record);
    if (status == HF_OK) {
        status = change_put(change, record, current, out_next);
    }
    free(record);
    return status;
}

HF_STATUS operation_begin(const struct admin *admin,
                          const struct operation_order *order,
                          struct change *change,
                          struct operation_entry **out_entry)
{
    const struct stamp none = {.version = 0};
    struct service *service = admin->service;
    struct operation_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return HF_E_NO_MEMORY;
    }
    struct operation_record *record = &entry->record;
    enum hf_status status = rng_id(service->settings.rng, &record->id);
    record->tenant = admin->tenant->record.id;
    record->kind = order->kind;
    record->state = OPERATION_RUNNING;
    record->object = order->object;
    record->number = order->number;
    record->total = order->total;
    if (admin->caller != NULL && admin->caller != &service_itself) {
        memcpy(record->requester, admin->caller->identity,
               sizeof record->requester);
    }
    record->created_ms = service_wall_ms(service);
    record->updated_ms = record->created_ms;
    if (status == HF_OK) {
        status = operation_put(change, record, &none, &entry->stamp);
    }
    if (status != HF_OK) {
        free(entry);
        return status;
    }
    *out_entry = entry;
    return HF_OK;
}

void operations_adopt(struct service *service, struct operation_entry *entry)
{
    pthread_mutex_lock(&service->operations->lock);
    add_locked(service->operations, entry);
    pthread_mutex_unlock(&service->operations->lock);
}

void operation_drop(struct operation_entry *entry)
{
    free(entry);
}

const struct hf_id *operation_entry_id(const struct operation_entry *entry)
{
    return &entry->record.id;
}

bool operations_is_running(struct service *service, const struct hf_id *tenant,
                           enum operation_kind kind, const struct hf_id *object)
{
    struct operations *operations = service->operations;
    bool running = false;
    pthread_mutex_lock(&operations->lock);
    for (const struct operation_entry *entry = operations->first;
         entry != NULL && !running; entry = entry->next) {
        running =
            !entry->ended && entry->record.kind == kind &&
            id_equal(&entry->record.tenant, tenant) &&
            (id_is_nil(object) || id_equal(&entry->record.object, object));
    }
    pthread_mutex_unlock(&operations->lock);
    return running;
}

HF_STATUS operation_record_end(struct service *service, struct change *change,
                               const struct operation_record *record,
                               const char *tenant)
{
    char object[HF_NAME_MAX_BYTES + HF_ID_TEXT + 32];
    char id[HF_ID_TEXT];
    char details[160];
    id_format(&record->id, id);
    snprintf(object, sizeof object, "tenants/%s/operations/%s", tenant, id);
    snprintf(details, sizeof details,
             "{\"kind\":\"%s\",\"state\":\"%s\",\"percent\":%u}",
             operation_kind_text(record->kind),
             operation_state_text(record->state), record->percent);
    const struct audit_entry entry = {
        .activity = "OperationEnded",
        .tenant = record->tenant,
        .object = object,
        .details = details,
    };
    return audit_change(service, change, &entry);
}

/* --- steps -------------------------------------------------------------- */

/* What a step came to, as the operation's next record. */
static void move_on(struct operation_step *step,
                    const struct operation_record *before)
{
    struct operation_record *record = &step->record;
    enum reason reason = REASON_NONE;
    int64_t now_ms = service_wall_ms(step->service);
    if (step->finished || step->gave_up) {
        CHECK(operation_next(record->kind, before->state,
                             step->finished ? OPERATION_EV_FINISH
                                            : OPERATION_EV_FAIL,
                             &record->state, &reason) == HF_OK);
        record->ended_ms = now_ms;
    }
    record->percent = operation_percent(record->state, record->done,
                                        record->total, before->percent);
    record->updated_ms = now_ms;
}

static HF_STATUS record_step(struct operation_step *step,
                             const struct stamp *current, struct stamp *next)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    HF_TRY(operation_put(change, &step->record, current, next));
    if (step->record.state != OPERATION_RUNNING) {
        HF_TRY(operation_record_end(step->service, change, &step->record,
                                    step->tenant->record.name));
    }
    return ledger_commit(step->service->ledger, change);
}

#define RETRY_MS 5000 /* after a step that could not be recorded */

static void end_step(struct operation_step *step, struct operation_entry *entry,
                     enum hf_status status, const struct stamp *next)
{
    struct operations *operations = step->service->operations;
    int64_t wait_ms = step->wait_ms;
    pthread_mutex_lock(&operations->lock);
    entry->stepping = false;
    if (status == HF_OK) {
        entry->record = step->record;
        entry->stamp = *next;
        entry->ended = entry->ended || step->record.state != OPERATION_RUNNING;
    } else if (hf_status_class(status) != HF_CLASS_CONFLICT) {
        wait_ms = RETRY_MS; /* the same step again */
    }
    entry->due_ms = service_monotonic_ms(step->service) + wait_ms;
    if (entry->ended) {
        remove_locked(operations, entry);
    }
    pthread_mutex_unlock(&operations->lock);
}

/* One that only waits writes nothing. */
static bool is_as_before(const struct operation_step *step,
                         const struct operation_record *before)
{
    const struct bytes now = {(const uint8_t *)&step->record,
                              sizeof step->record};
    const struct bytes then = {(const uint8_t *)before, sizeof *before};
    return !step->finished && !step->gave_up && bytes_equal(now, then);
}

struct job {
    struct service *service;
    struct operation_entry *entry;
};

/* with its tenant ends whatever was done for it. */
static void give_up(struct operation_step *step)
{
    step->gave_up = true;
    snprintf(step->record.error, sizeof step->record.error,
             "the tenant was deleted");
}

static void run_step(void *argument)
{
    struct job *job = argument;
    struct service *service = job->service;
    struct operation_entry *entry = job->entry;
    struct operation_step step = {.service = service};
    struct stamp next = {.version = 0};
    pthread_mutex_lock(&service->operations->lock);
    step.record = entry->record;
    const struct stamp current = entry->stamp;
    const struct operation_record before = entry->record;
    pthread_mutex_unlock(&service->operations->lock);
    pthread_rwlock_rdlock(&service->catalogue.lock);
    step.tenant =
        catalogue_tenant_by_id(&service->catalogue, &step.record.tenant);
    CHECK(step.tenant != NULL); /* tenants are never taken away */
    bool ended = step.tenant->ended;
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (ended && step.record.kind != OPERATION_DELETE_TENANT) {
        give_up(&step);
    } else {
        operation_step_of(step.record.kind)(&step);
    }
    if (is_as_before(&step, &before)) {
        end_step(&step, entry, HF_OK, &current);
        free(job);
        return;
    }
    move_on(&step, &before);
    /* whoever reads that it has ended may order the next one at once */
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = record_step(&step, &current, &next);
    end_step(&step, entry, status, &next);
    pthread_mutex_unlock(&service->record_lock);
    if (status != HF_OK && hf_status_class(status) != HF_CLASS_CONFLICT) {
        log_event(LOG_WARN, "operation.step_not_recorded",
                  LOG_TEXT("kind", operation_kind_text(step.record.kind)),
                  LOG_TEXT("status", hf_status_name(status)));
    }
    free(job);
}

#define ROUND_MAX 16 /* steps handed over in one round */

void operations_round(struct service *service, int64_t now_ms)
{
    struct operations *operations = service->operations;
    struct operation_entry *due[ROUND_MAX];
    size_t count = 0;
    pthread_mutex_lock(&operations->lock);
    for (struct operation_entry *entry = operations->first;
         entry != NULL && count < ROUND_MAX; entry = entry->next) {
        if (!entry->stepping && entry->due_ms <= now_ms) {
            entry->stepping = true;
            due[count++] = entry;
        }
    }
    pthread_mutex_unlock(&operations->lock);
    for (size_t i = 0; i < count; i++) {
        struct job *job = malloc(sizeof *job);
        const struct pool_job work = {
            .tenant = "",
            .rank = POOL_BACKGROUND,
            .work = run_step,
            .argument = job,
        };
        if (job != NULL) {
            *job = (struct job){service, due[i]};
        }
        if (job == NULL || pool_run(service->pool, &work) != HF_OK) {
            free(job); /* the next round tries again */
            pthread_mutex_lock(&operations->lock);
            due[i]->stepping = false;
            pthread_mutex_unlock(&operations->lock);
        }
    }
}

/* Its next step, if one is under way, meets a newer record and is dropped. */
void operations_forget(struct service *service, const struct hf_id *id)
{
    struct operations *operations = service->operations;
    pthread_mutex_lock(&operations->lock);
    struct operation_entry *entry = find_locked(operations, id);
    if (entry != NULL && entry->stepping) {
        entry->ended = true;
    } else if (entry != NULL) {
        remove_locked(operations, entry);
    }
    pthread_mutex_unlock(&operations->lock);
}
