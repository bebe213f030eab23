#include "hsm/worker/link.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/worker/hello.h"
#include "hsm/worker/link_inside.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE_DEFAULT    1024
#define GRACE_DEFAULT_MS 1000
/* So many late ones in a row are no bad luck of a busy machine. */
#define LATE_STUCK_MIN 3

/* --- answers -------------------------------------------------------------- */

void link_answer(struct link_answers *answers, struct token_request *request,
                 enum hf_status status)
{
    request->status = status;
    request->link = NULL;
    if (answers->last == NULL) {
        answers->first = request;
    } else {
        answers->last->link = request;
    }
    answers->last = request;
}

void link_tell(const struct link_answers *answers)
{
    struct token_request *request = answers->first;
    while (request != NULL) {
        struct token_request *next = request->link; /* done may free it */
        request->done(request);
        request = next;
    }
}

/* --- submit --------------------------------------------------------------- */

/* The object of an operation on one, NULL for all others. */
static const struct token_object *object_of(const struct token_request *request)
{
    if (request->op == TOKEN_OP_SEAL || request->op == TOKEN_OP_OPEN) {
        return &request->u.aead.key;
    }
    return request->op == TOKEN_OP_FORGET ? &request->u.forget : NULL;
}

/* Lock held. */
static void take(struct worker_link *link, struct token_request *request,
                 int64_t now_us, struct link_answers *answers)
{
    const struct token_object *object = object_of(request);
    if (link->lost) {
        link_answer(answers, request, HF_E_UNREACHABLE);
    } else if (object != NULL && !worker_link_owns(link, object->generation)) {
        link_answer(answers, request, HF_E_PRECONDITION);
    } else if (!flight_add(&link->flight, request, now_us)) {
        link->refused += 1;
        link_answer(answers, request, HF_E_OVERLOAD);
    }
}

void worker_link_submit(struct worker_link *link,
                        struct token_request *const *requests, size_t count)
{
    struct link_answers answers = {.first = NULL};
    int64_t now_us = link_now_us();
    pthread_mutex_lock(&link->lock);
    for (size_t i = 0; i < count; i++) {
        take(link, requests[i], now_us, &answers);
    }
    bool ours = !link->sending && flight_is_waiting(&link->flight);
    bool wake = ours && link->asleep;
    link->sending = link->sending || ours;
    link->asleep = link->asleep && !wake;
    pthread_mutex_unlock(&link->lock);
    if (wake) {
        link_wake(link);
    }
    if (ours) {
        link_send(link);
    }
    link_tell(&answers);
}

/* --- what is known -------------------------------------------------------- */

uint32_t worker_link_number(const struct worker_link *link)
{
    return link->worker;
}

bool worker_link_owns(const struct worker_link *link, uint64_t generation)
{
    return generation >> 32 == link->worker;
}

bool worker_link_is_lost(struct worker_link *link)
{
    pthread_mutex_lock(&link->lock);
    bool lost = link->lost;
    pthread_mutex_unlock(&link->lock);
    return lost;
}

void worker_link_profile(struct worker_link *link, struct token_profile *out)
{
    pthread_mutex_lock(&link->lock);
    *out = link->profile;
    pthread_mutex_unlock(&link->lock);
}

void worker_link_counters(struct worker_link *link, struct token_counters *out)
{
    pthread_mutex_lock(&link->lock);
    *out = link->counters;
    out->refused += link->refused;
    pthread_mutex_unlock(&link->lock);
}

size_t worker_link_objects(struct worker_link *link)
{
    struct token_counters counters;
    worker_link_counters(link, &counters);
    return counters.objects;
}

size_t worker_link_outstanding(struct worker_link *link)
{
    pthread_mutex_lock(&link->lock);
    size_t count = flight_outstanding(&link->flight);
    pthread_mutex_unlock(&link->lock);
    return count;
}

uint64_t worker_link_late(struct worker_link *link)
{
    pthread_mutex_lock(&link->lock);
    uint64_t late = link->late;
    pthread_mutex_unlock(&link->lock);
    return late;
}

bool worker_link_is_stuck(struct worker_link *link)
{
    pthread_mutex_lock(&link->lock);
    bool stuck =
        !link->lost && link->late - link->late_before >= LATE_STUCK_MIN;
    pthread_mutex_unlock(&link->lock);
    return stuck;
}

/* --- life ----------------------------------------------------------------- */

static void unmake(struct worker_link *link)
{
    close(link->socket);
    if (link->wake >= 0) {
        close(link->wake);
    }
    flight_free(&link->flight);
    free(link->out);
    free(link->in);
    pthread_mutex_destroy(&link->lock);
    free(link);
}

