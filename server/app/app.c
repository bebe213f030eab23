#include "server/app/app.h"

#include "hsm/base/check.h"

#include "server/app/tokens.h"
#include "server/app/verifier.h"
#include "server/store/spool_files/spool_files.h"
#include "server/store/sqlite/sqlite_store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Where gRPC-core listens for the edge alone. */
#define SOCKET_FOLDER "/rpc"
#define SOCKET_NAME   "/socket"
#define PATH_BYTES    (CONFIG_PATH_BYTES + 16)

#define DAY_MS        INT64_C(86400000)

struct app {
    struct config *config;
    const struct clock *clock;
    struct app_failure *failure; /* while starting */
    struct app_tokens tokens;
    struct app_verifier verifier;
    struct store store;
    bool store_is_open;
    struct spool spool; /* port NULL: not open */
    struct service *service;
    struct rpc *rpc;
    /* set once, before the first connection can come in */
    _Atomic(struct edge *) edge;
};

__attribute__((format(printf, 3, 4))) static enum hf_status
fail(struct app *app, enum hf_status status, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(app->failure->text, sizeof app->failure->text, format, values);
    va_end(values);
    return status;
}

/* --- store and service --------------------------------------------------- */

static HF_STATUS make_folder(struct app *app, const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return fail(app, HF_E_IO, "the folder %s cannot be made: %s", path,
                    strerror(errno));
    }
    return HF_OK;
}

static HF_STATUS open_store(struct app *app)
{
    const struct sqlite_settings settings = {
        .path = app->config->store,
        .readers = app->config->limits.store_readers,
    };
    HF_TRY(make_folder(app, app->config->state_dir));
    enum hf_status status = sqlite_store_open(&settings, &app->store);
    if (status == HF_E_CONFLICT) {
        return fail(app, status,
                    "the store %s is held by another process: is a holdfastd "
                    "running already?",
                    settings.path);
    }
    if (status != HF_OK) {
        return fail(app, status, "the store %s cannot be opened: %s",
                    settings.path, hf_status_text(status));
    }
    app->store_is_open = true;
    return HF_OK;
}

/* What a crash cut off is at most what was not synced; anything else was done
 * by somebody. Both stay where they are, and the next segment tells of them. */
static void tell_spool(const struct spool_files_found *found)
{
    if (found->end == SPOOL_END_TORN) {
        log_event(LOG_WARN, "spool.torn", LOG_NUMBER("records", found->records),
                  LOG_NUMBER("left_bytes", found->left_bytes));
    } else if (found->end == SPOOL_END_DAMAGED) {
        log_event(LOG_ERROR, "spool.damaged",
                  LOG_NUMBER("records", found->records),
                  LOG_NUMBER("left_bytes", found->left_bytes),
                  LOG_NUMBER("segment", found->broken));
    }
}

static HF_STATUS open_spool(struct app *app)
{
    const struct config *config = app->config;
    const struct spool_files_settings settings = {
        .folder = config->spool,
        .segment_bytes = (size_t)config->limits.spool_segment_kb * 1024,
        .keep_bytes = (uint64_t)config->limits.spool_keep_mb * 1024 * 1024,
        .clock = app->clock,
        .rng = rng_system(),
    };
    struct spool_files_found found;
    enum hf_status status = spool_files_open(&settings, &app->spool, &found);
    if (status != HF_OK) {
        return fail(app, status,
                    "the spool %s cannot be written: %s; it needs a folder of "
                    "this user's, with room for a segment of %u KiB",
                    settings.folder, hf_status_text(status),
                    config->limits.spool_segment_kb);
    }
    tell_spool(&found);
    return HF_OK;
}

/* False: no purge can be verified at all. */
static bool prepare_verifier(struct app *app)
{
    const char *shut_out[APP_AK_TOKENS_MAX];
    bool can_verify = app_verifier_set(&app->verifier, app->config);
    if (!can_verify) {
        log_event(LOG_WARN, "verifier.missing",
                  LOG_TEXT("program", app->verifier.program));
    }
    /* holdfast-hsm opens the token by itself, with its PIN */
    size_t count = app_verifier_shut_out(app->config, shut_out);
    for (size_t i = 0; i < count; i++) {
        log_event(LOG_WARN, "verifier.no_pin_file",
                  LOG_TEXT("token", shut_out[i]));
    }
    return can_verify && app->config->ak_token.pin_file[0] != '\0';
}

