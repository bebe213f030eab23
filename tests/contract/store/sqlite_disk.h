/* sqlite_disk: a folder of its own for a store under test. */
#pragma once

#include "server/store/store.h"

struct sqlite_disk {
    char folder[64];
    char path[96]; /* of the database file */
};

struct sqlite_disk *sqlite_disk_new(void);
void sqlite_disk_free(struct sqlite_disk *disk);
enum hf_status sqlite_disk_open(const struct sqlite_disk *disk,
                                struct store *out_store);
