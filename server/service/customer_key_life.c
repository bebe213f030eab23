/* customer_key_life: soft delete, recover, and the end of the retention
 * . A deleted key has ended every lease it touches before that
 * is answered. */
#include "hsm/sys/log.h"

#include "server/service/customer_key_view.h"
#include "server/service/key_force.h"
#include "server/service/key_retention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS 60000
#define DUE_MAX  64 /* in one round; the rest waits for the next */

/* One change of a key's state. */
struct life_step {
    struct key_entry *key;
    enum key_event event;
    struct customer_key_record next;
    struct stamp stamp;
};

/* The next record, or STATE_CONFLICT. The record_lock is held. */
static HF_STATUS decide(struct service *service, struct problem *problem,
                        struct life_step *step)
{
    const struct customer_key_record *now = &step->key->record;
    const struct token_record *token = &step->key->token->record;
    int64_t wall_ms = service_wall_ms(service);
    step->next = *now;
    if (!key_life_next(now->state, step->event, &step->next.state)) {
        return problem_set(problem, REASON_STATE_CONFLICT,
                           "customer key %s is %s", now->name,
                           key_state_text(now->state));
    }
    if (step->event == KEY_EV_DELETE) {
        step->next.deleted_ms = wall_ms;
        step->next.purge_ms =
            key_purge_ms(wall_ms, key_retention_days(token->protection,
                                                     token->retention_days));
    } else if (step->event == KEY_EV_RECOVER) {
        step->next.deleted_ms = 0;
        step->next.purge_ms = 0;
    }
    return HF_OK;
}

static HF_STATUS put_step(struct life_step *step, struct change *change)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = customer_key_encode(&step->next, record);
    if (status == HF_OK) {
        status = change_put(change, record, &step->key->stamp, &step->stamp);
    }
    free(record);
    return status;
}

static void adopt(struct service *service, const struct life_step *step)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    step->key->record = step->next;
    step->key->stamp = step->stamp;
    pthread_rwlock_unlock(&service->catalogue.lock);
}

/* --- verbs -------------------------------------------------------------- */

/* A deleted key is told from one that never was by these verbs alone. */
static HF_STATUS find_any(const struct admin *admin, const char *name,
                          struct key_entry **out_key)
{
    struct catalogue *catalogue = &admin->service->catalogue;
    pthread_rwlock_rdlock(&catalogue->lock);
    *out_key = catalogue_key(catalogue, admin->tenant, name);
    if (*out_key == NULL) {
        *out_key = catalogue_deleted_key(catalogue, admin->tenant, name);
    }
    pthread_rwlock_unlock(&catalogue->lock);
    return *out_key != NULL ? HF_OK
                            : problem_set(admin->problem, REASON_NOT_FOUND,
                                          "no such customer key");
}

static void note(struct details *details,
                 const struct customer_key_record *before,
                 const struct customer_key_record *after)
{
    details_text(details, "state", key_state_text(before->state),
                 key_state_text(after->state));
    details_time(details, "purgeTime", before->purge_ms, after->purge_ms);
}

/* record_lock is held. */
static HF_STATUS change_locked(struct admin *admin,
                               const struct customer_key_delete *request,
                               struct life_step *step)
{
    struct service *service = admin->service;
    bool forced = false;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_OWNED(details_freep) struct details *details = NULL;
    const struct stamp whole = customer_key_stamp(step->key);
    HF_TRY(etag_check(request->mutation.etag, &whole, admin->problem));
    HF_TRY(decide(service, admin->problem, step));
    if (step->event == KEY_EV_DELETE) { /* every version */
        HF_TRY(key_may_go(admin, step->key, 0, &request->force, &forced));
    }
    if (request->mutation.validate_only) {
        return HF_OK;
    }
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = details_new(DETAILS_OF_CHANGE, &details);
    }
    if (status == HF_OK) {
        status = put_step(step, change);
    }
    if (status == HF_OK) {
        note(details, &step->key->record, &step->next);
        if (forced) {
            key_force_note(details, &request->force);
        }
        status = customer_key_finish_change(
            admin, change, &step->next, step->next.current_version, details);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    admin->changed = admin_is_stored(status);
    if (admin->changed) {
        adopt(service, step);
        leases_narrow_for_key(service, step->key);
    }
    return admin_answer(admin, status);
}

static HF_STATUS change_life(struct admin *admin,
                             const struct customer_key_delete *request,
                             enum key_event event,
                             struct customer_key_view *out)
{
    struct service *service = admin->service;
    struct life_step step = {.event = event};
    HF_TRY(admin_begin(admin, request->tenant));
    HF_TRY(find_any(admin, request->name, &step.key));
    enum hf_status status = HF_OK;
    if (!admin->seen) {
        pthread_mutex_lock(&service->record_lock);
        status = change_locked(admin, request, &step);
        pthread_mutex_unlock(&service->record_lock);
    }
    /* also when the answer is not yet certain, and for a repeat: what the first
     * one ended may still be in use */
    leases_settle_for_key(service, step.key);
    if (admin->changed) {
        health_refresh(service);
    }
    HF_TRY(status);
    pthread_rwlock_rdlock(&service->catalogue.lock);
    customer_key_fill_view(step.key, out);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return HF_OK;
}

