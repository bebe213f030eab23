/* conn: the life of one connection.
 *
 *               accepted by tls             gRPC ended the stream
 *   HANDSHAKE ------------------> OPEN -------------------------> LINGER
 *       |  \                       | peer gone, idle, expired,       |
 *       |   \ refused              | no longer verified              |
 *       |    +---------------------|-------------------------------> |
 *       | peer gone, time-out      v                                 v
 *       +----------------------> (freed) <--- end, or CONN_LINGER_MS
 *
 * The name is in the registry exactly while OPEN, and from before gRPC's
 * socket is connected. In LINGER our last words (an alert, a GOAWAY) are on
 * their way: closing a socket with unread bytes would reset it and destroy
 * them, so what comes is read and dropped for a short while.
 */
#pragma once

#include "server/edge/loop.h"

#include <stdbool.h>
#include <stdint.h>

#define CONN_LINGER_MS 1000

enum conn_state { CONN_HANDSHAKE, CONN_OPEN, CONN_LINGER };

/* One descriptor of a connection, as epoll knows it. */
struct side {
    struct conn *conn; /* NULL: not of a connection */
    int fd;            /* -1: none */
};

struct conn {
    enum conn_state state;
    struct side client;
    struct side backend;
    SSL *ssl;
    struct wire wire;      /* under ssl */
    struct tls_peer *peer; /* only in HANDSHAKE */
    struct relay relay;    /* only in OPEN */
    uint64_t id;           /* only in OPEN */
    int64_t due_ms;        /* monotonic: time-out of the state */
    int64_t expires_ms;    /* wall: the chain ends */
    uint64_t set_number;   /* verified, or to be verified, against */
    bool recheck_at_open;  /* a reload came between */
    bool client_lost;
    bool backend_out_watched;
    bool queued;
    uint64_t bytes_counted_in;
    uint64_t bytes_counted_out;
    struct sockaddr_storage address;
    TAILQ_ENTRY(conn) in_all;
    TAILQ_ENTRY(conn) in_work;
};

/* conn_new: takes fd, also when it fails (then it is closed). */
HF_STATUS conn_new(struct loop *loop, int fd,
                   const struct sockaddr_storage *address);

/* conn_free: closes it now, whatever its state. */
void conn_free(struct loop *loop, struct conn *conn);

/* conn_note: an event came; queues it. conn_turn: does its work; may free it.
 */
void conn_note(struct loop *loop, struct side *side, uint32_t events);
void conn_turn(struct loop *loop, struct conn *conn);

/* conn_due: closes it when its time is over (then it is freed and
 * INT64_MAX is returned); else when to ask again, at the latest. */
int64_t conn_due(struct loop *loop, struct conn *conn, int64_t wall_ms);

/* conn_recheck: against the loop's set; closed when it does not verify. */
void conn_recheck(struct loop *loop, struct conn *conn);
