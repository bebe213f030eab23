#include "server/store/sqlite/sqlite_connection.h"

#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "server/store/sqlite/sqlite_store.h"

#include <string.h>
#include <unistd.h>

/* The journal is copied back at so many pages, and cut off when readers kept it
 * from shrinking for long. */
#define CHECKPOINT_PAGES 1000
#define TRUNCATE_PAGES   16384 /* 64 MiB */

#define WRITER_BUSY_MS   1000
#define READER_BUSY_MS   1000
#define TRUNCATE_WAIT_MS 50

#define VALUE_MAX_BYTES  (256 * 1024)

/* Nothing of the file's own may run, and nothing deleted may stay readable. */
#define COMMON_SETTINGS                                                        \
    "PRAGMA foreign_keys=OFF; PRAGMA trusted_schema=OFF;"                      \
    "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0;"                           \
    "PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=0;"
static const char writer_settings[] =
    COMMON_SETTINGS "PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;";
static const char reader_settings[] = COMMON_SETTINGS "PRAGMA query_only=ON;";

#define RECORD_COLUMNS "kind, key, version, mac, previous_mac, body"
#define AUDIT_COLUMNS  "idx, tenant, time_ms, previous, hash, body"

static const char *const statement_sql[STATEMENT_COUNT] = {
    [ST_BEGIN_READ] = "BEGIN",
    [ST_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_PIN] = "SELECT one FROM meta WHERE one = 1",
    [ST_RECORD_GET] =
        "SELECT " RECORD_COLUMNS " FROM record WHERE kind = ?1 AND key = ?2",
    [ST_RECORD_INSERT] = "INSERT INTO record (" RECORD_COLUMNS ") "
                         "VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
                         "ON CONFLICT DO NOTHING",
    [ST_RECORD_UPDATE] =
        "UPDATE record SET version = ?3, mac = ?4, previous_mac = ?5, "
        "body = ?6 WHERE kind = ?1 AND key = ?2 AND version = ?3 - 1",
    [ST_RECORD_REMOVE] =
        "DELETE FROM record WHERE kind = ?1 AND key = ?2 AND version = ?3",
    [ST_RECORD_LIST] = "SELECT " RECORD_COLUMNS " FROM record "
                       "WHERE kind = ?1 AND key >= ?2 AND key < ?3 "
                       "ORDER BY key LIMIT ?4",
    [ST_RECORD_COUNT] = "SELECT count(*) FROM record "
                        "WHERE kind = ?1 AND key >= ?2 AND key < ?3",
    [ST_AUDIT_LAST] = "SELECT idx, hash FROM audit ORDER BY idx DESC LIMIT 1",
    [ST_AUDIT_INSERT] = "INSERT INTO audit (" AUDIT_COLUMNS ") "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [ST_AUDIT_LIST] = "SELECT " AUDIT_COLUMNS " FROM audit "
                      "WHERE idx >= ?1 ORDER BY idx LIMIT ?2",
    [ST_AUDIT_LIST_TENANT] =
        "SELECT " AUDIT_COLUMNS " FROM audit INDEXED BY audit_by_tenant "
        "WHERE idx >= ?1 AND tenant = ?3 ORDER BY idx LIMIT ?2",
    [ST_EPOCH_LAST] = "SELECT counter FROM epoch ORDER BY counter DESC LIMIT 1",
    [ST_EPOCH_INSERT] = "INSERT INTO epoch (counter, root, audit_index, mac) "
                        "VALUES (?1, ?2, ?3, ?4)",
    [ST_EPOCH_LIST] = "SELECT counter, root, audit_index, mac FROM epoch "
                      "ORDER BY counter DESC LIMIT ?1",
};

__attribute__((noreturn)) void
connection_end_process(const struct connection *connection, int result)
{
    log_event(LOG_ERROR, "store.ended",
              LOG_TEXT("text", sqlite3_errstr(result)),
              LOG_NUMBER("result", result),
              LOG_NUMBER("errno", sqlite3_system_errno(connection->db)),
              LOG_NUMBER("exit_code", SQLITE_STORE_EXIT_IO));
    _exit(SQLITE_STORE_EXIT_IO); /* no handler may touch the store again */
}

