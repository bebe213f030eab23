#include "tests/unit/rpc/service_double.h"

#include "hsm/base/check.h"

#include "server/service/audit.h"
#include "server/service/customer_keys.h"
#include "server/service/deps.h"
#include "server/service/keys.h"
#include "server/service/mailboxes.h"
#include "server/service/tenants.h"
#include "server/service/tokens.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPS_MAX     8
#define POOL_MAX     32
#define WATCHERS_MAX 8
#define TIME_MS      1750000000123ll

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

static const struct hf_id the_dep = {
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
static long number_in(const char *name, const char *word)
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
    if (call->verb == VERB_UNWRAP_KEY || call->verb == VERB_GENERATE_KEY) {
        CHECK(secret_new(HF_KEY_BYTES, &call->plaintext) == HF_OK);
        memset(secret_writable(call->plaintext), 0x5a, HF_KEY_BYTES);
    }
    if (call->verb != VERB_UNWRAP_KEY) {
        memset(call->envelope, 0xe1, sizeof call->envelope);
        call->envelope_len = sizeof call->envelope;
    }
    call->dep = the_dep;
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
    long wait_ms = number_in(call->resource, "wait-");
    long effect_ms = number_in(call->resource, "effect-");
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

/* --- administration ------------------------------------------------------ */

/* Every blocking use case: by the name of what it is about. */
static HF_STATUS use_case(const struct caller *caller, const char *what,
                          const char *tenant, const char *name,
                          struct problem *problem)
{
    double_say("%s tenant=%s name=%s caller=%s", what, tenant, name,
               caller->identity);
    long wait_ms = number_in(name, "wait-");
    if (wait_ms >= 0) {
        usleep((useconds_t)wait_ms * 1000);
    }
    if (strcmp(name, "missing") == 0) {
        return problem_set(problem, REASON_NOT_FOUND, "there is no %s", name);
    }
    if (strcmp(name, "failing") == 0) {
        CHECK(problem->report != NULL);
        struct validation_report *report = problem->report;
        report->count = CHECK_RESULTS_MAX;
        for (size_t i = 0; i < report->count; i++) {
            struct check_result *check = &report->results[i];
            check->code = (enum check_code)(i / 2);
            check->key = (int)(i % 2);
            check->status = i % 5 == 0 ? CHECK_FAIL : CHECK_PASS;
            check->evidence = EVIDENCE_MEASURED;
            memset(check->text, 'x', sizeof check->text - 1);
            check->text[sizeof check->text - 1] = '\0';
        }
        enum hf_status status = problem_set(problem, REASON_VALIDATION_FAILED,
                                            "the keys do not pass");
        problem->has_report = true;
        return status;
    }
    return HF_OK;
}

#define FILL(field, text)                                                      \
    CHECK(text_copy((field), sizeof(field), (text)) == HF_OK)

static void fill_tenant(struct tenant_view *out, const char *name)
{
    *out = (struct tenant_view){.id = the_dep, .created_ms = TIME_MS};
    FILL(out->name, name);
    FILL(out->etag, "3");
}

HF_STATUS tenants_create(struct service *service, const struct caller *caller,
                         const struct tenant_create *request,
                         struct tenant_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "tenants_create", "", request->name, problem));
    fill_tenant(out, request->name);
    out->production = request->production;
    out->licensed = request->licensed;
    return HF_OK;
}

HF_STATUS tenants_get(struct service *service, const struct caller *caller,
                      const char *tenant, struct tenant_view *out,
                      struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "tenants_get", "", tenant, problem));
    fill_tenant(out, tenant);
    return HF_OK;
}

HF_STATUS tenants_update(struct service *service, const struct caller *caller,
                         const struct tenant_update *request,
                         struct tenant_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "tenants_update", "", request->name, problem));
    fill_tenant(out, request->name);
    return HF_OK;
}

HF_STATUS tenants_list(struct service *service, const struct caller *caller,
                       const struct page_request *page, struct tenant_list *out,
                       struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "tenants_list", "", page->token, problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        fill_tenant(&out->views[i], "acme");
    }
    FILL(out->next, "next");
    return HF_OK;
}

static void fill_token(struct token_view *out, const char *tenant,
                       const char *name)
{
    *out = (struct token_view){
        .id = the_dep,
        .protection = PROTECTION_SOFT_DELETE,
        .retention_days = 90,
        .suite = TOKEN_SUITE_OAEP_SHA1,
        .reachable = true,
        .enrolled_ms = TIME_MS,
    };
    FILL(out->tenant, tenant);
    FILL(out->name, name);
    FILL(out->uri, "pkcs11:token=a;serial=1");
}

HF_STATUS tokens_enroll(struct service *service, const struct caller *caller,
                        const struct token_enroll *request,
                        struct token_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "tokens_enroll", request->tenant, request->name,
                    problem));
    fill_token(out, request->tenant, request->name);
    return HF_OK;
}

HF_STATUS tokens_get(struct service *service, const struct caller *caller,
                     const char *tenant, const char *name,
                     struct token_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "tokens_get", tenant, name, problem));
    fill_token(out, tenant, name);
    return HF_OK;
}

