#include "hsm/base/check.h"

#include "hsm/worker/link_inside.h"

#include <errno.h>
#include <sys/socket.h>

/* A packet that is being filled, and what is answered instead of sent. */
struct packing {
    struct frame_writer writer;
    int64_t now_us;
    int64_t now_ms; /* of the link's clock */
    struct link_answers answers;
};

/* One request into the packet; false: it does not fit. Lock held. */
static bool pack(struct worker_link *link, struct packing *packing,
                 struct flight_slot *slot)
{
    struct token_request *request = slot->request;
    /* what nobody waits for any more does not reach the token */
    bool expired =
        request->drop_dead_ms != 0 && packing->now_ms > request->drop_dead_ms;
    enum hf_status status =
        expired ? HF_E_EXPIRED
                : frame_request_put(&packing->writer, slot->number, request);
    link->refused += expired ? 1 : 0;
    if (status == HF_OK) {
        flight_sent(&link->flight, slot, packing->now_us);
    } else if (status != HF_E_LIMIT) {
        link_answer(&packing->answers, flight_drop(&link->flight, slot),
                    status);
    }
    return status != HF_E_LIMIT;
}

/* The next packet; false: nothing waits, and we are the sender no more. */
static bool pack_next(struct worker_link *link, struct packing *packing)
{
    packing->writer = frame_begin(link->out, FRAME_REQUESTS);
    packing->now_us = link_now_us();
    packing->now_ms = clock_monotonic_ms(link->clock);
    packing->answers = (struct link_answers){.first = NULL};
    pthread_mutex_lock(&link->lock);
    struct flight_slot *slot = flight_first(&link->flight);
    while (slot != NULL && pack(link, packing, slot)) {
        slot = flight_first(&link->flight);
    }
    bool any = packing->writer.count > 0;
    link->out_len = any ? frame_end(&packing->writer) : 0;
    link->sending = any;
    pthread_mutex_unlock(&link->lock);
    return any;
}

/* The packet goes; false: the socket is full. One that cannot go at all ends
 * the link, which its thread then finds at the end of its file. */
static bool write_packet(struct worker_link *link)
{
    ssize_t sent = -1;
    do {
        sent = send(link->socket, link->out, link->out_len,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return false;
    }
    if (sent != (ssize_t)link->out_len) {
        shutdown(link->socket, SHUT_RDWR);
    }
    wipe(link->out, link->out_len); /* keys that are to be sealed */
    link->out_len = 0;
    return true;
}

void link_send(struct worker_link *link)
{
    bool room = link->out_len == 0 || write_packet(link);
    bool any = true;
    while (room && any) {
        struct packing packing;
        any = pack_next(link, &packing);
        room = !any || write_packet(link);
        link_tell(&packing.answers);
    }
    if (!room) {
        pthread_mutex_lock(&link->lock);
        link->blocked = true;
        pthread_mutex_unlock(&link->lock);
        link_wake(link);
    }
}
