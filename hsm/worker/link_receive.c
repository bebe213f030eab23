#include "hsm/base/check.h"

#include "hsm/worker/link_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* The slots that one packet has answered. */
struct harvest {
    struct flight_slot *slots[TOKEN_BATCH_MAX];
    size_t count;
    struct link_answers answers;
};

static void free_request(struct token_request *request)
{
    free(request);
}

/* Nobody knows of this object: the answer was HF_E_TIMEOUT long ago. Without
 * memory it stays until the worker ends. */
static void forget(struct worker_link *link, struct token_object object)
{
    struct token_request *request = calloc(1, sizeof *request);
    if (request != NULL) {
        request->op = TOKEN_OP_FORGET;
        request->u.forget = object;
        request->done = free_request;
        worker_link_submit(link, &request, 1);
    }
}

/* The reply of a request that we answered ourselves. A key or a data object
 * that was made after all stays in the token: to destroy by name what we cannot
 * see could destroy what was made under that name since. */
static HF_STATUS take_late(struct worker_link *link,
                           struct frame_reader *reader,
                           const struct frame_reply_head *head,
                           struct flight_slot *slot)
{
    struct token_object object;
    HF_TRY(frame_reply_drop(reader, head, link->worker, &slot->late, &object));
    if (object.handle != 0) {
        forget(link, object);
    }
    return HF_OK;
}

static HF_STATUS take_reply(struct worker_link *link,
                            struct frame_reader *reader,
                            const struct frame_reply_head *head,
                            struct flight_slot *slot)
{
    uint64_t free_bytes = 0;
    HF_TRY(frame_reply_get(reader, head, link->worker, slot->request,
                           &slot->listed, &free_bytes));
    if (head->op == TOKEN_OP_HEALTH && head->status == HF_OK) {
        pthread_mutex_lock(&link->lock);
        link->profile.free_private_bytes = free_bytes;
        pthread_mutex_unlock(&link->lock);
    }
    return HF_OK;
}

/* One entry: whose is it, and is it what he asked? */
static HF_STATUS take_entry(struct worker_link *link,
                            struct frame_reader *reader, int64_t now_us,
                            struct harvest *harvest)
{
    struct frame_reply_head head;
    HF_TRY(frame_reply_head_get(reader, &head));
    pthread_mutex_lock(&link->lock);
    struct flight_slot *slot = flight_find(&link->flight, head.number);
    bool late = slot != NULL && slot->state == FLIGHT_LATE;
    pthread_mutex_unlock(&link->lock);
    if (slot == NULL) {
        return HF_E_CORRUPT; /* never asked, or answered before */
    }
    if (late) {
        HF_TRY(take_late(link, reader, &head, slot));
    } else {
        HF_TRY(take_reply(link, reader, &head, slot));
    }
    if (head.more) {
        return HF_OK;
    }
    pthread_mutex_lock(&link->lock);
    flight_answered(&link->flight, slot, now_us);
    pthread_mutex_unlock(&link->lock);
    harvest->slots[harvest->count++] = slot;
    if (!late) {
        link_answer(&harvest->answers, slot->request, slot->request->status);
    }
    return HF_OK;
}

static HF_STATUS take_packet(struct worker_link *link, struct bytes packet,
                             struct harvest *harvest)
{
    struct frame_reader reader;
    struct token_counters counters;
    int64_t now_us = link_now_us();
    HF_TRY(frame_open(packet, FRAME_REPLIES, &reader));
    frame_counters_get(&reader, &counters);
    while (reader.left > 0) {
        HF_TRY(take_entry(link, &reader, now_us, harvest));
    }
    HF_TRY(frame_close(&reader));
    pthread_mutex_lock(&link->lock);
    link->counters = counters;
    link->late_before = link->late;
    pthread_mutex_unlock(&link->lock);
    return HF_OK;
}

/* What was answered before the entry that cannot be was answered in good order,
 * and is told. */
static void release(struct worker_link *link, const struct harvest *harvest)
{
    pthread_mutex_lock(&link->lock);
    for (size_t i = 0; i < harvest->count; i++) {
        flight_release(&link->flight, harvest->slots[i]);
    }
    pthread_mutex_unlock(&link->lock);
    link_tell(&harvest->answers);
}

HF_STATUS link_receive(struct worker_link *link, bool *out_any)
{
    struct harvest harvest;
    harvest.count = 0;
    harvest.answers = (struct link_answers){.first = NULL};
    ssize_t len = recv(link->socket, link->in, FRAME_PACKET_MAX,
                       MSG_DONTWAIT | MSG_TRUNC);
    *out_any = len > 0;
    if (len < 0) {
        /* ECONNRESET: it died with requests unread; what it had answered is
         * still to be read */
        bool later = errno == EAGAIN || errno == EWOULDBLOCK ||
                     errno == EINTR || errno == ECONNRESET;
        return later ? HF_OK : HF_E_UNREACHABLE;
    }
    if (len == 0) {
        return HF_E_UNREACHABLE;
    }
    enum hf_status status = HF_E_CORRUPT;
    if (len <= FRAME_PACKET_MAX) {
        status =
            take_packet(link, (struct bytes){link->in, (size_t)len}, &harvest);
        wipe(link->in, (size_t)len); /* keys that were opened */
    } else {
        wipe(link->in, FRAME_PACKET_MAX);
    }
    release(link, &harvest);
    return status;
}
