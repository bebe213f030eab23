#include "client/cli/file.h"

#include "hsm/base/own.h"

#include "client/lib/message.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_READ_BYTES 8192

static void closep(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

void file_data_clear(struct file_data *data)
{
    wiped_free(data->bytes);
    *data = (struct file_data){0};
}

static enum hf_status status_of_errno(void)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        return HF_E_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return HF_E_DENIED;
    case EEXIST:
        return HF_E_EXISTS;
    case ENOMEM:
        return HF_E_NO_MEMORY;
    default:
        return HF_E_IO;
    }
}

const char *file_problem(enum hf_status status)
{
    switch (hf_status_class(status)) {
    case HF_CLASS_MISSING:
        return "no such file or folder";
    case HF_CLASS_DENIED:
        return "permission denied, or not writable";
    case HF_CLASS_CONFLICT:
        return "already there; remove it or choose another name";
    case HF_CLASS_CALLER:
        return "larger than it can be";
    case HF_CLASS_OK:
    case HF_CLASS_TRANSIENT:
    case HF_CLASS_OURS:
    case HF_CLASS_BROKEN:
        break;
    }
    return hf_status_text(status);
}

/* grow: twice the room, the old one wiped. */
static enum hf_status grow(struct file_data *data, size_t *cap, size_t max)
{
    size_t want = *cap == 0 ? FIRST_READ_BYTES : *cap * 2;
    if (want > max + 1) {
        want = max + 1;
    }
    uint8_t *bytes = wiped_alloc(want + 1);
    if (bytes == NULL) {
        return HF_E_NO_MEMORY;
    }
    if (data->len > 0) {
        memcpy(bytes, data->bytes, data->len);
    }
    wiped_free(data->bytes);
    data->bytes = bytes;
    *cap = want;
    return HF_OK;
}

static enum hf_status read_all(int fd, size_t max, struct file_data *out)
{
    HF_OWNED(file_data_clear) struct file_data data = {0};
    size_t cap = 0;
    HF_TRY(grow(&data, &cap, max));
    for (;;) {
        ssize_t got = read(fd, data.bytes + data.len, cap - data.len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return status_of_errno();
        }
        if (got == 0) {
            break;
        }
        data.len += (size_t)got;
        if (data.len > max) {
            return HF_E_LIMIT;
        }
        if (data.len == cap) {
            HF_TRY(grow(&data, &cap, max));
        }
    }
    data.bytes[data.len] = '\0';
    *out = data;
    data = (struct file_data){0};
    return HF_OK;
}

HF_STATUS file_read(const char *path, size_t max, struct file_data *out)
{
    if (strcmp(path, "-") == 0) {
        return read_all(STDIN_FILENO, max, out);
    }
    HF_OWNED(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return status_of_errno();
    }
    return read_all(fd, max, out);
}

HF_STATUS file_read_at(int folder, const char *name, size_t max,
                       struct file_data *out)
{
    HF_OWNED(closep)
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return status_of_errno();
    }
    return read_all(fd, max, out);
}

static enum hf_status write_all(int fd, const uint8_t *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t put = write(fd, data + done, len - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return status_of_errno();
        }
        done += (size_t)put;
    }
    return fsync(fd) == 0 ? HF_OK : HF_E_IO;
}

HF_STATUS file_create(const char *path, const uint8_t *data, size_t len)
{
    HF_OWNED(closep)
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                  S_IRUSR | S_IWUSR);
    if (fd < 0) {
        return status_of_errno();
    }
    enum hf_status status = write_all(fd, data, len);
    if (status != HF_OK) {
        unlink(path);
    }
    return status;
}

HF_STATUS file_replace_at(int folder, const char *name, struct file_data data,
                          mode_t mode)
{
    char temporary[NAME_MAX + 1];
    int len = snprintf(temporary, sizeof temporary, FILE_TEMPORARY "%s", name);
    if (len < 0 || (size_t)len >= sizeof temporary) {
        return HF_E_LIMIT;
    }
    if (unlinkat(folder, temporary, 0) != 0 && errno != ENOENT) {
        return status_of_errno(); /* of an interrupted run */
    }
    HF_OWNED(closep)
    int fd = openat(folder, temporary,
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return status_of_errno();
    }
    enum hf_status status = write_all(fd, data.bytes, data.len);
    if (status == HF_OK && renameat(folder, temporary, folder, name) != 0) {
        status = status_of_errno();
    }
    if (status != HF_OK) {
        unlinkat(folder, temporary, 0);
        return status;
    }
    return fsync(folder) == 0 ? HF_OK : HF_E_IO;
}
