#include "hsm/tool/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static bool write_all(int fd, struct bytes content)
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

HF_STATUS file_create(const char *path, mode_t mode, struct bytes content)
{
    int fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
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
    bool good = write_all(fd, content) && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    if (!good) {
        unlink(path);
    }
    return good ? HF_OK : HF_E_IO;
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
