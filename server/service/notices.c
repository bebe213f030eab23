#include "server/service/notices.h"

#include "hsm/sys/log.h"

#include "server/service/ak_audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS       1000
#define DUE_MAX       64 /* of one look; the rest waits for the next */
#define OLD_MAX       8  /* taken away with one notice */
#define DETAILS_BYTES 160

struct notices {
    pthread_mutex_t writing; /* outermost: one notice at a time */
    pthread_mutex_t lock;    /* of every DEP's outage; see core.h for ranks */
    atomic_bool at_work;
    int64_t looked_ms; /* monotonic; 0: not yet */
};

/* --- what is known -------------------------------------------------------- */

static struct outage outage_of(struct service *service,
                               const struct dep_entry *dep)
{
    pthread_mutex_lock(&service->notices->lock);
    struct outage outage = dep->outage;
    pthread_mutex_unlock(&service->notices->lock);
    return outage;
}

int64_t notices_since_ms(struct service *service, struct dep_entry *dep)
{
    return outage_of(service, dep).since_ms;
}

int64_t notices_lasts_ms(struct service *service, struct dep_entry *dep)
{
    const struct outage outage = outage_of(service, dep);
    return outage_lasts_ms(&outage, service_wall_ms(service));
}

/* notices->lock is held. */
static void mark(struct service *service, struct generation_entry *generation)
{
    int64_t now_ms = service_monotonic_ms(service);
    generation->fell_back_ms = now_ms > 0 ? now_ms : 1;
}

void notices_note_use(struct service *service,
                      struct generation_entry *generation)
{
    int64_t now_ms = service_wall_ms(service);
    pthread_mutex_lock(&service->notices->lock);
    if (generation->dep->outage.since_ms != 0) {
        generation->dep->outage.used_ms = now_ms;
        mark(service, generation);
    }
    pthread_mutex_unlock(&service->notices->lock);
}

/* --- is it over; catalogue's lock and notices->lock are held -------------- */

static bool has_answered(const struct generation_entry *generation)
{
    bool answered = false;
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        struct key_version_entry *version = generation->versions[slot];
        pthread_mutex_lock(&version->health_lock);
        answered = answered || (version->known == ATTEMPT_OK &&
                                version->known_ms >= generation->fell_back_ms);
        pthread_mutex_unlock(&version->health_lock);
    }
    return answered;
}

static bool is_over(const struct dep_entry *dep)
{
    bool all_moved = dep->record.key_update == KEY_UPDATE_NONE;
    if (dep->closed || dep->record.ak_state == AK_DESTROYED) {
        return true;
    }
    for (uint32_t i = 0; i < dep->record.generation; i++) {
        const struct generation_entry *generation = dep->generations[i];
        bool is_needed = i + 1 == dep->record.generation || !all_moved;
        if (generation != NULL && generation->fell_back_ms != 0 && is_needed &&
            !has_answered(generation)) {
            return false;
        }
    }
    return true;
}

static enum notice_event due_locked(struct service *service,
                                    const struct dep_entry *dep)
{
    return dep->outage.since_ms == 0 ? NOTICE_NONE
                                     : outage_due(&dep->outage, is_over(dep),
                                                  dep->record.fallback_limit_ms,
                                                  service_wall_ms(service));
}

/* --- one notice ----------------------------------------------------------- */

static void forget_generations(struct dep_entry *dep)
{
    for (size_t i = 0; i < DEP_GENERATIONS_MAX; i++) {
        if (dep->generations[i] != NULL) {
            dep->generations[i]->fell_back_ms = 0;
        }
    }
}

static uint32_t last_fallen_back(const struct dep_entry *dep)
{
    int64_t latest_ms = 0;
    uint32_t found = dep->record.generation;
    for (uint32_t i = 0; i < dep->record.generation; i++) {
        const struct generation_entry *generation = dep->generations[i];
        if (generation != NULL && generation->fell_back_ms > latest_ms) {
            latest_ms = generation->fell_back_ms;
            found = i + 1;
        }
    }
    return found;
}

/* Notices of a DEP are in the order in which they were given, whatever the
 * clock does: the newest says whether the outage goes on. writing is held. */
static struct notice_record notice_of(struct service *service,
                                      const struct dep_entry *dep,
                                      enum notice_event event)
{
    int64_t now_ms = service_wall_ms(service);
    struct notice_record notice = {
        .tenant = dep->record.tenant,
        .dep = dep->record.id,
        .time_ms = now_ms > dep->notice_ms ? now_ms : dep->notice_ms + 1,
        .event = event,
    };
    pthread_rwlock_rdlock(&service->catalogue.lock);
    notice.limit_ms = dep->record.fallback_limit_ms;
    pthread_mutex_lock(&service->notices->lock);
    notice.generation = last_fallen_back(dep);
    notice.since_ms = event == NOTICE_BEGAN ? now_ms : dep->outage.since_ms;
    pthread_mutex_unlock(&service->notices->lock);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return notice;
}

