/* What the store does beside its port: a journal that stays small, deleted
 * content that is gone, waiting that ends. */
#include "tests/contract/store/sqlite_fixture.h"
#include "tests/contract/store/store_contract.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool file_holds(const struct sqlite_disk *disk, const char *suffix,
                       const char *marker)
{
    char path[128];
    static char whole[1 << 20];
    snprintf(path, sizeof path, "%s%s", disk->path, suffix);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t len = read(fd, whole, sizeof whole);
    close(fd);
    assert_true(len >= 0 && (size_t)len < sizeof whole);
    return memmem(whole, (size_t)len, marker, strlen(marker)) != NULL;
}

/* Facts: deleted content stays in the journal until it is cut off. */
static void deleted_content_is_gone_after_close(void **state)
{
    static const char marker[] = "a wrapped copy nobody may find again";
    struct fixture fixture = {.disk = *state};
    struct record record = make(RECORD_GENERATION, text_key("g"), 1);
    memcpy(record.body, marker, sizeof marker);
    record.body_len = 4000;
    assert_ok(sqlite_disk_open(*state, &fixture.store));
    put_one(&fixture, &record);
    store_close(&fixture.store);
    assert_true(file_holds(*state, "", marker));
    assert_int_equal(size_of(*state, "-wal"), 0);
    assert_ok(sqlite_disk_open(*state, &fixture.store));
    struct store_txn *txn = begin(&fixture, STORE_WRITE);
    assert_ok(store_remove(txn, RECORD_GENERATION, text_key("g"), 1));
    commit(txn);
    store_close(&fixture.store);
    assert_false(file_holds(*state, "", marker));
    assert_false(file_holds(*state, "-wal", marker));
}

static void write_pages(struct fixture *fixture, uint64_t *version,
                        size_t records)
{
    struct store_txn *txn = begin(fixture, STORE_WRITE);
    for (size_t i = 0; i < records; i++) {
        char name[16];
        snprintf(name, sizeof name, "big%05zu", i);
        struct record record = make(RECORD_DEP, text_key(name), *version);
        memset(record.body, (int)*version, sizeof record.body);
        record.body_len = RECORD_BODY_MAX_BYTES;
        assert_ok(store_put(txn, &record));
    }
    commit(txn);
    (*version)++;
}

/* A reader that stays makes the journal grow; it is cut off afterwards. */
static void the_journal_is_cut_off_when_it_has_grown(void **state)
{
    const off_t bound = 64 << 20;
    struct fixture fixture = {.disk = *state};
    uint64_t version = 1;
    assert_ok(sqlite_disk_open(*state, &fixture.store));
    write_pages(&fixture, &version, 1000);
    struct store_txn *reader = begin(&fixture, STORE_READ);
    while (size_of(*state, "-wal") < bound) {
        write_pages(&fixture, &version, 1000);
        assert_true(version < 50);
    }
    struct record record = make(RECORD_SEALS, text_key("s"), 1);
    put_one(&fixture, &record); /* does not wait for the reader */
    assert_true(size_of(*state, "-wal") >= bound);
    assert_int_equal(version_of(reader, RECORD_SEALS, text_key("s")), 0);
    commit(reader);
    record = make(RECORD_SEALS, text_key("s"), 2);
    put_one(&fixture, &record);
    assert_int_equal(size_of(*state, "-wal"), 0);
    store_close(&fixture.store);
}

struct waiting {
    struct store store;
    enum store_mode mode;
    enum hf_status status;
    struct timespec took;
};

static void *wait_in_vain(void *context)
{
    struct waiting *waiting = context;
    struct timespec from;
    struct timespec to;
    struct store_txn *txn = NULL;
    clock_gettime(CLOCK_MONOTONIC, &from);
    waiting->status = store_begin(&waiting->store, waiting->mode, &txn);
    clock_gettime(CLOCK_MONOTONIC, &to);
    waiting->took.tv_sec = to.tv_sec - from.tv_sec;
    store_rollbackp(&txn);
    return NULL;
}

static void waiting_has_an_end(void **state)
{
    struct fixture fixture = {.disk = *state};
    struct store_txn *readers[4];
    pthread_t threads[2];
    assert_ok(sqlite_disk_open(*state, &fixture.store));
    struct store_txn *writer = begin(&fixture, STORE_WRITE);
    for (size_t i = 0; i < 4; i++) {
        readers[i] = begin(&fixture, STORE_READ);
    }
    struct waiting waiting[2] = {
        {.store = fixture.store, .mode = STORE_WRITE},
        {.store = fixture.store, .mode = STORE_READ },
    };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, wait_in_vain, &waiting[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_status(waiting[i].status, HF_E_OVERLOAD);
        assert_in_range(waiting[i].took.tv_sec, 4, 8);
    }
    for (size_t i = 0; i < 4; i++) {
        commit(readers[i]);
    }
    commit(writer);
    commit(begin(&fixture, STORE_WRITE)); /* nothing was left behind */
    commit(begin(&fixture, STORE_READ));
    store_close(&fixture.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK_TEST(deleted_content_is_gone_after_close),
        DISK_TEST(the_journal_is_cut_off_when_it_has_grown),
        DISK_TEST(waiting_has_an_end),
    };
    return cmocka_run_group_tests_name("sqlite upkeep", tests, NULL, NULL);
}
