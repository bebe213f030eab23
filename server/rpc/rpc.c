#include "server/rpc/rpc.h"

#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "server/rpc/descriptors.h"
#include "server/rpc/embedded.h"
#include "server/rpc/health.h"
#include "server/rpc/server.h"
#include "server/rpc/stream.h"

#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DATA_CALLS_DEFAULT  1024
#define ADMIN_CALLS_DEFAULT 128
#define STREAMS_DEFAULT     256
#define METADATA_MAX_BYTES  (16 * 1024)
#define POSTED_HOT          64
#define POSTED_OTHER        8

/* Owner and mode: nobody else may reach the socket (the identity of a call is
 * the edge's word for it). */
static HF_STATUS check_directory(const char *socket_path)
{
    char directory[EDGE_BACKEND_PATH_MAX_BYTES + 1];
    const char *slash = strrchr(socket_path, '/');
    size_t len = slash != NULL ? (size_t)(slash - socket_path) : 0;
    if (len == 0 || strlen(socket_path) > EDGE_BACKEND_PATH_MAX_BYTES) {
        return HF_E_INVALID;
    }
    memcpy(directory, socket_path, len);
    directory[len] = '\0';
    struct stat facts;
    if (stat(directory, &facts) != 0 || !S_ISDIR(facts.st_mode) ||
        facts.st_uid != geteuid() || (facts.st_mode & 0077) != 0) {
        return HF_E_INVALID;
    }
    /* what an earlier process left; its listener is gone or not ours */
    if (unlink(socket_path) != 0 && errno != ENOENT) {
        return HF_E_INVALID;
    }
    return HF_OK;
}

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER,
        .key = (char *)(uintptr_t)key, /* gRPC's struct lacks the const */
        .value.integer = value,
    };
}

static HF_STATUS make_server(struct rpc *rpc)
{
    grpc_arg list[] = {
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, RPC_MESSAGE_MAX_BYTES),
        int_arg(GRPC_ARG_MAX_METADATA_SIZE, METADATA_MAX_BYTES),
        int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, 256),
        int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
        int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
    };
    const grpc_channel_args args = {.num_args = HF_COUNT(list), .args = list};
    rpc->server = grpc_server_create(&args, NULL);
    rpc->queue = grpc_completion_queue_create_for_next(NULL);
    if (rpc->server == NULL || rpc->queue == NULL) {
        return HF_E_NO_MEMORY;
    }
    grpc_server_register_completion_queue(rpc->server, rpc->queue, NULL);
    grpc_server_credentials *none = grpc_insecure_server_credentials_create();
    int bound = grpc_server_add_http2_port(rpc->server, rpc->socket_uri, none);
    grpc_server_credentials_release(none);
    return bound != 0 ? HF_OK : HF_E_RESOURCES;
}

static uint32_t posted_for(const struct rpc_method *method)
{
    bool hot = method->lane == LANE_EXTRA || method->verb == VERB_UNWRAP_KEY;
    return hot ? POSTED_HOT : POSTED_OTHER;
}

static HF_STATUS add_slot(struct rpc *rpc, const struct rpc_method *method,
                          const struct rpc_extra_method *extra)
{
    if (rpc->slot_count == RPC_SLOTS_MAX) {
        return HF_E_INVALID;
    }
    struct call_slot *slot = &rpc->slots[rpc->slot_count];
    slot->rpc = rpc;
    slot->method = method;
    slot->extra = extra;
    slot->posted_want = posted_for(method);
    /* one more set than may be in flight, so that those over it are answered
     * and do not queue up inside gRPC */
    slot->live_max =
        rpc->in_flight_max[lane_admission(method->lane)] + slot->posted_want;
    if (method->lane != LANE_UNKNOWN) {
        slot->registered = grpc_server_register_method(
            rpc->server, method->path, NULL,
            method->lane == LANE_REFLECTION
                ? GRPC_SRM_PAYLOAD_NONE
                : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER,
            0);
        if (slot->registered == NULL) {
            return HF_E_INVALID; /* twice in the table */
        }
    }
    rpc->slot_count++;
    return HF_OK;
}

