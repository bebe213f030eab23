#include "server/store/sqlite/sqlite_file.h"

#include "hsm/base/bytes.h"
#include "hsm/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER_ONLY (S_IRUSR | S_IWUSR)

static void fd_closep(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

static void text_freep(char **text)
{
    free(*text);
}

HF_STATUS store_file_lock(const char *path, int *out_fd)
{
    char lock_path[PATH_MAX];
    int len = snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    if (len < 0 || (size_t)len >= sizeof lock_path) {
        return HF_E_INVALID;
    }
    HF_OWNED(fd_closep)
    int fd =
        open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, OWNER_ONLY);
    if (fd < 0) {
        return HF_E_IO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? HF_E_CONFLICT : HF_E_IO;
    }
    *out_fd = fd;
    fd = -1;
    return HF_OK;
}

void store_file_unlock(int fd)
{
    close(fd);
}

/* A new file is durable only once its name is. */
static HF_STATUS sync_folder_of(const char *absolute_path)
{
    char folder[PATH_MAX];
    HF_TRY(text_copy(folder, sizeof folder, absolute_path));
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        return HF_E_IO;
    }
    slash[slash == folder ? 1 : 0] = '\0';
    HF_OWNED(fd_closep)
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? HF_OK : HF_E_IO;
}

HF_STATUS store_file_prepare(const char *path, char *out_path, size_t out_cap)
{
    HF_OWNED(fd_closep)
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                  OWNER_ONLY);
    struct stat facts;
    if (fd < 0 || fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        return HF_E_IO;
    }
    if ((facts.st_mode & 07777) != OWNER_ONLY && fchmod(fd, OWNER_ONLY) != 0) {
        return HF_E_IO;
    }
    HF_OWNED(text_freep) char *absolute = realpath(path, NULL);
    if (absolute == NULL) {
        return errno == ENOMEM ? HF_E_NO_MEMORY : HF_E_IO;
    }
    HF_TRY(sync_folder_of(absolute));
    return text_copy(out_path, out_cap, absolute);
}
