#include "server/edge/conn.h"

#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include <openssl/err.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CLIENT_EVENTS  (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define BACKEND_EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLET)
#define LINGER_READS   4
#define ADDRESS_BYTES  (INET6_ADDRSTRLEN + 16)

static void address_write(const struct sockaddr_storage *address,
                          char out[ADDRESS_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned int port = 0;
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        port = ntohs(v4->sin_port);
    } else {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        port = ntohs(v6->sin6_port);
    }
    snprintf(out, ADDRESS_BYTES, "[%s]:%u", host, port);
}

/* Who was told what; verdict may be NULL when it is not about a certificate. */
static void tell(struct loop *loop, const struct conn *conn, const char *event,
                 const char *reason, const struct peer_verdict *verdict)
{
    uint64_t suppressed = 0;
    if (!loop_may_log(loop, &suppressed)) {
        return;
    }
    char address[ADDRESS_BYTES];
    address_write(&conn->address, address);
    log_event(LOG_WARN, event, LOG_TEXT("reason", reason),
              LOG_TEXT("detail", verdict == NULL ? "" : verdict->detail),
              LOG_TEXT("peer", address),
              LOG_TEXT("subject", verdict == NULL ? "" : verdict->subject),
              LOG_NUMBER("suppressed", suppressed));
}

static void queue(struct loop *loop, struct conn *conn)
{
    if (!conn->queued) {
        conn->queued = true;
        if (conn->state == CONN_HANDSHAKE) {
            TAILQ_INSERT_TAIL(&loop->handshaking, conn, in_work);
        } else {
            TAILQ_INSERT_TAIL(&loop->relaying, conn, in_work);
        }
    }
}

static void unqueue(struct loop *loop, struct conn *conn)
{
    if (conn->queued) {
        conn->queued = false;
        if (conn->state == CONN_HANDSHAKE) {
            TAILQ_REMOVE(&loop->handshaking, conn, in_work);
        } else {
            TAILQ_REMOVE(&loop->relaying, conn, in_work);
        }
    }
}

static void due_at(struct loop *loop, struct conn *conn, int64_t due_ms)
{
    conn->due_ms = due_ms;
    int64_t latest_ms = loop->now_ms + LOOP_SWEEP_MOST_MS;
    int64_t look_ms = due_ms < latest_ms ? due_ms : latest_ms;
    if (look_ms < loop->sweep_due_ms) {
        loop->sweep_due_ms = look_ms;
    }
}

static HF_STATUS watch(struct loop *loop, struct side *side, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = side};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, side->fd, &event) == 0
               ? HF_OK
               : HF_E_RESOURCES;
}

HF_STATUS conn_new(struct loop *loop, int fd,
                   const struct sockaddr_storage *address)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        close(fd);
        return HF_E_NO_MEMORY;
    }
    conn->state = CONN_HANDSHAKE;
    conn->client = (struct side){.conn = conn, .fd = fd};
    conn->backend = (struct side){.conn = conn, .fd = -1};
    conn->wire = (struct wire){.fd = fd};
    conn->address = *address;
    conn->set_number = loop->set_number;
    TAILQ_INSERT_TAIL(&loop->all, conn, in_all);
    loop->open++;
    atomic_store_explicit(&loop->counts.open, loop->open, memory_order_relaxed);
    due_at(loop, conn, loop->now_ms + loop->handshake_timeout_ms);

    enum hf_status status = HF_E_NO_MEMORY;
    conn->peer = calloc(1, sizeof *conn->peer);
    if (conn->peer != NULL) {
        conn->peer->clock = loop->clock;
        status = tls_session_new(loop->set, conn->peer, &conn->ssl);
    }
    if (status == HF_OK) {
        status = wire_under(loop->wire_method, &conn->wire, conn->ssl);
    }
    if (status == HF_OK) {
        status = watch(loop, &conn->client, CLIENT_EVENTS);
    }
    if (status != HF_OK) {
        conn_free(loop, conn);
    }
    return status;
}

/* What only an open connection has. */
static void leave_open(struct loop *loop, struct conn *conn)
{
    CHECK(conn->state == CONN_OPEN);
    registry_remove(loop->registry, conn->id);
    relay_end(&conn->relay);
}

static void tls_drop(struct conn *conn)
{
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    free(conn->peer);
    conn->peer = NULL;
    if (conn->backend.fd >= 0) {
        close(conn->backend.fd);
        conn->backend.fd = -1;
    }
}

void conn_free(struct loop *loop, struct conn *conn)
{
    unqueue(loop, conn);
    if (conn->state == CONN_OPEN) {
        leave_open(loop, conn);
    }
    tls_drop(conn);
    close(conn->client.fd);
    TAILQ_REMOVE(&loop->all, conn, in_all);
    loop->open--;
    atomic_store_explicit(&loop->counts.open, loop->open, memory_order_relaxed);
    free(conn);
}

