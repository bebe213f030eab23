/* sqlite_migrate: brings a file's schema up to what this program knows. */
#pragma once

#include "server/store/sqlite/sqlite_connection.h"

struct sqlite_migration {
    uint32_t number; /* from 1, without gaps */
    const char *name;
    const char *sql;
};

/* Made from schema/NNN_name.sql when the program is built. */
extern const struct sqlite_migration sqlite_migrations[];
extern const size_t sqlite_migration_count;

/* sqlite_identify: what the file is, before anything is changed in it.
 * Gives     *out_version, 0 for an empty one.
 * Returns   HF_OK; HF_E_CORRUPT not a Holdfast store, or damaged; HF_E_IO. */
HF_STATUS sqlite_identify(struct connection *connection, uint32_t *out_version);

/* sqlite_migrate: runs those of list (count of them) that are behind version,
 * each in one transaction with the version's change.
 * Takes     version as sqlite_identify gave it.
 * Returns   HF_OK; HF_E_UNSUPPORTED version is behind the list's end; else as
 *           SQLite has it. */
HF_STATUS sqlite_migrate(struct connection *connection, uint32_t version,
                         const struct sqlite_migration *list, size_t count);
