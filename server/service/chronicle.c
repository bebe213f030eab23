#include "server/service/chronicle.h"

#include "server/service/change.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS      1000
#define DAY_MS       86400000
#define NEWS_MAX     64 /* of one look; the rest waits for the next */

#define OBJECT_BYTES (2 * HF_NAME_MAX_BYTES + HF_ID_TEXT + 64)

/* One record to be written, and what says afterwards that it was. */
struct news {
    const char *activity;
    struct hf_id tenant;
    char object[OBJECT_BYTES];
    char details[160];
    atomic_int *state; /* becomes state_to; NULL: not about a state */
    int state_to;
    struct key_version_entry *version; /* of a use */
    int64_t used_ms;
};

struct chronicle {
    struct service *service;
    atomic_bool writing; /* news belongs to the job */
    int64_t looked_ms;   /* monotonic; 0: not yet */
    struct news news[NEWS_MAX];
    size_t news_count;
};

HF_STATUS chronicle_open(struct service *service)
{
    struct chronicle *chronicle = calloc(1, sizeof *chronicle);
    if (chronicle == NULL) {
        return HF_E_NO_MEMORY;
    }
    chronicle->service = service;
    atomic_init(&chronicle->writing, false);
    service->chronicle = chronicle;
    return HF_OK;
}

void chronicle_close(struct chronicle *chronicle)
{
    free(chronicle);
}

void chronicle_note_use(struct service *service,
                        struct key_version_entry *version)
{
    int64_t now_ms = service_wall_ms(service);
    int_fast64_t never = 0;
    atomic_compare_exchange_strong(&version->first_used_ms, &never, now_ms);
    atomic_store(&version->last_used_ms, now_ms);
}

/* --- looking; the catalogue's lock is held ------------------------------- */

static struct news *add(struct chronicle *chronicle)
{
    return chronicle->news_count < NEWS_MAX
               ? &chronicle->news[chronicle->news_count++]
               : NULL;
}

static const char *dep_health_text(enum dep_health health)
{
    switch (health) {
    case HEALTH_HEALTHY:
        return "HEALTHY";
    case HEALTH_DEGRADED:
        return "DEGRADED";
    case HEALTH_FALLBACK:
        return "FALLBACK";
    case HEALTH_UNHEALTHY:
        return "UNHEALTHY";
    case HEALTH_DESTROYED:
        return "DESTROYED";
    }
    return "?";
}

static void set_states(struct news *news, const char *from, const char *to)
{
    snprintf(news->details, sizeof news->details,
             "{\"from\":\"%s\",\"to\":\"%s\"}", from, to);
}

static void look_at_dep(struct chronicle *chronicle, struct dep_entry *dep)
{
    int before = atomic_load(&dep->health_recorded);
    int now = atomic_load(&dep->health);
    before = before == 0 ? HEALTH_HEALTHY : before;
    now = now == 0 ? HEALTH_HEALTHY : now; /* nobody has asked yet */
    struct news *news = now != before ? add(chronicle) : NULL;
    if (news == NULL) {
        return;
    }
    char id[HF_ID_TEXT];
    id_format(&dep->record.id, id);
    *news = (struct news){
        .activity = CHRONICLE_DEP_HEALTH,
        .tenant = dep->record.tenant,
        .state = &dep->health_recorded,
        .state_to = now,
    };
    snprintf(news->object, sizeof news->object, "tenants/%s/deps/%s",
             dep->tenant->record.name, id);
    set_states(news, dep_health_text((enum dep_health)before),
               dep_health_text((enum dep_health)now));
}

static void name_version(const struct key_entry *key,
                         const struct key_version_entry *version,
                         struct news *news)
{
    snprintf(news->object, sizeof news->object,
             "tenants/%s/customerKeys/%s/versions/%u", key->tenant->record.name,
             key->record.name, version->record.version);
}

