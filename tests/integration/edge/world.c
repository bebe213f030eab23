#include "tests/integration/edge/world.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include <openssl/err.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536

int64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

void sleep_ms(int64_t ms)
{
    struct timespec span = {.tv_sec = ms / 1000,
                            .tv_nsec = (ms % 1000) * 1000000};
    nanosleep(&span, NULL);
}

void pattern_fill(uint8_t *data, size_t len, uint64_t at)
{
    for (size_t i = 0; i < len; i++) {
        uint64_t place = at + i;
        data[i] = (uint8_t)(place * 31 + (place >> 8) * 7 + (place >> 16));
    }
}

/* --- the backend: a thread per connection, nothing clever */

struct served {
    struct backend *backend;
    int fd;
    char name[EDGE_PEER_NAME_TEXT];
};

static bool send_all(int fd, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        at += sent;
        len -= (size_t)sent;
    }
    return true;
}

static void serve_echo(int fd)
{
    uint8_t *data = malloc(CHUNK);
    CHECK(data != NULL);
    ssize_t got = 0;
    while ((got = recv(fd, data, CHUNK, 0)) > 0 &&
           send_all(fd, data, (size_t)got)) {
    }
    free(data);
}

static void serve_source(struct backend *backend, int fd)
{
    uint8_t data[4096];
    size_t at = 0;
    while (at < backend->source_bytes) {
        size_t len = backend->source_bytes - at;
        len = len < sizeof data ? len : sizeof data;
        pattern_fill(data, len, at);
        if (!send_all(fd, data, len)) {
            return;
        }
        at += len;
        atomic_store(&backend->sourced, at);
    }
}

static void serve_sink(struct backend *backend, int fd)
{
    uint8_t data[4096];
    uint8_t expected[4096];
    while (!atomic_load(&backend->sink_go)) {
        sleep_ms(5);
    }
    uint64_t at = 0;
    ssize_t got = 0;
    while ((got = recv(fd, data, sizeof data, 0)) > 0) {
        size_t len = (size_t)got;
        pattern_fill(expected, len, at);
        if (!bytes_equal((struct bytes){data, len},
                         (struct bytes){expected, len})) {
            return;
        }
        at += len;
        atomic_store(&backend->sunk, at);
    }
    send_all(fd, &at, sizeof at);
}

static void *serve(void *argument)
{
    struct served *served = argument;
    struct backend *backend = served->backend;
    char byte[256];
    switch (backend->mode) {
    case BACKEND_WHO: {
        struct edge_identity who = {.uri = "?"};
        enum hf_status status = edge_lookup(backend->edge, served->name, &who);
        char line[HF_URI_MAX_BYTES + 2];
        int len = snprintf(line, sizeof line, "%s\n",
                           status == HF_OK ? who.uri : "?");
        if (send_all(served->fd, line, (size_t)len)) {
            serve_echo(served->fd);
        }
        break;
    }
    case BACKEND_ECHO:
        serve_echo(served->fd);
        break;
    case BACKEND_SOURCE:
        serve_source(backend, served->fd);
        break;
    case BACKEND_SINK:
        serve_sink(backend, served->fd);
        break;
    case BACKEND_SILENT:
        while (recv(served->fd, byte, sizeof byte, 0) > 0) {
        }
        break;
    case BACKEND_GOODBYE:
        send_all(served->fd, "bye", 3);
        break;
    }
    close(served->fd);
    atomic_store(&backend->last_end_ms, now_ms());
    atomic_fetch_sub(&backend->open, 1);
    free(served);
    return NULL;
}