static HF_STATUS start_service(struct app *app)
{
    const struct config_limits *limits = &app->config->limits;
    bool can_verify = prepare_verifier(app);
    const struct service_settings settings = {
        .store = &app->store,
        .spool = &app->spool,
        .clock = app->clock,
        .rng = rng_system(),
        .service_token = &app->tokens.service,
        .ak_token = &app->tokens.ak,
        .sharepoint_ak_token =
            app->config->has_sharepoint_ak ? &app->tokens.sharepoint_ak : NULL,
        .sharepoint_ak_shared = app->config->sharepoint_ak_shared,
        .ak_capacity_objects = app->config->ak_token.capacity_objects,
        .ak_token_name = config_ak_name(app->config, false),
        .sharepoint_ak_token_name = config_ak_name(app->config, true),
        .ak_mirrors = app->tokens.configured_mirrors,
        .ak_mirror_count = app->tokens.mirror_count,
        .tokens = app->tokens.configured,
        .token_count = app->tokens.count,
        .slow_threads = limits->slow_threads,
        .slow_queue_max = limits->slow_queue,
        .row_cache_max = limits->row_cache,
        .ak_lease_ms = limits->ak_lease_ms,
        .attempt_ms = limits->attempt_timeout_ms,
        .probe_ms = limits->probe_interval_ms,
        .scrub_ms = DAY_MS,
        .checkpoints = true,
        .encryption_overdue_ms = limits->encryption_overdue_days * DAY_MS,
        .ak_roll_ms = limits->ak_roll_interval_days * DAY_MS,
        .verifier = can_verify ? &app->verifier.port : NULL,
        .purge_hold_ms = (int64_t)limits->purge_hold_s * 1000,
    };
    struct problem problem = {.reason = REASON_NONE};
    enum hf_status status = service_start(&settings, &app->service, &problem);
    if (status != HF_OK) {
        return fail(app, status, "the service refuses to start: %s",
                    problem.text[0] != '\0' ? problem.text
                                            : hf_status_text(status));
    }
    return HF_OK;
}

/* --- rpc and edge -------------------------------------------------------- */

static HF_STATUS find_connection(void *self, const char *peer_name,
                                 uint64_t *out_connection_id)
{
    const struct edge *edge = atomic_load(&((struct app *)self)->edge);
    return edge != NULL ? edge_connection(edge, peer_name, out_connection_id)
                        : HF_E_NOT_FOUND;
}

static HF_STATUS find_identity(void *self, const char *peer_name,
                               struct edge_identity *out_identity)
{
    struct edge *edge = atomic_load(&((struct app *)self)->edge);
    return edge != NULL ? edge_lookup(edge, peer_name, out_identity)
                        : HF_E_NOT_FOUND;
}

static HF_STATUS socket_path(struct app *app, char out[PATH_BYTES])
{
    int len =
        snprintf(out, PATH_BYTES, "%s" SOCKET_FOLDER, app->config->state_dir);
    CHECK(len > 0 && len < PATH_BYTES);
    HF_TRY(make_folder(app, out));
    len = snprintf(out, PATH_BYTES, "%s" SOCKET_FOLDER SOCKET_NAME,
                   app->config->state_dir);
    CHECK(len > 0 && len < PATH_BYTES);
    if (len > EDGE_BACKEND_PATH_MAX_BYTES) {
        return fail(app, HF_E_INVALID,
                    "state_dir is too long for a socket in it (%s has %d "
                    "bytes, at most %d): choose a shorter path",
                    out, len, EDGE_BACKEND_PATH_MAX_BYTES);
    }
    return HF_OK;
}

static HF_STATUS start_rpc(struct app *app, const struct app_extras *extras,
                           const char *path)
{
    const struct config *config = app->config;
    struct rpc_identities *identities = NULL;
    enum hf_status status = rpc_identities_new(
        config->identities, config->identity_count, &identities);
    if (status != HF_OK) {
        return fail(app, status, "the identities: %s", hf_status_text(status));
    }
    const struct rpc_settings settings = {
        .socket_path = path,
        .service = app->service,
        .peers = {find_connection, find_identity, app},
        .identities = identities,
        .clock = app->clock,
        .data_calls_max = config->limits.data_calls,
        .admin_calls_max = config->limits.admin_calls,
        .streams_max = config->limits.streams,
        .log_data_plane = config->log_level == LOG_DEBUG,
        .extra = extras->methods,
        .extra_count = extras->method_count,
    };
    if (extras->service != NULL) {
        *extras->service = app->service;
    }
    status = rpc_start(&settings, &app->rpc);
    if (status != HF_OK) {
        return fail(app, status,
                    "the gRPC server cannot listen on %s: %s; its folder must "
                    "be this user's with mode 0700",
                    path, hf_status_text(status));
    }
    return HF_OK;
}

static HF_STATUS start_edge(struct app *app, const char *path)
{
    const struct config *config = app->config;
    const struct edge_settings settings = {
        .listen_address = config->listen_address,
        .listen_port = config->listen_port,
        .backend_path = path,
        .certificate_path = config->certificate,
        .key_path = config->key[0] != '\0' ? config->key : NULL,
        .key_uri = config->key_uri,
        .key_module = config->key_module,
        .key_pin_path = config->key_pin_file,
        .client_ca_path = config->client_ca,
        .crl_path = config->crl,
        .handshake_timeout_ms = config->limits.handshake_timeout_ms,
        .idle_timeout_ms = config->limits.idle_timeout_ms,
        .connections_max = config->limits.connections,
        .connections_per_identity_max = config->limits.connections_per_identity,
        .clock = clock_system(),
    };
    struct edge *edge = NULL;
    enum hf_status status = edge_start(&settings, &edge);
    if (status == HF_E_UNREACHABLE) {
        return fail(app, status,
                    "%s port %u cannot be bound: another process has it, or "
                    "the address is not this machine's",
                    config->listen_address, config->listen_port);
    }
    if (status != HF_OK) {
        return fail(app, status,
                    "the listener cannot start: %s; the log line before says "
                    "which file and why",
                    hf_status_text(status));
    }
    atomic_store(&app->edge, edge);
    return HF_OK;
}