static HF_STATUS add_slots(struct rpc *rpc)
{
    const struct rpc_method *method = NULL;
    for (size_t i = 0; (method = rpc_method_at(i)) != NULL; i++) {
        HF_TRY(add_slot(rpc, method, NULL));
    }
    for (size_t i = 0; i < rpc->settings.extra_count; i++) {
        rpc->extra_rows[i] = (struct rpc_method){
            .path = rpc->extra[i].path,
            .lane = LANE_EXTRA,
            .verb = VERB_COUNT,
        };
        HF_TRY(add_slot(rpc, &rpc->extra_rows[i], &rpc->extra[i]));
    }
    rpc->unknown_row = (struct rpc_method){
        .path = "(unknown)",
        .lane = LANE_UNKNOWN,
        .verb = VERB_COUNT,
    };
    return add_slot(rpc, &rpc->unknown_row, NULL);
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static HF_STATUS take_settings(struct rpc *rpc,
                               const struct rpc_settings *settings)
{
    rpc->settings = *settings;
    if (settings->extra_count > RPC_EXTRA_METHODS_MAX) {
        return HF_E_INVALID;
    }
    for (size_t i = 0; i < settings->extra_count; i++) {
        rpc->extra[i] = settings->extra[i];
    }
    rpc->in_flight_max[ADMIT_DATA] =
        or_default(settings->data_calls_max, DATA_CALLS_DEFAULT);
    rpc->in_flight_max[ADMIT_ADMIN] =
        or_default(settings->admin_calls_max, ADMIN_CALLS_DEFAULT);
    rpc->in_flight_max[ADMIT_STREAM] =
        or_default(settings->streams_max, STREAMS_DEFAULT);
    HF_TRY(check_directory(settings->socket_path));
    snprintf(rpc->socket_uri, sizeof rpc->socket_uri, "unix:%s",
             settings->socket_path);
    return HF_OK;
}

static void free_calls(struct rpc *rpc)
{
    for (size_t i = 0; i < rpc->slot_count; i++) {
        struct rpc_call *call = rpc->slots[i].free_calls;
        while (call != NULL) {
            struct rpc_call *next = call->next;
            call_destroy(call);
            call = next;
        }
    }
}

static void begin_shutdown(struct rpc *rpc)
{
    atomic_store(&rpc->draining, true);
    atomic_store(&rpc->stopping, true);
    grpc_server_shutdown_and_notify(rpc->server, rpc->queue, rpc);
}

/* For a server whose thread never ran: nothing was posted. */
static void shut_down_here(struct rpc *rpc)
{
    begin_shutdown(rpc);
    grpc_event event;
    do {
        event = grpc_completion_queue_next(
            rpc->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    } while (event.type != GRPC_OP_COMPLETE || event.tag != rpc);
    grpc_completion_queue_shutdown(rpc->queue);
    do {
        event = grpc_completion_queue_next(
            rpc->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    } while (event.type != GRPC_QUEUE_SHUTDOWN);
}

/* Everything but the thread. */
static void destroy(struct rpc *rpc)
{
    if (rpc->server != NULL && rpc->queue != NULL && !rpc->thread_runs) {
        shut_down_here(rpc);
    }
    free_calls(rpc);
    if (rpc->server != NULL) {
        grpc_server_destroy(rpc->server);
    }
    if (rpc->queue != NULL) {
        grpc_completion_queue_destroy(rpc->queue);
    }
    health_free(rpc->health);
    streams_free(rpc->streams);
    descriptors_free(rpc->descriptors);
    identity_cache_free(rpc->identities);
    pthread_cond_destroy(&rpc->drain_done);
    pthread_mutex_destroy(&rpc->drain_lock);
    if (rpc->socket_uri[0] != '\0') {
        unlink(rpc->socket_uri + sizeof "unix:" - 1);
    }
    free(rpc);
    grpc_shutdown();
}

static HF_STATUS prepare(struct rpc *rpc, const struct rpc_settings *settings)
{
    HF_TRY(take_settings(rpc, settings));
    struct bytes built_in = {embedded_descriptors, embedded_descriptors_len};
    HF_TRY(descriptors_read(
        settings->descriptors.len > 0 ? settings->descriptors : built_in,
        &rpc->descriptors));
    HF_TRY(health_new(rpc, &rpc->health));
    HF_TRY(streams_new(rpc, &rpc->streams));
    HF_TRY(make_server(rpc));
    HF_TRY(add_slots(rpc));
    return identity_cache_new(&settings->peers, settings->identities,
                              &rpc->identities);
}

static HF_STATUS init_locks(struct rpc *rpc)
{
    pthread_condattr_t attributes;
    if (pthread_mutex_init(&rpc->drain_lock, NULL) != 0 ||
        pthread_condattr_init(&attributes) != 0) {
        return HF_E_RESOURCES;
    }
    int failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) |
                 pthread_cond_init(&rpc->drain_done, &attributes);
    pthread_condattr_destroy(&attributes);
    return failed == 0 ? HF_OK : HF_E_RESOURCES;
}

/* What gRPC has to say stands in our log, as a line like the others. */
static void grpc_says(gpr_log_func_args *args)
{
    const char *slash = strrchr(args->file, '/');
    log_event(args->severity == GPR_LOG_SEVERITY_ERROR ? LOG_WARN : LOG_DEBUG,
              "grpc", LOG_TEXT("what", args->message),
              LOG_TEXT("file", slash != NULL ? slash + 1 : args->file),
              LOG_NUMBER("line", args->line));
}

HF_STATUS rpc_start(const struct rpc_settings *settings, struct rpc **out_rpc)
{
    struct rpc *rpc = calloc(1, sizeof *rpc);
    if (rpc == NULL || init_locks(rpc) != HF_OK) {
        free(rpc);
        rpc_identities_free(settings->identities);
        return rpc == NULL ? HF_E_NO_MEMORY : HF_E_RESOURCES;
    }
    gpr_set_log_function(grpc_says);
    grpc_init();
    enum hf_status status = prepare(rpc, settings);
    if (rpc->identities == NULL) {
        rpc_identities_free(settings->identities);
    }
    if (status == HF_OK) {
        rpc->now_ms = clock_monotonic_ms(settings->clock);
        grpc_server_start(rpc->server);
        rpc->thread_runs =
            pthread_create(&rpc->thread, NULL, rpc_loop, rpc) == 0;
        status = rpc->thread_runs ? HF_OK : HF_E_RESOURCES;
    }
    if (status != HF_OK) {
        destroy(rpc);
        return status;
    }
    *out_rpc = rpc;
    return HF_OK;
}

void rpc_identities_set(struct rpc *rpc, struct rpc_identities *table)
{
    identity_cache_swap(rpc->identities, table);
}

static struct timespec after(int64_t ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ns = now.tv_nsec + ms % 1000 * 1000000;
    now.tv_sec += ms / 1000 + ns / 1000000000;
    now.tv_nsec = ns % 1000000000;
    return now;
}

bool rpc_drain(struct rpc *rpc, int64_t grace_ms)
{
    atomic_store(&rpc->draining, true);
    struct timespec until = after(grace_ms);
    pthread_mutex_lock(&rpc->drain_lock);
    int timed_out = 0;
    while (!rpc->quiet && timed_out == 0) {
        timed_out =
            pthread_cond_timedwait(&rpc->drain_done, &rpc->drain_lock, &until);
    }
    bool quiet = rpc->quiet;
    pthread_mutex_unlock(&rpc->drain_lock);
    return quiet;
}

void rpc_stop(struct rpc *rpc)
{
    if (rpc == NULL) {
        return;
    }
    begin_shutdown(rpc);
    grpc_server_cancel_all_calls(rpc->server);
    pthread_mutex_lock(&rpc->drain_lock);
    while (!rpc->shut_down) {
        pthread_cond_wait(&rpc->drain_done, &rpc->drain_lock);
    }
    pthread_mutex_unlock(&rpc->drain_lock);
    grpc_completion_queue_shutdown(rpc->queue);
    pthread_join(rpc->thread, NULL);
    destroy(rpc);
}

void rpc_counters_get(const struct rpc *rpc, struct rpc_counters *out)
{
    out->calls = atomic_load(&rpc->calls);
    out->refused = atomic_load(&rpc->refused);
    out->overloaded = atomic_load(&rpc->overloaded);
    out->in_flight = atomic_load(&rpc->in_work);
    out->turns = atomic_load(&rpc->turns);
    out->batches = atomic_load(&rpc->batches);
}