HF_STATUS connection_status(const struct connection *connection, int result)
{
    if (result == SQLITE_IOERR_NOMEM) {
        return HF_E_NO_MEMORY;
    }
    switch (result & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return HF_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return HF_E_OVERLOAD;
    case SQLITE_NOMEM:
        return HF_E_NO_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_TOOBIG: /* a value that none of ours can be */
    case SQLITE_ERROR:  /* our SQL is fixed: the schema is not ours */
    case SQLITE_SCHEMA:
        return HF_E_CORRUPT;
    case SQLITE_IOERR:
    case SQLITE_FULL:
        if (connection->writer) {
            connection_end_process(connection, result);
        }
        return HF_E_IO;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return HF_E_IO;
    default:
        return HF_E_INTERNAL;
    }
}

/* The journal's length after each commit of the writer; the checkpoint itself
 * is ours to run, because the automatic one keeps its errors to itself. */
static int note_journal(void *context, sqlite3 *db, const char *name, int pages)
{
    struct connection *connection = context;
    (void)db;
    (void)name;
    connection->wal_pages = pages;
    return SQLITE_OK;
}

static int configure(struct connection *connection)
{
    static const struct {
        int option;
        int value;
    } options[] = {
        {SQLITE_DBCONFIG_DEFENSIVE,             1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA,        0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER,        0},
        {SQLITE_DBCONFIG_ENABLE_VIEW,           0},
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_DQS_DML,               0},
        {SQLITE_DBCONFIG_DQS_DDL,               0},
        {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,      1},
    };
    for (size_t i = 0; i < HF_COUNT(options); i++) {
        int result = sqlite3_db_config(connection->db, options[i].option,
                                       options[i].value, (int *)NULL);
        if (result != SQLITE_OK) {
            return result;
        }
    }
    /* a hostile file must not make us allocate for it */
    sqlite3_limit(connection->db, SQLITE_LIMIT_LENGTH, VALUE_MAX_BYTES);
    sqlite3_limit(connection->db, SQLITE_LIMIT_ATTACHED, 0);
    return sqlite3_busy_timeout(
        connection->db, connection->writer ? WRITER_BUSY_MS : READER_BUSY_MS);
}

HF_STATUS connection_open(struct connection *connection, const char *path,
                          bool writer)
{
    /* a connection is one thread's at a time: no locks inside SQLite */
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE |
                (writer ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    *connection = (struct connection){.writer = writer};
    int result = sqlite3_open_v2(path, &connection->db, flags, NULL);
    if (connection->db == NULL) {
        return HF_E_NO_MEMORY;
    }
    if (result == SQLITE_OK) {
        result = configure(connection);
    }
    HF_TRY(connection_status(connection, result));
    HF_TRY(connection_execute(connection,
                              writer ? writer_settings : reader_settings));
    if (writer) {
        /* after the settings: wal_autocheckpoint=0 takes any hook away */
        sqlite3_wal_hook(connection->db, note_journal, connection);
    }
    return HF_OK;
}

HF_STATUS connection_prepare(struct connection *connection)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        int result = sqlite3_prepare_v3(connection->db, statement_sql[i], -1,
                                        SQLITE_PREPARE_PERSISTENT,
                                        &connection->statements[i], NULL);
        HF_TRY(connection_status(connection, result));
    }
    return HF_OK;
}

static void checkpoint(struct connection *connection, int mode)
{
    int result =
        sqlite3_wal_checkpoint_v2(connection->db, NULL, mode, NULL, NULL);
    switch (result & 0xff) {
    case SQLITE_OK:
    case SQLITE_BUSY: /* a reader still needs the journal: later */
    case SQLITE_LOCKED:
    case SQLITE_NOMEM:
        return;
    default:
        connection_end_process(connection, result);
    }
}

void connection_close(struct connection *connection)
{
    bool in_use = connection->statements[ST_COMMIT] != NULL;
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(connection->statements[i]);
    }
    if (connection->writer && in_use) {
        /* deleted content stays in the journal until then (facts) */
        checkpoint(connection, SQLITE_CHECKPOINT_TRUNCATE);
    }
    CHECK(sqlite3_close(connection->db) == SQLITE_OK);
    *connection = (struct connection){0};
}

