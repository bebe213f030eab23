#include "server/edge/relay.h"

#include "hsm/base/check.h"

#include "hsm/sys/secret.h"

#include <openssl/err.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOADS_PER_TURN 4

enum side_result {
    SIDE_OK,
    SIDE_LATER, /* no more now; an event will tell */
    SIDE_ENDED, /* the source has no more, ever; the sink takes no more */
    SIDE_BROKEN,
};

/* One direction: where the bytes come from, where they go, and how the sink
 * learns that there are no more. len counts also when the result is not OK. */
struct way {
    enum side_result (*load)(struct relay *relay, uint8_t *data, size_t *len);
    enum side_result (*unload)(struct relay *relay, const uint8_t *data,
                               size_t data_len, size_t *len);
    void (*finish)(struct relay *relay);
};

/* Fills the load from as many records as are there: one write passes on what
 * several calls of the client brought. */
static enum side_result client_load(struct relay *relay, uint8_t *data,
                                    size_t *len)
{
    *len = 0;
    if (relay->read_needs_write && !relay->client_out) {
        return SIDE_LATER;
    }
    relay->read_needs_write = false;
    while (*len < RELAY_LOAD_BYTES) {
        size_t got = 0;
        if (SSL_read_ex(relay->ssl, data + *len, RELAY_LOAD_BYTES - *len,
                        &got) == 1) {
            *len += got;
            continue;
        }
        switch (SSL_get_error(relay->ssl, 0)) {
        case SSL_ERROR_WANT_READ:
            /* not drained: only the turn's budget is used up */
            return relay->wire->drained ? SIDE_LATER : SIDE_OK;
        case SSL_ERROR_WANT_WRITE:
            relay->read_needs_write = true;
            relay->client_out = false;
            return SIDE_LATER;
        case SSL_ERROR_ZERO_RETURN:
            return SIDE_ENDED;
        default: /* also an end without close_notify: the client is gone */
            return SIDE_BROKEN;
        }
    }
    return SIDE_OK;
}

static enum side_result client_unload(struct relay *relay, const uint8_t *data,
                                      size_t data_len, size_t *len)
{
    *len = 0;
    while (*len < data_len) {
        if (!relay->client_out) {
            return SIDE_LATER;
        }
        size_t wrote = 0;
        if (SSL_write_ex(relay->ssl, data + *len, data_len - *len, &wrote) ==
            1) {
            *len += wrote;
            continue;
        }
        int error = SSL_get_error(relay->ssl, 0);
        if (error != SSL_ERROR_WANT_WRITE) {
            return SIDE_BROKEN;
        }
        relay->client_out = false;
    }
    return SIDE_OK;
}

static void client_finish(struct relay *relay)
{
    /* close_notify; whether it arrives is the client's affair */
    if (SSL_shutdown(relay->ssl) < 0) {
        ERR_clear_error();
    }
}

static enum side_result backend_load(struct relay *relay, uint8_t *data,
                                     size_t *len)
{
    *len = 0;
    if (!relay->backend_in) {
        return SIDE_LATER;
    }
    ssize_t got = -1;
    do {
        got = recv(relay->backend_fd, data, RELAY_LOAD_BYTES, 0);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        *len = (size_t)got;
        /* a short read emptied it, and the next byte will be an event; but
         * the event of the end may have come with these bytes already */
        relay->backend_in = *len == RELAY_LOAD_BYTES || relay->backend_hup;
        return SIDE_OK;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        relay->backend_in = false;
        return SIDE_LATER;
    }
    /* ECONNRESET: it closed without reading all of ours. All it had to say
     * was read before. */
    return got == 0 || errno == ECONNRESET ? SIDE_ENDED : SIDE_BROKEN;
}

static enum side_result backend_unload(struct relay *relay, const uint8_t *data,
                                       size_t data_len, size_t *len)
{
    *len = 0;
    while (*len < data_len) {
        if (!relay->backend_out) {
            return SIDE_LATER;
        }
        ssize_t wrote =
            send(relay->backend_fd, data + *len, data_len - *len, MSG_NOSIGNAL);
        if (wrote >= 0) {
            *len += (size_t)wrote;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            relay->backend_out = false;
        } else if (errno != EINTR) {
            /* gRPC closed; its last words still go down */
            return SIDE_ENDED;
        }
    }
    return SIDE_OK;
}

static void backend_finish(struct relay *relay)
{
    if (shutdown(relay->backend_fd, SHUT_WR) != 0) {
        relay->backend_in = true; /* closed already: find the end */
    }
}

