/* Transactions: isolation, one writer, threads, what outlives a close. */
#include "tests/contract/store/store_contract.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void writes_are_seen_by_oneself_and_then_by_all(void **state)
{
    struct fixture *fixture = *state;
    struct bytes key = text_key("k");
    struct record v1 = make(RECORD_DEP, key, 1);
    struct store_txn *write = begin(fixture, STORE_WRITE);
    assert_ok(store_put(write, &v1));
    assert_int_equal(version_of(write, RECORD_DEP, key), 1);
    struct store_txn *read = begin(fixture, STORE_READ);
    assert_int_equal(version_of(read, RECORD_DEP, key), 0);
    commit(read);
    commit(write);
    read = begin(fixture, STORE_READ);
    assert_int_equal(version_of(read, RECORD_DEP, key), 1);
    commit(read);
}

static void a_rollback_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct record a1 = make(RECORD_DEP, text_key("a"), 1);
    struct record a2 = make(RECORD_DEP, text_key("a"), 2);
    struct record b1 = make(RECORD_DEP, text_key("b"), 1);
    put_one(fixture, &a1);
    put_one(fixture, &b1);
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    struct record c1 = make(RECORD_DEP, text_key("c"), 1);
    struct epoch epoch = {.counter = 1};
    assert_ok(store_put(txn, &a2));
    assert_ok(store_remove(txn, RECORD_DEP, text_key("b"), 1));
    assert_ok(store_put(txn, &c1));
    assert_ok(store_epoch_append(txn, &epoch));
    rollback(txn);
    for (int round = 0; round < 2; round++) {
        txn = begin(fixture, STORE_READ);
        assert_int_equal(version_of(txn, RECORD_DEP, text_key("a")), 1);
        assert_int_equal(version_of(txn, RECORD_DEP, text_key("b")), 1);
        assert_int_equal(version_of(txn, RECORD_DEP, text_key("c")), 0);
        commit(txn);
        fixture_reopen(fixture);
    }
    txn = begin(fixture, STORE_WRITE);
    assert_ok(store_epoch_append(txn, &epoch));
    rollback(txn);
}

static enum hf_status count_link(void *context, const struct audit_link *link)
{
    (void)link;
    (*(size_t *)context)++;
    return HF_OK;
}

static enum hf_status count_record(void *context, const struct record *record)
{
    *(uint64_t *)context += record->version;
    return HF_OK;
}

static enum hf_status count_epoch(void *context, const struct epoch *epoch)
{
    (void)epoch;
    (*(size_t *)context)++;
    return HF_OK;
}

static void assert_view(struct store_txn *txn, uint64_t versions,
                        uint64_t records, size_t links)
{
    uint64_t sum = 0;
    uint64_t count = 0;
    size_t link_count = 0;
    size_t epoch_count = 0;
    struct store_page page = {.max = 100};
    assert_ok(store_list(txn, RECORD_DEP, &page, count_record, &sum));
    assert_ok(store_count(txn, RECORD_DEP, BYTES_NONE, &count));
    assert_ok(store_audit_list(txn, NULL, 0, 100, count_link, &link_count));
    assert_ok(store_epoch_list(txn, 100, count_epoch, &epoch_count));
    assert_int_equal(sum, versions);
    assert_int_equal(count, records);
    assert_int_equal(link_count, links);
    assert_int_equal(epoch_count, links);
}

static void write_step(struct fixture *fixture, uint64_t step)
{
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    struct record changed = make(RECORD_DEP, text_key("a"), step);
    char name[8];
    snprintf(name, sizeof name, "n%d", (int)step);
    struct record added = make(RECORD_DEP, text_key(name), 1);
    struct audit_link link = link_of(1, "{}");
    struct epoch epoch = {.counter = step};
    assert_ok(store_put(txn, &changed));
    assert_ok(store_put(txn, &added));
    assert_ok(store_audit_append(txn, &link));
    assert_ok(store_epoch_append(txn, &epoch));
    commit(txn);
}