HF_STATUS tokens_list(struct service *service, const struct caller *caller,
                      const char *tenant, const struct page_request *page,
                      struct token_views *out, struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "tokens_list", tenant, page->token, problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        fill_token(&out->views[i], tenant, "token");
    }
    return HF_OK;
}

static void fill_key(struct customer_key_view *out, const char *tenant,
                     const char *name)
{
    memset(out, 0, sizeof *out);
    out->id = the_dep;
    FILL(out->tenant, tenant);
    FILL(out->name, name);
    FILL(out->token, "token");
    out->current_version = KEY_VERSIONS_SHOWN;
    out->version_count = KEY_VERSIONS_SHOWN;
    for (uint32_t i = 0; i < KEY_VERSIONS_SHOWN; i++) {
        out->versions[i].version = KEY_VERSIONS_SHOWN - i;
        out->versions[i].allows_token = true;
        out->versions[i].allows_memory = i == 0;
        out->versions[i].bits = 3072;
        memset(out->uris[i], 'u', HF_URI_MAX_BYTES);
    }
    out->grant_count = KEY_GRANTS_SHOWN;
    for (size_t i = 0; i < KEY_GRANTS_SHOWN; i++) {
        memset(out->grants[i].identity, 'i', HF_URI_MAX_BYTES);
        out->grants[i].permissions = PERMISSION_GET | PERMISSION_UNWRAP;
    }
    out->health.state = KEY_HEALTH_OK;
    out->health.last_success_ms = TIME_MS;
}

HF_STATUS customer_keys_register(struct service *service,
                                 const struct caller *caller,
                                 const struct customer_key_register *request,
                                 struct customer_key_view *out,
                                 struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "customer_keys_register", request->tenant,
                    request->name, problem));
    fill_key(out, request->tenant, request->name);
    return HF_OK;
}

HF_STATUS customer_keys_get(struct service *service,
                            const struct caller *caller, const char *tenant,
                            const char *name, struct customer_key_view *out,
                            struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "customer_keys_get", tenant, name, problem));
    fill_key(out, tenant, name);
    return HF_OK;
}

HF_STATUS customer_keys_update(struct service *service,
                               const struct caller *caller,
                               const struct customer_key_update *request,
                               struct customer_key_view *out,
                               struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "customer_keys_update", request->tenant,
                    request->name, problem));
    fill_key(out, request->tenant, request->name);
    return HF_OK;
}

HF_STATUS customer_keys_grant(struct service *service,
                              const struct caller *caller,
                              const struct customer_key_grant *request,
                              struct customer_key_view *out,
                              struct problem *problem)
{
    (void)service;
    double_say("permissions=%u", request->permissions);
    HF_TRY(use_case(caller, "customer_keys_grant", request->tenant,
                    request->name, problem));
    fill_key(out, request->tenant, request->name);
    return HF_OK;
}

HF_STATUS customer_keys_revoke(struct service *service,
                               const struct caller *caller,
                               const struct customer_key_grant *request,
                               struct customer_key_view *out,
                               struct problem *problem)
{
    (void)service;
    double_say("permissions=%u", request->permissions);
    HF_TRY(use_case(caller, "customer_keys_revoke", request->tenant,
                    request->name, problem));
    fill_key(out, request->tenant, request->name);
    return HF_OK;
}

static void fill_report(struct validation_report *out)
{
    *out = (struct validation_report){.count = 1, .passed = true};
    out->results[0] = (struct check_result){
        .code = CHECK_KEY_EXISTS,
        .key = 1,
        .status = CHECK_PASS,
        .evidence = EVIDENCE_MEASURED,
        .text = "it is there",
    };
}

HF_STATUS customer_keys_validate(struct service *service,
                                 const struct caller *caller,
                                 const struct customer_key_validate *request,
                                 struct validation_report *out,
                                 struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "customer_keys_validate", request->tenant,
                    request->keys[0], problem));
    fill_report(out);
    return HF_OK;
}

