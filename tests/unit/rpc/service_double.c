#include "tests/unit/rpc/service_double.h"

#include "hsm/base/check.h"

#include "server/service/deps.h"
#include "server/service/keys.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPS_MAX     8
#define POOL_MAX     32
#define WATCHERS_MAX 16

struct dep_line {
    struct hf_id id;
    enum dep_health health;
};

struct service {
    pthread_mutex_t lock;
    struct dep_line deps[DEPS_MAX];
    size_t dep_count;
    struct {
        dep_health_fn *changed;
        void *context;
    } watchers[WATCHERS_MAX]; /* one for each server of the test */
    size_t watcher_count;
    atomic_int out; /* threads that still work */
};

const struct hf_id double_dep = {
    .bytes = {0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x43, 0x33, 0x84, 0x44, 0x55,
              0x55, 0x55, 0x55, 0x55, 0x55}
};

static bool in_a_hurry;

void double_hurry(void)
{
    in_a_hurry = true;
}

void double_say(const char *format, ...)
{
    if (in_a_hurry) {
        return;
    }
    char line[512];
    va_list values;
    va_start(values, format);
    int len = vsnprintf(line, sizeof line - 1, format, values);
    va_end(values);
    CHECK(len > 0 && (size_t)len < sizeof line - 1);
    line[len] = '\n';
    CHECK(write(STDOUT_FILENO, line, (size_t)len + 1) == len + 1);
}

struct service *double_start(void)
{
    struct service *service = calloc(1, sizeof *service);
    CHECK(service != NULL);
    CHECK(pthread_mutex_init(&service->lock, NULL) == 0);
    return service;
}

void double_stop(struct service *service)
{
    while (atomic_load(&service->out) > 0) {
        usleep(1000);
    }
    pthread_mutex_destroy(&service->lock);
    free(service);
}

/* The number behind "wait-" and the like; -1: the name does not begin so. */
long double_number_in(const char *name, const char *word)
{
    size_t len = strlen(word);
    return !in_a_hurry && strncmp(name, word, len) == 0
               ? strtol(name + len, NULL, 10)
               : -1;
}

/* --- threads ------------------------------------------------------------- */

struct job {
    struct service *service;
    service_work_fn *work;
    void *argument;
    useconds_t queue_us;
};

static void *run_job(void *argument)
{
    struct job job = *(struct job *)argument;
    free(argument);
    usleep(job.queue_us);
    job.work(job.argument);
    atomic_fetch_sub(&job.service->out, 1);
    return NULL;
}

static void run_aside(struct service *service, service_work_fn *work,
                      void *argument, useconds_t queue_us)
{
    struct job *job = malloc(sizeof *job);
    CHECK(job != NULL);
    *job = (struct job){service, work, argument, queue_us};
    atomic_fetch_add(&service->out, 1);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run_job, job) == 0);
    CHECK(pthread_detach(thread) == 0);
}

bool service_pool_run(struct service *service, const char *tenant,
                      service_work_fn *work, void *argument)
{
    if (atomic_load(&service->out) >= POOL_MAX ||
        strcmp(tenant, "crowded") == 0) {
        return false;
    }
    run_aside(service, work, argument,
              strcmp(tenant, "queued") == 0 ? 300000 : 0);
    return true;
}

/* --- data plane ---------------------------------------------------------- */

static void finish(struct key_call *call)
{
    call->status = HF_OK;
    bool unwraps = call->verb == VERB_UNWRAP_KEY ||
                   call->verb == VERB_UNWRAP_SITE_KEY ||
                   call->verb == VERB_UNWRAP_BLOB_KEY;
    bool makes = call->verb == VERB_GENERATE_KEY ||
                 call->verb == VERB_CREATE_SITE_KEY ||
                 call->verb == VERB_RENEW_KEY ||
                 (call->verb == VERB_WRAP_BLOB_KEY && call->plaintext == NULL);
    if (unwraps || makes) {
        CHECK(secret_new(HF_KEY_BYTES, &call->plaintext) == HF_OK);
        memset(secret_writable(call->plaintext), 0x5a, HF_KEY_BYTES);
    }
    if (!unwraps) {
        memset(call->envelope, 0xe1, sizeof call->envelope);
        call->envelope_len = sizeof call->envelope;
    }
    memset(call->replaced, 0xe0, sizeof call->replaced);
    call->replaced_len = sizeof call->replaced;
    call->retired = call->confirm ? 2 : 0;
    call->dep = double_dep;
    call->dep_is_service_managed = strcmp(call->resource, "managed") == 0;
    call->generation = 7;
    call->done(call);
}

static void refuse(struct key_call *call, enum reason reason)
{
    call->status =
        problem_set(&call->problem, reason, "refused: %s", reason_word(reason));
    call->done(call);
}