/* A snapshot is fixed when begin returns, not at the first look. */
static void a_reader_sees_one_moment(void **state)
{
    struct fixture *fixture = *state;
    write_step(fixture, 1);
    struct store_txn *early = begin(fixture, STORE_READ);
    write_step(fixture, 2);
    struct store_txn *later = begin(fixture, STORE_READ);
    write_step(fixture, 3);
    assert_view(early, 2, 2, 1);
    assert_view(later, 4, 3, 2);
    assert_int_equal(version_of(early, RECORD_DEP, text_key("a")), 1);
    assert_int_equal(version_of(later, RECORD_DEP, text_key("a")), 2);
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    assert_ok(store_remove(txn, RECORD_DEP, text_key("a"), 3));
    commit(txn);
    assert_int_equal(version_of(early, RECORD_DEP, text_key("a")), 1);
    assert_view(later, 4, 3, 2);
    commit(early);
    rollback(later); /* either way to end */
    txn = begin(fixture, STORE_READ);
    assert_view(txn, 3, 3, 3);
    commit(txn);
}

static void counts_committed_writes(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(store_writes(&fixture->store), 0);
    write_step(fixture, 1);
    write_step(fixture, 2);
    assert_int_equal(store_writes(&fixture->store), 2);
    struct store_txn *txn = begin(fixture, STORE_READ);
    commit(txn);
    txn = begin(fixture, STORE_WRITE);
    rollback(txn);
    assert_int_equal(store_writes(&fixture->store), 2);
}

static void a_second_opener_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct store second = {0};
    assert_status(fixture->maker->open(fixture->disk, &second), HF_E_CONFLICT);
    assert_null(second.port);
    write_step(fixture, 1); /* and the first is none the worse */
    fixture_reopen(fixture);
    struct store_txn *txn = begin(fixture, STORE_READ);
    assert_view(txn, 2, 2, 1);
    commit(txn);
}

#define WRITERS    8
#define INCREMENTS 50

static uint64_t number_in(const struct record *record)
{
    struct byte_reader reader =
        byte_reader_on((struct bytes){record->body, record->body_len});
    return get_u64(&reader);
}

/* Reads outside, then writes if nobody was faster: as the service does it. */
static enum hf_status increment(const struct store *store, struct bytes key)
{
    struct record record;
    HF_OWNED(store_rollbackp) struct store_txn *read = NULL;
    HF_TRY(store_begin(store, STORE_READ, &read));
    HF_TRY(store_get(read, RECORD_SEALS, key, &record));
    HF_TRY(store_commit(&read));
    struct byte_writer body = byte_writer_on(record.body, sizeof record.body);
    put_u64(&body, number_in(&record) + 1);
    record.body_len = body.len;
    record.version++;
    struct audit_link link = link_of(1, "{}");
    HF_OWNED(store_rollbackp) struct store_txn *write = NULL;
    HF_TRY(store_begin(store, STORE_WRITE, &write));
    HF_TRY(store_put(write, &record));
    HF_TRY(store_audit_append(write, &link));
    return store_commit(&write);
}

struct worker {
    const struct store *store;
    struct bytes key;
    size_t done;
    size_t lost; /* races */
    enum hf_status failed;
};

static void *work(void *context)
{
    struct worker *worker = context;
    while (worker->done < INCREMENTS && worker->failed == HF_OK) {
        enum hf_status status = increment(worker->store, worker->key);
        if (status == HF_OK) {
            worker->done++;
        } else if (status == HF_E_CONFLICT) {
            worker->lost++;
        } else {
            worker->failed = status;
        }
    }
    return NULL;
}

static void no_update_is_lost(void **state)
{
    struct fixture *fixture = *state;
    struct bytes key = text_key("counter");
    struct record start = make(RECORD_SEALS, key, 1);
    memset(start.body, 0, sizeof start.body);
    start.body_len = 8;
    put_one(fixture, &start);
    pthread_t threads[WRITERS];
    struct worker workers[WRITERS];
    for (size_t i = 0; i < WRITERS; i++) {
        workers[i] = (struct worker){.store = &fixture->store, .key = key};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]),
                         0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_ok(workers[i].failed);
        assert_int_equal(workers[i].done, INCREMENTS);
    }
    struct record end;
    size_t links = 0;
    struct store_txn *txn = begin(fixture, STORE_READ);
    assert_ok(store_get(txn, RECORD_SEALS, key, &end));
    assert_int_equal(number_in(&end), WRITERS * INCREMENTS);
    assert_int_equal(end.version, WRITERS * INCREMENTS + 1);
    assert_ok(store_audit_list(txn, NULL, 0, SIZE_MAX, count_link, &links));
    assert_int_equal(links, WRITERS * INCREMENTS); /* I4 */
    commit(txn);
}