HF_STATUS customer_keys_list(struct service *service,
                             const struct caller *caller, const char *tenant,
                             const struct page_request *page,
                             struct customer_key_list *out,
                             struct problem *problem)
{
    (void)service;
    HF_TRY(
        use_case(caller, "customer_keys_list", tenant, page->token, problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        fill_key(&out->views[i], tenant, "key");
    }
    return HF_OK;
}

static void fill_dep(struct dep_view *out, const char *tenant, const char *name)
{
    *out = (struct dep_view){.health = HEALTH_DEGRADED, .assigned_count = 3};
    FILL(out->tenant, tenant);
    out->record.id = the_dep;
    FILL(out->record.name, name);
    memset(out->record.description, 'd', HF_DESCRIPTION_MAX_BYTES);
    out->record.state = DEP_ENABLED;
    out->record.residency = RESIDENCY_MEMORY;
    out->record.key_lease_ms = 1500;
    out->record.generation = 4;
    out->record.ak_cka_id_len = 2;
    out->record.ak_cka_id[0] = 0xab;
    out->record.ak_state = AK_ACTIVE;
    FILL(out->keys[0].name, "first");
    FILL(out->keys[1].name, "second");
    FILL(out->etag, "9");
}

HF_STATUS deps_create(struct service *service, const struct caller *caller,
                      const struct dep_create *request, struct dep_view *out,
                      struct problem *problem)
{
    (void)service;
    double_say("lease=%lld residency=%d keys=%s,%s only=%d",
               (long long)request->key_lease_ms, (int)request->residency,
               request->keys[0], request->keys[1],
               request->mutation.validate_only);
    HF_TRY(use_case(caller, "deps_create", request->tenant, request->name,
                    problem));
    fill_dep(out, request->tenant, request->name);
    return HF_OK;
}

HF_STATUS deps_get(struct service *service, const struct caller *caller,
                   const char *tenant, const char *dep, struct dep_view *out,
                   struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "deps_get", tenant, dep, problem));
    fill_dep(out, tenant, "mail");
    return HF_OK;
}

HF_STATUS deps_update(struct service *service, const struct caller *caller,
                      const struct dep_update *request, struct dep_view *out,
                      struct problem *problem)
{
    (void)service;
    double_say("set=%d%d%d%d%d enabled=%d lease=%lld", request->set_name,
               request->set_description, request->set_enabled,
               request->set_residency, request->set_key_lease, request->enabled,
               (long long)request->key_lease_ms);
    HF_TRY(use_case(caller, "deps_update", request->tenant, request->dep,
                    problem));
    fill_dep(out, request->tenant, "mail");
    return HF_OK;
}

HF_STATUS deps_test(struct service *service, const struct caller *caller,
                    const char *tenant, const char *dep,
                    struct validation_report *out, struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "deps_test", tenant, dep, problem));
    fill_report(out);
    return HF_OK;
}

HF_STATUS deps_list(struct service *service, const struct caller *caller,
                    const char *tenant, const struct page_request *page,
                    struct dep_list *out, struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "deps_list", tenant, page->token, problem));
    out->count = page->size;
    for (size_t i = 0; i < out->count; i++) {
        fill_dep(&out->views[i], tenant, "mail");
    }
    return HF_OK;
}

static void fill_mailbox(struct mailbox_view *out, const char *tenant,
                         const char *id)
{
    *out = (struct mailbox_view){.state = MAILBOX_ENCRYPTED};
    FILL(out->tenant, tenant);
    FILL(out->record.id, id);
    out->record.kind = MAILBOX_SHARED;
    out->record.assigned = the_dep;
    out->record.effective = (struct dep_ref){the_dep, 2};
    out->effective_is_service_managed = strcmp(id, "managed") == 0;
}

HF_STATUS mailboxes_register(struct service *service,
                             const struct caller *caller,
                             const struct mailbox_register *request,
                             struct mailbox_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "mailboxes_register", request->tenant, request->id,
                    problem));
    fill_mailbox(out, request->tenant, request->id);
    return HF_OK;
}

HF_STATUS mailboxes_assign(struct service *service, const struct caller *caller,
                           const struct mailbox_assign *request,
                           struct mailbox_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "mailboxes_assign", request->tenant, request->id,
                    problem));
    fill_mailbox(out, request->tenant, request->id);
    return HF_OK;
}

HF_STATUS mailboxes_get(struct service *service, const struct caller *caller,
                        const char *tenant, const char *id,
                        struct mailbox_view *out, struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "mailboxes_get", tenant, id, problem));
    fill_mailbox(out, tenant, id);
    return HF_OK;
}

HF_STATUS mailboxes_list(struct service *service, const struct caller *caller,
                         const struct mailbox_list_request *request,
                         struct mailbox_list *out, struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "mailboxes_list", request->tenant,
                    request->filter.assigned_dep, problem));
    out->count = request->page.size;
    for (size_t i = 0; i < out->count; i++) {
        fill_mailbox(&out->views[i], request->tenant, "box");
    }
    return HF_OK;
}

HF_STATUS audit_list(struct service *service, const struct caller *caller,
                     struct audit_query *query, audit_record_fn *each,
                     void *context, struct problem *problem)
{
    (void)service;
    HF_TRY(use_case(caller, "audit_list", query->tenant, query->activity,
                    problem));
    static const char body[] = "{\"activity\":\"Say \\\"hi\\\"\",\"actor\":"
                               "\"spiffe://x/y\",\"object\":\"tenants/a\"}";
    static struct audit_link link;
    link.index = 5;
    link.time_ms = TIME_MS;
    link.body_len = sizeof body - 1;
    memcpy(link.body, body, sizeof body - 1);
    HF_TRY(each(context, &link));
    FILL(query->next, "more");
    return HF_OK;
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
            service->deps[i].health != 0 && strcmp(tenant, "acme") == 0) {
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
    CHECK(strcmp(word, "health") == 0 && id_parse(text, &id) == HF_OK);
    set_health(service, &id, (enum dep_health)number);
    double_say("done");
}
