#include "server/rpc/health.h"

#include "server/domain/dep.h"

#include "server/rpc/codec.h"
#include "server/rpc/descriptors.h"
#include "server/rpc/server.h"
#include "server/service/deps.h"

#include <grpc/health/v1/health.pb-c.h>

#include <stdlib.h>
#include <string.h>

#define SERVICE_MAX_BYTES (HF_NAME_MAX_BYTES * 2 + 32)

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving;
#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING                                                            \
    GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN                                                        \
    GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

struct watch {
    struct rpc_call *call;
    struct watch *next;
    struct watch *prev;
    char service[SERVICE_MAX_BYTES];
    serving told;
    bool told_any;
    bool writing;
    bool ending; /* its status follows what is being written */
};

struct health {
    struct rpc *rpc;
    struct watch *watches;
    uint64_t seen;
    atomic_uint_fast64_t changes; /* by any thread */
};

static void changed(void *context, const struct hf_id *dep,
                    enum dep_health health)
{
    /* which and how is asked again by the polling thread */
    (void)dep;
    (void)health;
    atomic_fetch_add(&((struct health *)context)->changes, 1);
}

HF_STATUS health_new(struct rpc *rpc, struct health **out_health)
{
    struct health *health = calloc(1, sizeof *health);
    if (health == NULL) {
        return HF_E_NO_MEMORY;
    }
    health->rpc = rpc;
    atomic_init(&health->changes, 0);
    deps_health_watch(rpc->settings.service, changed, health);
    *out_health = health;
    return HF_OK;
}

void health_free(struct health *health)
{
    if (health != NULL) {
        deps_health_watch(health->rpc->settings.service, NULL, NULL);
        free(health);
    }
}

static serving serving_of(enum dep_health health)
{
    switch (health) {
    case HEALTH_HEALTHY:
    case HEALTH_DEGRADED:
    case HEALTH_FALLBACK:
        return SERVING;
    case HEALTH_UNHEALTHY:
    case HEALTH_DESTROYED:
        return NOT_SERVING;
    }
    return NOT_SERVING;
}

static bool may_ask(const struct caller *caller, const char *tenant)
{
    if (caller->tenant[0] == '\0') {
        return (caller->roles & (ROLE_OPERATOR | ROLE_AUDITOR)) != 0;
    }
    /* as every other call compares it */
    char own[HF_NAME_MAX_BYTES + 1];
    char folded[HF_NAME_MAX_BYTES + 1];
    name_fold(caller->tenant, own);
    name_fold(tenant, folded);
    return strcmp(own, folded) == 0;
}

static serving status_of_dep(const struct rpc *rpc, const struct caller *caller,
                             const char *name)
{
    char tenant[HF_NAME_MAX_BYTES + 1];
    char id_text[HF_NAME_MAX_BYTES + 1];
    const struct codec_name what = {
        .field = "service",
        .collection = "deps",
        .out_tenant = tenant,
        .out_id = id_text,
        .id_cap = sizeof id_text,
    };
    struct problem unused = {.reason = REASON_NONE};
    struct hf_id id;
    enum dep_health health = HEALTH_DESTROYED;
    if (codec_parse_name(&what, name, &unused) != HF_OK ||
        id_parse(id_text, &id) != HF_OK || !may_ask(caller, tenant) ||
        deps_health_get(rpc->settings.service, tenant, &id, &health) != HF_OK) {
        return SERVICE_UNKNOWN;
    }
    return serving_of(health);
}

static serving status_of(const struct rpc *rpc, const struct caller *caller,
                         const char *service)
{
    if (service[0] == '\0' ||
        descriptors_has_service(rpc->descriptors, service)) {
        return rpc->draining_seen ? NOT_SERVING : SERVING;
    }
    return status_of_dep(rpc, caller, service);
}

static HF_STATUS read_request(struct rpc_call *call, const char **out_service)
{
    ProtobufCMessage *message = NULL;
    HF_TRY(lane_unpack(call, &message));
    const Grpc__Health__V1__HealthCheckRequest *request =
        (const Grpc__Health__V1__HealthCheckRequest *)message;
    if (strlen(request->service) >= SERVICE_MAX_BYTES) {
        return problem_field(&call->problem, "service",
                             "is longer than any name (%d bytes)",
                             SERVICE_MAX_BYTES - 1);
    }
    *out_service = request->service;
    return HF_OK;
}

