#include "server/edge/edge.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "server/edge/loop.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* Left for the rest of the process: store, workers, logs, gRPC itself. */
#define DESCRIPTORS_ELSEWHERE      128
#define DESCRIPTORS_PER_CONNECTION 3

_Static_assert(sizeof((struct sockaddr_un *)0)->sun_path ==
                   EDGE_BACKEND_PATH_MAX_BYTES + 1,
               "the header states the length");

struct edge {
    struct tls_files files;
    uint16_t port;
    bool running;
    pthread_t thread;
    struct loop loop;
};

const char *edge_refusal_name(enum edge_refusal refusal)
{
    switch (refusal) {
#define X(code, name)                                                          \
    case code:                                                                 \
        return #name;
        EDGE_REFUSAL_TABLE(X)
#undef X
    case EDGE_REFUSAL_COUNT:
        break;
    }
    return "protocol";
}

static bool timeout_valid(int64_t timeout_ms)
{
    return timeout_ms >= 1 && timeout_ms <= EDGE_TIMEOUT_MAX_MS;
}

static HF_STATUS path_copy(char out[EDGE_PATH_MAX_BYTES + 1], const char *path)
{
    if (path == NULL || path[0] == '\0') {
        return HF_E_INVALID;
    }
    return text_copy(out, EDGE_PATH_MAX_BYTES + 1, path);
}

static HF_STATUS key_copy(struct tls_files *files,
                          const struct edge_settings *settings)
{
    if (settings->key_path != NULL) {
        return path_copy(files->key, settings->key_path);
    }
    if (settings->key_uri == NULL || settings->key_uri[0] == '\0') {
        return HF_E_INVALID;
    }
    HF_TRY(text_copy(files->key_uri, sizeof files->key_uri, settings->key_uri));
    HF_TRY(path_copy(files->key_module, settings->key_module));
    return path_copy(files->key_pin, settings->key_pin_path);
}

/* The lower of what is wished and what RLIMIT_NOFILE carries; 0: none. */
static uint32_t connections_possible(uint32_t wished)
{
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_cur <= DESCRIPTORS_ELSEWHERE) {
        return 0;
    }
    rlim_t possible =
        (limit.rlim_cur - DESCRIPTORS_ELSEWHERE) / DESCRIPTORS_PER_CONNECTION;
    return possible < wished ? (uint32_t)possible : wished;
}

static HF_STATUS settings_copy(const struct edge_settings *settings,
                               struct edge *edge)
{
    struct loop *loop = &edge->loop;
    if (settings->clock == NULL || settings->listen_address == NULL ||
        settings->backend_path == NULL || settings->backend_path[0] == '\0' ||
        !timeout_valid(settings->handshake_timeout_ms) ||
        !timeout_valid(settings->idle_timeout_ms) ||
        settings->connections_max < 1 ||
        settings->connections_max > EDGE_CONNECTIONS_MAX ||
        settings->connections_per_identity_max < 1 ||
        settings->connections_per_identity_max > settings->connections_max) {
        return HF_E_INVALID;
    }
    HF_TRY(path_copy(edge->files.certificate, settings->certificate_path));
    HF_TRY(key_copy(&edge->files, settings));
    HF_TRY(path_copy(edge->files.client_ca, settings->client_ca_path));
    HF_TRY(path_copy(edge->files.crl, settings->crl_path));
    loop->backend.sun_family = AF_UNIX;
    HF_TRY(text_copy(loop->backend.sun_path, sizeof loop->backend.sun_path,
                     settings->backend_path));
    loop->clock = settings->clock;
    loop->handshake_timeout_ms = settings->handshake_timeout_ms;
    loop->idle_timeout_ms = settings->idle_timeout_ms;
    loop->connections_max = connections_possible(settings->connections_max);
    if (loop->connections_max == 0) {
        return HF_E_RESOURCES;
    }
    if (loop->connections_max < settings->connections_max) {
        log_event(LOG_WARN, "edge.connections_lowered",
                  LOG_TEXT("reason", "RLIMIT_NOFILE"),
                  LOG_NUMBER("wished", settings->connections_max),
                  LOG_NUMBER("connections_max", loop->connections_max));
    }
    return HF_OK;
}

