#include "tests/fakes/store_memory.h"

#include "hsm/base/check.h"

#include "server/store/adapter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

struct memory_txn {
    struct store_txn head;
    struct store_memory *memory;
    struct state *state; /* READ: the snapshot; WRITE: also the working copy */
    bool own;            /* state is a private copy of the writer's */
};

struct store_memory {
    pthread_mutex_t writer; /* held by the write transaction */
    pthread_mutex_t lock;   /* of everything below; never held for long */
    struct state *state;
    bool open;
    uint32_t wait_ms;
    uint64_t writes;
    unsigned fail_calls;
    uint64_t fail_n; /* 0: no order */
    uint64_t calls;
    enum hf_status fail_status;
    bool failed;
    struct audit_link **audit[BLOCKS_MAX];
    struct epoch *epochs[BLOCKS_MAX];
};

static void *must(void *allocated)
{
    CHECK(allocated != NULL);
    return allocated;
}

static struct bytes key_of(const struct record *record)
{
    return (struct bytes){record->key, record->key_len};
}

static size_t record_bytes(const struct record *record)
{
    return offsetof(struct record, body) + record->body_len;
}

static size_t link_bytes(const struct audit_link *link)
{
    return offsetof(struct audit_link, body) + link->body_len;
}

static struct entry *entry_new(const struct record *record)
{
    struct entry *entry =
        must(malloc(offsetof(struct entry, record) + sizeof(struct record)));
    atomic_init(&entry->refs, 1);
    memcpy(&entry->record, record, record_bytes(record));
    struct entry *shrunk =
        realloc(entry, offsetof(struct entry, record) + record_bytes(record));
    return must(shrunk);
}

static void entry_drop(struct entry *entry)
{
    if (atomic_fetch_sub(&entry->refs, 1) == 1) {
        free(entry);
    }
}

static struct state *state_copy(const struct state *from)
{
    struct state *copy = must(calloc(1, sizeof *copy));
    *copy = (struct state){
        .count = from->count,
        .cap = from->count + 8,
        .audit_count = from->audit_count,
        .epoch_count = from->epoch_count,
    };
    atomic_init(&copy->refs, 1);
    copy->entries = must(calloc(copy->cap, sizeof *copy->entries));
    for (size_t i = 0; i < from->count; i++) {
        copy->entries[i] = from->entries[i];
        atomic_fetch_add(&copy->entries[i]->refs, 1);
    }
    return copy;
}

