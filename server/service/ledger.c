#include "server/service/ledger.h"

#include "hsm/base/check.h"

#include "server/service/chain_end.h"
#include "server/service/change.h"
#include "server/service/epoch.h"
#include "server/service/seals.h"
#include "server/store/record.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct ledger {
    const struct store *store;
    const struct clock *clock;
    struct seals seals;
    pthread_mutex_t lock; /* sealed changes are one at a time */
    struct root root;
    struct epoch epoch;         /* the store's newest */
    bool epoch_in_token;        /* the token's is the store's */
    pthread_mutex_t watch_lock; /* innermost; held while the watcher is told */
    topic_fn *changed;
    void *changed_context;
    atomic_uint_fast64_t last_index; /* of the audit chain */
};

const struct store *ledger_store(struct ledger *ledger)
{
    return ledger->store;
}

/* Each record is used and counted as it passes: every MAC is asked of the token
 * once, and what was checked is what is used. Kinds in the order of their
 * table: what leads to another comes after it. */
struct sealed_walk {
    const struct seals *seals;
    ledger_each_fn *each;
    void *context;
    struct root root;
    bool forged;
    /* what each said. HF_E_CORRUPT: the walk goes on without it, for the root
     * tells better what was done to a store in which things lead nowhere */
    enum hf_status said;
    struct record bad;
};

static enum hf_status sealed_step(void *context, const struct record *record)
{
    struct sealed_walk *walk = context;
    struct stamp stamp = {.version = record->version};
    enum hf_status status = seals_check(walk->seals, record);
    if (status == HF_E_CORRUPT) {
        walk->forged = true;
        walk->bad = *record;
    }
    HF_TRY(status);
    HF_TRY(root_add(walk->seals, &walk->root, record));
    memcpy(stamp.mac, record->mac, sizeof stamp.mac);
    if (walk->said == HF_OK) {
        walk->said = walk->each(walk->context, record, &stamp);
    }
    return walk->said == HF_E_CORRUPT ? HF_OK : walk->said;
}

static HF_STATUS walk_sealed(struct ledger *ledger, struct sealed_walk *walk)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    const struct store_page all = {.max = SIZE_MAX};
    HF_TRY(store_begin(ledger->store, STORE_READ, &txn));
    for (size_t i = 0; record_kind_at(i) != 0; i++) {
        enum record_kind kind = record_kind_at(i);
        if (record_kind_is_sealed(kind)) {
            HF_TRY(store_list(txn, kind, &all, sealed_step, walk));
        }
    }
    return HF_OK;
}

static HF_STATUS judge(struct ledger *ledger, const struct sealed_walk *walk,
                       enum hf_status status, struct problem *problem)
{
    if (walk->forged) {
        char key[2 * RECORD_KEY_MAX_BYTES + 1];
        hex_encode(walk->bad.key, walk->bad.key_len, key, sizeof key);
        return problem_set(problem, REASON_RECORD_INVALID,
                           "record of kind %d, key %s, version %llu was "
                           "changed behind the service's back: its MAC does "
                           "not fit",
                           (int)walk->bad.kind, key,
                           (unsigned long long)walk->bad.version);
    }
    if (status != HF_OK) {
        return walk->said != HF_OK ? status
                                   : problem_of_status(problem, status);
    }
    if (!equal_constant_time(walk->root.bytes, ledger->epoch.root,
                             sizeof walk->root.bytes)) {
        return problem_set(problem, REASON_RECORD_INVALID,
                           "a record was taken out or put back to an earlier "
                           "version: the root of epoch %llu does not fit",
                           (unsigned long long)ledger->epoch.counter);
    }
    return walk->said;
}

HF_STATUS ledger_load(struct ledger *ledger, ledger_each_fn *each,
                      void *context, struct problem *problem)
{
    struct sealed_walk *walk = calloc(1, sizeof *walk);
    if (walk == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    walk->seals = &ledger->seals;
    walk->each = each;
    walk->context = context;
    enum hf_status status = walk_sealed(ledger, walk);
    status = judge(ledger, walk, status, problem);
    ledger->root = walk->root;
    free(walk);
    return status;
}

static HF_STATUS find_end(struct ledger *ledger)
{
    struct audit_link end;
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(ledger->store, STORE_READ, &txn));
    HF_TRY(chain_end(txn, &end));
    atomic_store(&ledger->last_index, end.index);
    return HF_OK;
}