HF_STATUS connection_execute(struct connection *connection, const char *sql)
{
    return connection_status(
        connection, sqlite3_exec(connection->db, sql, NULL, NULL, NULL));
}

static void statement_freep(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}

HF_STATUS connection_number(struct connection *connection, const char *sql,
                            int64_t *out_number)
{
    HF_OWNED(statement_freep) sqlite3_stmt *statement = NULL;
    HF_TRY(connection_status(
        connection,
        sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL)));
    int result = sqlite3_step(statement);
    HF_TRY(connection_status(connection, result));
    if (result != SQLITE_ROW) {
        return HF_E_CORRUPT;
    }
    *out_number = sqlite3_column_int64(statement, 0);
    return HF_OK;
}

HF_STATUS connection_text_is(struct connection *connection, const char *sql,
                             const char *text, bool *out_is)
{
    HF_OWNED(statement_freep) sqlite3_stmt *statement = NULL;
    HF_TRY(connection_status(
        connection,
        sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL)));
    int result = sqlite3_step(statement);
    HF_TRY(connection_status(connection, result));
    const char *found = result == SQLITE_ROW
                            ? (const char *)sqlite3_column_text(statement, 0)
                            : NULL;
    *out_is = found != NULL && strcmp(found, text) == 0;
    return HF_OK;
}

HF_STATUS connection_run(struct connection *connection, enum statement which)
{
    HF_OWNED(statement_resetp)
    sqlite3_stmt *statement = use_statement(connection, which);
    return connection_status(connection, sqlite3_step(statement));
}

/* A reader that stays keeps the journal from being cut off: ask, do not wait
 * for it with the writer in hand. */
static void truncate_soon(struct connection *connection)
{
    sqlite3_busy_timeout(connection->db, TRUNCATE_WAIT_MS);
    checkpoint(connection, SQLITE_CHECKPOINT_TRUNCATE);
    sqlite3_busy_timeout(connection->db, WRITER_BUSY_MS);
}

void connection_commit(struct connection *connection)
{
    sqlite3_stmt *commit = use_statement(connection, ST_COMMIT);
    int result = sqlite3_step(commit);
    statement_resetp(&commit);
    /* whatever went wrong, the commit may be in the journal or not */
    if (result != SQLITE_DONE) {
        connection_end_process(connection, result);
    }
    if (connection->wal_pages >= TRUNCATE_PAGES) {
        truncate_soon(connection);
    } else if (connection->wal_pages >= CHECKPOINT_PAGES) {
        checkpoint(connection, SQLITE_CHECKPOINT_PASSIVE);
    }
}

sqlite3_stmt *use_statement(const struct connection *connection,
                            enum statement which)
{
    CHECK(connection->statements[which] != NULL);
    return connection->statements[which];
}

void statement_resetp(sqlite3_stmt **statement)
{
    /* repeats the result of the last step, which was looked at */
    sqlite3_reset(*statement);
}

int bind_bytes(sqlite3_stmt *statement, int place, struct bytes bytes)
{
    /* an empty blob is a value, a NULL pointer would be SQL's NULL */
    const void *data = bytes.len > 0 ? (const void *)bytes.data : "";
    return sqlite3_bind_blob64(statement, place, data, bytes.len,
                               SQLITE_STATIC);
}

bool column_bounded(sqlite3_stmt *statement, int column, uint8_t *out,
                    size_t cap, size_t *out_len)
{
    const void *data = sqlite3_column_blob(statement, column);
    size_t len = (size_t)sqlite3_column_bytes(statement, column);
    if (sqlite3_column_type(statement, column) != SQLITE_BLOB || len > cap ||
        (len > 0 && data == NULL)) {
        return false;
    }
    if (len > 0) {
        memcpy(out, data, len);
    }
    *out_len = len;
    return true;
}

bool column_fixed(sqlite3_stmt *statement, int column, uint8_t *out, size_t len)
{
    size_t found = 0;
    return column_bounded(statement, column, out, len, &found) && found == len;
}

bool column_number(sqlite3_stmt *statement, int column, uint64_t *out_number)
{
    int64_t number = sqlite3_column_int64(statement, column);
    if (sqlite3_column_type(statement, column) != SQLITE_INTEGER ||
        number < 0) {
        return false;
    }
    *out_number = (uint64_t)number;
    return true;
}
