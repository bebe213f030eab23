/* mirrored_inside: shared by the files of the mirrored token. */
#pragma once

#include "hsm/token/mirrored.h"

#include <pthread.h>

/* Sets of members are bits. */
#define MEMBER(i) (1u << (i))

struct member {
    struct token token;
    struct mirror_report report;
    bool verified; /* it was there, and holds the MAC key of the others */
    bool to_tell;
    uint32_t rounds_away; /* whoever looks: the start, then the keeper */
    bool signs;
    uint8_t sign_fingerprint[HF_SHA256_BYTES];
    uint8_t mac[HF_SHA256_BYTES]; /* of a known text */
};

struct mirrored {
    struct mirrored_settings settings;
    struct token_key mac_key;
    struct token_key sign_key;
    struct member members[MIRRORS_MAX];
    size_t count;

    pthread_mutex_t lock; /* what is above, and these */
    pthread_cond_t work;  /* for the writer */
    pthread_cond_t news;  /* for the keeper */
    bool closing;
    struct token_request *queue;
    struct token_request **queue_end;
    size_t queued;

    /* data objects and the view; held across calls, lock is taken inside */
    pthread_mutex_t data_lock;
    struct mirror_view view; /* the last that all its members hold */
    unsigned in_view;
    uint64_t view_number; /* the highest that may stand anywhere */
    bool view_settled;    /* no later one may stand anywhere */

    pthread_t writer;
    pthread_t keeper;
    bool writer_runs;
    bool keeper_runs;
};

/* --- mirrored.c: states */
void mirror_state_set(struct mirrored *self, size_t i, enum mirror_state state,
                      enum hf_status status);
enum mirror_state mirror_state_get(struct mirrored *self, size_t i);
/* mirror_answering: members whose MAC key was verified and which were not away
 * when they were asked last. */
unsigned mirror_answering(struct mirrored *self);

/* --- mirrored_relay.c: what one member can do alone */
void mirror_relay(struct mirrored *self, struct token_request *request);

/* --- mirrored_data.c; data_lock is held */
enum hf_status mirror_data(struct mirrored *self,
                           struct token_request *request);
/* mirror_catch_up: a member gets what those in step hold, and is in step. */
HF_STATUS mirror_catch_up(struct mirrored *self, size_t i);

/* --- mirrored_keep.c */
/* mirror_join: is it there, and what does it hold? Fills report.name, mac and
 * what it signs with. */
HF_STATUS mirror_join(struct mirrored *self, size_t i);
HF_STATUS mirror_begin(struct mirrored *self, struct mirrored_problem *problem);
void *mirror_keeper(void *argument);
