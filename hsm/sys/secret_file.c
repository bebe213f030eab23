#include "hsm/sys/secret_file.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

static enum hf_status status_of_errno(void)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
    case ENXIO:
        return HF_E_NOT_FOUND;
    case EACCES:
    case EPERM:
        return HF_E_DENIED;
    case EBADF:
        return HF_E_INVALID;
    default:
        return HF_E_IO;
    }
}

/* Reads to the end, or one line of a terminal, which comes in one piece. */
static HF_STATUS read_all(int fd, bool one_line, struct secret *into,
                          size_t *out_len)
{
    size_t len = 0;
    while (len < secret_len(into)) {
        ssize_t got =
            read(fd, secret_writable(into) + len, secret_len(into) - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return status_of_errno();
        }
        if (got == 0) {
            break;
        }
        len += (size_t)got;
        if (one_line) {
            break;
        }
    }
    *out_len = len;
    return HF_OK;
}

static size_t without_line_end(const uint8_t *bytes, size_t len)
{
    if (len > 0 && bytes[len - 1] == '\n') {
        len -= 1;
        if (len > 0 && bytes[len - 1] == '\r') {
            len -= 1;
        }
    }
    return len;
}

static HF_STATUS take(int fd, bool one_line, struct secret **out_secret)
{
    HF_OWNED(secret_freep) struct secret *secret = NULL;
    size_t len = 0;
    /* room for a line end and for one byte too many */
    HF_TRY(secret_new(SECRET_FILE_MAX_BYTES + 3, &secret));
    HF_TRY(read_all(fd, one_line, secret, &len));
    if (len == secret_len(secret)) {
        return HF_E_INVALID;
    }
    size_t all = len;
    len = without_line_end(secret_bytes(secret), len);
    if (one_line && len == all) {
        return HF_E_CANCELLED; /* ended otherwise than by Return */
    }
    if (len == 0 || len > SECRET_FILE_MAX_BYTES ||
        memchr(secret_bytes(secret), '\n', len) != NULL ||
        memchr(secret_bytes(secret), '\0', len) != NULL) {
        return HF_E_INVALID;
    }
    secret_shorten(secret, len);
    *out_secret = HF_GIVE(secret);
    return HF_OK;
}

/* Gives a descriptor of a regular file that is ours alone. */
static HF_STATUS open_private(const char *path, int *out_fd)
{
    /* not to hang on a pipe that nobody writes to */
    HF_OWNED(close_fd)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return status_of_errno();
    }
    struct stat info = {0};
    if (fstat(fd, &info) != 0) {
        return HF_E_IO;
    }
    bool ours = info.st_uid == geteuid() || info.st_uid == 0;
    bool others = (info.st_mode & (S_IRWXG | S_IRWXO)) != 0;
    if (!S_ISREG(info.st_mode) || !ours || others) {
        return HF_E_PRECONDITION;
    }
    *out_fd = fd;
    fd = -1;
    return HF_OK;
}

HF_STATUS secret_from_file(const char *path, struct secret **out_secret)
{
    HF_OWNED(close_fd) int fd = -1;
    HF_TRY(open_private(path, &fd));
    return take(fd, false, out_secret);
}

HF_STATUS secret_from_whole_file(const char *path, size_t max_bytes,
                                 struct secret **out_secret)
{
    HF_OWNED(close_fd) int fd = -1;
    HF_OWNED(secret_freep) struct secret *secret = NULL;
    size_t len = 0;
    HF_TRY(open_private(path, &fd));
    HF_TRY(secret_new(max_bytes + 1, &secret));
    HF_TRY(read_all(fd, false, secret, &len));
    if (len == 0 || len > max_bytes) {
        return HF_E_INVALID;
    }
    secret_shorten(secret, len);
    *out_secret = HF_GIVE(secret);
    return HF_OK;
}

HF_STATUS secret_from_fd(int fd, struct secret **out_secret)
{
    return take(fd, false, out_secret);
}

static HF_STATUS ask(int fd, const char *prompt, struct secret **out_secret)
{
    struct termios before = {0};
    if (tcgetattr(fd, &before) != 0) {
        return HF_E_NOT_FOUND;
    }
    struct termios quiet = before;
    /* without signals, so that the echo always comes back; the interrupt key
     * ends the line instead */
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ISIG);
    quiet.c_lflag |= (tcflag_t)(ICANON | ECHONL);
    quiet.c_cc[VEOL] = before.c_cc[VINTR];
    /* the echo goes first: what is typed once the prompt stands there must
     * neither be seen nor be lost */
    if (tcsetattr(fd, TCSAFLUSH, &quiet) != 0) {
        return HF_E_IO;
    }
    size_t prompt_len = strlen(prompt);
    enum hf_status status = HF_E_IO;
    if (write(fd, prompt, prompt_len) == (ssize_t)prompt_len) {
        status = take(fd, true, out_secret);
    }
    /* what is left of a PIN that was not taken is nobody's to read */
    int how = status == HF_OK ? TCSADRAIN : TCSAFLUSH;
    if (tcsetattr(fd, how, &before) != 0 && status == HF_OK) {
        secret_freep(out_secret);
        return HF_E_IO;
    }
    return status;
}

HF_STATUS secret_from_terminal(const char *prompt, struct secret **out_secret)
{
    static const int ends[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};
    HF_OWNED(close_fd) int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    sigset_t wait;
    sigset_t before;
    if (fd < 0) {
        return HF_E_NOT_FOUND;
    }
    /* one that others send ends the process as well, once the echo is back */
    sigemptyset(&wait);
    for (size_t i = 0; i < HF_COUNT(ends); i++) {
        sigaddset(&wait, ends[i]);
    }
    if (pthread_sigmask(SIG_BLOCK, &wait, &before) != 0) {
        return HF_E_IO;
    }
    enum hf_status status = ask(fd, prompt, out_secret);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}
