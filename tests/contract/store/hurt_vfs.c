#include "tests/contract/store/hurt_vfs.h"

#include "hsm/base/check.h"

#include <sqlite3.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_MAX_BYTES 512

/* The real file follows directly behind. */
struct hurt_file {
    sqlite3_file base;
    char path[PATH_MAX_BYTES];
    bool is_journal;
    bool is_database;
    sqlite3_file *real;
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs hurt_vfs;
static bool keep_synced_copies;
static atomic_int current_hurt;

static struct hurt_file *of(sqlite3_file *file)
{
    return (struct hurt_file *)file;
}

static sqlite3_file *real(sqlite3_file *file)
{
    return of(file)->real;
}

static void synced_name(const char *path, char out[PATH_MAX_BYTES])
{
    int len = snprintf(out, PATH_MAX_BYTES, "%s.synced", path);
    CHECK(len > 0 && len < PATH_MAX_BYTES);
}

/* Read through SQLite's own descriptor: opening and closing another one would
 * drop the locks of the whole process on the file. */
static void keep_copy(struct hurt_file *file)
{
    char synced[PATH_MAX_BYTES];
    char part[PATH_MAX_BYTES + 8];
    char buffer[65536];
    sqlite3_int64 size = 0;
    synced_name(file->path, synced);
    snprintf(part, sizeof part, "%s.part", synced);
    int out = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(out >= 0);
    CHECK(file->real->pMethods->xFileSize(file->real, &size) == SQLITE_OK);
    for (sqlite3_int64 at = 0; at < size;) {
        int len = size - at < (sqlite3_int64)sizeof buffer ? (int)(size - at)
                                                           : (int)sizeof buffer;
        CHECK(file->real->pMethods->xRead(file->real, buffer, len, at) ==
              SQLITE_OK);
        CHECK(write(out, buffer, (size_t)len) == len);
        at += len;
    }
    close(out);
    CHECK(rename(part, synced) == 0);
}

static int hurt_close(sqlite3_file *file)
{
    return real(file)->pMethods->xClose(real(file));
}

static int hurt_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    return real(file)->pMethods->xRead(real(file), out, len, at);
}

static int hurt_write(sqlite3_file *file, const void *data, int len,
                      sqlite3_int64 at)
{
    if (of(file)->is_journal &&
        atomic_load(&current_hurt) == HURT_JOURNAL_WRITE) {
        return SQLITE_FULL;
    }
    return real(file)->pMethods->xWrite(real(file), data, len, at);
}

static int hurt_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return real(file)->pMethods->xTruncate(real(file), size);
}

static int hurt_sync(sqlite3_file *file, int flags)
{
    int hurt = atomic_load(&current_hurt);
    if ((of(file)->is_journal && hurt == HURT_JOURNAL_SYNC) ||
        (of(file)->is_database && hurt == HURT_FILE_SYNC)) {
        return SQLITE_IOERR_FSYNC;
    }
    int result = real(file)->pMethods->xSync(real(file), flags);
    bool kept = of(file)->is_journal || of(file)->is_database;
    if (result == SQLITE_OK && keep_synced_copies && kept) {
        keep_copy(of(file));
    }
    return result;
}

static int hurt_file_size(sqlite3_file *file, sqlite3_int64 *out_size)
{
    return real(file)->pMethods->xFileSize(real(file), out_size);
}

static int hurt_lock(sqlite3_file *file, int level)
{
    return real(file)->pMethods->xLock(real(file), level);
}

static int hurt_unlock(sqlite3_file *file, int level)
{
    return real(file)->pMethods->xUnlock(real(file), level);
}

static int hurt_check_lock(sqlite3_file *file, int *out)
{
    return real(file)->pMethods->xCheckReservedLock(real(file), out);
}

static int hurt_control(sqlite3_file *file, int op, void *argument)
{
    return real(file)->pMethods->xFileControl(real(file), op, argument);
}

