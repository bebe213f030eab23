/* serve_desk: the requests a worker has in hand, and their answers on the way
 * out.
 *
 *   free -> in the token -> finished -> packet -> free
 *
 * One thread at a time is the sender, whoever finishes one when nobody sends;
 * what is finished meanwhile goes into its next packet. A port that has more
 * answers to tell at once says so (token_request.link), and the last one sends
 * them all. Sending may wait for the other end to read; it reads as long as it
 * lives, so nothing is gained by queueing here once more.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/token/token.h"
#include "hsm/worker/frame.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lists in hand at once, and items of one at most, whatever the caller's cap:
 * as many as an adapter brings home. */
#define SERVE_LISTS_MAX 64
#define SERVE_ITEMS_MAX 4096

struct serve_desk;

struct serve_desk_entry {
    struct token_request request; /* first: done is given only this */
    struct serve_desk *desk;
    struct serve_desk_entry *next;
    uint64_t number;
    size_t listed; /* items of a list that were sent */
    void *list;    /* the items */
    bool is_data;
    struct frame_room room;
};

struct serve_entries {
    struct serve_desk_entry *first;
    struct serve_desk_entry *last;
};

struct serve_desk {
    int socket;
    struct token *token;
    size_t per_lane;
    struct serve_desk_entry *entries;
    uint8_t *in;  /* FRAME_PACKET_MAX bytes, of the one who receives */
    uint8_t *out; /* and of the one who sends */

    pthread_mutex_t lock;
    struct serve_desk_entry *free[2]; /* root, data */
    struct serve_entries finished[2];
    size_t lists;
    bool sending;
};

/* serve_desk_init: entries for per_lane requests of each lane. HF_OK;
 * HF_E_NO_MEMORY. serve_desk_free may be called after either. */
HF_STATUS serve_desk_init(struct serve_desk *desk, int socket,
                          struct token *token, size_t per_lane);
/* serve_desk_free: no request is in the token any more. */
void serve_desk_free(struct serve_desk *desk);

/* serve_desk_take: an entry for a request of this kind; NULL: none is free. */
struct serve_desk_entry *serve_desk_take(struct serve_desk *desk,
                                         enum token_op op);
void serve_desk_give_back(struct serve_desk *desk,
                          struct serve_desk_entry *entry);
/* serve_desk_make_room: for what a LIST brings. HF_OK; HF_E_OVERLOAD;
 * HF_E_NO_MEMORY. */
HF_STATUS serve_desk_make_room(struct serve_desk *desk,
                               struct serve_desk_entry *entry);
/* serve_desk_done: its done function. */
void serve_desk_done(struct token_request *request);
