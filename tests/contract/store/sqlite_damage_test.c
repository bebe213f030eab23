/* A file that was damaged or changed by somebody: refused when it is opened, or
 * found out when the row is read. */
#include "tests/contract/store/sqlite_fixture.h"
#include "tests/contract/store/store_contract.h"

#include <stdio.h>
#include <unistd.h>

static void a_damaged_file_is_refused(void **state)
{
    struct sqlite_disk *disk = *state;
    static uint8_t whole[1 << 20];
    struct store store = open_ok(disk);
    fill(&store, 200);
    store_close(&store);
    size_t len = read_file(disk->path, whole, sizeof whole);
    size_t pages = len / 4096;
    assert_true(pages > 10);
    for (size_t page = 1; page < pages; page++) {
        uint8_t kept = whole[page * 4096];
        whole[page * 4096] = 0x77; /* no kind of page */
        write_file(disk->path, whole, len, 0600);
        whole[page * 4096] = kept;
        assert_refused(disk, HF_E_CORRUPT);
    }
    for (size_t cut = 1; cut < 5; cut++) {
        write_file(disk->path, whole, len - cut * 4096, 0600);
        assert_refused(disk, HF_E_CORRUPT);
    }
    write_file(disk->path, whole, len, 0600);
    store = open_ok(disk);
    store_close(&store);
}

static void a_changed_schema_is_refused(void **state)
{
    struct sqlite_disk *disk = *state;
    static const char *const changes[] = {
        "ALTER TABLE audit RENAME TO elsewhere;",
        "DROP INDEX audit_by_tenant;",
        "ALTER TABLE record RENAME COLUMN body TO flesh;",
        "DROP TABLE epoch;",
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct store store = open_ok(disk);
        store_close(&store);
        edit(disk, changes[i]);
        assert_refused(disk, HF_E_CORRUPT);
        assert_int_equal(unlink(disk->path), 0);
    }
}

/* The file's own code must not run in us. */
static void triggers_in_the_file_do_nothing(void **state)
{
    struct sqlite_disk *disk = *state;
    struct store store = open_ok(disk);
    fill(&store, 3);
    store_close(&store);
    edit(disk, "CREATE TRIGGER evil AFTER INSERT ON record BEGIN "
               "DELETE FROM audit; END;");
    store = open_ok(disk);
    struct record record = make(RECORD_DEP, text_key("x"), 1);
    struct store_txn *txn = NULL;
    assert_ok(store_begin(&store, STORE_WRITE, &txn));
    assert_ok(store_put(txn, &record));
    assert_ok(store_commit(&txn));
    store_close(&store);
    assert_int_equal(ask(disk, "SELECT count(*) FROM audit"), 3);
}

static enum hf_status ignore_record(void *context, const struct record *record)
{
    (void)context;
    (void)record;
    return HF_OK;
}

static enum hf_status ignore_link(void *context, const struct audit_link *link)
{
    (void)context;
    (void)link;
    return HF_OK;
}

static enum hf_status ignore_epoch(void *context, const struct epoch *epoch)
{
    (void)context;
    (void)epoch;
    return HF_OK;
}

/* Rows are changed while the store is open, past the check of the opening. */
static void rows_that_cannot_be_are_corrupt(void **state)
{
    struct sqlite_disk *disk = *state;
    static const char *const record_edits[] = {
        "UPDATE record SET mac = zeroblob(31) WHERE key = x'61'",
        "UPDATE record SET previous_mac = zeroblob(33) WHERE key = x'61'",
        "UPDATE record SET body = zeroblob(8193) WHERE key = x'61'",
        "UPDATE record SET version = 0 WHERE key = x'61'",
        "UPDATE record SET version = -5 WHERE key = x'61'",
        "UPDATE record SET body = zeroblob(2000000) WHERE key = x'61'",
    };
    struct store store = open_ok(disk);
    for (size_t i = 0; i < sizeof record_edits / sizeof record_edits[0]; i++) {
        char sql[512];
        snprintf(sql, sizeof sql,
                 "PRAGMA ignore_check_constraints=1; DELETE FROM record; "
                 "INSERT INTO record VALUES (6, x'61', 1, zeroblob(32),"
                 " zeroblob(32), x'0102'); %s;",
                 record_edits[i]);
        edit(disk, sql);
        struct record found;
        struct store_page page = {.max = 9};
        struct store_txn *txn = NULL;
        assert_ok(store_begin(&store, STORE_READ, &txn));
        assert_status(store_get(txn, RECORD_DEP, text_key("a"), &found),
                      HF_E_CORRUPT);
        store_rollbackp(&txn);
        assert_ok(store_begin(&store, STORE_READ, &txn));
        assert_status(store_list(txn, RECORD_DEP, &page, ignore_record, NULL),
                      HF_E_CORRUPT);
        store_rollbackp(&txn);
    }
    store_close(&store);
}

static void links_and_epochs_that_cannot_be_are_corrupt(void **state)
{
    struct sqlite_disk *disk = *state;
    struct store store = open_ok(disk);
    fill(&store, 2);
    static const char *const link_edits[] = {
        "UPDATE audit SET hash = x'00'",
        "UPDATE audit SET previous = zeroblob(31)",
        "UPDATE audit SET tenant = zeroblob(17)",
        "UPDATE audit SET time_ms = -1",
        "UPDATE audit SET body = zeroblob(9000)",
    };
    for (size_t i = 0; i < sizeof link_edits / sizeof link_edits[0]; i++) {
        char sql[256];
        snprintf(sql, sizeof sql, "PRAGMA ignore_check_constraints=1; %s;",
                 link_edits[i]);
        edit(disk, sql);
        struct store_txn *txn = NULL;
        assert_ok(store_begin(&store, STORE_READ, &txn));
        assert_status(store_audit_list(txn, NULL, 0, 9, ignore_link, NULL),
                      HF_E_CORRUPT);
        store_rollbackp(&txn);
    }
    edit(disk, "INSERT INTO epoch VALUES (1, zeroblob(32), 0, zeroblob(32)),"
               " (3, zeroblob(32), 0, zeroblob(32));"); /* 2 was taken out */
    struct store_txn *txn = NULL;
    assert_ok(store_begin(&store, STORE_READ, &txn));
    assert_status(store_epoch_list(txn, 9, ignore_epoch, NULL), HF_E_CORRUPT);
    store_rollbackp(&txn);
    /* our own trouble leaves nothing to commit */
    struct audit_link link = link_of(1, "{}");
    struct record record = make(RECORD_DEP, text_key("zz"), 1);
    assert_ok(store_begin(&store, STORE_WRITE, &txn));
    assert_ok(store_put(txn, &record));
    assert_status(store_audit_append(txn, &link), HF_E_CORRUPT);
    assert_status(store_put(txn, &record), HF_E_CORRUPT);
    assert_status(store_commit(&txn), HF_E_CORRUPT);
    assert_ok(store_begin(&store, STORE_READ, &txn));
    assert_int_equal(version_of(txn, RECORD_DEP, text_key("zz")), 0);
    assert_ok(store_commit(&txn));
    store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK_TEST(a_damaged_file_is_refused),
        DISK_TEST(a_changed_schema_is_refused),
        DISK_TEST(triggers_in_the_file_do_nothing),
        DISK_TEST(rows_that_cannot_be_are_corrupt),
        DISK_TEST(links_and_epochs_that_cannot_be_are_corrupt),
    };
    return cmocka_run_group_tests_name("sqlite damage", tests, NULL, NULL);
}