static struct worker_link *make(int socket, uint32_t worker,
                                const struct worker_link_settings *settings,
                                const struct worker_link_owner *owner)
{
    struct worker_link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        close(socket);
        return NULL;
    }
    link->socket = socket;
    link->wake = -1;
    link->worker = worker;
    link->owner = *owner;
    link->grace_us =
        (settings->grace_ms > 0 ? settings->grace_ms : GRACE_DEFAULT_MS) * 1000;
    link->clock = settings->clock != NULL ? settings->clock : clock_system();
    pthread_mutex_init(&link->lock, NULL);
    link->out = malloc(FRAME_PACKET_MAX);
    link->in = malloc(FRAME_PACKET_MAX);
    if (link->out == NULL || link->in == NULL) {
        unmake(link);
        return NULL;
    }
    return link;
}

/* The hello's bytes, within the time there is. */
static HF_STATUS wait_for_hello(struct worker_link *link, int64_t hello_ms,
                                size_t *out_len)
{
    int64_t until_us = link_now_us() + hello_ms * 1000;
    for (;;) {
        struct pollfd socket = {.fd = link->socket, .events = POLLIN};
        int64_t left_us = until_us - link_now_us();
        if (left_us <= 0) {
            return HF_E_TIMEOUT;
        }
        if (poll(&socket, 1, (int)((left_us + 999) / 1000)) <= 0) {
            continue; /* time is up, or a signal came */
        }
        ssize_t len = recv(link->socket, link->in, FRAME_PACKET_MAX,
                           MSG_DONTWAIT | MSG_TRUNC);
        if (len > 0) {
            *out_len = (size_t)len;
            return len <= FRAME_PACKET_MAX ? HF_OK : HF_E_CORRUPT;
        }
        if (len == 0 || (errno != EAGAIN && errno != EINTR)) {
            return HF_E_UNREACHABLE;
        }
    }
}

static HF_STATUS greet(struct worker_link *link,
                       const struct worker_link_settings *settings,
                       struct worker_refusal *out_refusal)
{
    size_t len = 0;
    struct worker_hello hello;
    HF_TRY(wait_for_hello(link, settings->hello_ms, &len));
    HF_TRY(hello_decode((struct bytes){link->in, len}, &hello));
    if (hello.worker != link->worker) {
        return HF_E_CORRUPT;
    }
    if (hello.status != HF_OK) {
        HF_IGNORE(
            text_copy(out_refusal->text, sizeof out_refusal->text, hello.why),
            "one is as long as the other");
        return hello.status;
    }
    size_t per_lane =
        settings->queue_max > 0 ? settings->queue_max : QUEUE_DEFAULT;
    per_lane = per_lane < hello.queue_max ? per_lane : hello.queue_max;
    link->profile = hello.profile;
    return flight_init(&link->flight, per_lane < FLIGHT_PER_LANE_MAX
                                          ? per_lane
                                          : FLIGHT_PER_LANE_MAX);
}

static HF_STATUS start(struct worker_link *link)
{
    sigset_t all;
    sigset_t before;
    link->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (link->wake < 0) {
        return HF_E_RESOURCES;
    }
    /* signals are for the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&link->thread, NULL, link_main, link);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    link->started = failed == 0;
    return failed == 0 ? HF_OK : HF_E_RESOURCES;
}

HF_STATUS worker_link_new(int socket, uint32_t worker,
                          const struct worker_link_settings *settings,
                          const struct worker_link_owner *owner,
                          struct worker_link **out_link,
                          struct worker_refusal *out_refusal)
{
    CHECK(worker > 0);
    *out_refusal = (struct worker_refusal){.text = ""};
    struct worker_link *link = make(socket, worker, settings, owner);
    if (link == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = greet(link, settings, out_refusal);
    if (status == HF_OK) {
        status = start(link);
    }
    if (status != HF_OK) {
        unmake(link);
        return status;
    }
    *out_link = link;
    return HF_OK;
}

void worker_link_free(struct worker_link *link)
{
    struct link_answers answers = {.first = NULL};
    size_t at = 0;
    if (link == NULL) {
        return;
    }
    pthread_mutex_lock(&link->lock);
    link->stop = true;
    pthread_mutex_unlock(&link->lock);
    shutdown(link->socket, SHUT_RDWR);
    link_wake(link);
    pthread_join(link->thread, NULL);
    struct flight_slot *slot = NULL;
    while ((slot = flight_next_any(&link->flight, &at)) != NULL) {
        link_answer(&answers, slot->request, HF_E_CANCELLED);
    }
    link_tell(&answers);
    wipe(link->out, link->out_len);
    unmake(link);
}
