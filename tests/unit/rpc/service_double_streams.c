/* The service double's part in streams: one operation that commands move, one
 * audit chain that commands make longer, and who is told of it. */
#include "hsm/base/check.h"

#include "server/service/audit.h"
#include "server/service/operations.h"

#include "tests/unit/rpc/service_double.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define WATCHERS_MAX  16
#define LOOKED_AT_MAX 40
#define SPARSE        100

static struct {
    pthread_mutex_t lock;
    struct {
        topic_fn *changed;
        void *context;
    } watchers[WATCHERS_MAX]; /* one for each server of the test */
    size_t watcher_count;
    uint64_t done;
    enum operation_state state;
    uint64_t revision;
    uint64_t records;
} now = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .done = 3,
    .state = OPERATION_RUNNING,
    .revision = 1,
};
static const struct hf_id another = {.bytes = {0x99}};

void topics_watch(struct service *service, topic_fn *changed, void *context)
{
    (void)service;
    pthread_mutex_lock(&now.lock);
    if (changed == NULL) { /* the first server ends: all of them do */
        now.watcher_count = 0;
    } else {
        CHECK(now.watcher_count < WATCHERS_MAX);
        now.watchers[now.watcher_count].changed = changed;
        now.watchers[now.watcher_count++].context = context;
    }
    pthread_mutex_unlock(&now.lock);
}

static void tell_locked(enum topic_kind kind, const struct hf_id *id)
{
    const struct topic topic = {kind, *id};
    for (size_t i = 0; i < now.watcher_count; i++) {
        now.watchers[i].changed(now.watchers[i].context, &topic);
    }
}

void double_operation(uint64_t done, int state)
{
    pthread_mutex_lock(&now.lock);
    now.done = done;
    now.state = (enum operation_state)state;
    now.revision++;
    tell_locked(TOPIC_OPERATION, &double_dep);
    pthread_mutex_unlock(&now.lock);
}

void double_audit(uint64_t records)
{
    pthread_mutex_lock(&now.lock);
    now.records += records;
    tell_locked(TOPIC_AUDIT, &double_dep);
    pthread_mutex_unlock(&now.lock);
}

void double_topics(int count)
{
    pthread_mutex_lock(&now.lock);
    for (int i = 0; i < count; i++) {
        struct hf_id id = another;
        id.bytes[1] = (uint8_t)(1 + i % 255);
        id.bytes[2] = (uint8_t)(i / 255);
        tell_locked(TOPIC_OPERATION, &id);
    }
    pthread_mutex_unlock(&now.lock);
}

HF_STATUS operations_look(struct service *service, const struct caller *caller,
                          const struct operation_look *look,
                          struct operation_view *out, struct problem *problem)
{
    HF_TRY(
        operations_get(service, caller, look->tenant, look->id, out, problem));
    pthread_mutex_lock(&now.lock);
    out->record.done = now.done;
    out->record.state = now.state;
    out->revision = now.revision;
    pthread_mutex_unlock(&now.lock);
    if (strcmp(look->id, "late") == 0) { /* what it saw is soon out of date */
        usleep(400000);
    }
    if (strcmp(look->id, "still") == 0) { /* nobody changes this one */
        out->record.id = another;
        out->record.state = OPERATION_RUNNING;
        out->revision = 1;
    }
    return HF_OK;
}

static HF_STATUS hand_out(uint64_t index, audit_record_fn *each, void *context)
{
    static const char body[] = "{\"activity\":\"A\",\"actor\":\"spiffe://x\","
                               "\"object\":\"tenants/a\"}";
    struct audit_link link = {
        .index = index,
        .time_ms = DOUBLE_TIME_MS,
        .body_len = sizeof body - 1,
    };
    memcpy(link.body, body, sizeof body - 1);
    return each(context, &link);
}

/* Of a whole chain every third is another tenant's. */
static HF_STATUS hand_out_digest(uint64_t index, audit_digest_fn *each,
                                 void *context)
{
    struct audit_digest digest = {.index = index};
    memset(digest.previous, 1, sizeof digest.previous);
    memset(digest.content, 2, sizeof digest.content);
    memset(digest.hash, 3, sizeof digest.hash);
    return each(context, &digest);
}

HF_STATUS audit_read(struct service *service, const struct caller *caller,
                     struct audit_reading *reading, audit_record_fn *each,
                     void *context, struct problem *problem)
{
    (void)service;
    HF_TRY(double_use_case(caller, verb_method(reading->verb), reading->tenant,
                           reading->filter.activity, problem));
    bool sparse = strcmp(reading->filter.activity, "sparse") == 0;
    pthread_mutex_lock(&now.lock);
    uint64_t end = now.records;
    pthread_mutex_unlock(&now.lock);
    size_t shown = 0;
    for (int i = 0;
         i < LOOKED_AT_MAX && shown < reading->max && reading->after < end;
         i++) {
        reading->after++;
        if (!sparse || reading->after % SPARSE == 0) {
            shown++;
            bool digest =
                reading->each_digest != NULL && reading->after % 3 == 0;
            HF_TRY(digest ? hand_out_digest(reading->after,
                                            reading->each_digest, context)
                          : hand_out(reading->after, each, context));
        }
    }
    reading->more = reading->after < end;
    reading->owner = double_dep;
    return HF_OK;
}

HF_STATUS audit_end(struct service *service, const struct caller *caller,
                    struct audit_reading *reading, struct problem *problem)
{
    (void)service;
    (void)caller;
    (void)problem;
    pthread_mutex_lock(&now.lock);
    reading->after = now.records;
    pthread_mutex_unlock(&now.lock);
    return HF_OK;
}