static void linger(struct loop *loop, struct conn *conn)
{
    CHECK(!conn->queued);
    if (conn->state == CONN_OPEN) {
        leave_open(loop, conn);
    }
    conn->state = CONN_LINGER;
    if (SSL_is_init_finished(conn->ssl) && SSL_shutdown(conn->ssl) < 0) {
        ERR_clear_error(); /* no room for a close_notify: it does without */
    }
    tls_drop(conn);
    shutdown(conn->client.fd, SHUT_WR); /* fails when the client is gone */
    due_at(loop, conn, loop->now_ms + CONN_LINGER_MS);
    queue(loop, conn); /* what came before is no event any more */
}

static void linger_turn(struct loop *loop, struct conn *conn)
{
    for (int i = 0; i < LINGER_READS; i++) {
        ssize_t got = recv(conn->client.fd, loop->load, sizeof loop->load, 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        }
        if (got == 0 || (got < 0 && errno != EINTR)) {
            conn_free(loop, conn);
            return;
        }
    }
    queue(loop, conn);
}

static void refuse(struct loop *loop, struct conn *conn,
                   const struct peer_verdict *verdict)
{
    count_add(&loop->counts.handshakes_failed[verdict->refusal], 1);
    tell(loop, conn, "edge.refused", edge_refusal_name(verdict->refusal),
         verdict);
}

/* gRPC's accept in this process needs a descriptor too, and its listener never
 * recovers from finding none: if there is none to spare, do not connect. */
static bool descriptor_to_spare(int fd)
{
    int spare = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (spare < 0) {
        return false;
    }
    close(spare);
    return true;
}

static HF_STATUS backend_connect(struct loop *loop, struct conn *conn)
{
    struct sockaddr_un name;
    socklen_t name_len = 0;
    registry_address(loop->registry, conn->id, &name, &name_len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return HF_E_RESOURCES;
    }
    conn->backend.fd = fd;
    if (!descriptor_to_spare(fd)) {
        return HF_E_RESOURCES;
    }
    if (bind(fd, (const struct sockaddr *)&name, name_len) != 0 ||
        connect(fd, (const struct sockaddr *)&loop->backend,
                sizeof loop->backend) != 0) {
        return HF_E_UNREACHABLE; /* EAGAIN too: gRPC does not accept */
    }
    return watch(loop, &conn->backend, BACKEND_EVENTS);
}

static void open_turn(struct loop *loop, struct conn *conn);

static void establish(struct loop *loop, struct conn *conn)
{
    struct peer_verdict *verdict = &conn->peer->verdict;
    if (conn->recheck_at_open || conn->set_number != loop->set_number) {
        enum hf_status status =
            tls_recheck(loop->set, conn->ssl, loop->clock, verdict);
        if (status != HF_OK || !verdict->accepted) {
            refuse(loop, conn, verdict);
            linger(loop, conn);
            return;
        }
    }
    count_add(&loop->counts.handshakes_ok, 1);
    enum hf_status status =
        registry_add(loop->registry, &verdict->identity, &conn->id);
    if (status != HF_OK) {
        count_add(&loop->counts.refused_identity_cap, 1);
        tell(loop, conn, "edge.closed", "connections_per_identity_max",
             verdict);
        linger(loop, conn);
        return;
    }
    conn->state = CONN_OPEN;
    conn->expires_ms = verdict->expires_ms;
    conn->set_number = loop->set_number;
    status = backend_connect(loop, conn);
    relay_start(&conn->relay, conn->ssl, &conn->wire, conn->backend.fd);
    if (status != HF_OK) {
        count_add(&loop->counts.backend_failed, 1);
        tell(loop, conn, "edge.closed", "backend unreachable", verdict);
        linger(loop, conn);
        return;
    }
    free(conn->peer);
    conn->peer = NULL;
    SSL_set_app_data(conn->ssl, NULL);
    due_at(loop, conn, loop->now_ms + loop->idle_timeout_ms);
    open_turn(loop, conn);
}

static void handshake_turn(struct loop *loop, struct conn *conn)
{
    wire_turn(&conn->wire);
    switch (tls_handshake(conn->ssl, conn->peer)) {
    case TLS_WAITING:
        if (!conn->wire.drained && SSL_want_read(conn->ssl)) {
            queue(loop, conn); /* only the turn's budget is used up */
        }
        return;
    case TLS_ACCEPTED:
        establish(loop, conn);
        return;
    case TLS_REFUSED:
        refuse(loop, conn, &conn->peer->verdict);
        linger(loop, conn);
        return;
    }
}