static void *leave_in_the_middle(void *context)
{
    struct fixture *fixture = context;
    struct record record = make(RECORD_DEP, text_key("half"), 1);
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    if (store_begin(&fixture->store, STORE_WRITE, &txn) != HF_OK ||
        store_put(txn, &record) != HF_OK) {
        return fixture;
    }
    return NULL; /* and the transaction with it */
}

static void a_thread_that_leaves_takes_its_transaction_along(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    void *failed = fixture;
    assert_int_equal(
        pthread_create(&thread, NULL, leave_in_the_middle, fixture), 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    assert_int_equal(version_of(txn, RECORD_DEP, text_key("half")), 0);
    rollback(txn);
}

struct scan {
    const struct store *store;
    const bool *stop;
    atomic_size_t rounds;
    bool torn;
    enum hf_status failed;
};

static enum hf_status scan_once(struct scan *scan)
{
    struct record left;
    struct record right;
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(scan->store, STORE_READ, &txn));
    HF_TRY(store_get(txn, RECORD_DEP, text_key("left"), &left));
    HF_TRY(store_get(txn, RECORD_DEP, text_key("right"), &right));
    scan->torn = scan->torn || left.version != right.version;
    atomic_fetch_add(&scan->rounds, 1);
    return store_commit(&txn);
}

static void *scan_all(void *context)
{
    struct scan *scan = context;
    while (!__atomic_load_n(scan->stop, __ATOMIC_ACQUIRE) &&
           scan->failed == HF_OK) {
        scan->failed = scan_once(scan);
    }
    return NULL;
}

/* Two records always change together; readers must never see them differ. */
static void no_reader_sees_half_a_transaction(void **state)
{
    struct fixture *fixture = *state;
    bool stop = false;
    pthread_t threads[2];
    struct scan scans[2];
    struct record left = make(RECORD_DEP, text_key("left"), 1);
    struct record right = make(RECORD_DEP, text_key("right"), 1);
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    assert_ok(store_put(txn, &left));
    assert_ok(store_put(txn, &right));
    commit(txn);
    for (size_t i = 0; i < 2; i++) {
        scans[i] = (struct scan){.store = &fixture->store, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, scan_all, &scans[i]),
                         0);
    }
    /* until there was something to see, and both have looked often enough */
    for (uint64_t version = 2;
         version <= 200 || atomic_load(&scans[0].rounds) < 50 ||
         atomic_load(&scans[1].rounds) < 50;
         version++) {
        left = make(RECORD_DEP, text_key("left"), version);
        right = make(RECORD_DEP, text_key("right"), version);
        txn = begin(fixture, STORE_WRITE);
        assert_ok(store_put(txn, &left));
        assert_ok(store_put(txn, &right));
        commit(txn);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_ok(scans[i].failed);
        assert_false(scans[i].torn);
    }
}

int contract_txn_run(const struct store_maker *maker)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(writes_are_seen_by_oneself_and_then_by_all, maker),
        CONTRACT_TEST(a_rollback_leaves_nothing, maker),
        CONTRACT_TEST(a_reader_sees_one_moment, maker),
        CONTRACT_TEST(counts_committed_writes, maker),
        CONTRACT_TEST(a_second_opener_is_refused, maker),
        CONTRACT_TEST(no_update_is_lost, maker),
        CONTRACT_TEST(a_thread_that_leaves_takes_its_transaction_along, maker),
        CONTRACT_TEST(no_reader_sees_half_a_transaction, maker),
    };
    return cmocka_run_group_tests_name(maker->name, tests, NULL, NULL);
}
