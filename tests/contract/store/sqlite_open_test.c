/* What sqlite_store_open takes, and what it refuses. */
#include "server/store/sqlite/sqlite_migrate.h"
#include "server/store/sqlite/sqlite_store.h"

#include "tests/contract/store/sqlite_fixture.h"
#include "tests/contract/store/store_contract.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static mode_t mode_of(const struct sqlite_disk *disk, const char *suffix)
{
    char path[128];
    struct stat facts;
    snprintf(path, sizeof path, "%s%s", disk->path, suffix);
    assert_int_equal(stat(path, &facts), 0);
    return facts.st_mode & 07777;
}

static void the_files_are_the_owners_alone(void **state)
{
    struct sqlite_disk *disk = *state;
    mode_t before = umask(0);
    struct store store = open_ok(disk);
    fill(&store, 1);
    assert_int_equal(mode_of(disk, ""), 0600);
    assert_int_equal(mode_of(disk, "-wal"), 0600);
    assert_int_equal(mode_of(disk, "-shm"), 0600);
    assert_int_equal(mode_of(disk, ".lock"), 0600);
    store_close(&store);
    assert_int_equal(chmod(disk->path, 0666), 0);
    store = open_ok(disk);
    assert_int_equal(mode_of(disk, ""), 0600);
    store_close(&store);
    umask(before);
}

static void refuses_what_is_no_store(void **state)
{
    struct sqlite_disk *disk = *state;
    uint8_t garbage[5000];
    uint8_t after[6000];
    for (size_t i = 0; i < sizeof garbage; i++) {
        garbage[i] = (uint8_t)(i * 31 + 7);
    }
    write_file(disk->path, garbage, sizeof garbage, 0600);
    assert_refused(disk, HF_E_CORRUPT);
    memcpy(garbage, "SQLite format 3", 16); /* looks right, is not */
    write_file(disk->path, garbage, sizeof garbage, 0600);
    assert_refused(disk, HF_E_CORRUPT);
    assert_int_equal(read_file(disk->path, after, sizeof after),
                     sizeof garbage);
    assert_memory_equal(after, garbage, sizeof garbage); /* and is left alone */
    write_file(disk->path, "hello\n", 6, 0600);
    assert_refused(disk, HF_E_CORRUPT);
}

static void refuses_somebody_elses_database(void **state)
{
    struct sqlite_disk *disk = *state;
    edit(disk, "CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1);");
    assert_refused(disk, HF_E_CORRUPT);
    edit(disk, "PRAGMA application_id=77;");
    assert_refused(disk, HF_E_CORRUPT);
    assert_int_equal(ask(disk, "SELECT a FROM theirs"), 1);
    assert_int_equal(ask(disk, "SELECT count(*) FROM sqlite_schema"), 1);
    /* ours by name, but with nothing of ours inside */
    edit(disk, "PRAGMA application_id=1212568404;");
    assert_int_equal(SQLITE_APPLICATION_ID, 1212568404);
    assert_refused(disk, HF_E_CORRUPT);
}

/* Whatever else it holds, the name in the header decides. */
static void a_store_by_another_name_is_refused(void **state)
{
    struct sqlite_disk *disk = *state;
    struct store store = open_ok(disk);
    store_close(&store);
    edit(disk, "PRAGMA application_id=77;");
    assert_refused(disk, HF_E_CORRUPT);
    edit(disk, "PRAGMA application_id=0;");
    assert_refused(disk, HF_E_CORRUPT);
    edit(disk, "PRAGMA application_id=1212568404;");
    store = open_ok(disk);
    store_close(&store);
}

/* A crash between the making of the file and the first migration. */
static void an_unfinished_store_is_finished(void **state)
{
    struct sqlite_disk *disk = *state;
    write_file(disk->path, "", 0, 0600);
    struct store store = open_ok(disk);
    store_close(&store);
    assert_int_equal(unlink(disk->path), 0);
    edit(disk, "PRAGMA journal_mode=WAL; VACUUM;");
    store = open_ok(disk);
    fill(&store, 1);
    store_close(&store);
    assert_int_equal(ask(disk, "PRAGMA application_id"), SQLITE_APPLICATION_ID);
}

static void refuses_paths_that_are_no_file(void **state)
{
    struct sqlite_disk *disk = *state;
    struct store store = {0};
    char path[PATH_MAX + 8];
    struct sqlite_settings settings = {.path = path};
    snprintf(path, sizeof path, "%s/missing/store.db", disk->folder);
    assert_status(sqlite_store_open(&settings, &store), HF_E_IO);
    snprintf(path, sizeof path, "%s", disk->path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_status(sqlite_store_open(&settings, &store), HF_E_IO);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_status(sqlite_store_open(&settings, &store), HF_E_IO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("elsewhere.db", path), 0);
    assert_status(sqlite_store_open(&settings, &store), HF_E_IO);
    memset(path, 'p', PATH_MAX);
    path[PATH_MAX] = '\0';
    assert_status(sqlite_store_open(&settings, &store), HF_E_INVALID);
    path[0] = '\0';
    assert_status(sqlite_store_open(&settings, &store), HF_E_INVALID);
    settings = (struct sqlite_settings){
        .path = disk->path, .readers = SQLITE_STORE_READERS_MAX + 1};
    assert_status(sqlite_store_open(&settings, &store), HF_E_INVALID);
}

/* ":memory:" means a store without a disk to SQLite. */
static void a_name_means_a_file_and_nothing_else(void **state)
{
    struct sqlite_disk *disk = *state;
    char before[PATH_MAX];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(disk->folder), 0);
    const struct sqlite_settings settings = {.path = ":memory:"};
    struct store store = {0};
    assert_ok(sqlite_store_open(&settings, &store));
    fill(&store, 3);
    store_close(&store);
    struct stat facts;
    assert_int_equal(stat(":memory:", &facts), 0);
    assert_true(facts.st_size > 4096);
    assert_int_equal(chdir(before), 0);
}

