/* The strings a test pulls on the memory fake. */
#include "tests/fakes/store_memory.h"
#include "tests/support/unit.h"

#include <pthread.h>
#include <string.h>

static struct record record_of(const char *key, uint64_t version)
{
    struct record record;
    memset(&record, 0, sizeof record);
    record.kind = RECORD_DEP;
    record.key_len = strlen(key);
    memcpy(record.key, key, record.key_len);
    record.version = version;
    record.body_len = 5;
    memcpy(record.body, "hello", 5);
    return record;
}

struct disk {
    struct store_memory *memory;
    struct store store;
};

static struct disk disk_new(void)
{
    struct disk disk = {.memory = store_memory_new()};
    assert_ok(store_memory_open(disk.memory, &disk.store));
    return disk;
}

static void disk_free(struct disk *disk)
{
    store_close(&disk->store);
    store_memory_free(disk->memory);
}

static enum hf_status count_link(void *context, const struct audit_link *link)
{
    (void)link;
    (*(size_t *)context)++;
    return HF_OK;
}

/* One of everything, so that every call of the port is made. */
static enum hf_status one_of_everything(const struct store *store)
{
    struct record record = record_of("a", 1);
    struct record gone = record_of("b", 1);
    struct audit_link link = {.body_len = 2, .body = "{}"};
    struct epoch epoch = {.counter = 1};
    uint64_t count = 0;
    size_t links = 0;
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(store, STORE_WRITE, &txn));
    HF_TRY(store_put(txn, &record));
    HF_TRY(store_put(txn, &gone));
    HF_TRY(store_remove(txn, RECORD_DEP, bytes_of_text("b"), 1));
    HF_TRY(store_get(txn, RECORD_DEP, bytes_of_text("a"), &record));
    HF_TRY(store_count(txn, RECORD_DEP, BYTES_NONE, &count));
    HF_TRY(store_audit_append(txn, &link));
    HF_TRY(store_audit_list(txn, NULL, 0, 9, count_link, &links));
    HF_TRY(store_epoch_append(txn, &epoch));
    return store_commit(&txn);
}

static size_t links_in(const struct store *store)
{
    struct store_txn *txn = NULL;
    size_t links = 0;
    assert_ok(store_begin(store, STORE_READ, &txn));
    assert_ok(store_audit_list(txn, NULL, 0, 99, count_link, &links));
    assert_ok(store_commit(&txn));
    return links;
}

static enum hf_status look(const struct store *store, const char *key,
                           struct record *out)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(store, STORE_READ, &txn));
    HF_TRY(store_get(txn, RECORD_DEP, bytes_of_text(key), out));
    return store_commit(&txn);
}

static void the_nth_call_fails_and_leaves_nothing(void **state)
{
    (void)state;
    uint64_t n = 1;
    for (;; n++) {
        struct disk disk = disk_new();
        struct record found;
        store_memory_fail_at(disk.memory, STORE_MEMORY_ANY, n, HF_E_IO);
        enum hf_status status = one_of_everything(&disk.store);
        bool failed = store_memory_failed(disk.memory);
        store_memory_fail_at(disk.memory, 0, 0, HF_OK);
        assert_status(status, failed ? HF_E_IO : HF_OK);
        assert_status(look(&disk.store, "a", &found),
                      failed ? HF_E_NOT_FOUND : HF_OK);
        assert_int_equal(links_in(&disk.store), failed ? 0 : 1);
        assert_int_equal(store_writes(&disk.store), failed ? 0 : 1);
        if (failed) { /* and the store is as usable as before */
            assert_ok(one_of_everything(&disk.store));
        }
        disk_free(&disk);
        if (!failed) {
            break;
        }
    }
    assert_int_equal(n, 11); /* ten calls, and one run that passes */
}

static void only_the_chosen_calls_count(void **state)
{
    (void)state;
    struct disk disk = disk_new();
    store_memory_fail_at(disk.memory, STORE_MEMORY_PUT | STORE_MEMORY_COMMIT, 9,
                         HF_E_NO_MEMORY);
    assert_ok(one_of_everything(&disk.store));
    assert_int_equal(store_memory_calls(disk.memory), 3);
    assert_false(store_memory_failed(disk.memory));
    store_memory_fail_at(disk.memory, STORE_MEMORY_BEGIN, 1, HF_E_OVERLOAD);
    assert_status(one_of_everything(&disk.store), HF_E_OVERLOAD);
    assert_status(one_of_everything(&disk.store), HF_E_EXISTS); /* only once */
    disk_free(&disk);
}