static HF_STATUS put_notice(struct service *service,
                            const struct dep_entry *dep,
                            const struct notice_record *notice,
                            struct change *change)
{
    const struct stamp none = {.version = 0};
    char object[2 * HF_NAME_MAX_BYTES + HF_ID_TEXT];
    char details[DETAILS_BYTES];
    char id[HF_ID_TEXT];
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = notice_encode(notice, record);
    if (status == HF_OK) {
        status = change_put(change, record, &none, NULL);
    }
    free(record);
    HF_TRY(status);
    id_format(&notice->dep, id);
    snprintf(object, sizeof object, "tenants/%s/deps/%s",
             dep->tenant->record.name, id);
    snprintf(details, sizeof details,
             "{\"event\":\"%s\",\"outageSinceMs\":%" PRId64
             ",\"generation\":%u,\"limitMs\":%" PRId64 "}",
             notice_event_text(notice->event), notice->since_ms,
             (unsigned)notice->generation, notice->limit_ms);
    const struct audit_entry entry = {
        .activity = NOTICE_AUDIT_ACTIVITY,
        .tenant = notice->tenant,
        .object = object,
        .details = details,
    };
    return audit_change(service, change, &entry);
}

/* After the commit: what was told, and the line of the log. writing is held. */
static void follow(struct service *service, struct dep_entry *dep,
                   const struct notice_record *notice)
{
    char id[HF_ID_TEXT];
    pthread_mutex_lock(&service->notices->lock);
    outage_told(&dep->outage, notice->event, notice->limit_ms,
                service_wall_ms(service));
    if (notice->event == NOTICE_BEGAN) {
        dep->outage.since_ms = notice->since_ms;
    }
    if (notice->event == NOTICE_ENDED) {
        forget_generations(dep);
    }
    dep->notice_ms = notice->time_ms;
    pthread_mutex_unlock(&service->notices->lock);
    id_format(&notice->dep, id);
    log_event(LOG_WARN, "fallback.notice",
              LOG_TEXT("tenant", dep->tenant->record.name), LOG_TEXT("dep", id),
              LOG_TEXT("notice", notice_event_text(notice->event)),
              LOG_NUMBER("outage_since_ms", notice->since_ms),
              LOG_NUMBER("limit_ms", notice->limit_ms));
}

/* --- the first use -------------------------------------------------------- */

static HF_STATUS begin_locked(struct service *service,
                              struct generation_entry *generation,
                              const struct key_call *call,
                              const enum attempt *results)
{
    struct dep_entry *dep = generation->dep;
    HF_OWNED(change_freep) struct change *change = NULL;
    pthread_mutex_lock(&service->notices->lock);
    forget_generations(dep);
    mark(service, generation);
    pthread_mutex_unlock(&service->notices->lock);
    const struct notice_record notice = notice_of(service, dep, NOTICE_BEGAN);
    HF_TRY(change_new(&change));
    HF_TRY(ak_audit_put(service, change, generation, call, results));
    HF_TRY(put_notice(service, dep, &notice, change));
    HF_TRY(ledger_commit(service->ledger, change));
    follow(service, dep, &notice);
    return HF_OK;
}

HF_STATUS notices_record_use(struct service *service,
                             struct generation_entry *generation,
                             const struct key_call *call,
                             const enum attempt *results)
{
    enum hf_status status = HF_OK;
    bool began = false;
    if (notices_since_ms(service, generation->dep) == 0) {
        pthread_mutex_lock(&service->notices->writing);
        /* another one may have been first */
        began = notices_since_ms(service, generation->dep) == 0;
        if (began) {
            status = begin_locked(service, generation, call, results);
        }
        pthread_mutex_unlock(&service->notices->writing);
    }
    return began ? status : ak_audit_use(service, generation, call, results);
}

/* --- those that are due --------------------------------------------------- */

struct old_notices {
    struct service *service;
    struct change *change;
};

/* Those of an outage that goes on say since when: they stay. */
static enum hf_status remove_old(void *context, const struct record *record,
                                 const struct stamp *stamp)
{
    const struct old_notices *old = context;
    struct service *service = old->service;
    struct notice_record notice;
    HF_TRY(notice_decode(record, &notice));
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_entry *dep =
        catalogue_dep_by_id(&service->catalogue, &notice.dep);
    bool goes_on =
        dep != NULL && notices_since_ms(service, dep) == notice.since_ms;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return goes_on ? HF_OK
                   : change_remove(old->change, RECORD_NOTICE,
                                   (struct bytes){record->key, record->key_len},
                                   stamp->version);
}

static HF_STATUS remove_old_of(struct service *service,
                               const struct notice_record *notice,
                               struct change *change)
{
    struct record_key prefix = key_of_id(&notice->tenant);
    struct record_key until = key_of_notices_until(
        &notice->tenant, notice->time_ms < NOTICES_KEPT_MS
                             ? 0
                             : notice->time_ms - NOTICES_KEPT_MS);
    struct old_notices old = {.service = service, .change = change};
    const struct store_page page = {
        .prefix = record_key_view(&prefix),
        .after = record_key_view(&until),
        .max = OLD_MAX,
    };
    return ledger_each(service->ledger, RECORD_NOTICE, &page, remove_old, &old);
}

