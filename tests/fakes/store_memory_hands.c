/* What somebody does to a store behind the service's back. */
#include "hsm/base/check.h"

#include "tests/fakes/store_memory.h"
#include "tests/fakes/store_memory_state.h"

#include <stdlib.h>
#include <string.h>

/* publishes a changed copy; the writer's lock is held */
static void publish(struct store_memory *memory, struct state *state)
{
    pthread_mutex_lock(&memory->lock);
    struct state *before = memory->state;
    memory->state = state;
    pthread_mutex_unlock(&memory->lock);
    memory_state_drop(before);
}

void store_memory_overwrite(struct store_memory *memory,
                            const struct record *record)
{
    CHECK(memory_writer_take(memory) == HF_OK);
    struct state *state = memory_state_copy(memory->state);
    struct entry **found =
        memory_state_find(state, record->kind, memory_key_of(record));
    if (found != NULL) {
        memory_entry_drop(*found);
        *found = memory_entry_new(record);
    } else {
        memory_state_insert(state, memory_entry_new(record));
    }
    publish(memory, state);
    memory_writer_give(memory);
}

bool store_memory_erase(struct store_memory *memory, enum record_kind kind,
                        struct bytes key)
{
    CHECK(memory_writer_take(memory) == HF_OK);
    struct state *state = memory_state_copy(memory->state);
    struct entry **found = memory_state_find(state, kind, key);
    bool was_there = found != NULL;
    if (was_there) {
        memory_state_remove(state, found);
    }
    publish(memory, state);
    memory_writer_give(memory);
    return was_there;
}

bool store_memory_overwrite_audit(struct store_memory *memory,
                                  const struct audit_link *link)
{
    CHECK(memory_writer_take(memory) == HF_OK);
    bool is_there =
        link->index > 0 && link->index <= memory->state->audit_count;
    if (is_there) {
        struct audit_link *copy = memory_must(malloc(sizeof *copy));
        memcpy(copy, link, memory_link_bytes(link));
        free(*memory_link_at(&memory->log, link->index));
        *memory_link_at(&memory->log, link->index) = copy;
    }
    memory_writer_give(memory);
    return is_there;
}

void store_memory_cut_audit(struct store_memory *memory, uint64_t last_index)
{
    CHECK(memory_writer_take(memory) == HF_OK);
    CHECK(last_index <= memory->state->audit_count);
    struct state *state = memory_state_copy(memory->state);
    memory_links_drop(&memory->log, last_index, state->audit_count);
    state->audit_count = last_index;
    publish(memory, state);
    memory_writer_give(memory);
}

/* to's contents become from's; to must be empty of links */
static void image_copy(struct store_memory *to, struct store_memory *from)
{
    struct state *state = memory_state_copy(from->state);
    state->audit_count = 0;
    state->epoch_count = 0;
    for (uint64_t i = 1; i <= from->state->audit_count; i++) {
        memory_link_add(&to->log, state, *memory_link_at(&from->log, i));
    }
    for (uint64_t i = 1; i <= from->state->epoch_count; i++) {
        memory_epoch_add(&to->log, state, memory_epoch_at(&from->log, i));
    }
    publish(to, state);
}

struct store_memory *store_memory_save(struct store_memory *memory)
{
    struct store_memory *image = store_memory_new();
    CHECK(memory_writer_take(memory) == HF_OK);
    image_copy(image, memory);
    memory_writer_give(memory);
    return image;
}

void store_memory_restore(struct store_memory *memory,
                          struct store_memory *image)
{
    CHECK(memory_writer_take(memory) == HF_OK);
    CHECK(atomic_load(&memory->state->refs) == 1); /* no reader may look on */
    memory_links_drop(&memory->log, 0, memory->state->audit_count);
    image_copy(memory, image);
    memory_writer_give(memory);
}
