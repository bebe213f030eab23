/* sqlite_connection: one connection, its prepared statements, and what an error
 * of SQLite means. Inside the adapter only.
 */
#pragma once

#include "server/store/adapter.h"

#include <sqlite3.h>

#include <stdbool.h>
#include <stdint.h>

/* "HFST": what PRAGMA application_id says of a Holdfast store. */
#define SQLITE_APPLICATION_ID 0x48465354

enum statement {
    ST_BEGIN_READ,
    ST_BEGIN_WRITE,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_PIN, /* the first read, which fixes the snapshot */
    ST_RECORD_GET,
    ST_RECORD_INSERT,
    ST_RECORD_UPDATE,
    ST_RECORD_REMOVE,
    ST_RECORD_LIST,
    ST_RECORD_COUNT,
    ST_AUDIT_LAST,
    ST_AUDIT_INSERT,
    ST_AUDIT_LIST,
    ST_AUDIT_LIST_TENANT,
    ST_EPOCH_LAST,
    ST_EPOCH_INSERT,
    ST_EPOCH_LIST,
    STATEMENT_COUNT
};

struct sqlite_store;
struct connection;

/* The adapter's transaction: it lives in its connection, which is its caller's
 * alone as long as it lasts. */
struct sqlite_txn {
    struct store_txn head; /* first: the port sees nothing else */
    struct connection *connection;
    struct sqlite_store *store;
};

struct connection {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    bool writer;
    int wal_pages; /* in the journal after the last commit */
    struct sqlite_txn txn;
};

/* connection_open: a connection with everything set that does not lie in the
 * file. connection_prepare: its statements, once the schema is there.
 *
 * Returns   HF_OK; HF_E_NO_MEMORY; HF_E_CORRUPT no database, or a table is
 *           missing; HF_E_IO.
 */
HF_STATUS connection_open(struct connection *connection, const char *path,
                          bool writer);
HF_STATUS connection_prepare(struct connection *connection);
/* connection_close: the writer after all readers; it empties the journal. */
void connection_close(struct connection *connection);

/* connection_status: what a result code means. On the writer a failed write or
 * sync does not return (sqlite_store.h). */
HF_STATUS connection_status(const struct connection *connection, int result);
/* connection_end_process: the one way out of a store that cannot go on. */
__attribute__((noreturn)) void
connection_end_process(const struct connection *connection, int result);

/* connection_execute: plain SQL without results. connection_number: its one
 * number; connection_text_is: whether its one text is this one. */
HF_STATUS connection_execute(struct connection *connection, const char *sql);
HF_STATUS connection_number(struct connection *connection, const char *sql,
                            int64_t *out_number);
HF_STATUS connection_text_is(struct connection *connection, const char *sql,
                             const char *text, bool *out_is);

/* connection_run: a prepared statement that gives no rows, run and reset. */
HF_STATUS connection_run(struct connection *connection, enum statement which);
/* connection_commit: durable when it returns HF_OK; else the process ended.
 * Checkpoints when the journal has grown. */
void connection_commit(struct connection *connection);

/* use_statement: one to bind and step; reset by HF_OWNED(statement_resetp), so
 * that no cursor outlives its caller. */
sqlite3_stmt *use_statement(const struct connection *connection,
                            enum statement which);
void statement_resetp(sqlite3_stmt **statement);

/* bind_bytes: a view that must outlive the steps; never NULL in SQL.
 * column_fixed: exactly len bytes, else false. */
int bind_bytes(sqlite3_stmt *statement, int place, struct bytes bytes);
bool column_fixed(sqlite3_stmt *statement, int column, uint8_t *out,
                  size_t len);
/* column_bounded: at most cap bytes. column_number: an integer from 0. */
bool column_bounded(sqlite3_stmt *statement, int column, uint8_t *out,
                    size_t cap, size_t *out_len);
bool column_number(sqlite3_stmt *statement, int column, uint64_t *out_number);