/* --- life ---------------------------------------------------------------- */

static HF_STATUS start_all(struct app *app, const struct app_extras *extras)
{
    char path[PATH_BYTES];
    HF_TRY(open_store(app));
    HF_TRY(open_spool(app));
    HF_TRY(socket_path(app, path));
    HF_TRY(
        app_tokens_open(app->config, app->clock, &app->tokens, app->failure));
    HF_TRY(start_service(app));
    HF_TRY(start_rpc(app, extras, path));
    return start_edge(app, path);
}

HF_STATUS app_start(struct config *config, const struct app_extras *extras,
                    struct app **out_app, struct app_failure *out_failure)
{
    struct app *app = calloc(1, sizeof *app);
    if (app == NULL) {
        config_free(config);
        snprintf(out_failure->text, sizeof out_failure->text, "out of memory");
        return HF_E_NO_MEMORY;
    }
    app->config = config;
    app->failure = out_failure;
    app->clock = extras->clock != NULL ? extras->clock : clock_system();
    atomic_init(&app->edge, NULL);
    enum hf_status status = start_all(app, extras);
    app->failure = NULL;
    if (status != HF_OK) {
        app_stop(app);
        return status;
    }
    *out_app = app;
    return HF_OK;
}

uint16_t app_port(const struct app *app)
{
    return edge_port(atomic_load(&app->edge));
}

const struct config *app_config(const struct app *app)
{
    return app->config;
}

/* What the last calls were answered is still on its way through the edge. */
static void let_answers_leave(void)
{
    const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    nanosleep(&pause, NULL);
}

void app_stop(struct app *app)
{
    if (app == NULL) {
        return;
    }
    struct edge *edge = atomic_load(&app->edge);
    if (edge != NULL) {
        edge_drain(edge);
    }
    if (app->rpc != NULL &&
        !rpc_drain(app->rpc, app->config->limits.drain_ms)) {
        log_event(LOG_WARN, "server.drain_cut",
                  LOG_NUMBER("after_ms", app->config->limits.drain_ms));
    }
    if (edge != NULL) {
        let_answers_leave();
        edge_stop(edge);
    }
    rpc_stop(app->rpc);
    service_stop(app->service);
    edge_free(edge);
    spool_close(&app->spool);
    if (app->store_is_open) {
        store_close(&app->store);
    }
    app_tokens_close(&app->tokens);
    config_free(app->config);
    free(app);
}

/* --- reload -------------------------------------------------------------- */

static void log_mistakes(const struct config_mistakes *mistakes)
{
    size_t shown = mistakes->count < CONFIG_MISTAKES_MAX ? mistakes->count
                                                         : CONFIG_MISTAKES_MAX;
    for (size_t i = 0; i < shown; i++) {
        log_event(LOG_ERROR, "config.mistake",
                  LOG_TEXT("what", mistakes->lines[i]));
    }
}

static void take_over(struct app *app, struct config *wanted,
                      struct rpc_identities *identities)
{
    struct config *running = app->config;
    rpc_identities_set(app->rpc, identities);
    free(running->identities);
    running->identities = HF_GIVE(wanted->identities);
    running->identity_count = wanted->identity_count;
    running->log_level = wanted->log_level;
    log_level_set(wanted->log_level);
}

void app_reload(struct app *app)
{
    HF_OWNED(config_freep) struct config *wanted = NULL;
    struct rpc_identities *identities = NULL;
    struct config_mistakes *mistakes = calloc(1, sizeof *mistakes);
    enum hf_status status =
        mistakes != NULL ? config_load(app->config->path, &wanted, mistakes)
                         : HF_E_NO_MEMORY;
    if (mistakes != NULL) {
        log_mistakes(mistakes);
    }
    free(mistakes);
    if (status == HF_OK) {
        status = rpc_identities_new(wanted->identities, wanted->identity_count,
                                    &identities);
    }
    if (status == HF_OK) {
        status = edge_reload(atomic_load(&app->edge));
    }
    if (status != HF_OK) {
        rpc_identities_free(identities);
        log_event(LOG_ERROR, "config.kept", LOG_TEXT("file", app->config->path),
                  LOG_TEXT("why", hf_status_text(status)));
        return;
    }
    const char *restart = config_restart_needed(app->config, wanted);
    if (restart != NULL) {
        log_event(LOG_WARN, "config.restart_needed",
                  LOG_TEXT("changed", restart));
    }
    take_over(app, wanted, identities);
    app_tokens_look(app->config, &app->tokens);
    log_event(LOG_INFO, "config.reloaded",
              LOG_NUMBER("identities", app->config->identity_count));
}
