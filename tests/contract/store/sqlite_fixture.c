#include "tests/contract/store/sqlite_fixture.h"

#include "tests/contract/store/store_contract.h"

#include <sqlite3.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int disk_setup(void **state)
{
    *state = sqlite_disk_new();
    return 0;
}

int disk_teardown(void **state)
{
    sqlite_disk_free(*state);
    return 0;
}

struct store open_ok(const struct sqlite_disk *disk)
{
    struct store store = {0};
    assert_ok(sqlite_disk_open(disk, &store));
    return store;
}

void assert_refused(const struct sqlite_disk *disk, enum hf_status why)
{
    struct store store = {0};
    assert_status(sqlite_disk_open(disk, &store), why);
    assert_null(store.port);
    assert_null(store.self);
}

/* What somebody with the sqlite3 command could do. */
void edit(const struct sqlite_disk *disk, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(disk->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(db, 1000), SQLITE_OK);
    int result = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (result != SQLITE_OK) {
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int64_t ask(const struct sqlite_disk *disk, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(disk->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}

void write_file(const char *path, const void *data, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

size_t read_file(const char *path, uint8_t *out, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t len = read(fd, out, cap);
    assert_true(len >= 0 && (size_t)len < cap);
    close(fd);
    return (size_t)len;
}

void fill(struct store *store, size_t count)
{
    struct store_txn *txn = NULL;
    assert_ok(store_begin(store, STORE_WRITE, &txn));
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "r%04zu", i);
        struct record record = make(RECORD_DEP, text_key(name), 1);
        struct audit_link link = link_of(1, "{}");
        assert_ok(store_put(txn, &record));
        assert_ok(store_audit_append(txn, &link));
    }
    assert_ok(store_commit(&txn));
}

off_t size_of(const struct sqlite_disk *disk, const char *suffix)
{
    char path[128];
    struct stat facts;
    snprintf(path, sizeof path, "%s%s", disk->path, suffix);
    return stat(path, &facts) == 0 ? facts.st_size : 0;
}
