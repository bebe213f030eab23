#include "server/store/sqlite/sqlite_connection.h"
#include "server/store/sqlite/sqlite_rows.h"

static struct connection *of(struct store_txn *txn)
{
    return ((struct sqlite_txn *)txn)->connection;
}

static int first_failure(const int *results, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (results[i] != SQLITE_OK) {
            return results[i];
        }
    }
    return SQLITE_OK;
}

/* *out_index 0 for an empty chain. */
static HF_STATUS audit_last(struct store_txn *txn, uint64_t *out_index,
                            uint8_t out_hash[HF_SHA256_BYTES])
{
    HF_OWNED(statement_resetp)
    sqlite3_stmt *last = use_statement(of(txn), ST_AUDIT_LAST);
    int result = sqlite3_step(last);
    HF_TRY(connection_status(of(txn), result));
    if (result == SQLITE_DONE) {
        *out_index = 0;
        return HF_OK;
    }
    return column_number(last, 0, out_index) &&
                   column_fixed(last, 1, out_hash, HF_SHA256_BYTES)
               ? HF_OK
               : HF_E_CORRUPT;
}

HF_STATUS sqlite_audit_append(struct store_txn *txn, struct audit_link *link)
{
    uint64_t last_index = 0;
    uint8_t last_hash[HF_SHA256_BYTES];
    HF_TRY(audit_last(txn, &last_index, last_hash));
    HF_TRY(audit_link_chain(link, last_index, last_hash));
    HF_OWNED(statement_resetp)
    sqlite3_stmt *insert = use_statement(of(txn), ST_AUDIT_INSERT);
    const int results[] = {
        sqlite3_bind_int64(insert, 1, (int64_t)link->index),
        bind_bytes(insert, 2, BYTES_OF(link->tenant.bytes)),
        sqlite3_bind_int64(insert, 3, link->time_ms),
        bind_bytes(insert, 4, BYTES_OF(link->previous)),
        bind_bytes(insert, 5, BYTES_OF(link->hash)),
        bind_bytes(insert, 6, (struct bytes){link->body, link->body_len}),
    };
    HF_TRY(connection_status(
        of(txn), first_failure(results, sizeof results / sizeof results[0])));
    return connection_status(of(txn), sqlite3_step(insert));
}

/* Columns as in AUDIT_COLUMNS. */
static HF_STATUS link_of_row(sqlite3_stmt *row, struct audit_link *out)
{
    uint64_t time_ms = 0;
    bool good =
        column_number(row, 0, &out->index) &&
        column_fixed(row, 1, out->tenant.bytes, HF_ID_BYTES) &&
        column_number(row, 2, &time_ms) &&
        column_fixed(row, 3, out->previous, sizeof out->previous) &&
        column_fixed(row, 4, out->hash, sizeof out->hash) &&
        column_bounded(row, 5, out->body, sizeof out->body, &out->body_len);
    if (!good) {
        return HF_E_CORRUPT;
    }
    out->time_ms = (int64_t)time_ms;
    return HF_OK;
}

static int64_t limit_of(size_t max)
{
    return max > INT64_MAX ? INT64_MAX : (int64_t)max;
}

HF_STATUS sqlite_audit_list(struct store_txn *txn, const struct hf_id *tenant,
                            uint64_t from_index, size_t max,
                            store_audit_fn *each, void *context)
{
    HF_OWNED(statement_resetp)
    sqlite3_stmt *list = use_statement(
        of(txn), tenant == NULL ? ST_AUDIT_LIST : ST_AUDIT_LIST_TENANT);
    const int results[] = {
        sqlite3_bind_int64(list, 1, (int64_t)from_index),
        sqlite3_bind_int64(list, 2, limit_of(max)),
        tenant == NULL ? SQLITE_OK
                       : bind_bytes(list, 3, BYTES_OF(tenant->bytes)),
    };
    HF_TRY(connection_status(
        of(txn), first_failure(results, sizeof results / sizeof results[0])));
    for (;;) { /* at most max rows: LIMIT */
        int result = sqlite3_step(list);
        HF_TRY(connection_status(of(txn), result));
        if (result == SQLITE_DONE) {
            return HF_OK;
        }
        struct audit_link link;
        HF_TRY(link_of_row(list, &link));
        HF_TRY(each(context, &link));
    }
}

static HF_STATUS epoch_last(struct store_txn *txn, uint64_t *out_counter)
{
    HF_OWNED(statement_resetp)
    sqlite3_stmt *last = use_statement(of(txn), ST_EPOCH_LAST);
    int result = sqlite3_step(last);
    HF_TRY(connection_status(of(txn), result));
    if (result == SQLITE_DONE) {
        *out_counter = 0;
        return HF_OK;
    }
    return column_number(last, 0, out_counter) ? HF_OK : HF_E_CORRUPT;
}

HF_STATUS sqlite_epoch_append(struct store_txn *txn, const struct epoch *epoch)
{
    uint64_t last = 0;
    HF_TRY(epoch_last(txn, &last));
    if (epoch->counter != last + 1) {
        return HF_E_CONFLICT;
    }
    HF_OWNED(statement_resetp)
    sqlite3_stmt *insert = use_statement(of(txn), ST_EPOCH_INSERT);
    const int results[] = {
        sqlite3_bind_int64(insert, 1, (int64_t)epoch->counter),
        bind_bytes(insert, 2, BYTES_OF(epoch->root)),
        sqlite3_bind_int64(insert, 3, (int64_t)epoch->audit_index),
        bind_bytes(insert, 4, BYTES_OF(epoch->mac)),
    };
    HF_TRY(connection_status(
        of(txn), first_failure(results, sizeof results / sizeof results[0])));
    return connection_status(of(txn), sqlite3_step(insert));
}

HF_STATUS sqlite_epoch_list(struct store_txn *txn, size_t max,
                            store_epoch_fn *each, void *context)
{
    HF_OWNED(statement_resetp)
    sqlite3_stmt *list = use_statement(of(txn), ST_EPOCH_LIST);
    HF_TRY(
        connection_status(of(txn), sqlite3_bind_int64(list, 1, limit_of(max))));
    for (;;) { /* at most max rows: LIMIT */
        int result = sqlite3_step(list);
        HF_TRY(connection_status(of(txn), result));
        if (result == SQLITE_DONE) {
            return HF_OK;
        }
        struct epoch epoch;
        bool good = column_number(list, 0, &epoch.counter) &&
                    column_fixed(list, 1, epoch.root, sizeof epoch.root) &&
                    column_number(list, 2, &epoch.audit_index) &&
                    column_fixed(list, 3, epoch.mac, sizeof epoch.mac);
        HF_TRY(good ? HF_OK : HF_E_CORRUPT);
        HF_TRY(each(context, &epoch));
    }
}
