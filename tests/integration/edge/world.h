/* world: an edge with everything around it, for its tests: certificates, a
 * backend where gRPC would be, and TLS clients made of OpenSSL alone.
 *
 * Whatever goes wrong in the harness itself stops the test (CHECK). A world is
 * static in its test: when an assertion fails, its threads live on.
 */
#pragma once

#include "server/edge/edge.h"

#include "tests/support/pki.h"

#include <openssl/ssl.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WORLD_NAMES_MAX 16384
#define WORLD_WAIT_MS   15000 /* only what fails takes so long */

/* What the backend does with each connection. */
enum backend_mode {
    BACKEND_ECHO,    /* sends back what it reads, until the end */
    BACKEND_WHO,     /* as ECHO, after the URI that edge_lookup gives and a
                        newline ("?" when it gives none) */
    BACKEND_SOURCE,  /* sends source_bytes of a pattern, then closes */
    BACKEND_SINK,    /* waits until sink_go, then reads and checks the pattern,
                        and answers with the count as 8 bytes */
    BACKEND_SILENT,  /* reads until the end and says nothing */
    BACKEND_GOODBYE, /* sends "bye" at once and closes without reading */
};

struct backend {
    int fd;
    char path[PKI_PATH_BYTES];
    pthread_t thread;
    enum backend_mode mode;
    struct edge *edge; /* for BACKEND_WHO */
    size_t source_bytes;
    atomic_bool sink_go;
    _Atomic uint64_t sourced;    /* bytes the backend got rid of */
    _Atomic uint64_t sunk;       /* pattern bytes read, all as expected */
    _Atomic int open;            /* connections being served */
    _Atomic int64_t last_end_ms; /* monotonic: when one last ended */
    pthread_mutex_t lock;
    char (*names)[EDGE_PEER_NAME_TEXT]; /* of all connections ever */
    _Atomic size_t name_count;
};

struct world {
    char dir[PKI_PATH_BYTES];
    struct pki_ca *ca;
    struct backend backend;
    struct edge_settings settings; /* to be changed before world_start */
    struct edge *edge;
    uint16_t port;
    struct clock clock; /* the system's, with wall_ahead_ms on top */
    _Atomic int64_t wall_ahead_ms;
    char certificate[PKI_PATH_BYTES];
    char key[PKI_PATH_BYTES];
    char client_ca[PKI_PATH_BYTES];
    char crl[PKI_PATH_BYTES];
    uint64_t alice_serial;
};

/* world_new: files ca.pem, crl.pem (nobody revoked), server, alice
 * (spiffe://test/alice) and bob; a running backend. world_start: the edge. */
void world_new(struct world *world, enum backend_mode mode);
void world_start(struct world *world);
void world_free(struct world *world);

struct client_how {
    const char *name; /* of certificate and key in dir; NULL: none */
    bool no_alpn;     /* offers no protocol */
    const char *alpn; /* wire form; NULL: h2 */
    int version_max;  /* 0: TLS 1.3 */
};

struct client {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
};

/* client_connect: TCP and the client's part of the handshake. In TLS 1.3 that
 * ends before the server has judged: true says little. Always client_close. */
bool client_connect(struct client *client, const struct world *world,
                    const struct client_how *how);
/* client_prepare: all but the handshake, on a socket that is connected. */
void client_prepare(struct client *client, const struct world *world,
                    const struct client_how *how, int fd);
void client_close(struct client *client); /* no goodbye: what is left is lost */
void client_kill(struct client *client);  /* by a reset */

/* client_exchange: sends total bytes of the pattern and reads them back at the
 * same time, sending up to piece bytes at once. */
bool client_exchange(struct client *client, uint64_t total, size_t piece);
/* client_push: sends the pattern from at on until nothing more is taken for
 * 200 ms, or until total; how far it came. Not blocking until it is total. */
uint64_t client_push(struct client *client, uint64_t at, uint64_t total);

bool client_write(struct client *client, const void *data, size_t len);
/* client_read: exactly len bytes, or false. */
bool client_read(struct client *client, void *data, size_t len);
/* client_ended: true when the next thing is the end, of whatever kind; the
 * alert's name (SSL_alert_desc_string_long) or "close" or "reset". */
bool client_ended(struct client *client, const char **out_how);
/* client_echo: a text goes and comes back. */
bool client_echo(struct client *client, const char *text);

/* client_served: connect, echo, close: is this client let in? */
bool client_served(const struct world *world, const struct client_how *how,
                   const char **out_how);

int tcp_connect(uint16_t port); /* -1 when refused */

/* Pattern of bulk transfers: byte at is a function of its place. */
void pattern_fill(uint8_t *data, size_t len, uint64_t at);

int64_t now_ms(void);
void sleep_ms(int64_t ms);
/* WAIT_FOR: within WORLD_WAIT_MS, else the test fails. */
#define WAIT_FOR(condition)                                                    \
    do {                                                                       \
        int64_t wait_until_ms_ = now_ms() + WORLD_WAIT_MS;                     \
        bool met_ = (condition);                                               \
        while (!met_ && now_ms() < wait_until_ms_) {                           \
            sleep_ms(2);                                                       \
            met_ = (condition);                                                \
        }                                                                      \
        if (!met_) {                                                           \
            fail_msg("never: %s", #condition);                                 \
        }                                                                      \
    } while (0)

struct edge_counters counters_of(const struct world *world);
