#include "hsm/tool/file.h"

#include "hsm/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_write_all(int fd, struct bytes content)
{
    while (content.len > 0) {
        ssize_t done = write(fd, content.data, content.len);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return false;
        }
        content.data += done;
        content.len -= (size_t)done;
    }
    return true;
}

static enum hf_status status_of_errno(void)
{
    switch (errno) {
    case EEXIST:
        return HF_E_EXISTS;
    case ENOENT:
    case ENOTDIR:
        return HF_E_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return HF_E_DENIED;
    default:
        return HF_E_IO;
    }
}

HF_STATUS file_sync_folder(const char *path)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 1 : (size_t)(slash - path) + 1;
    if (len >= sizeof folder) {
        return HF_E_IO;
    }
    if (slash != NULL) {
        memcpy(folder, path, len);
        folder[len] = '\0';
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return HF_E_IO;
    }
    int failed = fsync(fd);
    close(fd);
    return failed == 0 ? HF_OK : HF_E_IO;
}

static HF_STATUS read_fd(int fd, size_t max_bytes, uint8_t **out,
                         size_t *out_len)
{
    struct stat info = {0};
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return HF_E_IO;
    }
    size_t len = (size_t)info.st_size;
    if (len > max_bytes) {
        return HF_E_LIMIT;
    }
    uint8_t *bytes = malloc(len + 1);
    if (bytes == NULL) {
        return HF_E_NO_MEMORY;
    }
    if (pread(fd, bytes, len, 0) != (ssize_t)len) {
        free(bytes);
        return HF_E_IO;
    }
    bytes[len] = '\0';
    *out = bytes;
    *out_len = len;
    return HF_OK;
}

HF_STATUS file_read(const char *path, size_t max_bytes, uint8_t **out,
                    size_t *out_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return status_of_errno();
    }
    enum hf_status status = read_fd(fd, max_bytes, out, out_len);
    close(fd);
    return status;
}

HF_STATUS file_create(const char *path, mode_t mode, struct bytes content)
{
    int fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return status_of_errno();
    }
    bool good = file_write_all(fd, content) && fsync(fd) == 0;
    good = close(fd) == 0 && good && file_sync_folder(path) == HF_OK;
    if (!good) {
        unlink(path);
    }
    return good ? HF_OK : HF_E_IO;
}

HF_STATUS file_create_whole(const char *path, mode_t mode, struct bytes content)
{
    char part[PATH_MAX];
    int len = snprintf(part, sizeof part, "%s.part", path);
    if (len < 0 || (size_t)len >= sizeof part) {
        return HF_E_LIMIT;
    }
    unlink(part);
    HF_TRY(file_create(part, mode, content));
    enum hf_status status = link(part, path) == 0 ? HF_OK : status_of_errno();
    unlink(part);
    HF_TRY(status);
    return file_sync_folder(path);
}

bool file_holds(const char *path, struct bytes content)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    bool same = true;
    for (size_t i = 0; same && i < content.len; i++) {
        same = fgetc(file) == content.data[i];
    }
    same = same && fgetc(file) == EOF;
    fclose(file);
    return same;
}