static void name_keep(struct backend *backend, struct served *served)
{
    struct sockaddr_un peer = {0};
    socklen_t len = sizeof peer;
    CHECK(getpeername(served->fd, (struct sockaddr *)&peer, &len) == 0);
    size_t used = len - offsetof(struct sockaddr_un, sun_path);
    CHECK(used > 1 && peer.sun_path[0] == '\0'); /* abstract */
    /* as gRPC spells it */
    snprintf(served->name, sizeof served->name, "unix-abstract:%.*s",
             (int)(used - 1), peer.sun_path + 1);
    pthread_mutex_lock(&backend->lock);
    if (backend->name_count < WORLD_NAMES_MAX) {
        snprintf(backend->names[backend->name_count], EDGE_PEER_NAME_TEXT, "%s",
                 served->name);
        backend->name_count++;
    }
    pthread_mutex_unlock(&backend->lock);
}

static void *backend_main(void *argument)
{
    struct backend *backend = argument;
    for (;;) {
        /* as gRPC does: an accept that blocks would hold a descriptor */
        struct pollfd wait = {.fd = backend->fd, .events = POLLIN};
        CHECK(poll(&wait, 1, -1) >= 0 || errno == EINTR);
        if ((wait.revents & POLLHUP) != 0) {
            return NULL; /* shut down */
        }
        int fd = accept(backend->fd, NULL, NULL);
        if (fd < 0) {
            sleep_ms(1);
            continue;
        }
        struct served *served = calloc(1, sizeof *served);
        CHECK(served != NULL);
        served->backend = backend;
        served->fd = fd;
        name_keep(backend, served);
        atomic_fetch_add(&backend->open, 1);
        pthread_attr_t detached;
        pthread_attr_init(&detached);
        pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&detached, 256 * 1024);
        pthread_t thread;
        CHECK(pthread_create(&thread, &detached, serve, served) == 0);
        pthread_attr_destroy(&detached);
    }
}

static void backend_start(struct backend *backend)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CHECK(text_copy(address.sun_path, sizeof address.sun_path, backend->path) ==
          HF_OK);
    backend->names = calloc(WORLD_NAMES_MAX, sizeof *backend->names);
    CHECK(backend->names != NULL);
    CHECK(pthread_mutex_init(&backend->lock, NULL) == 0);
    backend->fd =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(bind(backend->fd, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(backend->fd, 4096) == 0);
    CHECK(pthread_create(&backend->thread, NULL, backend_main, backend) == 0);
}

static void backend_stop(struct backend *backend)
{
    shutdown(backend->fd, SHUT_RDWR);
    CHECK(pthread_join(backend->thread, NULL) == 0);
    close(backend->fd);
    atomic_store(&backend->sink_go, true);
    int64_t until_ms = now_ms() + WORLD_WAIT_MS;
    while (atomic_load(&backend->open) > 0) {
        CHECK(now_ms() < until_ms); /* the edge kept a connection open */
        sleep_ms(2);
    }
    free(backend->names);
    pthread_mutex_destroy(&backend->lock);
}

/* --- the world */

static int64_t world_monotonic(void *self)
{
    (void)self;
    return now_ms();
}

static int64_t world_wall(void *self)
{
    struct world *world = self;
    return clock_wall_ms(clock_system()) + atomic_load(&world->wall_ahead_ms);
}

void world_new(struct world *world, enum backend_mode mode)
{
    *world = (struct world){0};
    /* our clients' writes; the edge itself raises none (wire_test) */
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    pki_dir_new(world->dir);
    world->ca = pki_ca_new("Test root", NULL);
    pki_ca_write(world->ca, world->dir, "ca.pem");
    pki_crl_write(world->ca, &(struct pki_crl){0}, world->dir, "crl.pem");
    pki_issue(world->ca,
              &(struct pki_leaf){.dns = "localhost", .usage = PKI_SERVER},
              world->dir, "server");
    world->alice_serial = pki_issue(
        world->ca, &(struct pki_leaf){.uris = {"spiffe://test/alice"}},
        world->dir, "alice");
    pki_issue(world->ca, &(struct pki_leaf){.uris = {"spiffe://test/bob"}},
              world->dir, "bob");
    pki_path(world->certificate, world->dir, "server.crt");
    pki_path(world->key, world->dir, "server.key");
    pki_path(world->client_ca, world->dir, "ca.pem");
    pki_path(world->crl, world->dir, "crl.pem");
    pki_path(world->backend.path, world->dir, "backend.sock");
    world->clock = (struct clock){
        .monotonic_ms = world_monotonic,
        .wall_ms = world_wall,
        .self = world,
    };
    world->settings = (struct edge_settings){
        .listen_address = "127.0.0.1",
        .backend_path = world->backend.path,
        .certificate_path = world->certificate,
        .key_path = world->key,
        .client_ca_path = world->client_ca,
        .crl_path = world->crl,
        .handshake_timeout_ms = 5000,
        .idle_timeout_ms = 60000,
        .connections_max = 1000,
        .connections_per_identity_max = 1000,
        .clock = &world->clock,
    };
    world->backend.mode = mode;
    backend_start(&world->backend);
}