static void serve_aside(void *argument)
{
    struct key_call *call = argument;
    long wait_ms = double_number_in(call->resource, "wait-");
    long effect_ms = double_number_in(call->resource, "effect-");
    if (wait_ms >= 0) {
        usleep((useconds_t)wait_ms * 1000);
    }
    if (effect_ms >= 0) {
        usleep((useconds_t)effect_ms * 1000);
        bool cancelled = call->cancelled(call);
        double_say("%s %s", cancelled ? "cancelled" : "effect", call->resource);
        if (cancelled) {
            refuse(call, REASON_CANCELLED);
            return;
        }
    }
    finish(call);
}

static void serve(struct service *service, struct key_call *call)
{
    const char *name = call->resource;
    const struct {
        const char *name;
        enum reason reason;
    } refusals[] = {
        {"denied",   REASON_KEY_ACCESS_DENIED},
        {"bad",      REASON_BLOB_INVALID     },
        {"down",     REASON_KEY_UNAVAILABLE  },
        {"overload", REASON_OVERLOADED       },
        {"missing",  REASON_NOT_FOUND        },
    };
    for (size_t i = 0; i < HF_COUNT(refusals); i++) {
        if (strcmp(name, refusals[i].name) == 0) {
            refuse(call, refusals[i].reason);
            return;
        }
    }
    if (strncmp(name, "ok", 2) == 0 || strcmp(name, "managed") == 0) {
        finish(call);
        return;
    }
    run_aside(service, serve_aside, call, 0);
}

static void say_call(const struct key_call *call)
{
    double_say("key %s tenant=%s resource=%s wrapped=%zu initiator=%d "
               "purpose=%d request=%s plaintext=%zu",
               verb_method(call->verb), call->tenant, call->resource,
               call->wrapped_len, (int)call->initiator, (int)call->purpose,
               call->request_id,
               call->plaintext != NULL ? secret_len(call->plaintext) : 0);
}

void keys_submit(struct service *service, struct key_call *const *calls,
                 size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(calls[i]->resource, "ok") != 0) { /* ok is for speed */
            say_call(calls[i]);
        }
        serve(service, calls[i]);
    }
}

/* --- health -------------------------------------------------------------- */

void deps_health_watch(struct service *service, dep_health_fn *changed,
                       void *context)
{
    pthread_mutex_lock(&service->lock);
    if (changed == NULL) { /* the first server ends: all of them do */
        service->watcher_count = 0;
    } else {
        CHECK(service->watcher_count < WATCHERS_MAX);
        service->watchers[service->watcher_count].changed = changed;
        service->watchers[service->watcher_count++].context = context;
    }
    pthread_mutex_unlock(&service->lock);
}

HF_STATUS deps_health_get(struct service *service, const char *tenant,
                          const struct hf_id *dep, enum dep_health *out_health)
{
    enum hf_status status = HF_E_NOT_FOUND;
    pthread_mutex_lock(&service->lock);
    for (size_t i = 0; i < service->dep_count; i++) {
        if (id_equal(&service->deps[i].id, dep) &&
            service->deps[i].health != 0 && strcasecmp(tenant, "acme") == 0) {
            *out_health = service->deps[i].health;
            status = HF_OK;
        }
    }
    pthread_mutex_unlock(&service->lock);
    return status;
}

static void set_health(struct service *service, const struct hf_id *id,
                       enum dep_health health)
{
    pthread_mutex_lock(&service->lock);
    size_t at = 0;
    while (at < service->dep_count && !id_equal(&service->deps[at].id, id)) {
        at++;
    }
    CHECK(at < DEPS_MAX);
    service->deps[at] = (struct dep_line){*id, health};
    service->dep_count += at == service->dep_count ? 1 : 0;
    for (size_t i = 0; i < service->watcher_count; i++) {
        service->watchers[i].changed(service->watchers[i].context, id, health);
    }
    pthread_mutex_unlock(&service->lock);
}

void double_command(struct service *service, const char *line)
{
    char word[16] = "";
    char text[HF_ID_TEXT] = "";
    int number = 0;
    struct hf_id id;
    CHECK(sscanf(line, "%15s %36s %d", word, text, &number) == 3);
    if (strcmp(word, "operation") == 0) {
        double_operation(strtoull(text, NULL, 10), number);
    } else if (strcmp(word, "audit") == 0) {
        double_audit((uint64_t)number);
    } else if (strcmp(word, "topics") == 0) {
        double_topics(number);
    } else {
        CHECK(strcmp(word, "health") == 0 && id_parse(text, &id) == HF_OK);
        set_health(service, &id, (enum dep_health)number);
    }
    double_say("done");
}
