#include "hsm/base/check.h"

#include "hsm/sys/clock.h"

#include "hsm/tokend/parent_inside.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* What is waited for beside the workers. */
#define OTHERS 5
/* What one peer may have to say at once. */
#define HEARD_MAX 16
/* What those that end may take for it. */
#define LEAVE_MS 3000

static int64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

static void leave(struct parent *parent)
{
    if (parent->leave_ms == 0) {
        parent->leave_ms = now_ms() + LEAVE_MS;
    }
}

static void take_signals(struct parent *parent)
{
    struct signalfd_siginfo info;
    while (read(parent->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGCHLD:
            children_reap(&parent->children);
            break;
        case SIGHUP:
            parent_look(parent, true);
            break;
        default:
            leave(parent);
            break;
        }
    }
}

static void hear_peer(struct parent *parent)
{
    bool look = false;
    bool more = true;
    for (int i = 0; more && i < HEARD_MAX; i++) {
        uint32_t worker = 0;
        switch (peer_read(&parent->peer, &worker)) {
        case PEER_LOOK:
            look = true;
            break;
        case PEER_KILL:
            parent_kill(parent, worker);
            break;
        case PEER_GONE:
            if (parent->options->listen == NULL) {
                leave(parent);
            }
            return;
        case PEER_NOTHING:
            more = false;
            break;
        }
    }
    if (look) {
        parent_look(parent, true);
    }
}

static void wait_for_something(struct parent *parent)
{
    struct pollfd fds[OTHERS + CHILDREN_MAX];
    fds[0] = (struct pollfd){.fd = parent->signals, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = parent->peer.control, .events = POLLIN};
    fds[2] = (struct pollfd){.fd = parent->peer.listener, .events = POLLIN};
    fds[3] = (struct pollfd){.fd = parent->caller.listener, .events = POLLIN};
    fds[4] = (struct pollfd){.fd = parent->caller.socket, .events = POLLIN};
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        fds[OTHERS + i] = (struct pollfd){.fd = parent->children.at[i].beat,
                                          .events = POLLIN};
    }
    if (poll(fds, HF_COUNT(fds), BEAT_EVERY_MS) <= 0) {
        return;
    }
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        if (fds[OTHERS + i].revents != 0) {
            children_hear(&parent->children, &parent->children.at[i], now_ms());
        }
    }
    if (fds[0].revents != 0) {
        take_signals(parent);
    }
    if (fds[1].revents != 0) {
        hear_peer(parent);
    }
    if (fds[2].revents != 0) {
        peer_accept(&parent->peer);
    }
    if (fds[4].revents != 0) {
        parent_take_pin(parent);
    }
    if (fds[3].revents != 0) {
        caller_accept(&parent->caller);
    }
}

static void loop(struct parent *parent)
{
    int64_t before = now_ms();
    while (parent->leave_ms == 0) {
        wait_for_something(parent);
        int64_t now = now_ms();
        if (now - before >= BEAT_EVERY_MS) {
            children_watch(&parent->children, before, now);
            before = now;
        }
        parent_turn(parent, now);
        peer_flush(&parent->peer, &parent->children);
    }
}

static void ignore(void *self, struct child *child, enum child_event event,
                   const struct beat *beat, const char *why)
{
    (void)why;
    (void)self;
    (void)child;
    (void)event;
    (void)beat;
}

/* Those that serve end by themselves when their links are closed. */
static void see_off(struct parent *parent)
{
    peer_close(&parent->peer);
    caller_close(&parent->caller);
    struct children *children = &parent->children;
    children->owner.happened = ignore;
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        if (children->at[i].link >= 0) {
            close(children->at[i].link);
            children->at[i].link = -1;
        }
    }
    while (!children_are_gone(children)) {
        struct pollfd fd = {.fd = parent->signals, .events = POLLIN};
        poll(&fd, 1, BEAT_EVERY_MS);
        take_signals(parent);
        int64_t now = now_ms();
        if (now > parent->leave_ms + LEAVE_MS) {
            return; /* not even a kill ends it */
        }
        if (now > parent->leave_ms) {
            children_kill_all(children);
        }
    }
}

static bool catch_signals(struct parent *parent)
{
    sigset_t caught;
    sigemptyset(&caught);
    sigaddset(&caught, SIGCHLD);
    if (parent->options->listen != NULL) {
        sigaddset(&caught, SIGHUP);
        sigaddset(&caught, SIGTERM);
        sigaddset(&caught, SIGINT);
    }
    parent->signals = -1;
    if (sigprocmask(SIG_BLOCK, &caught, NULL) == 0) {
        parent->signals = signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
    }
    return parent->signals >= 0;
}

int parent_run(const struct tokend_options *options, int argc, char **argv)
{
    struct parent parent = {.options = options, .state = SUP_LOCKED};
    const struct children_owner owner = {parent_happened, &parent};
    if (!catch_signals(&parent) || peer_open(&parent.peer, options) != HF_OK) {
        fprintf(stderr, "holdfast-tokend: %s: %s\n",
                options->listen != NULL ? options->listen : "the socket",
                strerror(errno));
        return 1;
    }
    enum hf_status heard = caller_open(&parent.caller, options);
    if (heard != HF_OK) {
        fprintf(stderr, "holdfast-tokend: %s: %s\n", options->activation,
                hf_status_text(heard));
        return 1;
    }
    if (pins_new(options->pin_source, options->pin_file, options->refused_pin,
                 &parent.pins) != HF_OK) {
        fprintf(stderr, "holdfast-tokend: out of memory\n");
        return 1;
    }
    children_set_up(&parent.children, options, argc, argv, &owner);
    if (options->listen != NULL) {
        /* above those of an earlier process, whose numbers holdfastd knows */
        parent.children.next_number =
            (uint32_t)(clock_wall_ms(clock_system()) / 1000);
    }
    parent_tell(&parent);
    parent_look(&parent, true);
    if (!pins_is_new(parent.pins) && pins_refused_file(parent.pins) != 0) {
        parent.state = SUP_PIN_REFUSED;
        parent_note(&parent, HF_E_DENIED,
                    "this PIN was refused before and is not tried again");
        parent_tell(&parent);
    }
    if (options->pin_source == PIN_FROM_PAD) {
        parent_happen(&parent, SUP_EV_PIN);
    }
    loop(&parent);
    see_off(&parent);
    pins_free(parent.pins);
    return 0;
}