void world_start(struct world *world)
{
    CHECK(edge_start(&world->settings, &world->edge) == HF_OK);
    world->port = edge_port(world->edge);
    world->backend.edge = world->edge;
}

void world_free(struct world *world)
{
    edge_stop(world->edge);
    backend_stop(&world->backend);
    edge_free(world->edge);
    pki_ca_free(world->ca);
    pki_dir_remove(world->dir);
}

struct edge_counters counters_of(const struct world *world)
{
    struct edge_counters counters;
    edge_counters(world->edge, &counters);
    return counters;
}

/* --- clients */

int tcp_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    struct timeval limit = {.tv_sec = WORLD_WAIT_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void client_certificate(struct client *client, const struct world *world,
                               const struct client_how *how)
{
    char file[PKI_PATH_BYTES];
    char path[PKI_PATH_BYTES];
    snprintf(file, sizeof file, "%s.crt", how->name);
    pki_path(path, world->dir, file);
    CHECK(SSL_CTX_use_certificate_chain_file(client->ctx, path) == 1);
    snprintf(file, sizeof file, "%s.key", how->name);
    pki_path(path, world->dir, file);
    CHECK(SSL_CTX_use_PrivateKey_file(client->ctx, path, SSL_FILETYPE_PEM) ==
          1);
}

void client_prepare(struct client *client, const struct world *world,
                    const struct client_how *how, int fd)
{
    *client = (struct client){.fd = fd};
    client->ctx = SSL_CTX_new(TLS_client_method());
    CHECK(client->ctx != NULL);
    if (how->name != NULL) {
        client_certificate(client, world, how);
    }
    if (how->version_max != 0) {
        CHECK(SSL_CTX_set_max_proto_version(client->ctx, how->version_max) ==
              1);
    }
    client->ssl = SSL_new(client->ctx);
    CHECK(client->ssl != NULL);
    const char *alpn = how->alpn == NULL ? "\2h2" : how->alpn;
    if (!how->no_alpn) {
        CHECK(SSL_set_alpn_protos(client->ssl, (const unsigned char *)alpn,
                                  (unsigned int)strlen(alpn)) == 0);
    }
    CHECK(fd < 0 || SSL_set_fd(client->ssl, fd) == 1);
    ERR_clear_error();
}

bool client_connect(struct client *client, const struct world *world,
                    const struct client_how *how)
{
    client_prepare(client, world, how, tcp_connect(world->port));
    return client->fd >= 0 && SSL_connect(client->ssl) == 1;
}

void client_close(struct client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->ctx);
    if (client->fd >= 0) {
        close(client->fd);
    }
    *client = (struct client){.fd = -1};
}

void client_kill(struct client *client)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    CHECK(setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) ==
          0);
    client_close(client);
}

bool client_write(struct client *client, const void *data, size_t len)
{
    size_t wrote = 0;
    ERR_clear_error();
    return len == 0 || SSL_write_ex(client->ssl, data, len, &wrote) == 1;
}

bool client_read(struct client *client, void *data, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t got = 0;
        ERR_clear_error();
        if (SSL_read_ex(client->ssl, (uint8_t *)data + at, len - at, &got) !=
            1) {
            return false;
        }
        at += got;
    }
    return true;
}