static void problem_log(const struct tls_problem *problem)
{
    if (problem->file != NULL) {
        log_event(LOG_ERROR, "edge.file_unusable",
                  LOG_TEXT("file", problem->file),
                  LOG_TEXT("reason", problem->why));
    }
}

static void edge_init(struct edge *edge)
{
    struct loop *loop = &edge->loop;
    loop->epoll_fd = -1;
    loop->mailbox.wake_fd = -1;
    loop->acceptor.fd = -1;
    loop->sweep_due_ms = INT64_MAX;
    TAILQ_INIT(&loop->all);
    TAILQ_INIT(&loop->relaying);
    TAILQ_INIT(&loop->handshaking);
    CHECK(pthread_mutex_init(&loop->mailbox.lock, NULL) == 0);
    CHECK(pthread_cond_init(&loop->mailbox.taken, NULL) == 0);
}

static HF_STATUS descriptors_open(const struct edge_settings *settings,
                                  struct edge *edge)
{
    struct loop *loop = &edge->loop;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->mailbox.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &loop->mailbox};
    if (loop->epoll_fd < 0 || loop->mailbox.wake_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->mailbox.wake_fd,
                  &event) != 0) {
        return HF_E_RESOURCES;
    }
    HF_TRY(acceptor_open(&loop->acceptor, settings->listen_address,
                         settings->listen_port));
    edge->port = loop->acceptor.port;
    return acceptor_watch(&loop->acceptor, loop->epoll_fd, &loop->acceptor);
}

/* SCHED_BATCH: with too few cores, gRPC's thread that just wrote an answer
 * would be interrupted by this one for each single answer; so it writes some
 * more first, and one record carries several (measured on one core: a fifth
 * off the cost of a call, and a shorter tail). With a free core it changes
 * nothing. Refused by the system it is only slower. */
static void thread_settle(void)
{
    const struct sched_param usual = {0};
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &usual);
    pthread_setname_np(pthread_self(), "hf-edge");
}

static void *thread_main(void *self)
{
    struct edge *edge = self;
    thread_settle();
    loop_run(&edge->loop);
    return NULL;
}

/* Signals are for the threads of the app. */
static HF_STATUS thread_start(struct edge *edge)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    edge->running = pthread_create(&edge->thread, NULL, thread_main, edge) == 0;
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return edge->running ? HF_OK : HF_E_RESOURCES;
}

HF_STATUS edge_start(const struct edge_settings *settings,
                     struct edge **out_edge)
{
    CHECK(settings != NULL && out_edge != NULL);
    struct edge *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return HF_E_NO_MEMORY;
    }
    edge_init(made);
    HF_OWNED(edge_freep) struct edge *edge = made;
    struct loop *loop = &edge->loop;
    HF_TRY(settings_copy(settings, edge));
    loop->wire_method = wire_method();
    if (loop->wire_method == NULL) {
        return HF_E_NO_MEMORY;
    }
    struct tls_problem problem;
    enum hf_status status =
        tls_set_load(&edge->files, loop->clock, &loop->set, &problem);
    problem_log(&problem);
    HF_TRY(status);
    HF_TRY(registry_new(loop->connections_max,
                        settings->connections_per_identity_max, rng_system(),
                        &loop->registry));
    HF_TRY(descriptors_open(settings, edge));
    HF_TRY(thread_start(edge));
    *out_edge = HF_GIVE(edge);
    return HF_OK;
}

uint16_t edge_port(const struct edge *edge)
{
    return edge->port;
}