static void an_image_brings_everything_back(void **state)
{
    (void)state;
    struct disk disk = disk_new();
    struct record record = record_of("a", 2);
    struct record found;
    assert_ok(one_of_everything(&disk.store));
    struct store_memory *image = store_memory_save(disk.memory);
    struct store_txn *txn = NULL;
    struct audit_link link = {.body_len = 2, .body = "{}"};
    assert_ok(store_begin(&disk.store, STORE_WRITE, &txn));
    assert_ok(store_put(txn, &record));
    assert_ok(store_audit_append(txn, &link));
    assert_ok(store_commit(&txn));
    assert_ok(look(&disk.store, "a", &found));
    assert_int_equal(found.version, 2);
    assert_int_equal(links_in(&disk.store), 2);
    for (int round = 0; round < 2; round++) { /* an image can be used again */
        store_memory_restore(disk.memory, image);
        assert_ok(look(&disk.store, "a", &found));
        assert_int_equal(found.version, 1);
        assert_int_equal(links_in(&disk.store), 1);
    }
    store_memory_free(image);
    disk_free(&disk);
}

static enum hf_status copy_link(void *context, const struct audit_link *link)
{
    *(struct audit_link *)context = *link;
    return HF_OK;
}

static void a_store_can_be_changed_behind_its_back(void **state)
{
    (void)state;
    struct disk disk = disk_new();
    struct record found;
    assert_ok(one_of_everything(&disk.store));
    struct record forged = record_of("a", 9);
    forged.body[0] = 'j';
    store_memory_overwrite(disk.memory, &forged);
    assert_ok(look(&disk.store, "a", &found));
    assert_int_equal(found.version, 9);
    assert_int_equal(found.body[0], 'j');
    forged = record_of("new", 4);
    store_memory_overwrite(disk.memory, &forged);
    assert_ok(look(&disk.store, "new", &found));
    assert_true(
        store_memory_erase(disk.memory, RECORD_DEP, bytes_of_text("a")));
    assert_false(
        store_memory_erase(disk.memory, RECORD_DEP, bytes_of_text("a")));
    assert_status(look(&disk.store, "a", &found), HF_E_NOT_FOUND);
    struct audit_link link = {.index = 1, .body_len = 6, .body = "{\"x\":}"};
    assert_true(store_memory_overwrite_audit(disk.memory, &link));
    link.index = 2;
    assert_false(store_memory_overwrite_audit(disk.memory, &link));
    struct store_txn *txn = NULL;
    assert_ok(store_begin(&disk.store, STORE_READ, &txn));
    assert_ok(store_audit_list(txn, NULL, 0, 9, copy_link, &link));
    assert_ok(store_commit(&txn));
    assert_int_equal(link.body_len, 6);
    disk_free(&disk);
}

static void *begin_to_write(void *context)
{
    struct store_txn *txn = NULL;
    enum hf_status status = store_begin(context, STORE_WRITE, &txn);
    store_rollbackp(&txn);
    return status == HF_E_OVERLOAD ? context : NULL;
}

static void waiting_for_the_writer_has_an_end(void **state)
{
    (void)state;
    struct disk disk = disk_new();
    struct store_txn *txn = NULL;
    pthread_t thread;
    void *overloaded = NULL;
    store_memory_wait_ms(disk.memory, 30);
    assert_ok(store_begin(&disk.store, STORE_WRITE, &txn));
    assert_int_equal(pthread_create(&thread, NULL, begin_to_write, &disk.store),
                     0);
    assert_int_equal(pthread_join(thread, &overloaded), 0);
    assert_ptr_equal(overloaded, &disk.store);
    assert_ok(store_commit(&txn));
    disk_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nth_call_fails_and_leaves_nothing),
        cmocka_unit_test(only_the_chosen_calls_count),
        cmocka_unit_test(an_image_brings_everything_back),
        cmocka_unit_test(a_store_can_be_changed_behind_its_back),
        cmocka_unit_test(waiting_for_the_writer_has_an_end),
    };
    return cmocka_run_group_tests_name("memory fake", tests, NULL, NULL);
}
