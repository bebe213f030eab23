#include "hsm/worker/door.h"

#include "hsm/base/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define WAITING_MAX 8

static HF_STATUS address_of(const char *path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    return text_copy(out->sun_path, sizeof out->sun_path, path) == HF_OK
               ? HF_OK
               : HF_E_INVALID;
}

/* Nobody answers at what a process that was killed has left. */
static HF_STATUS clear(const char *path, const struct sockaddr_un *address)
{
    struct stat facts;
    if (lstat(path, &facts) != 0) {
        return errno == ENOENT ? HF_OK : HF_E_IO;
    }
    if (!S_ISSOCK(facts.st_mode)) {
        return HF_E_EXISTS;
    }
    int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (probe < 0) {
        return HF_E_IO;
    }
    bool lives = connect(probe, (const struct sockaddr *)address,
                         sizeof *address) == 0 ||
                 errno == EAGAIN;
    close(probe);
    if (lives) {
        return HF_E_EXISTS;
    }
    return unlink(path) == 0 ? HF_OK : HF_E_IO;
}

HF_STATUS door_open(const char *path, mode_t mode, int *out_listener)
{
    struct sockaddr_un address;
    if (address_of(path, &address) != HF_OK) {
        return HF_E_INVALID;
    }
    enum hf_status status = clear(path, &address);
    if (status != HF_OK) {
        return status;
    }
    int listener =
        socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0) {
        return HF_E_IO;
    }
    /* the caller's umask leaves it to its owner until the mode is set */
    if (bind(listener, (const struct sockaddr *)&address, sizeof address) !=
            0 ||
        chmod(path, mode) != 0 || listen(listener, WAITING_MAX) != 0) {
        close(listener);
        return HF_E_IO;
    }
    *out_listener = listener;
    return HF_OK;
}

static HF_STATUS user_of(int socket, uint32_t *out_uid)
{
    struct ucred who = {.uid = 0};
    socklen_t len = sizeof who;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 ||
        len != sizeof who) {
        return HF_E_IO;
    }
    *out_uid = who.uid;
    return HF_OK;
}

HF_STATUS door_accept(int listener, int *out_socket, uint32_t *out_uid)
{
    int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket < 0) {
        return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED
                   ? HF_E_OVERLOAD
                   : HF_E_IO;
    }
    if (user_of(socket, out_uid) != HF_OK) {
        close(socket);
        return HF_E_IO;
    }
    *out_socket = socket;
    return HF_OK;
}

HF_STATUS door_knock(const char *path, int *out_socket, uint32_t *out_uid)
{
    struct sockaddr_un address;
    if (address_of(path, &address) != HF_OK) {
        return HF_E_INVALID;
    }
    int knock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (knock < 0) {
        return HF_E_RESOURCES;
    }
    if (connect(knock, (const struct sockaddr *)&address, sizeof address) !=
        0) {
        bool denied = errno == EACCES || errno == EPERM;
        close(knock);
        return denied ? HF_E_DENIED : HF_E_UNREACHABLE;
    }
    if (user_of(knock, out_uid) != HF_OK) {
        close(knock);
        return HF_E_UNREACHABLE;
    }
    *out_socket = knock;
    return HF_OK;
}

bool door_is_of(const char *path, uint32_t uid)
{
    struct sockaddr_un address;
    struct stat facts;
    if (address_of(path, &address) != HF_OK) {
        return false;
    }
    char *last = strrchr(address.sun_path, '/');
    if (last == NULL) {
        snprintf(address.sun_path, sizeof address.sun_path, ".");
    } else {
        last[last == address.sun_path ? 1 : 0] = '\0';
    }
    return stat(address.sun_path, &facts) == 0 && S_ISDIR(facts.st_mode) &&
           facts.st_uid == uid && (facts.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}
