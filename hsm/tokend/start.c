#include "hsm/tokend/start.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/tokend/beat.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORDS_MAX 64
/* above every number that a worker finds its descriptors by */
#define FIRST_FREE_FD 16
#define PROGRAM       "/proc/self/exe" /* also after it was replaced on disk */

extern char **environ;

struct descriptor {
    int fd;
};

static void descriptor_close(struct descriptor *descriptor)
{
    if (descriptor->fd >= 0) {
        close(descriptor->fd);
    }
}

/* Out of the way of those that a worker is given. */
static HF_STATUS lift(int *fd)
{
    int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    close(*fd);
    *fd = lifted;
    return lifted >= 0 ? HF_OK : HF_E_RESOURCES;
}

static HF_STATUS make_pair(struct descriptor *ours, struct descriptor *theirs)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return HF_E_RESOURCES;
    }
    ours->fd = ends[0];
    theirs->fd = ends[1];
    HF_TRY(lift(&ours->fd));
    return lift(&theirs->fd);
}

/* The kernel's buffer takes it whole; what is left of it there is gone when
 * the worker has read it. */
static HF_STATUS make_pin(const struct secret *pin, struct descriptor *out)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return HF_E_RESOURCES;
    }
    out->fd = ends[0];
    bool whole = true;
    if (pin != NULL) {
        ssize_t len = (ssize_t)secret_len(pin);
        whole = write(ends[1], secret_bytes(pin), secret_len(pin)) == len;
    }
    close(ends[1]);
    HF_TRY(lift(&out->fd));
    return whole ? HF_OK : HF_E_IO;
}

static bool set_up(posix_spawn_file_actions_t *files, posix_spawnattr_t *how,
                   int pin, int beat, int link)
{
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    return posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null",
                                            O_RDONLY, 0) == 0 &&
           posix_spawn_file_actions_addopen(files, STDOUT_FILENO, "/dev/null",
                                            O_WRONLY, 0) == 0 &&
           posix_spawn_file_actions_adddup2(files, pin, CHILD_FD_PIN) == 0 &&
           posix_spawn_file_actions_adddup2(files, beat, CHILD_FD_BEAT) == 0 &&
           posix_spawn_file_actions_adddup2(files, link, CHILD_FD_LINK) == 0 &&
           posix_spawn_file_actions_addclosefrom_np(files, CHILD_FD_LINK + 1) ==
               0 &&
           posix_spawnattr_setsigmask(how, &none) == 0 &&
           posix_spawnattr_setsigdefault(how, &all) == 0 &&
           posix_spawnattr_setflags(how, POSIX_SPAWN_SETSIGMASK |
                                             POSIX_SPAWN_SETSIGDEF) == 0;
}

static HF_STATUS spawn(char **words, int pin, int beat, int link,
                       pid_t *out_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    if (posix_spawn_file_actions_init(&files) != 0) {
        return HF_E_NO_MEMORY;
    }
    if (posix_spawnattr_init(&how) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return HF_E_NO_MEMORY;
    }
    bool started =
        set_up(&files, &how, pin, beat, link) &&
        posix_spawn(out_pid, PROGRAM, &files, &how, words, environ) == 0;
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return started ? HF_OK : HF_E_RESOURCES;
}

HF_STATUS start_worker(const struct start *start, struct started *out)
{
    HF_OWNED(descriptor_close) struct descriptor pin = {-1};
    HF_OWNED(descriptor_close) struct descriptor beat = {-1};
    HF_OWNED(descriptor_close) struct descriptor link = {-1};
    HF_OWNED(descriptor_close) struct descriptor our_beat = {-1};
    HF_OWNED(descriptor_close) struct descriptor our_link = {-1};
    char *words[WORDS_MAX + 3];
    char option[] = "--child";
    char number[16];
    size_t count = (size_t)start->argc;
    CHECK(count <= WORDS_MAX);
    memcpy(words, start->argv, count * sizeof *words);
    snprintf(number, sizeof number, "%u", start->number);
    words[count++] = option;
    words[count++] = number;
    words[count] = NULL;
    HF_TRY(make_pin(start->pin, &pin));
    HF_TRY(make_pair(&our_beat, &beat));
    HF_TRY(make_pair(&our_link, &link));
    pid_t pid = 0;
    HF_TRY(spawn(words, pin.fd, beat.fd, link.fd, &pid));
    *out =
        (struct started){.pid = pid, .beat = our_beat.fd, .link = our_link.fd};
    our_beat.fd = -1;
    our_link.fd = -1;
    return HF_OK;
}