static void client_blocking(struct client *client, bool blocking)
{
    int flags = fcntl(client->fd, F_GETFL);
    flags = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
    CHECK(fcntl(client->fd, F_SETFL, flags) == 0);
    SSL_set_mode(client->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

/* Pieces of the pattern, as they fit; false when the connection failed. */
static bool push_some(struct client *client, uint64_t *at, uint64_t total,
                      size_t piece)
{
    uint8_t data[CHUNK];
    while (*at < total) {
        uint64_t left = total - *at;
        size_t len = left < piece ? (size_t)left : piece;
        size_t wrote = 0;
        pattern_fill(data, len, *at);
        ERR_clear_error();
        if (SSL_write_ex(client->ssl, data, len, &wrote) != 1) {
            return SSL_get_error(client->ssl, 0) == SSL_ERROR_WANT_WRITE;
        }
        *at += wrote;
    }
    return true;
}

static bool pull_some(struct client *client, uint64_t *at, uint64_t total)
{
    uint8_t data[CHUNK];
    uint8_t expected[CHUNK];
    while (*at < total) {
        size_t got = 0;
        ERR_clear_error();
        if (SSL_read_ex(client->ssl, data, sizeof data, &got) != 1) {
            return SSL_get_error(client->ssl, 0) == SSL_ERROR_WANT_READ;
        }
        pattern_fill(expected, got, *at);
        if (!bytes_equal((struct bytes){data, got},
                         (struct bytes){expected, got})) {
            return false;
        }
        *at += got;
    }
    return true;
}

bool client_exchange(struct client *client, uint64_t total, size_t piece)
{
    CHECK(piece <= CHUNK);
    uint64_t sent = 0;
    uint64_t seen = 0;
    bool good = true;
    client_blocking(client, false);
    while (good && seen < total) {
        struct pollfd wait = {.fd = client->fd, .events = POLLIN};
        wait.events = sent < total ? POLLIN | POLLOUT : POLLIN;
        good = poll(&wait, 1, WORLD_WAIT_MS) == 1 &&
               push_some(client, &sent, total, piece) &&
               pull_some(client, &seen, total);
    }
    client_blocking(client, true);
    return good;
}

uint64_t client_push(struct client *client, uint64_t at, uint64_t total)
{
    struct pollfd wait = {.fd = client->fd, .events = POLLOUT};
    client_blocking(client, false);
    while (at < total && poll(&wait, 1, 200) == 1 &&
           push_some(client, &at, total, 16384)) {
    }
    if (at == total) {
        client_blocking(client, true);
    } /* else a half-written record has to go first */
    return at;
}

bool client_ended(struct client *client, const char **out_how)
{
    char byte = 0;
    size_t got = 0;
    /* a refusal may have come already, within client_connect */
    unsigned long error = ERR_peek_error();
    if (error == 0 && SSL_read_ex(client->ssl, &byte, 1, &got) == 1) {
        *out_how = "data";
        return false;
    }
    if (error == 0) {
        int code = SSL_get_error(client->ssl, 0);
        error = ERR_peek_error();
        if (code == SSL_ERROR_WANT_READ) {
            *out_how = "nothing";
            return false;
        }
    }
    const char *reason = error == 0 ? "close" : ERR_reason_error_string(error);
    *out_how = reason == NULL ? "reset" : reason;
    ERR_clear_error();
    return true;
}

bool client_echo(struct client *client, const char *text)
{
    char back[256] = "";
    size_t len = strlen(text);
    CHECK(len < sizeof back);
    return client_write(client, text, len) && client_read(client, back, len) &&
           strcmp(back, text) == 0;
}

bool client_served(const struct world *world, const struct client_how *how,
                   const char **out_how)
{
    struct client client;
    *out_how = "served";
    bool connected = client_connect(&client, world, how);
    bool served = connected && client_echo(&client, "hello");
    if (!served) {
        const char *why = NULL;
        CHECK(client_ended(&client, &why));
        *out_how = why;
    }
    client_close(&client);
    return served;
}
