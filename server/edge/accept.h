/* accept: the listening socket, and what to do when descriptors run out.
 *
 *            accept fails for want of descriptors or memory
 *   LISTENING -------------------------------------------> PAUSED
 *       ^                                                     |
 *       +-------------- ACCEPT_PAUSE_MS later ----------------+
 *
 * While paused the socket is not watched: a level-triggered descriptor that
 * cannot be accepted from would spin the loop. Nothing else has to happen for
 * it to resume.
 */
#pragma once

#include "hsm/base/status.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ACCEPT_PAUSE_MS 100

struct acceptor {
    int fd; /* -1: none, or closed by acceptor_close */
    int epoll_fd;
    void *watch; /* what epoll gives back for it */
    uint16_t port;
    bool paused;
    bool exhausted; /* since the last connection that was accepted */
    int64_t resume_ms;
};

/* acceptor_open: a listening socket at the literal address, not yet watched.
 *
 * Returns   HF_OK; HF_E_INVALID when address is no IPv4 or IPv6 literal;
 *           HF_E_UNREACHABLE when it cannot be bound; HF_E_RESOURCES.
 */
HF_STATUS acceptor_open(struct acceptor *acceptor, const char *address,
                        uint16_t port);
void acceptor_close(struct acceptor *acceptor);

/* acceptor_watch: in this epoll, as watch. HF_OK or HF_E_RESOURCES. */
HF_STATUS acceptor_watch(struct acceptor *acceptor, int epoll_fd, void *watch);

/* acceptor_next: the next waiting connection, non-blocking.
 *
 * Gives     *out_fd, the caller's; *out_peer.
 * Returns   HF_OK; HF_E_NOT_FOUND when none waits; HF_E_RESOURCES when it
 *           paused.
 */
HF_STATUS acceptor_next(struct acceptor *acceptor, int64_t now_ms, int *out_fd,
                        struct sockaddr_storage *out_peer);

/* acceptor_due: resumes when it is time; when to call again (INT64_MAX: no
 * need). */
int64_t acceptor_due(struct acceptor *acceptor, int64_t now_ms);
