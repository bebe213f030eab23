#include "hsm/tool/backup/folder.h"

#include "hsm/base/own.h"

#include "hsm/tool/file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS_MAX     8
#define FILES_MAX      65536
#define FILE_MAX_BYTES (1u << 20)
/* SoftHSM begins each file with how often it was written. */
#define COUNTER_BYTES 8

static void dir_close(DIR **dir)
{
    if (*dir != NULL) {
        closedir(*dir);
    }
}

static void bytes_free(uint8_t **bytes)
{
    free(*bytes);
}

static HF_STATUS path_of(const char *folder, const char *name,
                         char out[PATH_MAX])
{
    int len = snprintf(out, PATH_MAX, "%s/%s", folder, name);
    return len < 0 || len >= PATH_MAX ? HF_E_LIMIT : HF_OK;
}

/* One file; what is no file, and the lock files of the token's own, are left:
 * they say nothing. */
typedef HF_STATUS each_fn(const char *from, const char *to);

static HF_STATUS each(const char *from, const char *to, each_fn *one,
                      size_t *out_count)
{
    HF_OWNED(dir_close) DIR *dir = opendir(from);
    *out_count = 0;
    if (dir == NULL) {
        return errno == ENOENT ? HF_E_NOT_FOUND : HF_E_IO;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL;
         entry = readdir(dir)) {
        char source[PATH_MAX];
        char target[PATH_MAX];
        struct stat info = {0};
        HF_TRY(path_of(from, entry->d_name, source));
        HF_TRY(path_of(to, entry->d_name, target));
        if (lstat(source, &info) != 0 || !S_ISREG(info.st_mode)) {
            continue;
        }
        HF_TRY(one(source, target));
        *out_count += 1;
        if (*out_count > FILES_MAX) {
            return HF_E_LIMIT;
        }
    }
    return HF_OK;
}

static HF_STATUS copy_one(const char *from, const char *to)
{
    HF_OWNED(bytes_free) uint8_t *bytes = NULL;
    size_t len = 0;
    HF_TRY(file_read(from, FILE_MAX_BYTES, &bytes, &len));
    return file_create(to, 0600, (struct bytes){bytes, len});
}

/* HF_E_CONFLICT: it is another now. */
static HF_STATUS check_one(const char *from, const char *to)
{
    HF_OWNED(bytes_free) uint8_t *bytes = NULL;
    size_t len = 0;
    HF_TRY(file_read(from, FILE_MAX_BYTES, &bytes, &len));
    return file_holds(to, (struct bytes){bytes, len}) ? HF_OK : HF_E_CONFLICT;
}

static HF_STATUS remove_one(const char *from, const char *to)
{
    (void)to;
    return unlink(from) == 0 ? HF_OK : HF_E_IO;
}

static void remove_copy(const char *to)
{
    size_t count = 0;
    HF_IGNORE(each(to, to, remove_one, &count),
              "what stays is seen, as the folder stays");
    rmdir(to);
}

static HF_STATUS copy_once(const char *from, const char *to, size_t *out_files)
{
    size_t checked = 0;
    size_t copied = 0;
    if (mkdir(to, 0700) != 0) {
        return errno == EEXIST ? HF_E_EXISTS : HF_E_IO;
    }
    enum hf_status status = each(from, to, copy_one, &copied);
    if (status == HF_OK) {
        status = each(from, to, check_one, &checked);
    }
    if (status == HF_OK && checked != copied) {
        status = HF_E_CONFLICT;
    }
    if (status != HF_OK) {
        remove_copy(to);
        return status;
    }
    *out_files = copied;
    return HF_OK;
}

static HF_STATUS copy_at_rest(const char *from, const char *to,
                              size_t *out_files)
{
    enum hf_status status = HF_E_CONFLICT;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        status = copy_once(from, to, out_files);
        /* a file that went away between the two looks is such a change, too */
        if (status != HF_E_CONFLICT && status != HF_E_NOT_FOUND) {
            return status;
        }
    }
    return status;
}

/* Does it hold the same? A log-in alone counts up in token.object. */
static HF_STATUS check_same(const char *from, const char *to)
{
    HF_OWNED(bytes_free) uint8_t *left = NULL;
    HF_OWNED(bytes_free) uint8_t *right = NULL;
    size_t len = 0;
    size_t right_len = 0;
    HF_TRY(file_read(from, FILE_MAX_BYTES, &left, &len));
    HF_TRY(file_read(to, FILE_MAX_BYTES, &right, &right_len));
    size_t skip = len < COUNTER_BYTES ? len : COUNTER_BYTES;
    return len == right_len &&
                   bytes_equal((struct bytes){left + skip, len - skip},
                               (struct bytes){right + skip, len - skip})
               ? HF_OK
               : HF_E_CONFLICT;
}

/* Is it what an interrupted call gave? Looked at both ways: neither has a file
 * more. */
static HF_STATUS check_there(const char *from, const char *to,
                             size_t *out_files)
{
    size_t back = 0;
    if (each(from, to, check_same, out_files) != HF_OK ||
        each(to, from, check_same, &back) != HF_OK || back != *out_files) {
        return HF_E_EXISTS;
    }
    return file_sync_folder(to);
}

HF_STATUS folder_copy(const char *from, const char *to, bool resumed,
                      size_t *out_files)
{
    char part[PATH_MAX];
    struct stat info = {0};
    int len = snprintf(part, sizeof part, "%s.part", to);
    if (len < 0 || (size_t)len >= sizeof part) {
        return HF_E_LIMIT;
    }
    if (lstat(to, &info) == 0) {
        return resumed ? check_there(from, to, out_files) : HF_E_EXISTS;
    }
    if (resumed) {
        remove_copy(part);
    }
    if (lstat(part, &info) == 0) {
        return HF_E_EXISTS;
    }
    HF_TRY(copy_at_rest(from, part, out_files));
    if (rename(part, to) != 0) {
        remove_copy(part);
        return errno == ENOTEMPTY || errno == EEXIST ? HF_E_EXISTS : HF_E_IO;
    }
    return file_sync_folder(to);
}
