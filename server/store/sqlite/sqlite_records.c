#include "server/store/sqlite/sqlite_connection.h"
#include "server/store/sqlite/sqlite_rows.h"

static struct connection *of(struct store_txn *txn)
{
    return ((struct sqlite_txn *)txn)->connection;
}

/* Columns as in RECORD_COLUMNS. What the file holds is not trusted. */
static HF_STATUS record_of_row(sqlite3_stmt *row, struct record *out)
{
    uint64_t kind = 0;
    bool good =
        column_number(row, 0, &kind) && kind <= UINT16_MAX &&
        column_bounded(row, 1, out->key, sizeof out->key, &out->key_len) &&
        column_number(row, 2, &out->version) &&
        column_fixed(row, 3, out->mac, sizeof out->mac) &&
        column_fixed(row, 4, out->previous_mac, sizeof out->previous_mac) &&
        column_bounded(row, 5, out->body, sizeof out->body, &out->body_len);
    if (!good) {
        return HF_E_CORRUPT;
    }
    out->kind = (enum record_kind)kind;
    return HF_OK;
}

static int bind_key(sqlite3_stmt *statement, enum record_kind kind,
                    struct bytes key)
{
    int result = sqlite3_bind_int(statement, 1, (int)kind);
    return result == SQLITE_OK ? bind_bytes(statement, 2, key) : result;
}

HF_STATUS sqlite_record_get(struct store_txn *txn, enum record_kind kind,
                            struct bytes key, struct record *out_record)
{
    HF_OWNED(statement_resetp)
    sqlite3_stmt *get = use_statement(of(txn), ST_RECORD_GET);
    HF_TRY(connection_status(of(txn), bind_key(get, kind, key)));
    int result = sqlite3_step(get);
    HF_TRY(connection_status(of(txn), result));
    return result == SQLITE_ROW ? record_of_row(get, out_record)
                                : HF_E_NOT_FOUND;
}

static int bind_record(sqlite3_stmt *statement, const struct record *record)
{
    int results[] = {
        bind_key(statement, record->kind,
                 (struct bytes){record->key, record->key_len}),
        sqlite3_bind_int64(statement, 3, (int64_t)record->version),
        bind_bytes(statement, 4, BYTES_OF(record->mac)),
        bind_bytes(statement, 5, BYTES_OF(record->previous_mac)),
        bind_bytes(statement, 6,
                   (struct bytes){record->body, record->body_len}),
    };
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        if (results[i] != SQLITE_OK) {
            return results[i];
        }
    }
    return SQLITE_OK;
}

HF_STATUS sqlite_record_put(struct store_txn *txn, const struct record *record)
{
    bool first = record->version == 1;
    HF_OWNED(statement_resetp)
    sqlite3_stmt *put =
        use_statement(of(txn), first ? ST_RECORD_INSERT : ST_RECORD_UPDATE);
    HF_TRY(connection_status(of(txn), bind_record(put, record)));
    HF_TRY(connection_status(of(txn), sqlite3_step(put)));
    if (sqlite3_changes(of(txn)->db) == 1) {
        return HF_OK;
    }
    return first ? HF_E_EXISTS : HF_E_CONFLICT;
}

HF_STATUS sqlite_record_remove(struct store_txn *txn, enum record_kind kind,
                               struct bytes key, uint64_t version)
{
    HF_OWNED(statement_resetp)
    sqlite3_stmt *del = use_statement(of(txn), ST_RECORD_REMOVE);
    HF_TRY(connection_status(of(txn), bind_key(del, kind, key)));
    HF_TRY(connection_status(of(txn),
                             sqlite3_bind_int64(del, 3, (int64_t)version)));
    HF_TRY(connection_status(of(txn), sqlite3_step(del)));
    if (sqlite3_changes(of(txn)->db) == 1) {
        return HF_OK;
    }
    struct record other;
    HF_TRY(sqlite_record_get(txn, kind, key, &other)); /* HF_E_NOT_FOUND */
    return HF_E_CONFLICT;
}

/* The caller keeps range alive as long as the statement steps. */
static int bind_range(sqlite3_stmt *statement, enum record_kind kind,
                      const struct store_key_range *range)
{
    int result = bind_key(statement, kind,
                          (struct bytes){range->lower, range->lower_len});
    return result == SQLITE_OK
               ? bind_bytes(statement, 3,
                            (struct bytes){range->upper, range->upper_len})
               : result;
}

static int bind_limit(sqlite3_stmt *statement, int place, size_t max)
{
    int64_t limit = max > INT64_MAX ? INT64_MAX : (int64_t)max;
    return sqlite3_bind_int64(statement, place, limit);
}

HF_STATUS sqlite_record_list(struct store_txn *txn, enum record_kind kind,
                             const struct store_page *page,
                             store_record_fn *each, void *context)
{
    const struct store_key_range range =
        store_key_range(page->prefix, page->after);
    HF_OWNED(statement_resetp)
    sqlite3_stmt *list = use_statement(of(txn), ST_RECORD_LIST);
    HF_TRY(connection_status(of(txn), bind_range(list, kind, &range)));
    HF_TRY(connection_status(of(txn), bind_limit(list, 4, page->max)));
    for (;;) { /* at most page->max rows: LIMIT */
        int result = sqlite3_step(list);
        HF_TRY(connection_status(of(txn), result));
        if (result == SQLITE_DONE) {
            return HF_OK;
        }
        struct record record;
        HF_TRY(record_of_row(list, &record));
        HF_TRY(each(context, &record));
    }
}

HF_STATUS sqlite_record_count(struct store_txn *txn, enum record_kind kind,
                              struct bytes prefix, uint64_t *out_count)
{
    const struct store_key_range range = store_key_range(prefix, BYTES_NONE);
    HF_OWNED(statement_resetp)
    sqlite3_stmt *count = use_statement(of(txn), ST_RECORD_COUNT);
    HF_TRY(connection_status(of(txn), bind_range(count, kind, &range)));
    int result = sqlite3_step(count);
    HF_TRY(connection_status(of(txn), result));
    return result == SQLITE_ROW && column_number(count, 0, out_count)
               ? HF_OK
               : HF_E_CORRUPT;
}