static void a_newer_schema_is_refused(void **state)
{
    struct sqlite_disk *disk = *state;
    struct store store = open_ok(disk);
    fill(&store, 2);
    store_close(&store);
    edit(disk, "UPDATE meta SET schema_version = schema_version + 1;");
    assert_refused(disk, HF_E_UNSUPPORTED);
    edit(disk, "UPDATE meta SET schema_version = 0;");
    assert_refused(disk, HF_E_CORRUPT);
    edit(disk, "UPDATE meta SET schema_version = -1;");
    assert_refused(disk, HF_E_CORRUPT);
    edit(disk, "DELETE FROM meta;");
    assert_refused(disk, HF_E_CORRUPT);
    assert_int_equal(ask(disk, "SELECT count(*) FROM record"), 2);
}

/* A file as an older program left it. */
static void make_older_store(const struct sqlite_disk *disk, size_t migrations)
{
    struct connection connection;
    uint32_t version = 99;
    write_file(disk->path, "", 0, 0600);
    assert_ok(connection_open(&connection, disk->path, true));
    assert_ok(sqlite_identify(&connection, &version));
    assert_int_equal(version, 0);
    assert_ok(
        sqlite_migrate(&connection, version, sqlite_migrations, migrations));
    assert_ok(sqlite_identify(&connection, &version));
    assert_int_equal(version, migrations);
    connection_close(&connection);
}

static void an_older_schema_is_brought_up(void **state)
{
    struct sqlite_disk *disk = *state;
    assert_true(sqlite_migration_count >= 2);
    make_older_store(disk, 1);
    edit(disk, "INSERT INTO record VALUES (6, x'61', 1, zeroblob(32),"
               " zeroblob(32), x'0102');");
    assert_int_equal(
        ask(disk, "SELECT count(*) FROM sqlite_schema WHERE name='audit'"), 0);
    int64_t id = ask(disk, "SELECT hex(store_id) IS NOT NULL FROM meta");
    assert_int_equal(id, 1);
    edit(disk,
         "UPDATE meta SET store_id = x'00112233445566778899aabbccddeeff'");
    struct store store = open_ok(disk);
    struct store_txn *txn = NULL;
    struct record record;
    assert_ok(store_begin(&store, STORE_READ, &txn));
    assert_ok(store_get(txn, RECORD_DEP, text_key("a"), &record));
    assert_int_equal(record.body_len, 2);
    assert_ok(store_commit(&txn));
    fill(&store, 1); /* the new tables are there */
    store_close(&store);
    assert_int_equal(ask(disk, "SELECT schema_version FROM meta"),
                     sqlite_migration_count);
    assert_int_equal(
        ask(disk, "SELECT store_id = x'00112233445566778899aabbccddeeff' "
                  "FROM meta"),
        1);
}

static void each_migration_runs_once(void **state)
{
    struct sqlite_disk *disk = *state;
    static const struct sqlite_migration list[] = {
        {1, "one",
         "CREATE TABLE meta (one INTEGER PRIMARY KEY, schema_version INTEGER,"
         " store_id BLOB); CREATE TABLE runs (n);"
         "INSERT INTO runs VALUES (1);"                            },
        {2, "two",   "INSERT INTO runs VALUES (2);"                },
        {3, "wrong", "INSERT INTO runs VALUES (3); SELECT nothing;"},
    };
    struct connection connection;
    uint32_t version = 0;
    write_file(disk->path, "", 0, 0600);
    assert_ok(connection_open(&connection, disk->path, true));
    assert_ok(sqlite_migrate(&connection, 0, list, 1));
    assert_ok(sqlite_identify(&connection, &version));
    assert_ok(sqlite_migrate(&connection, version, list, 2));
    assert_ok(sqlite_identify(&connection, &version));
    assert_int_equal(version, 2);
    assert_ok(sqlite_migrate(&connection, version, list, 2));
    /* one that fails leaves nothing of itself */
    assert_status(sqlite_migrate(&connection, version, list, 3), HF_E_CORRUPT);
    assert_ok(sqlite_identify(&connection, &version));
    assert_int_equal(version, 2);
    assert_status(sqlite_migrate(&connection, version, list, 1),
                  HF_E_UNSUPPORTED);
    connection_close(&connection);
    assert_int_equal(ask(disk, "SELECT count(*) FROM runs"), 2);
    assert_int_equal(ask(disk, "SELECT sum(n) FROM runs"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK_TEST(the_files_are_the_owners_alone),
        DISK_TEST(refuses_what_is_no_store),
        DISK_TEST(refuses_somebody_elses_database),
        DISK_TEST(a_store_by_another_name_is_refused),
        DISK_TEST(an_unfinished_store_is_finished),
        DISK_TEST(refuses_paths_that_are_no_file),
        DISK_TEST(a_name_means_a_file_and_nothing_else),
        DISK_TEST(a_newer_schema_is_refused),
        DISK_TEST(an_older_schema_is_brought_up),
        DISK_TEST(each_migration_runs_once),
    };
    return cmocka_run_group_tests_name("sqlite open", tests, NULL, NULL);
}