static void state_drop(struct state *state)
{
    if (atomic_fetch_sub(&state->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < state->count; i++) {
        entry_drop(state->entries[i]);
    }
    free(state->entries);
    free(state);
}

static int entry_order(const struct entry *entry, enum record_kind kind,
                       struct bytes key)
{
    if (entry->record.kind != kind) {
        return entry->record.kind < kind ? -1 : 1;
    }
    return bytes_order(key_of(&entry->record), key);
}

/* the first place at or behind (kind, key) */
static size_t state_place(const struct state *state, enum record_kind kind,
                          struct bytes key)
{
    size_t low = 0;
    size_t high = state->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entry_order(state->entries[middle], kind, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct entry **state_find(struct state *state, enum record_kind kind,
                                 struct bytes key)
{
    size_t place = state_place(state, kind, key);
    if (place == state->count ||
        entry_order(state->entries[place], kind, key) != 0) {
        return NULL;
    }
    return &state->entries[place];
}

static void state_insert(struct state *state, struct entry *entry)
{
    if (state->count == state->cap) {
        state->cap *= 2;
        state->entries =
            must(realloc(state->entries, state->cap * sizeof *state->entries));
    }
    size_t place =
        state_place(state, entry->record.kind, key_of(&entry->record));
    memmove(state->entries + place + 1, state->entries + place,
            (state->count - place) * sizeof *state->entries);
    state->entries[place] = entry;
    state->count++;
}

static void state_remove(struct state *state, struct entry **found)
{
    size_t place = (size_t)(found - state->entries);
    entry_drop(*found);
    state->count--;
    memmove(found, found + 1, (state->count - place) * sizeof *found);
}

static struct audit_link **link_at(struct store_memory *memory, uint64_t index)
{
    uint64_t at = index - 1;
    return &memory->audit[at / BLOCK_ITEMS][at % BLOCK_ITEMS];
}

static struct epoch *epoch_at(struct store_memory *memory, uint64_t counter)
{
    uint64_t at = counter - 1;
    return &memory->epochs[at / BLOCK_ITEMS][at % BLOCK_ITEMS];
}

static void links_drop(struct store_memory *memory, uint64_t from,
                       uint64_t count)
{
    for (uint64_t index = from + 1; index <= count; index++) {
        free(*link_at(memory, index));
        *link_at(memory, index) = NULL;
    }
}

static void link_add(struct store_memory *memory, struct state *state,
                     const struct audit_link *link)
{
    uint64_t at = state->audit_count;
    CHECK(at / BLOCK_ITEMS < BLOCKS_MAX);
    if (memory->audit[at / BLOCK_ITEMS] == NULL) {
        memory->audit[at / BLOCK_ITEMS] =
            must(calloc(BLOCK_ITEMS, sizeof(struct audit_link *)));
    }
    state->audit_count++;
    struct audit_link *copy = must(malloc(sizeof *copy));
    memcpy(copy, link, link_bytes(link));
    *link_at(memory, state->audit_count) =
        must(realloc(copy, link_bytes(link)));
}

static void epoch_add(struct store_memory *memory, struct state *state,
                      const struct epoch *epoch)
{
    uint64_t at = state->epoch_count;
    CHECK(at / BLOCK_ITEMS < BLOCKS_MAX);
    if (memory->epochs[at / BLOCK_ITEMS] == NULL) {
        memory->epochs[at / BLOCK_ITEMS] =
            must(calloc(BLOCK_ITEMS, sizeof(struct epoch)));
    }
    state->epoch_count++;
    *epoch_at(memory, state->epoch_count) = *epoch;
}

/* HF_OK, or what the test ordered for this call. */
static enum hf_status gate(struct store_memory *memory,
                           enum store_memory_call call)
{
    enum hf_status status = HF_OK;
    pthread_mutex_lock(&memory->lock);
    if ((memory->fail_calls & (unsigned)call) != 0) {
        memory->calls++;
        if (memory->calls == memory->fail_n) {
            memory->failed = true;
            status = memory->fail_status;
        }
    }
    pthread_mutex_unlock(&memory->lock);
    return status;
}

static enum hf_status writer_take(struct store_memory *memory)
{
    pthread_mutex_lock(&memory->lock);
    uint32_t wait_ms = memory->wait_ms;
    pthread_mutex_unlock(&memory->lock);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (int64_t)(wait_ms % 1000) * 1000000;
    until.tv_sec += wait_ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    int failed =
        pthread_mutex_clocklock(&memory->writer, CLOCK_MONOTONIC, &until);
    return failed == 0 ? HF_OK : HF_E_OVERLOAD;
}

static struct memory_txn *of(struct store_txn *txn)
{
    return (struct memory_txn *)txn;
}

static HF_STATUS memory_begin(void *self, enum store_mode mode,
                              struct store_txn **out_txn)
{
    struct store_memory *memory = self;
    HF_TRY(gate(memory, STORE_MEMORY_BEGIN));
    if (mode == STORE_WRITE) {
        HF_TRY(writer_take(memory));
    }
    struct memory_txn *txn = must(calloc(1, sizeof *txn));
    txn->head.mode = mode;
    txn->memory = memory;
    pthread_mutex_lock(&memory->lock);
    txn->state = memory->state;
    atomic_fetch_add(&txn->state->refs, 1);
    pthread_mutex_unlock(&memory->lock);
    *out_txn = &txn->head;
    return HF_OK;
}

/* the state to write into: copied at the first write */
static struct state *working(struct memory_txn *txn)
{
    if (!txn->own) {
        struct state *copy = state_copy(txn->state);
        state_drop(txn->state);
        txn->state = copy;
        txn->own = true;
    }
    return txn->state;
}

static HF_STATUS memory_get(struct store_txn *txn, enum record_kind kind,
                            struct bytes key, struct record *out_record)
{
    HF_TRY(gate(of(txn)->memory, STORE_MEMORY_GET));
    struct entry **found = state_find(of(txn)->state, kind, key);
    if (found == NULL) {
        return HF_E_NOT_FOUND;
    }
    memcpy(out_record, &(*found)->record, record_bytes(&(*found)->record));
    return HF_OK;
}

static HF_STATUS memory_put(struct store_txn *txn, const struct record *record)
{
    HF_TRY(gate(of(txn)->memory, STORE_MEMORY_PUT));
    struct state *state = working(of(txn));
    struct entry **found = state_find(state, record->kind, key_of(record));
    if (record->version == 1) {
        if (found != NULL) {
            return HF_E_EXISTS;
        }
        state_insert(state, entry_new(record));
        return HF_OK;
    }
    if (found == NULL || (*found)->record.version != record->version - 1) {
        return HF_E_CONFLICT;
    }
    entry_drop(*found);
    *found = entry_new(record);
    return HF_OK;
}

static HF_STATUS memory_remove(struct store_txn *txn, enum record_kind kind,
                               struct bytes key, uint64_t version)
{
    HF_TRY(gate(of(txn)->memory, STORE_MEMORY_REMOVE));
    struct state *state = working(of(txn));
    struct entry **found = state_find(state, kind, key);
    if (found == NULL) {
        return HF_E_NOT_FOUND;
    }
    if ((*found)->record.version != version) {
        return HF_E_CONFLICT;
    }
    state_remove(state, found);
    return HF_OK;
}

static HF_STATUS memory_list(struct store_txn *txn, enum record_kind kind,
                             const struct store_page *page,
                             store_record_fn *each, void *context)
{
    HF_TRY(gate(of(txn)->memory, STORE_MEMORY_LIST));
    const struct state *state = of(txn)->state;
    struct store_key_range range = store_key_range(page->prefix, page->after);
    struct bytes lower = {range.lower, range.lower_len};
    struct bytes upper = {range.upper, range.upper_len};
    size_t place = state_place(state, kind, lower);
    for (size_t left = page->max; left > 0; left--, place++) {
        if (place == state->count ||
            entry_order(state->entries[place], kind, upper) >= 0) {
            break;
        }
        struct record record;
        const struct record *stored = &state->entries[place]->record;
        memcpy(&record, stored, record_bytes(stored));
        HF_TRY(each(context, &record));
    }
    return HF_OK;
}

static HF_STATUS memory_count(struct store_txn *txn, enum record_kind kind,
                              struct bytes prefix, uint64_t *out_count)
{
    HF_TRY(gate(of(txn)->memory, STORE_MEMORY_COUNT));
    const struct state *state = of(txn)->state;
    struct store_key_range range = store_key_range(prefix, BYTES_NONE);
    struct bytes lower = {range.lower, range.lower_len};
    struct bytes upper = {range.upper, range.upper_len};
    size_t first = state_place(state, kind, lower);
    size_t end = state_place(state, kind, upper);
    *out_count = end > first ? end - first : 0;
    return HF_OK;
}

static HF_STATUS memory_audit_append(struct store_txn *txn,
                                     struct audit_link *link)
{
    struct store_memory *memory = of(txn)->memory;
    HF_TRY(gate(memory, STORE_MEMORY_AUDIT_APPEND));
    struct state *state = working(of(txn));
    uint64_t last = state->audit_count;
    const uint8_t *hash = last > 0 ? (*link_at(memory, last))->hash : NULL;
    HF_TRY(audit_link_chain(link, last, hash));
    link_add(memory, state, link);
    return HF_OK;
}

static HF_STATUS memory_audit_list(struct store_txn *txn,
                                   const struct hf_id *tenant,
                                   uint64_t from_index, size_t max,
                                   store_audit_fn *each, void *context)
{
    struct store_memory *memory = of(txn)->memory;
    HF_TRY(gate(memory, STORE_MEMORY_AUDIT_LIST));
    uint64_t end = of(txn)->state->audit_count;
    for (uint64_t index = from_index; index <= end && max > 0; index++) {
        const struct audit_link *stored = *link_at(memory, index);
        if (tenant != NULL && !id_equal(tenant, &stored->tenant)) {
            continue;
        }
        struct audit_link link;
        memcpy(&link, stored, link_bytes(stored));
        HF_TRY(each(context, &link));
        max--;
    }
    return HF_OK;
}

static HF_STATUS memory_epoch_append(struct store_txn *txn,
                                     const struct epoch *epoch)
{
    struct store_memory *memory = of(txn)->memory;
    HF_TRY(gate(memory, STORE_MEMORY_EPOCH_APPEND));
    struct state *state = working(of(txn));
    if (epoch->counter != state->epoch_count + 1) {
        return HF_E_CONFLICT;
    }
    epoch_add(memory, state, epoch);
    return HF_OK;
}

static HF_STATUS memory_epoch_list(struct store_txn *txn, size_t max,
                                   store_epoch_fn *each, void *context)
{
    struct store_memory *memory = of(txn)->memory;
    HF_TRY(gate(memory, STORE_MEMORY_EPOCH_LIST));
    uint64_t counter = of(txn)->state->epoch_count;
    for (; counter > 0 && max > 0; counter--, max--) {
        HF_TRY(each(context, epoch_at(memory, counter)));
    }
    return HF_OK;
}

static void memory_rollback(struct store_txn *txn)
{
    struct store_memory *memory = of(txn)->memory;
    bool writer = txn->mode == STORE_WRITE;
    if (writer) {
        pthread_mutex_lock(&memory->lock);
        uint64_t kept = memory->state->audit_count;
        pthread_mutex_unlock(&memory->lock);
        links_drop(memory, kept, of(txn)->state->audit_count);
    }
    state_drop(of(txn)->state);
    free(of(txn));
    if (writer) {
        pthread_mutex_unlock(&memory->writer);
    }
}

static HF_STATUS memory_commit(struct store_txn *txn)
{
    struct store_memory *memory = of(txn)->memory;
    if (txn->mode == STORE_READ) {
        memory_rollback(txn);
        return HF_OK;
    }
    enum hf_status status = gate(memory, STORE_MEMORY_COMMIT);
    if (status != HF_OK) {
        memory_rollback(txn);
        return status;
    }
    pthread_mutex_lock(&memory->lock);
    struct state *before = memory->state;
    memory->state = of(txn)->state;
    memory->writes++;
    pthread_mutex_unlock(&memory->lock);
    state_drop(before);
    free(of(txn));
    pthread_mutex_unlock(&memory->writer);
    return HF_OK;
}

static uint64_t memory_writes(void *self)
{
    struct store_memory *memory = self;
    pthread_mutex_lock(&memory->lock);
    uint64_t writes = memory->writes;
    pthread_mutex_unlock(&memory->lock);
    return writes;
}

static void memory_close(void *self)
{
    struct store_memory *memory = self;
    pthread_mutex_lock(&memory->lock);
    CHECK(memory->open);
    CHECK(atomic_load(&memory->state->refs) == 1); /* no transaction left */
    memory->open = false;
    pthread_mutex_unlock(&memory->lock);
}

static const struct store_port memory_port = {
    .begin = memory_begin,
    .get = memory_get,
    .put = memory_put,
    .remove = memory_remove,
    .list = memory_list,
    .count = memory_count,
    .audit_append = memory_audit_append,
    .audit_list = memory_audit_list,
    .epoch_append = memory_epoch_append,
    .epoch_list = memory_epoch_list,
    .commit = memory_commit,
    .rollback = memory_rollback,
    .writes = memory_writes,
    .close = memory_close,
};

struct store_memory *store_memory_new(void)
{
    struct store_memory *memory = must(calloc(1, sizeof *memory));
    CHECK(pthread_mutex_init(&memory->writer, NULL) == 0);
    CHECK(pthread_mutex_init(&memory->lock, NULL) == 0);
    const struct state empty = {0};
    memory->state = state_copy(&empty);
    memory->wait_ms = STORE_BEGIN_WAIT_MS;
    return memory;
}

void store_memory_free(struct store_memory *memory)
{
    if (memory == NULL) {
        return;
    }
    CHECK(!memory->open);
    links_drop(memory, 0, memory->state->audit_count);
    state_drop(memory->state);
    for (size_t i = 0; i < BLOCKS_MAX; i++) {
        free(memory->audit[i]);
        free(memory->epochs[i]);
    }
    pthread_mutex_destroy(&memory->writer);
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

HF_STATUS store_memory_open(struct store_memory *memory,
                            struct store *out_store)
{
    pthread_mutex_lock(&memory->lock);
    bool was_open = memory->open;
    if (!was_open) {
        memory->open = true;
        memory->writes = 0;
    }
    pthread_mutex_unlock(&memory->lock);
    if (was_open) {
        return HF_E_CONFLICT;
    }
    *out_store = (struct store){.port = &memory_port, .self = memory};
    return HF_OK;
}

void store_memory_fail_at(struct store_memory *memory, unsigned calls,
                          uint64_t n, enum hf_status status)
{
    CHECK(status != HF_OK || n == 0);
    pthread_mutex_lock(&memory->lock);
    memory->fail_calls = calls;
    memory->fail_n = n;
    memory->fail_status = status;
    memory->calls = 0;
    memory->failed = false;
    pthread_mutex_unlock(&memory->lock);
}

bool store_memory_failed(struct store_memory *memory)
{
    pthread_mutex_lock(&memory->lock);
    bool failed = memory->failed;
    pthread_mutex_unlock(&memory->lock);
    return failed;
}

uint64_t store_memory_calls(struct store_memory *memory)
{
    pthread_mutex_lock(&memory->lock);
    uint64_t calls = memory->calls;
    pthread_mutex_unlock(&memory->lock);
    return calls;
}

void store_memory_wait_ms(struct store_memory *memory, uint32_t wait_ms)
{
    pthread_mutex_lock(&memory->lock);
    memory->wait_ms = wait_ms;
    pthread_mutex_unlock(&memory->lock);
}

/* publishes a changed copy; the writer's lock is held */
static void publish(struct store_memory *memory, struct state *state)
{
    pthread_mutex_lock(&memory->lock);
    struct state *before = memory->state;
    memory->state = state;
    pthread_mutex_unlock(&memory->lock);
    state_drop(before);
}

void store_memory_overwrite(struct store_memory *memory,
                            const struct record *record)
{
    pthread_mutex_lock(&memory->writer);
    struct state *state = state_copy(memory->state);
    struct entry **found = state_find(state, record->kind, key_of(record));
    if (found != NULL) {
        entry_drop(*found);
        *found = entry_new(record);
    } else {
        state_insert(state, entry_new(record));
    }
    publish(memory, state);
    pthread_mutex_unlock(&memory->writer);
}

bool store_memory_erase(struct store_memory *memory, enum record_kind kind,
                        struct bytes key)
{
    pthread_mutex_lock(&memory->writer);
    struct state *state = state_copy(memory->state);
    struct entry **found = state_find(state, kind, key);
    bool was_there = found != NULL;
    if (was_there) {
        state_remove(state, found);
    }
    publish(memory, state);
    pthread_mutex_unlock(&memory->writer);
    return was_there;
}

bool store_memory_overwrite_audit(struct store_memory *memory,
                                  const struct audit_link *link)
{
    pthread_mutex_lock(&memory->writer);
    bool is_there =
        link->index > 0 && link->index <= memory->state->audit_count;
    if (is_there) {
        struct audit_link *copy = must(malloc(sizeof *copy));
        memcpy(copy, link, link_bytes(link));
        free(*link_at(memory, link->index));
        *link_at(memory, link->index) = copy;
    }
    pthread_mutex_unlock(&memory->writer);
    return is_there;
}

/* to's contents become from's; to must be empty of links */
static void image_copy(struct store_memory *to, struct store_memory *from)
{
    struct state *state = state_copy(from->state);
    state->audit_count = 0;
    state->epoch_count = 0;
    for (uint64_t i = 1; i <= from->state->audit_count; i++) {
        link_add(to, state, *link_at(from, i));
    }
    for (uint64_t i = 1; i <= from->state->epoch_count; i++) {
        epoch_add(to, state, epoch_at(from, i));
    }
    publish(to, state);
}

struct store_memory *store_memory_save(struct store_memory *memory)
{
    struct store_memory *image = store_memory_new();
    pthread_mutex_lock(&memory->writer);
    image_copy(image, memory);
    pthread_mutex_unlock(&memory->writer);
    return image;
}

void store_memory_restore(struct store_memory *memory,
                          struct store_memory *image)
{
    pthread_mutex_lock(&memory->writer);
    CHECK(atomic_load(&memory->state->refs) == 1); /* no reader may look on */
    links_drop(memory, 0, memory->state->audit_count);
    image_copy(memory, image);
    pthread_mutex_unlock(&memory->writer);
}
