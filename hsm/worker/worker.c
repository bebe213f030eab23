#include "hsm/worker/worker.h"

#include "hsm/base/check.h"

#include "hsm/sys/clock.h"

#include "hsm/worker/worker_inside.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* A worker's number is the upper half of the generation of its objects
 * (link.h). */
static uint32_t worker_of(const struct token_object *object)
{
    return (uint32_t)(object->generation >> 32);
}

int64_t worker_now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

void worker_wake(struct worker *worker)
{
    const uint64_t one = 1;
    ssize_t written = write(worker->wake, &one, sizeof one);
    (void)written; /* full: it is awake */
}

/* --- where a request goes ------------------------------------------------ */

/* The object that a request is bound to; NULL: any worker will do. */
static const struct token_object *object_of(const struct token_request *request)
{
    switch (request->op) {
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
        return &request->u.aead.key;
    case TOKEN_OP_FORGET:
        return &request->u.forget;
    case TOKEN_OP_MAC:
    case TOKEN_OP_FIND:
    case TOKEN_OP_LIST:
    case TOKEN_OP_GENERATE:
    case TOKEN_OP_UNWRAP:
    case TOKEN_OP_DECRYPT:
    case TOKEN_OP_MINT:
    case TOKEN_OP_SIGN:
    case TOKEN_OP_DESTROY:
    case TOKEN_OP_DATA_LIST:
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
    case TOKEN_OP_HEALTH:
        return NULL;
    }
    return NULL;
}

static struct worker_place *place_of(struct worker *worker, uint32_t number)
{
    for (size_t i = 0; i < WORKER_PLACES_MAX; i++) {
        struct worker_place *place = &worker->places[i];
        if (place->link != NULL && place->number == number && !place->lost) {
            return place;
        }
    }
    return NULL;
}

/* When a request stops waiting for the next worker; 0: it does not wait. */
static int64_t wait_until(const struct worker *worker, int64_t now_ms)
{
    int64_t until_ms = worker->lost_ms + worker->settings.wait_ms;
    bool soon = worker->lost_ms > 0 && now_ms < until_ms;
    return soon && worker->waiting_count < WORKER_WAITING_MAX ? until_ms : 0;
}

/* What became of a request under the lock: a place, or an answer, or it
 * waits. */
struct way {
    struct worker_place *place;
    enum hf_status answer; /* HF_OK without a place: it waits */
};

static struct way way_of(struct worker *worker, struct token_request *request,
                         int64_t *now_ms)
{
    const struct token_object *object = object_of(request);
    if (worker->closing) {
        return (struct way){NULL, HF_E_CANCELLED};
    }
    if (object != NULL) {
        struct worker_place *place = place_of(worker, worker_of(object));
        return (struct way){place, HF_E_PRECONDITION};
    }
    if (worker->newest != NULL) {
        return (struct way){worker->newest, HF_OK};
    }
    *now_ms = *now_ms == 0 ? worker_now_ms() : *now_ms;
    int64_t until_ms = wait_until(worker, *now_ms);
    if (until_ms == 0) {
        return (struct way){NULL, token_answer_while_shut(worker->failure)};
    }
    worker->waiting[worker->waiting_count++] =
        (struct waiting){request, until_ms};
    return (struct way){NULL, HF_OK};
}

static void leave_place(struct worker *worker, struct worker_place *place)
{
    pthread_mutex_lock(&worker->lock);
    place->users -= 1;
    if (place->users == 0) {
        pthread_cond_signal(&worker->unused);
    }
    pthread_mutex_unlock(&worker->lock);
}

/* Those of the batch that go to one place, together, in order; a request is
 * not looked at once it is handed over. */
static void submit_to(struct worker *worker, struct worker_place *place,
                      struct token_request *const *requests,
                      struct worker_place *const *places, size_t count)
{
    struct token_request *batch[TOKEN_BATCH_MAX];
    size_t batch_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (places[i] == place) {
            batch[batch_count++] = requests[i];
        }
    }
    worker_link_submit(place->link, batch, batch_count);
    leave_place(worker, place);
}

static void answer(struct worker *worker, struct token_request *request,
                   enum hf_status status)
{
    if (hf_status_class(status) == HF_CLASS_OURS) {
        atomic_fetch_add(&worker->refused, 1);
    }
    request->status = status;
    request->link = NULL;
    request->done(request);
}