static void look_at_key_health(struct chronicle *chronicle,
                               const struct key_entry *key,
                               struct key_version_entry *version)
{
    pthread_mutex_lock(&version->health_lock);
    int now = (int)version->health.state;
    pthread_mutex_unlock(&version->health_lock);
    int before = atomic_load(&version->health_recorded);
    before = before == KEY_HEALTH_UNKNOWN ? KEY_HEALTH_OK : before;
    struct news *news =
        now != KEY_HEALTH_UNKNOWN && now != before ? add(chronicle) : NULL;
    if (news == NULL) {
        return;
    }
    *news = (struct news){
        .activity = CHRONICLE_KEY_HEALTH,
        .tenant = key->record.tenant,
        .state = &version->health_recorded,
        .state_to = now,
    };
    name_version(key, version, news);
    set_states(news, key_health_text((enum key_health_state)before),
               key_health_text((enum key_health_state)now));
}

static void look_at_use(struct chronicle *chronicle,
                        const struct key_entry *key,
                        struct key_version_entry *version)
{
    int64_t used_ms = atomic_load(&version->last_used_ms);
    int64_t recorded_ms = atomic_load(&version->use_recorded_ms);
    bool is_news = used_ms != 0 && (recorded_ms == 0 ||
                                    used_ms / DAY_MS != recorded_ms / DAY_MS);
    struct news *news = is_news ? add(chronicle) : NULL;
    if (news == NULL) {
        return;
    }
    *news = (struct news){
        .activity = CHRONICLE_KEY_USED,
        .tenant = key->record.tenant,
        .version = version,
        .used_ms = used_ms,
    };
    name_version(key, version, news);
    snprintf(news->details, sizeof news->details,
             "{\"firstUseMs\":%" PRId64 ",\"lastUseMs\":%" PRId64 "}",
             (int64_t)atomic_load(&version->first_used_ms), used_ms);
}

static void look(struct chronicle *chronicle)
{
    struct catalogue *catalogue = &chronicle->service->catalogue;
    chronicle->news_count = 0;
    pthread_rwlock_rdlock(&catalogue->lock);
    for (struct dep_entry *dep = catalogue->deps; dep != NULL;
         dep = dep->next) {
        look_at_dep(chronicle, dep);
    }
    for (struct key_entry *key = catalogue->keys; key != NULL;
         key = key->next) {
        for (uint32_t i = 0; i < key->record.current_version; i++) {
            if (key->versions[i] != NULL) {
                look_at_key_health(chronicle, key, key->versions[i]);
                look_at_use(chronicle, key, key->versions[i]);
            }
        }
    }
    pthread_rwlock_unlock(&catalogue->lock);
}

/* --- writing; on the slow lane ------------------------------------------- */

static HF_STATUS write_some(struct service *service, const struct news *news,
                            size_t count)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    for (size_t i = 0; i < count; i++) {
        const struct audit_entry entry = {
            .activity = news[i].activity,
            .tenant = news[i].tenant,
            .object = news[i].object,
            .details = news[i].details,
        };
        HF_TRY(audit_change(service, change, &entry));
    }
    return ledger_commit(service->ledger, change);
}

static void note_written(const struct news *news, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (news[i].state != NULL) {
            atomic_store(news[i].state, news[i].state_to);
        } else {
            atomic_store(&news[i].version->use_recorded_ms, news[i].used_ms);
        }
    }
}

static void run_write(void *argument)
{
    struct chronicle *chronicle = argument;
    size_t done = 0;
    while (done < chronicle->news_count) {
        const struct news *news = &chronicle->news[done];
        size_t left = chronicle->news_count - done;
        size_t count = left < CHANGE_AUDITS_MAX ? left : CHANGE_AUDITS_MAX;
        if (write_some(chronicle->service, news, count) != HF_OK) {
            break; /* the next look finds it again */
        }
        note_written(news, count);
        done += count;
    }
    atomic_store(&chronicle->writing, false);
}

void chronicle_round(struct service *service, int64_t now_ms)
{
    struct chronicle *chronicle = service->chronicle;
    const struct pool_job job = {
        .tenant = "",
        .rank = POOL_BACKGROUND,
        .work = run_write,
        .argument = chronicle,
    };
    if (atomic_load(&chronicle->writing) ||
        (chronicle->looked_ms != 0 &&
         now_ms - chronicle->looked_ms < LOOK_MS)) {
        return;
    }
    chronicle->looked_ms = now_ms;
    look(chronicle);
    if (chronicle->news_count == 0) {
        return;
    }
    atomic_store(&chronicle->writing, true);
    if (pool_run(service->pool, &job) != HF_OK) {
        atomic_store(&chronicle->writing, false);
    }
}
