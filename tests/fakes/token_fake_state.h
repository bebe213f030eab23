/* token_fake_state: the inside of the fake token, shared by token_fake.c
 * (lanes), token_fake_control.c (what a test may ask), token_fake_keys.c (what
 * it holds) and token_fake_ops.c (what the operations do).
 *
 * One lock for everything. It is not held while keys are made, while OpenSSL
 * works, or while done is called. */
#pragma once

#include "hsm/sys/clock.h"

#include "hsm/token/token.h"

#include "tests/fakes/token_fake.h"

#include <openssl/evp.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_OPS         (TOKEN_OP_HEALTH + 1)
#define FAKE_KEYS_MAX    4096
#define FAKE_DATA_MAX    1024
#define FAKE_OBJECTS_MAX 65536

struct fake_key {
    struct token_key_report report;
    EVP_PKEY *pair;               /* RSA, EC */
    uint8_t secret[HF_KEY_BYTES]; /* AES, GENERIC */
};

struct fake_object {
    uint64_t handle;
    uint8_t key[HF_KEY_BYTES];
};

struct fake_fault {
    enum hf_status all;
    enum hf_status nth; /* HF_OK: none */
    size_t nth_in;      /* calls until then */
    bool nth_takes_effect;
    int64_t delay_ms;
    bool hold;
    uint64_t calls;
};

struct fake_queue {
    struct token_request *first;
    struct token_request *last;
    size_t count;
};

struct fake_lane {
    struct fake_queue queue;
    pthread_cond_t work;
    pthread_t thread;
    bool started;
    struct token_fake *fake;
};

struct token_fake {
    struct token_fake_settings settings;
    struct token_profile profile;
    bool unmet;
    const struct clock *clock;

    pthread_mutex_t lock;
    struct fake_lane lanes[2]; /* root, data */
    bool closing;
    struct fake_queue held;
    pthread_cond_t held_changed;
    struct fake_fault faults[FAKE_OPS];
    struct token_key fault_key;
    enum hf_status fault_key_status;
    bool lies; /* what OPEN gives of a key is another one */

    struct fake_key *keys; /* FAKE_KEYS_MAX */
    size_t key_count;
    struct token_data *data; /* FAKE_DATA_MAX */
    size_t data_count;
    struct fake_object *objects; /* FAKE_OBJECTS_MAX, ascending handles */
    size_t object_count;
    uint64_t next_handle;
    uint64_t generation;
    struct token_counters counters;
    struct token_state state; /* if it was set; else it is open */
    bool state_is_set;
    uint64_t confirmed;
};

/* fake_do: does one operation and returns its status. No lock held. */
HF_STATUS fake_do(struct token_fake *fake, struct token_request *request);

/* fake_key_at: the key with this id, or NULL. Lock held. */
struct fake_key *fake_key_at(struct token_fake *fake, const uint8_t *id,
                             size_t id_len);
/* fake_key_add: takes over the key's pair on HF_OK. HF_E_EXISTS; HF_E_LIMIT.
 * Lock held. */
HF_STATUS fake_key_add(struct token_fake *fake, const struct fake_key *key);
/* fake_key_drop: frees and removes. Lock held. */
void fake_key_drop(struct token_fake *fake, struct fake_key *key);
/* fake_key_borrow: a copy to work with while the lock is not held, ended by
 * fake_key_release. HF_E_NOT_FOUND also for another type or fingerprint. */
HF_STATUS fake_key_borrow(struct token_fake *fake,
                          const struct token_key *asked, struct fake_key *out);
void fake_key_release(struct fake_key *key);
/* The operations on what the token holds. No lock held. */
HF_STATUS fake_find(struct token_fake *fake, struct token_find *find);
HF_STATUS fake_list(struct token_fake *fake, struct token_list *list);
HF_STATUS fake_generate(struct token_fake *fake,
                        struct token_generate *generate);
HF_STATUS fake_destroy(struct token_fake *fake, const struct token_key *asked);
HF_STATUS fake_data_list(struct token_fake *fake, struct token_data_list *list);
HF_STATUS fake_data_create(struct token_fake *fake,
                           const struct token_data *item);
HF_STATUS fake_data_destroy(struct token_fake *fake,
                            const struct token_data *item);
/* fake_answer: decides whether a fault answers instead, waits, does, tells.
 * may_hold: false when it was held before and is released now. No lock held. */
void fake_answer(struct token_fake *fake, struct token_request *request,
                 bool may_hold);
void fake_queue_add(struct fake_queue *queue, struct token_request *request);
struct token_request *fake_queue_pop(struct fake_queue *queue);
/* fake_request_key: the root key a request is about, NULL for none. */
const struct token_key *fake_request_key(const struct token_request *request);