static void port_submit(void *self, struct token_request *const *requests,
                        size_t count)
{
    struct worker *worker = self;
    struct worker_place *places[TOKEN_BATCH_MAX];
    enum hf_status answers[TOKEN_BATCH_MAX];
    bool used[WORKER_PLACES_MAX] = {false};
    int64_t now_ms = 0;
    CHECK(count <= TOKEN_BATCH_MAX);
    pthread_mutex_lock(&worker->lock);
    size_t waited = worker->waiting_count;
    for (size_t i = 0; i < count; i++) {
        struct way way = way_of(worker, requests[i], &now_ms);
        places[i] = way.place;
        answers[i] = way.place == NULL ? way.answer : HF_OK;
        if (way.place != NULL) {
            size_t index = (size_t)(way.place - worker->places);
            way.place->users += used[index] ? 0 : 1;
            used[index] = true;
            worker_watch(worker, requests[i], way.place->number);
        }
    }
    bool more_wait = worker->waiting_count > waited;
    pthread_mutex_unlock(&worker->lock);
    /* answered ones first: none of the others is looked at any more */
    for (size_t i = 0; i < count; i++) {
        if (answers[i] != HF_OK) {
            answer(worker, requests[i], answers[i]);
        }
    }
    for (size_t i = 0; i < WORKER_PLACES_MAX; i++) {
        if (used[i]) {
            submit_to(worker, &worker->places[i], requests, places, count);
        }
    }
    if (more_wait) {
        worker_wake(worker);
    }
}

/* --- what waits ---------------------------------------------------------- */

/* Taken from what waits in one pass, under the lock. */
#define TAKEN_MAX 64

struct taken {
    struct token_request *request;
    struct way way;
};

/* Whether one need not wait any more: its place, or its answer. Under the
 * lock. */
static bool is_due(struct worker *worker, const struct waiting *one,
                   int64_t now_ms, struct way *out)
{
    int64_t dead_ms = one->request->drop_dead_ms;
    const struct clock *clock = worker->settings.clock;
    bool dead = dead_ms > 0 && clock_monotonic_ms(clock) >= dead_ms;
    *out = (struct way){NULL, HF_OK};
    if (worker->closing) {
        out->answer = HF_E_CANCELLED;
    } else if (dead) {
        out->answer = HF_E_EXPIRED;
    } else if (worker->newest != NULL) {
        out->place = worker->newest;
    } else if (worker->lost_ms == 0 || now_ms >= one->until_ms) {
        out->answer = token_answer_while_shut(worker->failure);
    } else {
        return false;
    }
    return true;
}

/* Those that need not wait, in order; what is left moves up once for all of
 * them. Under the lock. */
static size_t take_waiting(struct worker *worker, int64_t now_ms,
                           struct taken out[TAKEN_MAX])
{
    size_t taken = 0;
    size_t left = 0;
    for (size_t i = 0; i < worker->waiting_count; i++) {
        struct waiting one = worker->waiting[i];
        struct way way;
        if (taken == TAKEN_MAX || !is_due(worker, &one, now_ms, &way)) {
            worker->waiting[left++] = one;
            continue;
        }
        if (way.place != NULL) {
            way.place->users += 1;
        }
        out[taken++] = (struct taken){one.request, way};
    }
    worker->waiting_count = left;
    return taken;
}

static void let_go(struct worker *worker, const struct taken *taken)
{
    struct token_request *request = taken->request;
    if (taken->way.place != NULL) {
        worker_link_submit(taken->way.place->link, &request, 1);
        leave_place(worker, taken->way.place);
    } else {
        answer(worker, request, taken->way.answer);
    }
}

void worker_flush(struct worker *worker, int64_t now_ms)
{
    struct taken taken[TAKEN_MAX];
    size_t count = TAKEN_MAX;
    while (count == TAKEN_MAX) {
        pthread_mutex_lock(&worker->lock);
        count = take_waiting(worker, now_ms, taken);
        pthread_mutex_unlock(&worker->lock);
        for (size_t i = 0; i < count; i++) {
            let_go(worker, &taken[i]);
        }
    }
}

/* Under the lock. */
static void mark_lost(struct worker *worker, struct worker_place *place)
{
    place->lost = true;
    if (worker->newest == place) {
        worker->newest = NULL;
        worker->lost_ms = worker_now_ms();
        worker->failure = HF_OK;
    }
}

void worker_lost(void *self, struct worker_link *link)
{
    struct worker *worker = self;
    pthread_mutex_lock(&worker->lock);
    for (size_t i = 0; i < WORKER_PLACES_MAX; i++) {
        if (worker->places[i].link == link) {
            mark_lost(worker, &worker->places[i]);
        }
    }
    pthread_mutex_unlock(&worker->lock);
    worker_wake(worker);
}

void worker_again(struct worker *worker, struct token_request *request,
                  uint32_t number)
{
    int64_t now_ms = 0;
    pthread_mutex_lock(&worker->lock);
    struct worker_place *gone = place_of(worker, number);
    if (gone != NULL) { /* its link is about to say so */
        mark_lost(worker, gone);
    }
    struct way way = way_of(worker, request, &now_ms);
    if (way.place != NULL) {
        way.place->users += 1;
    }
    pthread_mutex_unlock(&worker->lock);
    if (way.place != NULL) {
        worker_link_submit(way.place->link, &request, 1);
        leave_place(worker, way.place);
    } else if (way.answer != HF_OK) {
        answer(worker, request, way.answer);
    } else {
        worker_wake(worker);
    }
}

