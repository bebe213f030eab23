#include "server/edge/accept.h"

#include "hsm/base/own.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

static HF_STATUS address_read(const char *text, uint16_t port,
                              struct sockaddr_storage *out, socklen_t *out_len)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    *out = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *out_len = sizeof *v4;
        return HF_OK;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        *out_len = sizeof *v6;
        return HF_OK;
    }
    return HF_E_INVALID;
}

static HF_STATUS port_read(int fd, uint16_t *out_port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {.v6 = {0}};
    socklen_t len = sizeof bound;
    if (getsockname(fd, &bound.any, &len) != 0) {
        return HF_E_RESOURCES;
    }
    *out_port = bound.any.sa_family == AF_INET ? ntohs(bound.v4.sin_port)
                                               : ntohs(bound.v6.sin6_port);
    return HF_OK;
}

HF_STATUS acceptor_open(struct acceptor *acceptor, const char *address,
                        uint16_t port)
{
    struct sockaddr_storage where;
    socklen_t len = 0;
    *acceptor = (struct acceptor){.fd = -1};
    HF_TRY(address_read(address, port, &where, &len));
    acceptor->fd =
        socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (acceptor->fd < 0) {
        return HF_E_RESOURCES;
    }
    int on = 1;
    if (setsockopt(acceptor->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) !=
            0 ||
        bind(acceptor->fd, (struct sockaddr *)&where, len) != 0 ||
        listen(acceptor->fd, SOMAXCONN) != 0) {
        acceptor_close(acceptor);
        return HF_E_UNREACHABLE;
    }
    enum hf_status status = port_read(acceptor->fd, &acceptor->port);
    if (status != HF_OK) {
        acceptor_close(acceptor);
    }
    return status;
}

void acceptor_close(struct acceptor *acceptor)
{
    if (acceptor->fd >= 0) {
        close(acceptor->fd);
        acceptor->fd = -1;
    }
    acceptor->paused = false;
}

HF_STATUS acceptor_watch(struct acceptor *acceptor, int epoll_fd, void *watch)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, acceptor->fd, &event) != 0) {
        return HF_E_RESOURCES;
    }
    acceptor->epoll_fd = epoll_fd;
    acceptor->watch = watch;
    return HF_OK;
}

static void pause_accepting(struct acceptor *acceptor, int64_t now_ms)
{
    epoll_ctl(acceptor->epoll_fd, EPOLL_CTL_DEL, acceptor->fd, NULL);
    acceptor->paused = true;
    acceptor->exhausted = true;
    acceptor->resume_ms = now_ms + ACCEPT_PAUSE_MS;
}

HF_STATUS acceptor_next(struct acceptor *acceptor, int64_t now_ms, int *out_fd,
                        struct sockaddr_storage *out_peer)
{
    if (acceptor->fd < 0 || acceptor->paused) {
        return HF_E_NOT_FOUND;
    }
    socklen_t len = sizeof *out_peer;
    int fd = accept4(acceptor->fd, (struct sockaddr *)out_peer, &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        int on = 1;
        /* a small answer must not wait for the acknowledgement of the last;
         * without the option it is only slower */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        acceptor->exhausted = false;
        *out_fd = fd;
        return HF_OK;
    }
    switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        pause_accepting(acceptor, now_ms);
        return HF_E_RESOURCES;
    default:
        /* EAGAIN; or this one connection died in the queue (accept(2) lists
         * many ways), and the socket is still ready for the next */
        return HF_E_NOT_FOUND;
    }
}

int64_t acceptor_due(struct acceptor *acceptor, int64_t now_ms)
{
    if (!acceptor->paused) {
        return INT64_MAX;
    }
    if (now_ms < acceptor->resume_ms) {
        return acceptor->resume_ms;
    }
    acceptor->paused = false;
    if (acceptor_watch(acceptor, acceptor->epoll_fd, acceptor->watch) ==
        HF_OK) {
        return INT64_MAX;
    }
    acceptor->paused = true;
    acceptor->resume_ms = now_ms + ACCEPT_PAUSE_MS;
    return acceptor->resume_ms;
}