void health_check(struct rpc_call *call)
{
    const char *service = "";
    enum hf_status status = read_request(call, &service);
    Grpc__Health__V1__HealthCheckResponse reply =
        GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    if (status == HF_OK) {
        reply.status = status_of(call->slot->rpc, &call->peer->caller, service);
        if (reply.status == SERVICE_UNKNOWN) {
            status = problem_set(&call->problem, REASON_NOT_FOUND,
                                 "no such service or DEP; names are \"\", "
                                 "holdfast.v1.{Service} and "
                                 "tenants/{tenant}/deps/{UUID}");
        }
    }
    if (status != HF_OK) {
        call_reply_problem(call, &call->problem);
        return;
    }
    lane_reply_message(call, &reply.base);
}

/* Sends what is so now, if it is not what was told last. */
static void tell(struct watch *watch)
{
    struct rpc_call *call = watch->call;
    if (watch->writing || watch->ending || call->ended) {
        return;
    }
    serving now =
        status_of(call->slot->rpc, &call->peer->caller, watch->service);
    if (watch->told_any && watch->told == now) {
        return;
    }
    Grpc__Health__V1__HealthCheckResponse reply =
        GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    reply.status = now;
    size_t len = 0;
    uint8_t *bytes = reply_pack(&reply.base, &len);
    if (bytes == NULL) {
        return; /* the next change tries again */
    }
    watch->told = now;
    watch->told_any = true;
    watch->writing = true;
    call_stream_write(call, bytes, len);
}

static void unlink_watch(struct watch *watch)
{
    struct health *health = watch->call->slot->rpc->health;
    if (watch->prev == NULL && health->watches != watch) {
        return; /* was taken out before */
    }
    *(watch->prev != NULL ? &watch->prev->next : &health->watches) =
        watch->next;
    if (watch->next != NULL) {
        watch->next->prev = watch->prev;
    }
    watch->next = NULL;
    watch->prev = NULL;
}

/* NULL: refused, *problem says why. */
static struct watch *make_watch(struct rpc_call *call)
{
    const char *service = NULL;
    if (read_request(call, &service) != HF_OK) {
        return NULL;
    }
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        HF_IGNORE(problem_of_status(&call->problem, HF_E_NO_MEMORY),
                  "it is the answer");
        return NULL;
    }
    HF_IGNORE(text_copy(watch->service, sizeof watch->service, service),
              "read_request has looked at the length");
    watch->call = call;
    return watch;
}

void health_watch_begin(struct rpc_call *call)
{
    struct health *health = call->slot->rpc->health;
    struct watch *watch = make_watch(call);
    call->u.watch = watch;
    if (watch == NULL) {
        call_reply_problem(call, &call->problem);
        return;
    }
    watch->next = health->watches;
    if (watch->next != NULL) {
        watch->next->prev = watch;
    }
    health->watches = watch;
    call_arm_close(call);
    tell(watch);
}

/* Ends it with what call->problem says. */
static void end(struct watch *watch)
{
    watch->ending = true;
    if (!watch->writing) { /* else health_watch_written comes back to it */
        unlink_watch(watch);
        call_stream_end(watch->call, &watch->call->problem);
    }
}

void health_watch_written(struct rpc_call *call, bool ok)
{
    struct watch *watch = call->u.watch;
    watch->writing = false;
    if (call->ended || !ok) {
        return; /* health_watch_closed follows or was there */
    }
    if (watch->ending) {
        end(watch);
        return;
    }
    tell(watch);
}

void health_watch_closed(struct rpc_call *call)
{
    if (call->u.watch != NULL) {
        unlink_watch(call->u.watch);
        call_stream_drop(call);
    }
}

void health_end_watches(struct health *health)
{
    struct watch *watch = health->watches;
    while (watch != NULL) {
        struct watch *next = watch->next;
        HF_IGNORE(problem_set(&watch->call->problem, REASON_SERVICE_UNAVAILABLE,
                              "the server shuts down"),
                  "it is the answer");
        end(watch);
        watch = next;
    }
}

void health_recheck(struct health *health)
{
    struct watch *watch = health->watches;
    while (watch != NULL) {
        struct watch *next = watch->next;
        if (lane_identify(watch->call) != HF_OK) {
            end(watch);
        } else {
            tell(watch); /* what it may see can have changed */
        }
        watch = next;
    }
}

void health_tick(struct health *health)
{
    uint64_t now = atomic_load_explicit(&health->changes, memory_order_relaxed);
    if (now == health->seen) {
        return;
    }
    health->seen = now;
    for (struct watch *watch = health->watches; watch != NULL;
         watch = watch->next) {
        tell(watch);
    }
}