/* --- the rest of the port ------------------------------------------------ */

static void port_profile(void *self, struct token_profile *out)
{
    struct worker *worker = self;
    pthread_mutex_lock(&worker->lock);
    if (worker->newest != NULL) {
        worker_link_profile(worker->newest->link, &worker->profile);
    }
    *out = worker->profile;
    pthread_mutex_unlock(&worker->lock);
}

static void port_counters(void *self, struct token_counters *out)
{
    struct worker *worker = self;
    pthread_mutex_lock(&worker->lock);
    *out = worker->past;
    for (size_t i = 0; i < WORKER_PLACES_MAX; i++) {
        struct token_counters one;
        if (worker->places[i].link == NULL) {
            continue;
        }
        worker_link_counters(worker->places[i].link, &one);
        out->data_ops += one.data_ops;
        out->root_ops += one.root_ops;
        out->unwraps += one.unwraps;
        out->refused += one.refused;
        out->objects += one.objects;
    }
    pthread_mutex_unlock(&worker->lock);
    out->refused += atomic_load(&worker->refused);
}

/* What the supervisor says, and what is known here before it does. */
static void port_state(void *self, struct token_state *out)
{
    struct worker *worker = self;
    pthread_mutex_lock(&worker->lock);
    *out = worker->state;
    out->restarts += worker->past_restarts;
    if (worker->newest != NULL) {
        out->condition = TOKEN_OPEN;
        out->worker = worker->newest->number;
    } else {
        out->worker = 0;
        if (out->condition == TOKEN_OPEN) {
            out->condition = TOKEN_OPENING;
        }
    }
    pthread_mutex_unlock(&worker->lock);
}

static void worker_free(struct worker *worker)
{
    if (worker->wake >= 0) {
        close(worker->wake);
    }
    pthread_mutex_destroy(&worker->lock);
    pthread_cond_destroy(&worker->changed);
    pthread_cond_destroy(&worker->unused);
    free(worker);
}

static void port_close(void *self)
{
    struct worker *worker = self;
    pthread_mutex_lock(&worker->lock);
    worker->closing = true;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    worker_wake(worker);
    pthread_join(worker->thread, NULL);
    worker_free(worker);
}

static const struct token_port port = {
    .submit = port_submit,
    .profile = port_profile,
    .counters = port_counters,
    .state = port_state,
    .close = port_close,
};

/* --- life ---------------------------------------------------------------- */

static struct worker *worker_new(const struct worker_settings *settings)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL) {
        return NULL;
    }
    worker->settings = *settings;
    if (settings->clock == NULL) {
        worker->settings.clock = clock_system();
    }
    worker->state.condition = TOKEN_OPENING;
    worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&worker->refused, 0);
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->unused, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return worker;
}

HF_STATUS worker_open(const struct worker_settings *settings,
                      struct token *out_token)
{
    struct worker *worker = worker_new(settings);
    if (worker == NULL) {
        return HF_E_NO_MEMORY;
    }
    process_set_up(&worker->process, &worker->settings);
    if (worker->wake < 0 ||
        pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
        worker_free(worker);
        return HF_E_RESOURCES;
    }
    *out_token = (struct token){.port = &port, .self = worker};
    return HF_OK;
}

static struct timespec after_ms(int64_t ms)
{
    struct timespec until = {0};
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    return until;
}

HF_STATUS worker_token_wait(const struct token *token, int64_t wait_ms,
                            struct token_state *out_state)
{
    CHECK(token->port == &port);
    struct worker *worker = token->self;
    const struct timespec until = after_ms(wait_ms > 0 ? wait_ms : 0);
    int waited = 0;
    pthread_mutex_lock(&worker->lock);
    while (!worker->tried && waited == 0) {
        waited =
            pthread_cond_timedwait(&worker->changed, &worker->lock, &until);
    }
    bool open = worker->newest != NULL;
    enum hf_status failure = worker->failure;
    pthread_mutex_unlock(&worker->lock);
    token_state_get(token, out_state);
    if (open) {
        return HF_OK;
    }
    return failure != HF_OK ? failure : HF_E_TIMEOUT;
}

void worker_token_look(const struct token *token)
{
    CHECK(token->port == &port);
    struct worker *worker = token->self;
    pthread_mutex_lock(&worker->lock);
    worker->look = true;
    pthread_mutex_unlock(&worker->lock);
    worker_wake(worker);
}
