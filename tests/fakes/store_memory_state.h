/* store_memory_state: what lies on the memory fake's disk. Inside the fake
 * only.
 */
#pragma once

#include "server/store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* A record as it lies on the disk: never changed, shared by the states. */
struct entry {
    atomic_size_t refs;
    struct record record; /* allocated up to the end of its body only */
};

/* All records at one moment, in the order of kind and key. */
struct state {
    atomic_size_t refs;
    size_t count;
    size_t cap;
    struct entry **entries;
    uint64_t audit_count;
    uint64_t epoch_count;
};

/* Links and epochs are only ever appended, by the one writer, behind what any
 * state counts: all states share them, in blocks that never move. */
#define BLOCK_ITEMS 1024
#define BLOCKS_MAX  1024

struct append_log {
    struct audit_link **audit[BLOCKS_MAX];
    struct epoch *epochs[BLOCKS_MAX];
};

/* memory_must: a test that runs out of memory has nothing left to say. */
void *memory_must(void *allocated);
struct bytes memory_key_of(const struct record *record);
size_t
memory_record_bytes(const struct record *record); /* up to the body's end */
size_t memory_link_bytes(const struct audit_link *link);

struct entry *memory_entry_new(const struct record *record);
void memory_entry_drop(struct entry *entry);
int memory_entry_order(const struct entry *entry, enum record_kind kind,
                       struct bytes key);

struct state *memory_state_copy(const struct state *from);
void memory_state_drop(struct state *state);
/* memory_state_place: the first place at or behind (kind, key). */
size_t memory_state_place(const struct state *state, enum record_kind kind,
                          struct bytes key);
struct entry **memory_state_find(struct state *state, enum record_kind kind,
                                 struct bytes key);
void memory_state_insert(struct state *state, struct entry *entry);
void memory_state_remove(struct state *state, struct entry **found);

struct audit_link **memory_link_at(struct append_log *log, uint64_t index);
struct epoch *memory_epoch_at(struct append_log *log, uint64_t counter);
void memory_link_add(struct append_log *log, struct state *state,
                     const struct audit_link *link);
void memory_epoch_add(struct append_log *log, struct state *state,
                      const struct epoch *epoch);
/* memory_links_drop: those behind from, up to count. */
void memory_links_drop(struct append_log *log, uint64_t from, uint64_t count);
void memory_log_free_blocks(struct append_log *log);

struct store_memory {
    pthread_mutex_t lock; /* of everything below; never held for long */
    pthread_cond_t written;
    bool writing; /* the write transaction is somebody's */
    struct state *state;
    bool open;
    uint32_t wait_ms;
    uint64_t writes;
    unsigned fail_calls;
    uint64_t fail_n; /* 0: no order */
    uint64_t calls;
    enum hf_status fail_status;
    bool failed;
    enum record_kind hold_kind; /* 0: no order */
    unsigned hold_left;         /* of its listings, with the one to be held */
    bool held;
    pthread_cond_t holding; /* one is held, or let go */
    struct append_log log;
};

/* memory_writer_take: waits for the writer, at most wait_ms. */
HF_STATUS memory_writer_take(struct store_memory *memory);
void memory_writer_give(struct store_memory *memory);