/* gRPC's socket is watched for room only while it has none: a Unix socket
 * would wake us each time that gRPC reads. */
static void watch_room(struct loop *loop, struct conn *conn)
{
    bool wanted = !conn->relay.backend_out;
    if (wanted != conn->backend_out_watched) {
        struct epoll_event event = {
            .events = wanted ? BACKEND_EVENTS | EPOLLOUT : BACKEND_EVENTS,
            .data.ptr = &conn->backend,
        };
        CHECK(epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, conn->backend.fd,
                        &event) == 0);
        conn->backend_out_watched = wanted;
    }
}

static void open_turn(struct loop *loop, struct conn *conn)
{
    enum relay_result result = RELAY_BROKEN;
    if (!conn->client_lost) {
        result = relay_turn(&conn->relay, loop->load);
    }
    uint64_t in = conn->relay.up.bytes - conn->bytes_counted_in;
    uint64_t out = conn->relay.down.bytes - conn->bytes_counted_out;
    if (in + out > 0) {
        conn->bytes_counted_in += in;
        conn->bytes_counted_out += out;
        count_add(&loop->counts.bytes_in, in);
        count_add(&loop->counts.bytes_out, out);
        conn->due_ms = loop->now_ms + loop->idle_timeout_ms;
    }
    switch (result) {
    case RELAY_WAIT:
        watch_room(loop, conn);
        return;
    case RELAY_MORE:
        watch_room(loop, conn);
        queue(loop, conn);
        return;
    case RELAY_FINISHED:
        linger(loop, conn);
        return;
    case RELAY_BROKEN:
        conn_free(loop, conn);
        return;
    }
}

void conn_note(struct loop *loop, struct side *side, uint32_t events)
{
    struct conn *conn = side->conn;
    struct relay *relay = &conn->relay;
    bool in = (events & EPOLLIN) != 0;
    bool out = (events & EPOLLOUT) != 0;
    bool ended = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (side == &conn->client) {
        /* reset, or both ways closed: nothing will reach it any more */
        conn->client_lost =
            conn->client_lost || (events & (EPOLLHUP | EPOLLERR)) != 0;
        if (in || ended) {
            wire_event(&conn->wire, ended);
        }
        relay->client_out = relay->client_out || out;
    } else {
        relay->backend_hup = relay->backend_hup || ended;
        relay->backend_in = relay->backend_in || in || ended;
        relay->backend_out = relay->backend_out || out || ended;
    }
    queue(loop, conn);
}

void conn_turn(struct loop *loop, struct conn *conn)
{
    unqueue(loop, conn);
    switch (conn->state) {
    case CONN_HANDSHAKE:
        handshake_turn(loop, conn);
        return;
    case CONN_OPEN:
        open_turn(loop, conn);
        return;
    case CONN_LINGER:
        linger_turn(loop, conn);
        return;
    }
}

int64_t conn_due(struct loop *loop, struct conn *conn, int64_t wall_ms)
{
    bool expired = conn->state == CONN_OPEN && wall_ms >= conn->expires_ms;
    if (!expired && loop->now_ms < conn->due_ms) {
        return conn->due_ms;
    }
    switch (conn->state) {
    case CONN_HANDSHAKE:
        conn->peer->verdict.refusal = EDGE_REFUSED_TIMEOUT;
        refuse(loop, conn, &conn->peer->verdict);
        break;
    case CONN_OPEN:
        count_add(expired ? &loop->counts.closed_expired
                          : &loop->counts.closed_idle,
                  1);
        tell(loop, conn, "edge.closed", expired ? "expired" : "idle", NULL);
        break;
    case CONN_LINGER:
        break;
    }
    conn_free(loop, conn);
    return INT64_MAX;
}

void conn_recheck(struct loop *loop, struct conn *conn)
{
    TAILQ_REMOVE(&loop->all, conn, in_all);
    TAILQ_INSERT_TAIL(&loop->all, conn, in_all);
    conn->set_number = loop->set_number;
    if (conn->state == CONN_HANDSHAKE) {
        conn->recheck_at_open = true;
    }
    if (conn->state != CONN_OPEN) {
        return;
    }
    struct peer_verdict verdict = {.refusal = EDGE_REFUSED_UNTRUSTED};
    enum hf_status status =
        tls_recheck(loop->set, conn->ssl, loop->clock, &verdict);
    if (status == HF_OK && verdict.accepted) {
        conn->expires_ms = verdict.expires_ms;
        return;
    }
    count_add(&loop->counts.closed_reload, 1);
    tell(loop, conn, "edge.closed", edge_refusal_name(verdict.refusal),
         &verdict);
    conn_free(loop, conn);
}
