#include "tests/fakes/store_memory.h"

#include "hsm/base/check.h"

#include "server/store/adapter.h"

#include "tests/fakes/store_memory_state.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct memory_txn {
    struct store_txn head;
    struct store_memory *memory;
    struct state *state; /* READ: the snapshot; WRITE: also the working copy */
    bool own;            /* state is a private copy of the writer's */
};

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

enum hf_status memory_writer_take(struct store_memory *memory)
{
    struct timespec until;
    int waited = 0;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    pthread_mutex_lock(&memory->lock);
    int64_t ns = until.tv_nsec + (int64_t)(memory->wait_ms % 1000) * 1000000;
    until.tv_sec += memory->wait_ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    while (memory->writing && waited == 0) {
        waited =
            pthread_cond_timedwait(&memory->written, &memory->lock, &until);
    }
    bool taken = !memory->writing;
    memory->writing = true;
    pthread_mutex_unlock(&memory->lock);
    return taken ? HF_OK : HF_E_OVERLOAD;
}

void memory_writer_give(struct store_memory *memory)
{
    pthread_mutex_lock(&memory->lock);
    memory->writing = false;
    pthread_cond_signal(&memory->written);
    pthread_mutex_unlock(&memory->lock);
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
        HF_TRY(memory_writer_take(memory));
    }
    struct memory_txn *txn = memory_must(calloc(1, sizeof *txn));
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
        struct state *copy = memory_state_copy(txn->state);
        memory_state_drop(txn->state);
        txn->state = copy;
        txn->own = true;
    }
    return txn->state;
}

static HF_STATUS memory_get(struct store_txn *txn, enum record_kind kind,
                            struct bytes key, struct record *out_record)
{
    HF_TRY(gate(of(txn)->memory, STORE_MEMORY_GET));
    struct entry **found = memory_state_find(of(txn)->state, kind, key);
    if (found == NULL) {
        return HF_E_NOT_FOUND;
    }
    memcpy(out_record, &(*found)->record,
           memory_record_bytes(&(*found)->record));
    return HF_OK;
}

static HF_STATUS memory_put(struct store_txn *txn, const struct record *record)
{
    HF_TRY(gate(of(txn)->memory, STORE_MEMORY_PUT));
    struct state *state = working(of(txn));
    struct entry **found =
        memory_state_find(state, record->kind, memory_key_of(record));
    if (record->version == 1) {
        if (found != NULL) {
            return HF_E_EXISTS;
        }
        memory_state_insert(state, memory_entry_new(record));
        return HF_OK;
    }
    if (found == NULL || (*found)->record.version != record->version - 1) {
        return HF_E_CONFLICT;
    }
    memory_entry_drop(*found);
    *found = memory_entry_new(record);
    return HF_OK;
}

static HF_STATUS memory_remove(struct store_txn *txn, enum record_kind kind,
                               struct bytes key, uint64_t version)
{
    HF_TRY(gate(of(txn)->memory, STORE_MEMORY_REMOVE));
    struct state *state = working(of(txn));
    struct entry **found = memory_state_find(state, kind, key);
    if (found == NULL) {
        return HF_E_NOT_FOUND;
    }
    if ((*found)->record.version != version) {
        return HF_E_CONFLICT;
    }
    memory_state_remove(state, found);
    return HF_OK;
}

/* Keeps the one listing of the kind that a test ordered to be kept. */
static void hold(struct store_memory *memory, enum record_kind kind)
{
    pthread_mutex_lock(&memory->lock);
    if (memory->hold_kind == kind && --memory->hold_left == 0) {
        memory->hold_kind = 0;
        memory->held = true;
        pthread_cond_broadcast(&memory->holding);
        while (memory->held) {
            pthread_cond_wait(&memory->holding, &memory->lock);
        }
    }
    pthread_mutex_unlock(&memory->lock);
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
    size_t place = memory_state_place(state, kind, lower);
    for (size_t left = page->max; left > 0; left--, place++) {
        if (place == state->count ||
            memory_entry_order(state->entries[place], kind, upper) >= 0) {
            break;
        }
        struct record record;
        const struct record *stored = &state->entries[place]->record;
        memcpy(&record, stored, memory_record_bytes(stored));
        HF_TRY(each(context, &record));
    }
    hold(of(txn)->memory, kind);
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
    size_t first = memory_state_place(state, kind, lower);
    size_t end = memory_state_place(state, kind, upper);
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
    const uint8_t *hash =
        last > 0 ? (*memory_link_at(&memory->log, last))->hash : NULL;
    HF_TRY(audit_link_chain(link, last, hash));
    memory_link_add(&memory->log, state, link);
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
        const struct audit_link *stored = *memory_link_at(&memory->log, index);
        if (tenant != NULL && !id_equal(tenant, &stored->tenant)) {
            continue;
        }
        struct audit_link link;
        memcpy(&link, stored, memory_link_bytes(stored));
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
    memory_epoch_add(&memory->log, state, epoch);
    return HF_OK;
}

static HF_STATUS memory_epoch_list(struct store_txn *txn, size_t max,
                                   store_epoch_fn *each, void *context)
{
    struct store_memory *memory = of(txn)->memory;
    HF_TRY(gate(memory, STORE_MEMORY_EPOCH_LIST));
    uint64_t counter = of(txn)->state->epoch_count;
    for (; counter > 0 && max > 0; counter--, max--) {
        HF_TRY(each(context, memory_epoch_at(&memory->log, counter)));
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
        memory_links_drop(&memory->log, kept, of(txn)->state->audit_count);
    }
    memory_state_drop(of(txn)->state);
    free(of(txn));
    if (writer) {
        memory_writer_give(memory);
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
    memory_state_drop(before);
    free(of(txn));
    memory_writer_give(memory);
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
    struct store_memory *memory = memory_must(calloc(1, sizeof *memory));
    pthread_condattr_t monotonic;
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&memory->written, &monotonic) == 0);
    CHECK(pthread_cond_init(&memory->holding, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
    CHECK(pthread_mutex_init(&memory->lock, NULL) == 0);
    const struct state empty = {0};
    memory->state = memory_state_copy(&empty);
    memory->wait_ms = STORE_BEGIN_WAIT_MS;
    return memory;
}

void store_memory_free(struct store_memory *memory)
{
    if (memory == NULL) {
        return;
    }
    CHECK(!memory->open);
    memory_links_drop(&memory->log, 0, memory->state->audit_count);
    memory_state_drop(memory->state);
    memory_log_free_blocks(&memory->log);
    pthread_cond_destroy(&memory->written);
    pthread_cond_destroy(&memory->holding);
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

void store_memory_hold(struct store_memory *memory, enum record_kind kind,
                       unsigned nth)
{
    pthread_mutex_lock(&memory->lock);
    memory->hold_left = nth;
    memory->hold_kind = kind;
    pthread_mutex_unlock(&memory->lock);
}

bool store_memory_wait_held(struct store_memory *memory, uint32_t timeout_ms)
{
    struct timespec until;
    int waited = 0;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += timeout_ms / 1000;
    pthread_mutex_lock(&memory->lock);
    while (!memory->held && waited == 0) {
        waited =
            pthread_cond_timedwait(&memory->holding, &memory->lock, &until);
    }
    bool held = memory->held;
    pthread_mutex_unlock(&memory->lock);
    return held;
}

void store_memory_release(struct store_memory *memory)
{
    pthread_mutex_lock(&memory->lock);
    memory->hold_kind = 0;
    memory->held = false;
    pthread_cond_broadcast(&memory->holding);
    pthread_mutex_unlock(&memory->lock);
}