HF_STATUS edge_reload(struct edge *edge)
{
    struct mailbox *mailbox = &edge->loop.mailbox;
    HF_OWNED(tls_set_freep) struct tls_set *set = NULL;
    struct tls_problem problem;
    enum hf_status status =
        tls_set_load(&edge->files, edge->loop.clock, &set, &problem);
    problem_log(&problem);
    HF_TRY(status);
    if (problem.file != NULL) {
        return HF_E_INVALID; /* the list: better the old one */
    }
    pthread_mutex_lock(&mailbox->lock);
    while (mailbox->next_set != NULL && !mailbox->stopped) {
        pthread_cond_wait(&mailbox->taken, &mailbox->lock);
    }
    const struct tls_set *given = set;
    if (!mailbox->stopped) {
        mailbox->next_set = HF_GIVE(set);
        loop_wake(&edge->loop);
    }
    while (mailbox->next_set == given && !mailbox->stopped) {
        pthread_cond_wait(&mailbox->taken, &mailbox->lock);
    }
    bool stopped = mailbox->stopped;
    pthread_mutex_unlock(&mailbox->lock);
    return stopped ? HF_E_PRECONDITION : HF_OK;
}

void edge_drain(struct edge *edge)
{
    struct mailbox *mailbox = &edge->loop.mailbox;
    pthread_mutex_lock(&mailbox->lock);
    mailbox->drain = true;
    loop_wake(&edge->loop);
    while (!mailbox->drained && !mailbox->stopped) {
        pthread_cond_wait(&mailbox->taken, &mailbox->lock);
    }
    pthread_mutex_unlock(&mailbox->lock);
}

void edge_stop(struct edge *edge)
{
    if (!edge->running) {
        return;
    }
    pthread_mutex_lock(&edge->loop.mailbox.lock);
    edge->loop.mailbox.stop = true;
    loop_wake(&edge->loop);
    pthread_mutex_unlock(&edge->loop.mailbox.lock);
    CHECK(pthread_join(edge->thread, NULL) == 0);
    edge->running = false;
}

void edge_free(struct edge *edge)
{
    if (edge == NULL) {
        return;
    }
    edge_stop(edge);
    struct loop *loop = &edge->loop;
    acceptor_close(&loop->acceptor);
    if (loop->epoll_fd >= 0) {
        close(loop->epoll_fd);
    }
    if (loop->mailbox.wake_fd >= 0) {
        close(loop->mailbox.wake_fd);
    }
    tls_set_free(loop->mailbox.next_set);
    tls_set_free(loop->set);
    registry_free(loop->registry);
    BIO_meth_free(loop->wire_method);
    pthread_cond_destroy(&loop->mailbox.taken);
    pthread_mutex_destroy(&loop->mailbox.lock);
    free(edge);
}

HF_STATUS edge_lookup(struct edge *edge, const char *peer_name,
                      struct edge_identity *out_identity)
{
    return registry_find(edge->loop.registry, peer_name, out_identity);
}

HF_STATUS edge_connection(const struct edge *edge, const char *peer_name,
                          uint64_t *out_connection_id)
{
    return registry_find_id(edge->loop.registry, peer_name, out_connection_id);
}

static uint64_t count_read(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

void edge_counters(const struct edge *edge, struct edge_counters *out_counters)
{
    const struct counts *counts = &edge->loop.counts;
    *out_counters = (struct edge_counters){
        .accepted = count_read(&counts->accepted),
        .handshakes_ok = count_read(&counts->handshakes_ok),
        .open = count_read(&counts->open),
        .refused_cap = count_read(&counts->refused_cap),
        .refused_identity_cap = count_read(&counts->refused_identity_cap),
        .backend_failed = count_read(&counts->backend_failed),
        .accept_paused = count_read(&counts->accept_paused),
        .closed_idle = count_read(&counts->closed_idle),
        .closed_expired = count_read(&counts->closed_expired),
        .closed_reload = count_read(&counts->closed_reload),
        .bytes_in = count_read(&counts->bytes_in),
        .bytes_out = count_read(&counts->bytes_out),
    };
    for (size_t i = 0; i < EDGE_REFUSAL_COUNT; i++) {
        out_counters->handshakes_failed[i] =
            count_read(&counts->handshakes_failed[i]);
    }
}