/* writing is held. */
static HF_STATUS tell_locked(struct service *service, struct dep_entry *dep)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    pthread_mutex_lock(&service->notices->lock);
    enum notice_event event = due_locked(service, dep);
    pthread_mutex_unlock(&service->notices->lock);
    pthread_rwlock_unlock(&service->catalogue.lock);
    if (event == NOTICE_NONE) {
        return HF_OK;
    }
    const struct notice_record notice = notice_of(service, dep, event);
    HF_TRY(change_new(&change));
    HF_TRY(put_notice(service, dep, &notice, change));
    HF_TRY(remove_old_of(service, &notice, change));
    HF_TRY(ledger_commit(service->ledger, change));
    follow(service, dep, &notice);
    return HF_OK;
}

static size_t collect_due(struct service *service,
                          struct dep_entry *due[DUE_MAX])
{
    size_t count = 0;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    pthread_mutex_lock(&service->notices->lock);
    for (struct dep_entry *dep = service->catalogue.deps;
         dep != NULL && count < DUE_MAX; dep = dep->next) {
        if (due_locked(service, dep) != NOTICE_NONE) {
            due[count++] = dep;
        }
    }
    pthread_mutex_unlock(&service->notices->lock);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return count;
}

static void run_due(void *argument)
{
    struct service *service = argument;
    struct dep_entry *due[DUE_MAX];
    size_t count = collect_due(service, due);
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&service->notices->writing);
        enum hf_status status = tell_locked(service, due[i]);
        pthread_mutex_unlock(&service->notices->writing);
        if (status != HF_OK) {
            log_event(LOG_ERROR, "fallback.notice_not_recorded",
                      LOG_TEXT("status", hf_status_name(status)));
            break; /* the next look finds it again */
        }
    }
    atomic_store(&service->notices->at_work, false);
}

void notices_round(struct service *service, int64_t now_ms)
{
    struct notices *notices = service->notices;
    struct dep_entry *due[DUE_MAX];
    const struct pool_job job = {
        .tenant = "",
        .rank = POOL_BACKGROUND,
        .work = run_due,
        .argument = service,
    };
    if (atomic_load(&notices->at_work) ||
        (notices->looked_ms != 0 && now_ms - notices->looked_ms < LOOK_MS)) {
        return;
    }
    notices->looked_ms = now_ms;
    if (collect_due(service, due) == 0) {
        return;
    }
    atomic_store(&notices->at_work, true);
    if (pool_run(service->pool, &job) != HF_OK) {
        atomic_store(&notices->at_work, false);
    }
}

/* --- after a start -------------------------------------------------------- */

static void mark_numbered(struct service *service, const struct dep_entry *dep,
                          uint32_t number)
{
    struct generation_entry *generation = catalogue_generation(dep, number);
    if (generation != NULL) {
        mark(service, generation);
    }
}

/* The newest first: the first one of a DEP says whether an outage goes on, the
 * earlier ones of the same outage what was told of it. Of a DEP that is no more
 * they say nothing. */
static enum hf_status load_one(void *context, const struct record *record,
                               const struct stamp *stamp)
{
    struct service *service = context;
    struct notice_record notice;
    (void)stamp;
    HF_TRY(notice_decode(record, &notice));
    struct dep_entry *dep =
        catalogue_dep_by_id(&service->catalogue, &notice.dep);
    if (dep == NULL) {
        return HF_OK;
    }
    bool newest = dep->notice_ms == 0;
    if (newest) {
        dep->notice_ms = notice.time_ms > 0 ? notice.time_ms : 1;
    }
    if (newest && notice.event != NOTICE_ENDED) {
        dep->outage.since_ms = notice.since_ms;
        dep->outage.used_ms = notice.time_ms;
        dep->outage.told_ms = notice.time_ms;
    }
    if (dep->outage.since_ms != notice.since_ms) {
        return HF_OK;
    }
    mark_numbered(service, dep, notice.generation);
    if (notice.event == NOTICE_LIMIT_REACHED &&
        dep->outage.told_limit_ms == 0) {
        dep->outage.told_limit_ms = notice.limit_ms;
    }
    return HF_OK;
}

HF_STATUS notices_open(struct service *service, struct problem *problem)
{
    const struct store_page all = {.max = SIZE_MAX};
    struct notices *notices = calloc(1, sizeof *notices);
    if (notices == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    pthread_mutex_init(&notices->writing, NULL);
    pthread_mutex_init(&notices->lock, NULL);
    atomic_init(&notices->at_work, false);
    service->notices = notices;
    return problem_of_status(
        problem,
        ledger_each(service->ledger, RECORD_NOTICE, &all, load_one, service));
}

void notices_close(struct notices *notices)
{
    if (notices != NULL) {
        pthread_mutex_destroy(&notices->writing);
        pthread_mutex_destroy(&notices->lock);
        free(notices);
    }
}
