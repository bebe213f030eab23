#include "server/store/sqlite/sqlite_store.h"

#include "hsm/base/check.h"

#include "server/store/sqlite/sqlite_file.h"
#include "server/store/sqlite/sqlite_migrate.h"
#include "server/store/sqlite/sqlite_pool.h"
#include "server/store/sqlite/sqlite_rows.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

#define READERS_DEFAULT 4

struct sqlite_store {
    int lock_fd; /* -1: not held */
    struct sqlite_pool writer;
    struct sqlite_pool readers;
    atomic_uint_fast64_t writes;
};

static struct sqlite_txn *of(struct store_txn *txn)
{
    return (struct sqlite_txn *)txn;
}

static HF_STATUS begin_on(struct connection *connection, enum store_mode mode)
{
    if (mode == STORE_WRITE) {
        return connection_run(connection, ST_BEGIN_WRITE);
    }
    HF_TRY(connection_run(connection, ST_BEGIN_READ));
    enum hf_status status = connection_run(connection, ST_PIN);
    if (status != HF_OK) {
        HF_IGNORE(connection_run(connection, ST_ROLLBACK),
                  "nothing was read; the first status counts");
    }
    return status;
}

static HF_STATUS sqlite_begin(void *self, enum store_mode mode,
                              struct store_txn **out_txn)
{
    struct sqlite_store *store = self;
    struct sqlite_pool *pool =
        mode == STORE_WRITE ? &store->writer : &store->readers;
    struct connection *connection = NULL;
    HF_TRY(sqlite_pool_take(pool, STORE_BEGIN_WAIT_MS, &connection));
    enum hf_status status = begin_on(connection, mode);
    if (status != HF_OK) {
        sqlite_pool_give(pool, connection);
        return status;
    }
    connection->txn =
        (struct sqlite_txn){.connection = connection, .store = store};
    *out_txn = &connection->txn.head;
    return HF_OK;
}

static void give_back(struct store_txn *txn)
{
    struct connection *connection = of(txn)->connection;
    struct sqlite_store *store = of(txn)->store;
    sqlite_pool_give(connection->writer ? &store->writer : &store->readers,
                     connection);
}

static void sqlite_rollback(struct store_txn *txn)
{
    struct connection *connection = of(txn)->connection;
    /* after some errors SQLite has already undone it by itself */
    if (sqlite3_get_autocommit(connection->db) == 0) {
        enum hf_status status = connection_run(connection, ST_ROLLBACK);
        CHECK(status == HF_OK || sqlite3_get_autocommit(connection->db) != 0);
    }
    give_back(txn);
}

static HF_STATUS sqlite_commit(struct store_txn *txn)
{
    struct connection *connection = of(txn)->connection;
    struct sqlite_store *store = of(txn)->store;
    if (!connection->writer) {
        sqlite_rollback(txn); /* nothing to keep */
        return HF_OK;
    }
    connection_commit(connection);
    atomic_fetch_add(&store->writes, 1);
    give_back(txn);
    return HF_OK;
}

static uint64_t sqlite_writes(void *self)
{
    struct sqlite_store *store = self;
    return atomic_load(&store->writes);
}

static void sqlite_store_free(struct sqlite_store *store)
{
    if (store == NULL) {
        return;
    }
    sqlite_pool_close(&store->readers);
    sqlite_pool_close(&store->writer);
    if (store->lock_fd >= 0) {
        store_file_unlock(store->lock_fd);
    }
    free(store);
}
HF_DEFINE_FREEP(struct sqlite_store, sqlite_store)

static void sqlite_close(void *self)
{
    struct sqlite_store *store = self;
    CHECK(store->readers.idle_count == store->readers.count);
    CHECK(store->writer.idle_count == store->writer.count);
    sqlite_store_free(store);
}

static const struct store_port sqlite_port = {
    .begin = sqlite_begin,
    .get = sqlite_record_get,
    .put = sqlite_record_put,
    .remove = sqlite_record_remove,
    .list = sqlite_record_list,
    .count = sqlite_record_count,
    .audit_append = sqlite_audit_append,
    .audit_list = sqlite_audit_list,
    .epoch_append = sqlite_epoch_append,
    .epoch_list = sqlite_epoch_list,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .writes = sqlite_writes,
    .close = sqlite_close,
};

/* The whole file is looked at once, before anything is believed. */
static HF_STATUS check_file(struct connection *connection)
{
    bool ok = false;
    HF_TRY(connection_text_is(connection, "PRAGMA quick_check(1)", "ok", &ok));
    return ok ? HF_OK : HF_E_CORRUPT;
}

static HF_STATUS set_journal(struct connection *connection)
{
    bool is_wal = false;
    HF_TRY(connection_text_is(connection, "PRAGMA journal_mode=WAL", "wal",
                              &is_wal));
    return is_wal ? HF_OK : HF_E_IO;
}

static HF_STATUS open_writer(struct sqlite_store *store, const char *path)
{
    uint32_t version = 0;
    HF_TRY(sqlite_pool_new(&store->writer, 1));
    struct connection *writer = &store->writer.connections[0];
    HF_TRY(connection_open(writer, path, true));
    HF_TRY(sqlite_identify(writer, &version));
    HF_TRY(check_file(writer));
    HF_TRY(set_journal(writer));
    HF_TRY(sqlite_migrate(writer, version, sqlite_migrations,
                          sqlite_migration_count));
    HF_TRY(connection_prepare(writer));
    sqlite_pool_give(&store->writer, writer);
    return HF_OK;
}

static HF_STATUS open_readers(struct sqlite_store *store, const char *path,
                              size_t count)
{
    HF_TRY(sqlite_pool_new(&store->readers, count));
    for (size_t i = 0; i < count; i++) {
        struct connection *reader = &store->readers.connections[i];
        HF_TRY(connection_open(reader, path, false));
        HF_TRY(connection_prepare(reader));
        sqlite_pool_give(&store->readers, reader);
    }
    return HF_OK;
}

HF_STATUS sqlite_store_open(const struct sqlite_settings *settings,
                            struct store *out_store)
{
    char path[PATH_MAX];
    CHECK(settings != NULL && settings->path != NULL && out_store != NULL);
    if (settings->readers > SQLITE_STORE_READERS_MAX ||
        settings->path[0] == '\0') {
        return HF_E_INVALID;
    }
    size_t readers =
        settings->readers > 0 ? settings->readers : READERS_DEFAULT;
    HF_OWNED(sqlite_store_freep)
    struct sqlite_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        return HF_E_NO_MEMORY;
    }
    store->lock_fd = -1;
    HF_TRY(store_file_lock(settings->path, &store->lock_fd));
    HF_TRY(store_file_prepare(settings->path, path, sizeof path));
    HF_TRY(open_writer(store, path));
    HF_TRY(open_readers(store, path, readers));
    *out_store = (struct store){.port = &sqlite_port, .self = HF_GIVE(store)};
    return HF_OK;
}