uint64_t ledger_last_index(const struct ledger *ledger)
{
    return atomic_load(&ledger->last_index);
}

uint64_t ledger_epoch(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    uint64_t counter = ledger->epoch.counter;
    pthread_mutex_unlock(&ledger->lock);
    return counter;
}

static HF_STATUS open_parts(struct ledger *ledger, const struct token *token,
                            struct problem *problem)
{
    enum hf_status status = seals_open(token, &ledger->seals);
    if (status == HF_E_NOT_FOUND || status == HF_E_UNCONFIRMED) {
        HF_IGNORE(problem_set(problem, REASON_SERVICE_UNAVAILABLE,
                              "the service's token has no record MAC key (%s): "
                              "prepare it with holdfast-hsm service init",
                              LEDGER_MAC_KEY_ID),
                  "the status tells what it is");
        return HF_E_NOT_FOUND;
    }
    if (status != HF_OK) {
        return problem_of_status(problem, status);
    }
    HF_TRY(epoch_agree(ledger->store, &ledger->seals, &ledger->epoch, problem));
    ledger->epoch_in_token = true;
    return problem_of_status(problem, find_end(ledger));
}

static struct ledger *ledger_new(const struct store *store,
                                 const struct clock *clock)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);
    if (ledger != NULL) {
        ledger->store = store;
        ledger->clock = clock;
        pthread_mutex_init(&ledger->lock, NULL);
        pthread_mutex_init(&ledger->watch_lock, NULL);
    }
    return ledger;
}

HF_STATUS ledger_open_blind(const struct store *store,
                            const struct clock *clock,
                            struct ledger **out_ledger)
{
    *out_ledger = ledger_new(store, clock);
    if (*out_ledger == NULL) {
        return HF_E_NO_MEMORY;
    }
    (*out_ledger)->seals.blind = true;
    return HF_OK;
}

HF_STATUS ledger_open(const struct store *store, const struct token *token,
                      const struct clock *clock, struct ledger **out_ledger,
                      struct problem *problem)
{
    struct ledger *ledger = ledger_new(store, clock);
    if (ledger == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    enum hf_status status = open_parts(ledger, token, problem);
    if (status != HF_OK) {
        ledger_close(ledger);
        return status;
    }
    *out_ledger = ledger;
    return HF_OK;
}

void ledger_close(struct ledger *ledger)
{
    if (ledger != NULL) {
        seals_close(&ledger->seals);
        pthread_mutex_destroy(&ledger->watch_lock);
        pthread_mutex_destroy(&ledger->lock);
        free(ledger);
    }
}

static HF_STATUS settle_locked(struct ledger *ledger)
{
    if (ledger->epoch_in_token) {
        return HF_OK;
    }
    enum hf_status status = epoch_to_token(&ledger->seals, &ledger->epoch);
    if (status == HF_OK) {
        ledger->epoch_in_token = true;
    }
    return status;
}

HF_STATUS ledger_settle(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    enum hf_status status = settle_locked(ledger);
    pthread_mutex_unlock(&ledger->lock);
    return status;
}

static HF_STATUS make_macs(struct ledger *ledger, struct change *change)
{
    for (size_t i = 0; i < change->step_count; i++) {
        if (!change->steps[i].removing) {
            HF_TRY(seals_make(&ledger->seals, &change->steps[i].record));
        }
    }
    return HF_OK;
}

static HF_STATUS write_steps(struct ledger *ledger, struct store_txn *txn,
                             struct change *change)
{
    for (size_t i = 0; i < change->step_count; i++) {
        const struct change_step *step = &change->steps[i];
        const struct record *record = &step->record;
        HF_TRY(step->removing
                   ? store_remove(txn, record->kind,
                                  (struct bytes){record->key, record->key_len},
                                  record->version)
                   : store_put(txn, record));
    }
    int64_t now_ms = clock_wall_ms(ledger->clock);
    for (size_t i = 0; i < change->audit_count; i++) {
        change->audits[i].time_ms = now_ms;
        HF_TRY(store_audit_append(txn, &change->audits[i]));
    }
    return HF_OK;
}

static HF_STATUS next_root(struct ledger *ledger, const struct change *change,
                           struct root *root)
{
    *root = ledger->root;
    for (size_t i = 0; i < change->step_count; i++) {
        const struct change_step *step = &change->steps[i];
        if (step->removing || !record_kind_is_sealed(step->record.kind)) {
            continue;
        }
        if (step->current.version > 0) {
            struct record before = step->record;
            before.version = step->current.version;
            memcpy(before.mac, step->current.mac, sizeof before.mac);
            HF_TRY(root_take(&ledger->seals, root, &before));
        }
        HF_TRY(root_add(&ledger->seals, root, &step->record));
    }
    return HF_OK;
}

static void tell_stamps(const struct change *change)
{
    for (size_t i = 0; i < change->step_count; i++) {
        const struct change_step *step = &change->steps[i];
        if (!step->removing && step->out_next != NULL) {
            step->out_next->version = step->record.version;
            memcpy(step->out_next->mac, step->record.mac,
                   sizeof step->out_next->mac);
        }
    }
}

static HF_STATUS commit_rows(struct ledger *ledger, struct change *change)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(ledger->store, STORE_WRITE, &txn));
    HF_TRY(write_steps(ledger, txn, change));
    return store_commit(&txn);
}