static int hurt_sector_size(sqlite3_file *file)
{
    return real(file)->pMethods->xSectorSize(real(file));
}

static int hurt_characteristics(sqlite3_file *file)
{
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

static int hurt_shm_map(sqlite3_file *file, int page, int size, int extend,
                        void volatile **out)
{
    return real(file)->pMethods->xShmMap(real(file), page, size, extend, out);
}

static int hurt_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real(file)->pMethods->xShmLock(real(file), offset, n, flags);
}

static void hurt_shm_barrier(sqlite3_file *file)
{
    real(file)->pMethods->xShmBarrier(real(file));
}

static int hurt_shm_unmap(sqlite3_file *file, int delete_it)
{
    return real(file)->pMethods->xShmUnmap(real(file), delete_it);
}

static const sqlite3_io_methods hurt_methods = {
    .iVersion = 2,
    .xClose = hurt_close,
    .xRead = hurt_read,
    .xWrite = hurt_write,
    .xTruncate = hurt_truncate,
    .xSync = hurt_sync,
    .xFileSize = hurt_file_size,
    .xLock = hurt_lock,
    .xUnlock = hurt_unlock,
    .xCheckReservedLock = hurt_check_lock,
    .xFileControl = hurt_control,
    .xSectorSize = hurt_sector_size,
    .xDeviceCharacteristics = hurt_characteristics,
    .xShmMap = hurt_shm_map,
    .xShmLock = hurt_shm_lock,
    .xShmBarrier = hurt_shm_barrier,
    .xShmUnmap = hurt_shm_unmap,
};

static int hurt_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file,
                     int flags, int *out_flags)
{
    (void)vfs;
    struct hurt_file *hurt = of(file);
    memset(hurt, 0, sizeof *hurt);
    hurt->real = (sqlite3_file *)(hurt + 1);
    hurt->is_journal = (flags & SQLITE_OPEN_WAL) != 0;
    hurt->is_database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
    if (name != NULL) {
        snprintf(hurt->path, sizeof hurt->path, "%s", name);
    }
    int result = real_vfs->xOpen(real_vfs, name, hurt->real, flags, out_flags);
    hurt->base.pMethods = hurt->real->pMethods != NULL ? &hurt_methods : NULL;
    bool kept = hurt->is_journal || hurt->is_database;
    char synced[PATH_MAX_BYTES];
    synced_name(hurt->path, synced);
    if (result == SQLITE_OK && keep_synced_copies && kept &&
        access(synced, F_OK) != 0) {
        keep_copy(hurt); /* what is there at the start is on the disk */
    }
    return result;
}

void hurt_vfs_install(bool keep_synced)
{
    real_vfs = sqlite3_vfs_find(NULL);
    CHECK(real_vfs != NULL && real_vfs != &hurt_vfs);
    keep_synced_copies = keep_synced;
    hurt_vfs = *real_vfs;
    hurt_vfs.zName = "hurt";
    hurt_vfs.pNext = NULL;
    hurt_vfs.szOsFile = (int)sizeof(struct hurt_file) + real_vfs->szOsFile;
    hurt_vfs.xOpen = hurt_open;
    CHECK(sqlite3_vfs_register(&hurt_vfs, 1) == SQLITE_OK);
}

void hurt_vfs_set(enum hurt hurt)
{
    atomic_store(&current_hurt, (int)hurt);
}

static void restore_synced(const char *path)
{
    char synced[PATH_MAX_BYTES];
    synced_name(path, synced);
    unlink(path);
    if (access(synced, F_OK) == 0) {
        CHECK(rename(synced, path) == 0);
    }
}

void hurt_vfs_cut_power(const char *path)
{
    char other[PATH_MAX_BYTES];
    restore_synced(path);
    snprintf(other, sizeof other, "%s-wal", path);
    restore_synced(other);
    snprintf(other, sizeof other, "%s-shm", path);
    unlink(other);
}
