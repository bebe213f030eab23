#include "server/edge/loop.h"

#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "server/edge/conn.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_PER_TURN     128
#define ACCEPTS_PER_TURN    16
#define HANDSHAKES_PER_TURN 4
#define RECHECKS_PER_TURN   4
#define SWEEP_LEAST_MS      10 /* between two, however many are due */
#define LOG_BURST           20
#define LOG_EVERY_MS        100

void count_add(_Atomic uint64_t *count, uint64_t more)
{
    /* one writer: no locked instruction needed */
    uint64_t now = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, now + more, memory_order_relaxed);
}

bool loop_may_log(struct loop *loop, uint64_t *out_suppressed)
{
    struct log_budget *budget = &loop->log_budget;
    int64_t earned = (loop->now_ms - budget->refilled_ms) / LOG_EVERY_MS;
    if (earned > 0) {
        int64_t room = LOG_BURST - budget->left;
        budget->left += earned < room ? earned : room;
        budget->refilled_ms += earned * LOG_EVERY_MS;
    }
    if (budget->left <= 0) {
        budget->suppressed++;
        return false;
    }
    budget->left--;
    *out_suppressed = budget->suppressed;
    budget->suppressed = 0;
    return true;
}

void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    /* fails only when the counter is full, and then it is awake anyway */
    ssize_t wrote = write(loop->mailbox.wake_fd, &one, sizeof one);
    CHECK(wrote == (ssize_t)sizeof one || errno == EAGAIN || errno == EINTR);
}

/* True when it is time to stop. */
static bool take_mail(struct loop *loop)
{
    struct mailbox *mailbox = &loop->mailbox;
    uint64_t wakes = 0;
    ssize_t got = read(mailbox->wake_fd, &wakes, sizeof wakes);
    CHECK(got == (ssize_t)sizeof wakes || errno == EAGAIN || errno == EINTR);

    pthread_mutex_lock(&mailbox->lock);
    struct tls_set *next = mailbox->next_set;
    mailbox->next_set = NULL;
    if (next != NULL) {
        tls_set_free(loop->set); /* its sessions keep what they need of it */
        loop->set = next;
        loop->set_number++;
    }
    if (mailbox->drain && !mailbox->drained) {
        acceptor_close(&loop->acceptor);
        mailbox->drained = true;
    }
    bool stop = mailbox->stop;
    pthread_cond_broadcast(&mailbox->taken);
    pthread_mutex_unlock(&mailbox->lock);
    return stop;
}

static void accept_some(struct loop *loop)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer = {0};
        int fd = -1;
        bool first = !loop->acceptor.exhausted;
        uint64_t suppressed = 0;
        enum hf_status status =
            acceptor_next(&loop->acceptor, loop->now_ms, &fd, &peer);
        if (status == HF_E_RESOURCES) {
            count_add(&loop->counts.accept_paused, 1);
            if (first && loop_may_log(loop, &suppressed)) {
                log_event(LOG_ERROR, "edge.accept_paused",
                          LOG_TEXT("reason", "no descriptor or memory"),
                          LOG_NUMBER("open", loop->open),
                          LOG_NUMBER("suppressed", suppressed));
            }
        }
        if (status != HF_OK) {
            return;
        }
        count_add(&loop->counts.accepted, 1);
        if (loop->open >= loop->connections_max) {
            count_add(&loop->counts.refused_cap, 1);
            close(fd);
            continue;
        }
        HF_IGNORE(conn_new(loop, fd, &peer),
                  "no memory: it is closed, the others go on");
    }
}

static void relay_all(struct loop *loop)
{
    /* those that queue again wait for the next turn */
    struct conn *last = TAILQ_LAST(&loop->relaying, conn_list);
    bool more = last != NULL;
    while (more) {
        struct conn *conn = TAILQ_FIRST(&loop->relaying);
        more = conn != last;
        conn_turn(loop, conn);
    }
}

static void handshake_some(struct loop *loop)
{
    for (int i = 0; i < HANDSHAKES_PER_TURN; i++) {
        struct conn *conn = TAILQ_FIRST(&loop->handshaking);
        if (conn == NULL) {
            return;
        }
        conn_turn(loop, conn);
    }
}

static struct conn *stale(struct loop *loop)
{
    struct conn *first = TAILQ_FIRST(&loop->all);
    return first != NULL && first->set_number != loop->set_number ? first
                                                                  : NULL;
}

static void recheck_some(struct loop *loop)
{
    for (int i = 0; i < RECHECKS_PER_TURN; i++) {
        struct conn *conn = stale(loop);
        if (conn == NULL) {
            return;
        }
        conn_recheck(loop, conn);
    }
}

static void sweep(struct loop *loop)
{
    if (loop->now_ms < loop->sweep_due_ms) {
        return;
    }
    int64_t wall_ms = clock_wall_ms(loop->clock);
    int64_t due_ms = loop->now_ms + LOOP_SWEEP_MOST_MS;
    struct conn *next = NULL;
    for (struct conn *conn = TAILQ_FIRST(&loop->all); conn != NULL;
         conn = next) {
        next = TAILQ_NEXT(conn, in_all);
        int64_t one_ms = conn_due(loop, conn, wall_ms);
        due_ms = one_ms < due_ms ? one_ms : due_ms;
    }
    int64_t least_ms = loop->now_ms + SWEEP_LEAST_MS;
    loop->sweep_due_ms = due_ms < least_ms ? least_ms : due_ms;
    if (loop->open == 0) {
        loop->sweep_due_ms = INT64_MAX;
    }
}

static int wait_ms(struct loop *loop)
{
    if (!TAILQ_EMPTY(&loop->relaying) || !TAILQ_EMPTY(&loop->handshaking) ||
        stale(loop) != NULL) {
        return 0;
    }
    int64_t due_ms = acceptor_due(&loop->acceptor, loop->now_ms);
    due_ms = loop->sweep_due_ms < due_ms ? loop->sweep_due_ms : due_ms;
    if (due_ms == INT64_MAX) {
        return -1;
    }
    int64_t wait = due_ms - loop->now_ms;
    if (wait < 0) {
        return 0;
    }
    return wait < LOOP_SWEEP_MOST_MS ? (int)wait : LOOP_SWEEP_MOST_MS;
}

static void finish(struct loop *loop)
{
    acceptor_close(&loop->acceptor);
    struct conn *conn = NULL;
    while ((conn = TAILQ_FIRST(&loop->all)) != NULL) {
        conn_free(loop, conn);
    }
    pthread_mutex_lock(&loop->mailbox.lock);
    loop->mailbox.stopped = true;
    pthread_cond_broadcast(&loop->mailbox.taken);
    pthread_mutex_unlock(&loop->mailbox.lock);
}

void loop_run(struct loop *loop)
{
    struct epoll_event events[EVENTS_PER_TURN];
    bool stop = false;
    loop->now_ms = clock_monotonic_ms(loop->clock);
    while (!stop) {
        int count =
            epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, wait_ms(loop));
        CHECK(count >= 0 || errno == EINTR);
        loop->now_ms = clock_monotonic_ms(loop->clock);
        bool waiting = false;
        for (int i = 0; i < count; i++) {
            void *watch = events[i].data.ptr;
            if (watch == &loop->acceptor) {
                waiting = true;
            } else if (watch == &loop->mailbox) {
                stop = take_mail(loop);
            } else {
                conn_note(loop, watch, events[i].events);
            }
        }
        if (waiting) {
            accept_some(loop);
        }
        relay_all(loop);
        handshake_some(loop);
        recheck_some(loop);
        sweep(loop);
    }
    finish(loop);
}
