/* link_inside: what a link consists of, shared by link.c (life, submit),
 * link_send.c (packets out), link_receive.c (packets in) and link_time.c (the
 * thread, and what is overdue).
 *
 * One thread at a time is the sender: whoever finds requests waiting and nobody
 * sending. It encodes under the lock and writes without it; when the socket is
 * full the packet stays where it is, and the role passes to the link's thread.
 * Only the link's thread answers what was sent.
 */
#pragma once

#include "hsm/worker/flight.h"
#include "hsm/worker/link.h"

#include <pthread.h>
#include <stdatomic.h>

struct worker_link {
    int socket;
    int wake; /* eventfd: the thread has something new to look at */
    uint32_t worker;
    int64_t grace_us;
    const struct clock *clock;
    struct worker_link_owner owner;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock;
    struct flight flight;
    bool sending; /* somebody is the sender */
    bool blocked; /* the sender is the link's thread: the socket is full */
    bool asleep;  /* the thread waits without a time-out */
    bool lost;
    bool stop;
    struct token_profile profile;
    struct token_counters counters; /* the worker's own */
    uint64_t refused;
    uint64_t late;
    uint64_t late_before; /* when the last packet came */

    uint8_t *out; /* the sender's: FRAME_PACKET_MAX bytes */
    size_t out_len;
    uint8_t *in; /* the thread's */
};

int64_t link_now_us(void);
void link_wake(struct worker_link *link);

/* Requests that are answered together, when no lock is held. */
struct link_answers {
    struct token_request *first;
    struct token_request *last;
};
void link_answer(struct link_answers *answers, struct token_request *request,
                 enum hf_status status);
void link_tell(const struct link_answers *answers);

/* link_send: sends what waits until there is nothing more or the socket is
 * full. Takes: the role of the sender, link->sending set. No lock held. */
void link_send(struct worker_link *link);

/* link_receive: one packet, without waiting; *out_any: there was one. HF_OK;
 * HF_E_CORRUPT for one that cannot be; HF_E_UNREACHABLE: the other end is
 * closed. */
HF_STATUS link_receive(struct worker_link *link, bool *out_any);

/* link_main: the thread; its argument is the link. */
void *link_main(void *argument);
