/* sqlite_fixture: a disk per test, and what somebody with the sqlite3 command
 * or an editor could do to it. Everything fails the test that fails.
 */
#pragma once

#include "tests/contract/store/sqlite_disk.h"
#include "tests/support/unit.h"

#include <sys/types.h>

int disk_setup(void **state);
int disk_teardown(void **state);

#define DISK_TEST(function)                                                    \
    cmocka_unit_test_setup_teardown(function, disk_setup, disk_teardown)

struct store open_ok(const struct sqlite_disk *disk);
void assert_refused(const struct sqlite_disk *disk, enum hf_status why);
/* fill: count records of one DEP kind, each with its link. */
void fill(struct store *store, size_t count);

void edit(const struct sqlite_disk *disk, const char *sql);
int64_t ask(const struct sqlite_disk *disk, const char *sql);
void write_file(const char *path, const void *data, size_t len, mode_t mode);
size_t read_file(const char *path, uint8_t *out, size_t cap);
/* size_of: of the file with this suffix; 0 when it is not there. */
off_t size_of(const struct sqlite_disk *disk, const char *suffix);
