#include "server/store/sqlite/sqlite_migrate.h"

#include "hsm/base/check.h"

#include "hsm/sys/rng.h"

#include <stdio.h>

#define SQL_MAX_BYTES 256

/* The name of the application stands in the header of the file: it is set in
 * the first migration's transaction, so no half-made store has it. */
static HF_STATUS name_store(struct connection *connection)
{
    char sql[SQL_MAX_BYTES];
    struct hf_id id;
    char id_hex[2 * HF_ID_BYTES + 1];
    HF_TRY(rng_id(rng_system(), &id));
    hex_encode(id.bytes, HF_ID_BYTES, id_hex, sizeof id_hex);
    int len = snprintf(sql, sizeof sql,
                       "PRAGMA application_id=%d;"
                       "INSERT INTO meta (one, schema_version, store_id)"
                       " VALUES (1, 0, x'%s');",
                       SQLITE_APPLICATION_ID, id_hex);
    CHECK(len > 0 && (size_t)len < sizeof sql);
    return connection_execute(connection, sql);
}

HF_STATUS sqlite_identify(struct connection *connection, uint32_t *out_version)
{
    int64_t application = 0;
    int64_t tables = 0;
    int64_t version = 0;
    HF_TRY(
        connection_number(connection, "PRAGMA application_id", &application));
    HF_TRY(connection_number(connection, "SELECT count(*) FROM sqlite_schema",
                             &tables));
    if (application == 0 && tables == 0) {
        *out_version = 0;
        return HF_OK;
    }
    if (application != SQLITE_APPLICATION_ID) {
        return HF_E_CORRUPT;
    }
    HF_TRY(connection_number(
        connection, "SELECT schema_version FROM meta WHERE one = 1", &version));
    if (version < 1 || version > UINT32_MAX) {
        return HF_E_CORRUPT;
    }
    *out_version = (uint32_t)version;
    return HF_OK;
}

static HF_STATUS migrate_inside(struct connection *connection,
                                const struct sqlite_migration *migration)
{
    char sql[SQL_MAX_BYTES];
    HF_TRY(connection_execute(connection, migration->sql));
    if (migration->number == 1) {
        HF_TRY(name_store(connection));
    }
    int len = snprintf(sql, sizeof sql,
                       "UPDATE meta SET schema_version=%u WHERE one=1;",
                       (unsigned)migration->number);
    CHECK(len > 0 && (size_t)len < sizeof sql);
    return connection_execute(connection, sql);
}

static HF_STATUS migrate_once(struct connection *connection,
                              const struct sqlite_migration *migration)
{
    HF_TRY(connection_execute(connection, "BEGIN IMMEDIATE"));
    enum hf_status status = migrate_inside(connection, migration);
    if (status == HF_OK) {
        return connection_execute(connection, "COMMIT");
    }
    HF_IGNORE(connection_execute(connection, "ROLLBACK"),
              "SQLite may have undone it by itself; the first status counts");
    return status;
}

HF_STATUS sqlite_migrate(struct connection *connection, uint32_t version,
                         const struct sqlite_migration *list, size_t count)
{
    if (version > count) {
        return HF_E_UNSUPPORTED;
    }
    for (size_t i = version; i < count; i++) {
        CHECK(list[i].number == i + 1);
        HF_TRY(migrate_once(connection, &list[i]));
    }
    return HF_OK;
}
