/* relay: the plain stream between a client's TLS session and gRPC's socket.
 *
 *   up    client --SSL_read--> [load] --write--> gRPC
 *   down  gRPC   --read--> [load] --SSL_write--> client
 *
 * The one module through which every plain byte passes, in each direction
 * through one function (pump): whoever wants to judge the stream judges it
 * there, between the load and the unload.
 *
 * A load is as many bytes as are there, RELAY_LOAD_BYTES at most, in a buffer
 * that all connections share. What the sink does not take is held by the
 * connection, and nothing more is read from the source until it is gone: that
 * is the back-pressure, and RELAY_LOAD_BYTES per direction its bound. An idle
 * connection holds no buffer.
 *
 * Descriptors are watched edge-triggered: the flags below say what is still to
 * be found out.
 */
#pragma once

#include "server/edge/wire.h"

#include <openssl/ssl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_LOAD_BYTES 32768

struct flow {
    uint8_t *held; /* NULL: nothing */
    size_t held_len;
    size_t held_at; /* of it, already taken by the sink */
    bool ended;     /* the source has no more */
    bool finished;  /* and the sink has been told */
    uint64_t bytes; /* passed on, ever */
};

struct relay {
    SSL *ssl;
    struct wire *wire; /* under ssl; knows whether there is more to read */
    int backend_fd;
    bool client_out;       /* may take something */
    bool read_needs_write; /* TLS itself has to write before it can read on */
    bool backend_in;
    bool backend_out;
    bool backend_hup; /* reads until the end, however short they come */
    struct flow up;
    struct flow down;
};

enum relay_result {
    RELAY_WAIT,     /* for an event */
    RELAY_MORE,     /* there is more to do now; let others have their turn */
    RELAY_FINISHED, /* gRPC ended the stream and the client has it all */
    RELAY_BROKEN,   /* a peer is gone, or broke TLS, or no memory */
};

/* relay_start: between an accepted session on its wire and a connected socket.
 */
void relay_start(struct relay *relay, SSL *ssl, struct wire *wire,
                 int backend_fd);

/* relay_turn: moves what can be moved, a bounded amount.
 *
 * Takes     load: RELAY_LOAD_BYTES of memory, of the caller's, for the turn;
 *           no plain byte is left in it.
 */
enum relay_result relay_turn(struct relay *relay, uint8_t *load);

/* relay_end: frees what is held; not the session, not the socket. */
void relay_end(struct relay *relay);
