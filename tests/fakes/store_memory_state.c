#include "tests/fakes/store_memory_state.h"

#include "hsm/base/check.h"

#include <stdlib.h>
#include <string.h>

void *memory_must(void *allocated)
{
    CHECK(allocated != NULL);
    return allocated;
}

struct bytes memory_key_of(const struct record *record)
{
    return (struct bytes){record->key, record->key_len};
}

size_t memory_record_bytes(const struct record *record)
{
    return offsetof(struct record, body) + record->body_len;
}

size_t memory_link_bytes(const struct audit_link *link)
{
    return offsetof(struct audit_link, body) + link->body_len;
}

struct entry *memory_entry_new(const struct record *record)
{
    struct entry *entry = memory_must(
        malloc(offsetof(struct entry, record) + sizeof(struct record)));
    atomic_init(&entry->refs, 1);
    memcpy(&entry->record, record, memory_record_bytes(record));
    struct entry *shrunk = realloc(entry, offsetof(struct entry, record) +
                                              memory_record_bytes(record));
    return memory_must(shrunk);
}

void memory_entry_drop(struct entry *entry)
{
    if (atomic_fetch_sub(&entry->refs, 1) == 1) {
        free(entry);
    }
}

struct state *memory_state_copy(const struct state *from)
{
    struct state *copy = memory_must(calloc(1, sizeof *copy));
    *copy = (struct state){
        .count = from->count,
        .cap = from->count + 8,
        .audit_count = from->audit_count,
        .epoch_count = from->epoch_count,
    };
    atomic_init(&copy->refs, 1);
    copy->entries = memory_must(calloc(copy->cap, sizeof *copy->entries));
    for (size_t i = 0; i < from->count; i++) {
        copy->entries[i] = from->entries[i];
        atomic_fetch_add(&copy->entries[i]->refs, 1);
    }
    return copy;
}

void memory_state_drop(struct state *state)
{
    if (atomic_fetch_sub(&state->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < state->count; i++) {
        memory_entry_drop(state->entries[i]);
    }
    free(state->entries);
    free(state);
}

int memory_entry_order(const struct entry *entry, enum record_kind kind,
                       struct bytes key)
{
    if (entry->record.kind != kind) {
        return entry->record.kind < kind ? -1 : 1;
    }
    return bytes_order(memory_key_of(&entry->record), key);
}

size_t memory_state_place(const struct state *state, enum record_kind kind,
                          struct bytes key)
{
    size_t low = 0;
    size_t high = state->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memory_entry_order(state->entries[middle], kind, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct entry **memory_state_find(struct state *state, enum record_kind kind,
                                 struct bytes key)
{
    size_t place = memory_state_place(state, kind, key);
    if (place == state->count ||
        memory_entry_order(state->entries[place], kind, key) != 0) {
        return NULL;
    }
    return &state->entries[place];
}

void memory_state_insert(struct state *state, struct entry *entry)
{
    if (state->count == state->cap) {
        state->cap *= 2;
        state->entries = memory_must(
            realloc(state->entries, state->cap * sizeof *state->entries));
    }
    size_t place = memory_state_place(state, entry->record.kind,
                                      memory_key_of(&entry->record));
    memmove(state->entries + place + 1, state->entries + place,
            (state->count - place) * sizeof *state->entries);
    state->entries[place] = entry;
    state->count++;
}

void memory_state_remove(struct state *state, struct entry **found)
{
    size_t place = (size_t)(found - state->entries);
    memory_entry_drop(*found);
    state->count--;
    memmove(found, found + 1, (state->count - place) * sizeof *found);
}

struct audit_link **memory_link_at(struct append_log *log, uint64_t index)
{
    uint64_t at = index - 1;
    return &log->audit[at / BLOCK_ITEMS][at % BLOCK_ITEMS];
}

struct epoch *memory_epoch_at(struct append_log *log, uint64_t counter)
{
    uint64_t at = counter - 1;
    return &log->epochs[at / BLOCK_ITEMS][at % BLOCK_ITEMS];
}

void memory_links_drop(struct append_log *log, uint64_t from, uint64_t count)
{
    for (uint64_t index = from + 1; index <= count; index++) {
        free(*memory_link_at(log, index));
        *memory_link_at(log, index) = NULL;
    }
}

void memory_link_add(struct append_log *log, struct state *state,
                     const struct audit_link *link)
{
    uint64_t at = state->audit_count;
    CHECK(at / BLOCK_ITEMS < BLOCKS_MAX);
    if (log->audit[at / BLOCK_ITEMS] == NULL) {
        log->audit[at / BLOCK_ITEMS] =
            memory_must(calloc(BLOCK_ITEMS, sizeof(struct audit_link *)));
    }
    state->audit_count++;
    struct audit_link *copy = memory_must(malloc(sizeof *copy));
    memcpy(copy, link, memory_link_bytes(link));
    *memory_link_at(log, state->audit_count) =
        memory_must(realloc(copy, memory_link_bytes(link)));
}

void memory_epoch_add(struct append_log *log, struct state *state,
                      const struct epoch *epoch)
{
    uint64_t at = state->epoch_count;
    CHECK(at / BLOCK_ITEMS < BLOCKS_MAX);
    if (log->epochs[at / BLOCK_ITEMS] == NULL) {
        log->epochs[at / BLOCK_ITEMS] =
            memory_must(calloc(BLOCK_ITEMS, sizeof(struct epoch)));
    }
    state->epoch_count++;
    *memory_epoch_at(log, state->epoch_count) = *epoch;
}

void memory_log_free_blocks(struct append_log *log)
{
    for (size_t i = 0; i < BLOCKS_MAX; i++) {
        free(log->audit[i]);
        free(log->epochs[i]);
    }
}