static HF_STATUS commit_sealed(struct ledger *ledger, struct change *change)
{
    struct root root;
    struct epoch epoch = {.counter = ledger->epoch.counter + 1};
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    /* a change that records nothing would leave the epoch without a link */
    CHECK(change->audit_count > 0);
    HF_TRY(next_root(ledger, change, &root));
    HF_TRY(store_begin(ledger->store, STORE_WRITE, &txn));
    HF_TRY(write_steps(ledger, txn, change));
    memcpy(epoch.root, root.bytes, sizeof epoch.root);
    epoch.audit_index = change->audits[change->audit_count - 1].index;
    HF_TRY(epoch_seal(&ledger->seals, &epoch));
    HF_TRY(store_epoch_append(txn, &epoch));
    HF_TRY(store_commit(&txn));
    ledger->root = root;
    ledger->epoch = epoch;
    ledger->epoch_in_token = false;
    return HF_OK;
}

/* HF_E_TIMEOUT is kept for a change that the store holds and the token does not
 * yet: a token that is late before the commit is only out of reach. */
static enum hf_status before_commit(enum hf_status status)
{
    return status == HF_E_TIMEOUT ? HF_E_UNREACHABLE : status;
}

static HF_STATUS commit_locked(struct ledger *ledger, struct change *change)
{
    /* An epoch the token lacks is brought there first: it must never be two
     * behind, or a rollback by one would look like a late token. */
    enum hf_status status = settle_locked(ledger);
    if (status == HF_OK) {
        status = commit_sealed(ledger, change);
    }
    if (status != HF_OK) {
        return before_commit(status);
    }
    tell_stamps(change);
    return settle_locked(ledger) == HF_OK ? HF_OK : HF_E_TIMEOUT;
}

void ledger_watch(struct ledger *ledger, topic_fn *changed, void *context)
{
    pthread_mutex_lock(&ledger->watch_lock);
    ledger->changed = changed;
    ledger->changed_context = context;
    pthread_mutex_unlock(&ledger->watch_lock);
}

/* The second half of the key of a pair. */
static struct hf_id id_behind_owner(const struct record *record)
{
    struct hf_id id;
    CHECK(record->key_len == 2 * HF_ID_BYTES);
    memcpy(id.bytes, record->key + HF_ID_BYTES, HF_ID_BYTES);
    return id;
}

static void note_end(struct ledger *ledger, const struct change *change)
{
    uint64_t end = change->audit_count == 0
                       ? 0
                       : change->audits[change->audit_count - 1].index;
    uint_fast64_t known = atomic_load(&ledger->last_index);
    while (known < end &&
           !atomic_compare_exchange_weak(&ledger->last_index, &known, end)) {
    }
}

static void tell_topics(struct ledger *ledger, const struct change *change)
{
    note_end(ledger, change);
    pthread_mutex_lock(&ledger->watch_lock);
    for (size_t i = 0; ledger->changed != NULL && i < change->step_count; i++) {
        const struct record *record = &change->steps[i].record;
        if (record->kind == RECORD_OPERATION) {
            const struct topic topic = {TOPIC_OPERATION,
                                        id_behind_owner(record)};
            ledger->changed(ledger->changed_context, &topic);
        }
    }
    for (size_t i = 0; ledger->changed != NULL && i < change->audit_count;
         i++) {
        const struct topic topic = {TOPIC_AUDIT, change->audits[i].tenant};
        ledger->changed(ledger->changed_context, &topic);
    }
    pthread_mutex_unlock(&ledger->watch_lock);
}