HF_STATUS customer_keys_soft_delete(struct service *service,
                                    const struct caller *caller,
                                    const struct customer_key_delete *request,
                                    struct customer_key_view *out,
                                    struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_SOFT_DELETE_CUSTOMER_KEY,
        .mutation = &request->mutation,
        .problem = problem,
    };
    HF_TRY(service_admit(service, caller, admin.verb, request->tenant, NULL,
                         problem));
    if (!request->confirm && !request->mutation.validate_only) {
        return problem_field(problem, "confirm",
                             "must be true: a deleted key serves nobody");
    }
    return change_life(&admin, request, KEY_EV_DELETE, out);
}

HF_STATUS customer_keys_recover(struct service *service,
                                const struct caller *caller,
                                const struct customer_key_delete *request,
                                struct customer_key_view *out,
                                struct problem *problem)
{
    struct admin admin = {
        .service = service,
        .caller = caller,
        .verb = VERB_RECOVER_CUSTOMER_KEY,
        .mutation = &request->mutation,
        .problem = problem,
    };
    return change_life(&admin, request, KEY_EV_RECOVER, out);
}

/* --- the end of the retention ------------------------------------------- */

/* What the service does by itself is in the chain too. */
static HF_STATUS put_end(struct service *service, struct life_step *step,
                         struct change *change)
{
    char folded[HF_NAME_MAX_BYTES + 1];
    char object[2 * HF_NAME_MAX_BYTES + 64];
    const struct customer_key_record *key = &step->next;
    name_fold(key->name, folded);
    struct record_key name =
        key_of_name(NAME_CUSTOMER_KEY, &key->tenant, folded);
    snprintf(object, sizeof object, "tenants/%s/customerKeys/%s",
             step->key->tenant->record.name, key->name);
    const struct audit_entry entry = {
        .caller = &service_itself,
        .activity = "CustomerKeyRetentionOver",
        .tenant = key->tenant,
        .object = object,
    };
    HF_TRY(put_step(step, change));
    HF_TRY(change_remove(change, RECORD_NAME, record_key_view(&name), 1));
    return audit_change(service, change, &entry);
}

/* record_lock is held. */
static HF_STATUS end_locked(struct service *service, struct life_step *step)
{
    struct problem ignored = {.reason = REASON_NONE};
    HF_OWNED(change_freep) struct change *change = NULL;
    if (decide(service, &ignored, step) != HF_OK ||
        !key_life_plan(step->key->record.state, step->key->record.purge_ms,
                       service_wall_ms(service))
             .retention_over) {
        return HF_OK; /* recovered meanwhile */
    }
    HF_TRY(change_new(&change));
    HF_TRY(put_end(service, step, change));
    enum hf_status status = ledger_commit(service->ledger, change);
    if (admin_is_stored(status)) {
        adopt(service, step);
    }
    return status;
}

struct job {
    struct service *service;
    struct key_entry *key;
};

static void run_end(void *argument)
{
    struct job *job = argument;
    struct service *service = job->service;
    struct life_step step = {.key = job->key, .event = KEY_EV_RETENTION_OVER};
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = end_locked(service, &step);
    pthread_mutex_unlock(&service->record_lock);
    if (status != HF_OK) {
        log_event(LOG_WARN, "customer_key.retention",
                  LOG_TEXT("status", hf_status_name(status)));
        atomic_store(&job->key->retention_retry_ms,
                     service_monotonic_ms(service) + RETRY_MS);
    }
    atomic_store(&job->key->retiring, false);
    free(job);
}

static bool is_due(const struct key_entry *key, int64_t wall_ms, int64_t now_ms)
{
    return key_life_plan(key->record.state, key->record.purge_ms, wall_ms)
               .retention_over &&
           now_ms >= atomic_load(&key->retention_retry_ms);
}

static void hand_over(struct service *service, struct key_entry *key)
{
    struct job *job = malloc(sizeof *job);
    const struct pool_job pool_job = {
        .tenant = "",
        .rank = POOL_BACKGROUND,
        .work = run_end,
        .argument = job,
    };
    if (job == NULL || atomic_exchange(&key->retiring, true)) {
        free(job);
        return;
    }
    *job = (struct job){service, key};
    if (pool_run(service->pool, &pool_job) != HF_OK) {
        atomic_store(&key->retiring, false); /* the next round tries again */
        free(job);
    }
}

void key_retention_round(struct service *service, int64_t now_ms)
{
    struct key_entry *due[DUE_MAX];
    size_t count = 0;
    int64_t wall_ms = service_wall_ms(service);
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (struct key_entry *key = service->catalogue.keys;
         key != NULL && count < DUE_MAX; key = key->next) {
        if (is_due(key, wall_ms, now_ms)) {
            due[count++] = key;
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    for (size_t i = 0; i < count; i++) {
        hand_over(service, due[i]);
    }
}
