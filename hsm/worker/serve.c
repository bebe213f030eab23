#include "hsm/worker/serve.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include "hsm/worker/frame.h"
#include "hsm/worker/hello.h"
#include "hsm/worker/serve_desk.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE_DEFAULT 1024

/* --- requests ------------------------------------------------------------- */

/* What one packet brought: for the token, and refused here. */
struct batch {
    struct token_request *requests[TOKEN_BATCH_MAX];
    size_t count;
    struct serve_desk_entry *refused[TOKEN_BATCH_MAX];
    size_t refused_count;
};

static HF_STATUS take_request(struct serve_desk *desk,
                              struct frame_reader *reader, struct batch *batch)
{
    enum token_op op = TOKEN_OP_HEALTH;
    HF_TRY(frame_peek_op(reader, &op));
    struct serve_desk_entry *entry = serve_desk_take(desk, op);
    if (entry == NULL) {
        return HF_E_CORRUPT; /* more than we said we take */
    }
    enum hf_status status = frame_request_get(reader, &entry->number,
                                              &entry->request, &entry->room);
    if (status != HF_OK) {
        serve_desk_give_back(desk, entry);
        return status;
    }
    status = serve_desk_make_room(desk, entry);
    if (status != HF_OK) {
        entry->request.status = status;
        batch->refused[batch->refused_count++] = entry;
        return HF_OK;
    }
    batch->requests[batch->count++] = &entry->request;
    return HF_OK;
}

static HF_STATUS take_packet(struct serve_desk *desk, struct bytes packet,
                             struct batch *batch)
{
    struct frame_reader reader;
    batch->count = 0;
    batch->refused_count = 0;
    HF_TRY(frame_open(packet, FRAME_REQUESTS, &reader));
    while (reader.left > 0) {
        HF_TRY(take_request(desk, &reader, batch));
    }
    return frame_close(&reader);
}

/* One packet in, into the token. *out_end: the other end is closed. */
static HF_STATUS serve_packet(struct serve_desk *desk, uint8_t *buffer,
                              bool *out_end)
{
    struct batch batch;
    ssize_t len = recv(desk->socket, buffer, FRAME_PACKET_MAX, MSG_TRUNC);
    if (len < 0 && errno == EINTR) {
        return HF_OK;
    }
    if (len <= 0) {
        *out_end = true;
        return len == 0 || errno == ECONNRESET ? HF_OK : HF_E_IO;
    }
    if (len > FRAME_PACKET_MAX) {
        return HF_E_CORRUPT;
    }
    enum hf_status status =
        take_packet(desk, (struct bytes){buffer, (size_t)len}, &batch);
    wipe(buffer, (size_t)len); /* keys that are to be sealed */
    /* of a packet that cannot be, nothing is done */
    if (status == HF_OK && batch.count > 0) {
        token_submit(desk->token, batch.requests, batch.count);
    }
    for (size_t i = 0; status == HF_OK && i < batch.refused_count; i++) {
        serve_desk_done(&batch.refused[i]->request);
    }
    return status;
}

/* --- hello ---------------------------------------------------------------- */

static HF_STATUS say_hello(int socket, const struct worker_hello *hello,
                           uint8_t *buffer)
{
    size_t len = hello_encode(hello, buffer);
    ssize_t sent = -1;
    do {
        sent = send(socket, buffer, len, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)len ? HF_OK : HF_E_IO;
}

static HF_STATUS serve(struct serve_desk *desk, uint32_t worker,
                       uint8_t *buffer)
{
    struct worker_hello hello = {.worker = worker,
                                 .status = HF_OK,
                                 .queue_max = (uint32_t)desk->per_lane};
    bool end = false;
    token_profile_get(desk->token, &hello.profile);
    HF_TRY(say_hello(desk->socket, &hello, buffer));
    while (!end) {
        HF_TRY(serve_packet(desk, buffer, &end));
    }
    return HF_OK;
}

/* --- life ----------------------------------------------------------------- */

/* SCHED_BATCH: with too few cores, the one who writes requests would be
 * interrupted by this thread for each single packet. Refused by the system it
 * is only slower. */
static void settle(void)
{
    const struct sched_param usual = {0};
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &usual);
}

HF_STATUS worker_serve(int socket, uint32_t worker, size_t queue_max,
                       struct token *token)
{
    struct serve_desk desk;
    size_t per_lane = queue_max > 0 ? queue_max : QUEUE_DEFAULT;
    CHECK(per_lane <= WORKER_QUEUE_MAX);
    enum hf_status status = serve_desk_init(&desk, socket, token, per_lane);
    if (status == HF_OK) {
        settle();
        status = serve(&desk, worker, desk.in);
        /* whoever still answers finds nobody there, and does not wait */
        shutdown(socket, SHUT_RDWR);
    }
    token_close(token); /* every answer is given before this returns */
    serve_desk_free(&desk);
    close(socket);
    return status;
}

HF_STATUS worker_refuse(int socket, uint32_t worker, enum hf_status status,
                        const char *why)
{
    static uint8_t buffer[FRAME_PACKET_MAX];
    struct worker_hello hello = {.worker = worker, .status = status};
    CHECK(status != HF_OK);
    size_t len = strnlen(why, HELLO_WHY_MAX_BYTES);
    memcpy(hello.why, why, len);
    enum hf_status said = say_hello(socket, &hello, buffer);
    close(socket);
    return said;
}
