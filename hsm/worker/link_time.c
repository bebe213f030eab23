#include "hsm/base/check.h"

#include "hsm/worker/link_inside.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

/* How often the thread looks for what is overdue, while anything is
 * outstanding. */
#define ROUND_MS 50

/* More packets than this no socket keeps for us. */
#define PACKETS_UNREAD_MAX 4096

int64_t link_now_us(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void link_wake(struct worker_link *link)
{
    /* it cannot fail: the counter holds more wakes than there are */
    (void)!eventfd_write(link->wake, 1);
}

/* --- what is overdue ------------------------------------------------------ */

static void look_around(struct worker_link *link)
{
    struct link_answers answers = {.first = NULL};
    int64_t now_us = link_now_us();
    int64_t now_ms = clock_monotonic_ms(link->clock);
    enum hf_status status = HF_OK;
    size_t at = 0;
    pthread_mutex_lock(&link->lock);
    struct flight_slot *slot = NULL;
    while ((slot = flight_next_overdue(&link->flight, &at, now_us, now_ms,
                                       link->grace_us, &status)) != NULL) {
        link->refused += status == HF_E_EXPIRED ? 1 : 0;
        link->late += status == HF_E_TIMEOUT ? 1 : 0;
        link_answer(&answers,
                    slot->state == FLIGHT_SENT
                        ? flight_late(slot)
                        : flight_drop(&link->flight, slot),
                    status);
    }
    pthread_mutex_unlock(&link->lock);
    link_tell(&answers);
}

/* --- the thread ----------------------------------------------------------- */

/* SCHED_BATCH: with too few cores, whoever submits or answers would be
 * interrupted by this thread for each single packet. Refused by the system it
 * is only slower. */
static void settle(void)
{
    const struct sched_param usual = {0};
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &usual);
}

/* Until there is a packet, room for one, a wake, or it is time to look around.
 * After a round in which nothing was outstanding there is nothing to look at
 * (may_sleep): then whoever submits wakes us (it sees `asleep`). */
static short wait_for_news(struct worker_link *link, bool may_sleep)
{
    struct pollfd fds[] = {
        {.fd = link->socket, .events = POLLIN},
        {.fd = link->wake,   .events = POLLIN},
    };
    pthread_mutex_lock(&link->lock);
    fds[0].events = link->blocked ? POLLIN | POLLOUT : POLLIN;
    link->asleep = may_sleep && flight_is_empty(&link->flight);
    int time_out_ms = link->asleep ? -1 : ROUND_MS;
    pthread_mutex_unlock(&link->lock);
    if (poll(fds, HF_COUNT(fds), time_out_ms) <= 0) {
        return 0;
    }
    if (fds[1].revents != 0) {
        eventfd_t count = 0;
        (void)!eventfd_read(link->wake, &count);
    }
    return fds[0].revents;
}

static bool may_go_on(struct worker_link *link)
{
    pthread_mutex_lock(&link->lock);
    link->asleep = false;
    bool go_on = !link->stop;
    pthread_mutex_unlock(&link->lock);
    return go_on;
}

/* The sender found the socket full and left us its role. */
static void send_on(struct worker_link *link)
{
    pthread_mutex_lock(&link->lock);
    bool ours = link->blocked;
    link->blocked = false;
    pthread_mutex_unlock(&link->lock);
    if (ours) {
        link_send(link);
    }
}

/* Nothing more comes from there. */
static void lose(struct worker_link *link)
{
    struct link_answers answers = {.first = NULL};
    size_t at = 0;
    shutdown(link->socket, SHUT_RDWR); /* a worker that talks rubbish ends */
    pthread_mutex_lock(&link->lock);
    link->lost = true;
    link->counters.objects = 0;
    pthread_mutex_unlock(&link->lock);
    if (link->owner.lost != NULL) {
        link->owner.lost(link->owner.self, link);
    }
    pthread_mutex_lock(&link->lock);
    struct flight_slot *slot = NULL;
    while ((slot = flight_next_any(&link->flight, &at)) != NULL) {
        link_answer(&answers,
                    slot->state == FLIGHT_SENT
                        ? flight_late(slot)
                        : flight_drop(&link->flight, slot),
                    HF_E_UNREACHABLE);
    }
    pthread_mutex_unlock(&link->lock);
    link_tell(&answers);
}

/* What has come in time is read before anything is called late. */
static HF_STATUS look_after_reading(struct worker_link *link)
{
    bool any = true;
    for (size_t i = 0; any && i < PACKETS_UNREAD_MAX; i++) {
        HF_TRY(link_receive(link, &any));
    }
    look_around(link);
    return HF_OK;
}

static HF_STATUS go_round(struct worker_link *link, int64_t *looked_us,
                          bool may_sleep, bool *out_any)
{
    short news = wait_for_news(link, may_sleep);
    *out_any = false;
    if ((news & (POLLIN | POLLHUP | POLLERR)) != 0) {
        HF_TRY(link_receive(link, out_any));
    }
    if ((news & POLLOUT) != 0) {
        send_on(link);
    }
    int64_t now_us = link_now_us();
    if (now_us - *looked_us >= ROUND_MS * 1000) {
        *looked_us = now_us;
        return look_after_reading(link);
    }
    return HF_OK;
}

void *link_main(void *argument)
{
    struct worker_link *link = argument;
    int64_t looked_us = link_now_us();
    bool any = true;
    settle();
    while (may_go_on(link)) {
        if (go_round(link, &looked_us, !any, &any) == HF_OK) {
            continue;
        }
        /* our own end may be the one that was closed */
        if (may_go_on(link)) {
            lose(link);
        }
        return NULL;
    }
    return NULL;
}