HF_STATUS ledger_commit(struct ledger *ledger, struct change *change)
{
    CHECK(!ledger->seals.blind);
    HF_TRY(before_commit(make_macs(ledger, change)));
    if (!change->sealed) {
        HF_TRY(before_commit(commit_rows(ledger, change)));
        tell_stamps(change);
        tell_topics(ledger, change);
        return HF_OK;
    }
    pthread_mutex_lock(&ledger->lock);
    enum hf_status status = commit_locked(ledger, change);
    pthread_mutex_unlock(&ledger->lock);
    if (status == HF_OK || status == HF_E_TIMEOUT) { /* the store holds it */
        tell_topics(ledger, change);
    }
    return status;
}

static HF_STATUS checked(struct ledger *ledger, const struct record *record,
                         struct stamp *out_stamp)
{
    HF_TRY(seals_check(&ledger->seals, record));
    out_stamp->version = record->version;
    memcpy(out_stamp->mac, record->mac, sizeof out_stamp->mac);
    return HF_OK;
}

HF_STATUS ledger_get(struct ledger *ledger, enum record_kind kind,
                     struct bytes key, struct record *out_record,
                     struct stamp *out_stamp)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(ledger->store, STORE_READ, &txn));
    HF_TRY(store_get(txn, kind, key, out_record));
    return checked(ledger, out_record, out_stamp);
}

struct each_walk {
    struct ledger *ledger;
    ledger_each_fn *each;
    void *context;
};

static enum hf_status each_step(void *context, const struct record *record)
{
    const struct each_walk *walk = context;
    struct stamp stamp;
    HF_TRY(checked(walk->ledger, record, &stamp));
    return walk->each(walk->context, record, &stamp);
}

HF_STATUS ledger_each(struct ledger *ledger, enum record_kind kind,
                      const struct store_page *page, ledger_each_fn *each,
                      void *context)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    struct each_walk walk = {ledger, each, context};
    HF_TRY(store_begin(ledger->store, STORE_READ, &txn));
    return store_list(txn, kind, page, each_step, &walk);
}

struct assigned_walk {
    struct ledger *ledger;
    struct store_txn *txn;
    ledger_each_fn *each;
    void *context;
    struct record resource;
};

static enum hf_status assigned_step(void *context, const struct record *index)
{
    struct assigned_walk *walk = context;
    struct stamp stamp;
    struct bytes key;
    HF_TRY(checked(walk->ledger, index, &stamp));
    HF_TRY(assigned_resource(index, &key));
    enum hf_status status =
        store_get(walk->txn, RECORD_RESOURCE, key, &walk->resource);
    if (status == HF_E_NOT_FOUND) {
        return HF_E_CORRUPT;
    }
    HF_TRY(status);
    HF_TRY(checked(walk->ledger, &walk->resource, &stamp));
    return walk->each(walk->context, &walk->resource, &stamp);
}

HF_STATUS ledger_each_assigned(struct ledger *ledger, const struct hf_id *dep,
                               struct bytes after, ledger_each_fn *each,
                               void *context)
{
    struct record_key behind = key_of_id(dep);
    if (after.len > sizeof behind.bytes - behind.len) {
        return HF_E_INVALID;
    }
    for (size_t i = 0; i < after.len; i++) {
        behind.bytes[behind.len++] = after.data[i];
    }
    const struct store_page page = {
        .prefix = BYTES_OF(dep->bytes),
        .after = after.len > 0 ? record_key_view(&behind) : BYTES_NONE,
        .max = SIZE_MAX,
    };
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(ledger->store, STORE_READ, &txn));
    struct assigned_walk *walk = calloc(1, sizeof *walk);
    if (walk == NULL) {
        return HF_E_NO_MEMORY;
    }
    walk->ledger = ledger;
    walk->txn = txn;
    walk->each = each;
    walk->context = context;
    enum hf_status status =
        store_list(txn, RECORD_ASSIGNED, &page, assigned_step, walk);
    free(walk);
    return status;
}

HF_STATUS ledger_set_add(struct ledger *ledger, uint8_t set[HF_SHA256_BYTES],
                         const struct record *record)
{
    struct root root;
    memcpy(root.bytes, set, sizeof root.bytes);
    HF_TRY(root_add(&ledger->seals, &root, record));
    memcpy(set, root.bytes, sizeof root.bytes);
    return HF_OK;
}
