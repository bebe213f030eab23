#include "tests/contract/store/sqlite_disk.h"

#include "hsm/base/check.h"

#include "server/store/sqlite/sqlite_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sqlite_disk *sqlite_disk_new(void)
{
    struct sqlite_disk *disk = calloc(1, sizeof *disk);
    CHECK(disk != NULL);
    snprintf(disk->folder, sizeof disk->folder, "/tmp/hf-store-XXXXXX");
    CHECK(mkdtemp(disk->folder) != NULL);
    snprintf(disk->path, sizeof disk->path, "%s/store.db", disk->folder);
    return disk;
}

void sqlite_disk_free(struct sqlite_disk *disk)
{
    DIR *folder = opendir(disk->folder);
    CHECK(folder != NULL);
    const struct dirent *entry = NULL;
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.') {
            CHECK(unlinkat(dirfd(folder), entry->d_name, 0) == 0);
        }
    }
    closedir(folder);
    CHECK(rmdir(disk->folder) == 0);
    free(disk);
}

enum hf_status sqlite_disk_open(const struct sqlite_disk *disk,
                                struct store *out_store)
{
    const struct sqlite_settings settings = {.path = disk->path};
    return sqlite_store_open(&settings, out_store);
}