static const struct way way_up = {
    .load = client_load,
    .unload = backend_unload,
    .finish = backend_finish,
};

static const struct way way_down = {
    .load = backend_load,
    .unload = client_unload,
    .finish = client_finish,
};

static void held_drop(struct flow *flow)
{
    if (flow->held != NULL) {
        wipe(flow->held, flow->held_len); /* it may be an opened key */
        free(flow->held);
        flow->held = NULL;
    }
}

static bool held_keep(struct flow *flow, const uint8_t *data, size_t len)
{
    flow->held = malloc(len);
    if (flow->held == NULL) {
        return false;
    }
    memcpy(flow->held, data, len);
    flow->held_len = len;
    flow->held_at = 0;
    return true;
}

/* Passes on what is held. The sink's word: LATER while some is left. */
static enum side_result held_unload(struct relay *relay, struct flow *flow,
                                    const struct way *way)
{
    if (flow->held == NULL) {
        return SIDE_OK;
    }
    size_t len = 0;
    enum side_result sink = way->unload(relay, flow->held + flow->held_at,
                                        flow->held_len - flow->held_at, &len);
    flow->held_at += len;
    flow->bytes += len;
    if (sink != SIDE_LATER) {
        held_drop(flow);
    }
    return sink;
}

/* One load. RELAY_MORE: come again at once. */
static enum relay_result pump_load(struct relay *relay, struct flow *flow,
                                   const struct way *way, uint8_t *load,
                                   size_t *out_loaded)
{
    enum side_result sink = held_unload(relay, flow, way);
    size_t loaded = 0;
    size_t passed = 0;
    enum side_result source = SIDE_OK;
    if (sink == SIDE_OK && !flow->ended) {
        source = way->load(relay, load, &loaded);
        *out_loaded = loaded;
        flow->ended = source == SIDE_ENDED;
    }
    if (source == SIDE_BROKEN) {
        return RELAY_BROKEN;
    }
    if (loaded > 0) {
        sink = way->unload(relay, load, loaded, &passed);
        flow->bytes += passed;
    }
    if (sink == SIDE_BROKEN) {
        return RELAY_BROKEN;
    }
    if (sink == SIDE_LATER) {
        bool kept =
            loaded == 0 || held_keep(flow, load + passed, loaded - passed);
        return kept ? RELAY_WAIT : RELAY_BROKEN;
    }
    if (flow->ended || sink == SIDE_ENDED) {
        way->finish(relay);
        flow->ended = true;
        flow->finished = true;
        return RELAY_WAIT;
    }
    return source == SIDE_LATER ? RELAY_WAIT : RELAY_MORE;
}

static enum relay_result pump_once(struct relay *relay, struct flow *flow,
                                   const struct way *way, uint8_t *load)
{
    size_t loaded = 0;
    enum relay_result result = pump_load(relay, flow, way, load, &loaded);
    wipe(load, loaded); /* opened keys pass here */
    return result;
}

static enum relay_result pump(struct relay *relay, struct flow *flow,
                              const struct way *way, uint8_t *load)
{
    enum relay_result result = RELAY_WAIT;
    for (int i = 0; i < LOADS_PER_TURN && !flow->finished; i++) {
        result = pump_once(relay, flow, way, load);
        if (result != RELAY_MORE) {
            return result;
        }
    }
    return result;
}

void relay_start(struct relay *relay, SSL *ssl, struct wire *wire,
                 int backend_fd)
{
    *relay = (struct relay){
        .ssl = ssl,
        .wire = wire,
        .backend_fd = backend_fd,
        .client_out = true,
        .backend_in = true,
        .backend_out = true,
    };
}

enum relay_result relay_turn(struct relay *relay, uint8_t *load)
{
    CHECK(!relay->down.finished);
    ERR_clear_error(); /* SSL_get_error looks at what is left in it */
    wire_turn(relay->wire);
    enum relay_result up = pump(relay, &relay->up, &way_up, load);
    enum relay_result down = RELAY_BROKEN;
    if (up != RELAY_BROKEN) {
        down = pump(relay, &relay->down, &way_down, load);
    }
    if (down == RELAY_BROKEN) {
        ERR_clear_error();
        return RELAY_BROKEN;
    }
    if (relay->down.finished) {
        return RELAY_FINISHED;
    }
    return up == RELAY_MORE || down == RELAY_MORE ? RELAY_MORE : RELAY_WAIT;
}

void relay_end(struct relay *relay)
{
    held_drop(&relay->up);
    held_drop(&relay->down);
}
