/* loop: the one thread of the edge, and what its parts share.
 *
 * A turn: wait for events, only note them; then accept a few, let every
 * connection with work relay a bounded amount, advance a few handshakes (each
 * costs as much as fifty calls), check a few connections against a reloaded
 * set, and look at the time-outs when one is due. So nothing that a stranger
 * does keeps the others waiting for more than a few handshakes.
 *
 * Everything here belongs to the loop's thread, but for mailbox, registry
 * (which has its own rules) and counts.
 */
#pragma once

#include "server/edge/accept.h"
#include "server/edge/edge.h"
#include "server/edge/registry.h"
#include "server/edge/relay.h"
#include "server/edge/tls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/un.h>

struct conn;
TAILQ_HEAD(conn_list, conn);

/* Orders from other threads; wake_fd (an eventfd) tells that there are some. */
struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t taken;
    struct tls_set *next_set; /* NULL: none waits */
    bool drain;
    bool drained; /* nothing listens any more */
    bool stop;
    bool stopped; /* nobody takes anything any more */
    int wake_fd;
};

struct counts {
    _Atomic uint64_t accepted;
    _Atomic uint64_t handshakes_ok;
    _Atomic uint64_t handshakes_failed[EDGE_REFUSAL_COUNT];
    _Atomic uint64_t open;
    _Atomic uint64_t refused_cap;
    _Atomic uint64_t refused_identity_cap;
    _Atomic uint64_t backend_failed;
    _Atomic uint64_t accept_paused;
    _Atomic uint64_t closed_idle;
    _Atomic uint64_t closed_expired;
    _Atomic uint64_t closed_reload;
    _Atomic uint64_t bytes_in;
    _Atomic uint64_t bytes_out;
};

/* Log lines that strangers can cause: so many at once, then one more every
 * interval; what was left out is counted on the next line. */
struct log_budget {
    int64_t left;
    int64_t refilled_ms;
    uint64_t suppressed;
};

struct loop {
    /* fixed */
    const struct clock *clock;
    struct sockaddr_un backend;
    int64_t handshake_timeout_ms;
    int64_t idle_timeout_ms;
    uint32_t connections_max;
    int epoll_fd;
    struct registry *registry;
    BIO_METHOD *wire_method;
    /* its own */
    struct acceptor acceptor;
    struct tls_set *set;
    uint64_t set_number;          /* which set; up by one with each reload */
    struct conn_list all;         /* those of older sets first */
    struct conn_list relaying;    /* those with work */
    struct conn_list handshaking; /* those with work */
    uint32_t open;
    int64_t now_ms;
    int64_t sweep_due_ms;
    struct log_budget log_budget;
    uint8_t load[RELAY_LOAD_BYTES];
    /* shared */
    struct mailbox mailbox;
    struct counts counts;
};

/* At least so often, while a connection is open, its time-outs are looked at:
 * wall time can jump. */
#define LOOP_SWEEP_MOST_MS 1000

/* loop_run: until the mailbox says stop; then every connection is closed. */
void loop_run(struct loop *loop);

/* loop_wake: from any thread, after a change of the mailbox. */
void loop_wake(struct loop *loop);

/* loop_may_log: false when a stranger's line would be one too many.
 * Gives: *out_suppressed, the lines left out before this one. */
bool loop_may_log(struct loop *loop, uint64_t *out_suppressed);

/* count_add: of the loop's own thread; others only read. */
void count_add(_Atomic uint64_t *count, uint64_t more);
