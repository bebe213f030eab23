#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "hsm/worker/worker_inside.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A worker says that it is open just before its hello; the thread that waits
 * for it is the one that looks after the token, flushes and closes it. */
#define HELLO_MS 2000
/* The longest key lease, and a little: what holds an object longer
 * has forgotten it. */
#define DRAIN_MS (HF_KEY_LEASE_MAX_MS + 30000)
/* How long a supervisor may take to end its worker. */
#define END_MS 8000
/* How long a worker may take to end when its link was lost, and when it was
 * closed as planned: a token is logged out and its module taken down. */
#define LOST_END_MS    1000
#define DRAINED_END_MS END_MS
/* Between two looks at what tells nobody when it changes. */
#define IDLE_MS 300
#define BUSY_MS 25

/* --- what the token's users see ------------------------------------------ */

static bool is_soon(enum token_condition condition)
{
    return condition == TOKEN_OPENING || condition == TOKEN_OPEN;
}

static void tell_trouble(const struct worker *worker,
                         const struct control_message *message)
{
    if (message->state.condition == TOKEN_AWAITING_ACTIVATION) {
        log_event(LOG_WARN, "token.awaiting_activation",
                  LOG_TEXT("name", worker->settings.name),
                  LOG_TEXT("why", message->state.why));
        return;
    }
    log_event(LOG_ERROR, "token.unavailable",
              LOG_TEXT("name", worker->settings.name),
              LOG_TEXT("status", hf_status_name(message->status)),
              LOG_TEXT("why", message->state.why),
              LOG_TEXT("what", "it is tried again; until then, what needs it "
                               "is refused or served without it"));
}

static void take_state(struct worker *worker,
                       const struct control_message *message)
{
    bool waits = message->state.condition == TOKEN_AWAITING_ACTIVATION;
    pthread_mutex_lock(&worker->lock);
    bool new = worker->state.condition != message->state.condition ||
               strcmp(worker->state.why, message->state.why) != 0;
    worker->state = message->state;
    if (worker->newest == NULL) {
        worker->failure = message->status;
        worker->lost_ms =
            is_soon(message->state.condition) ? worker->lost_ms : 0;
    }
    worker->tried = worker->tried || message->status != HF_OK;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    worker->process.refused_pin = message->refused_pin;
    if (new && (waits || message->status != HF_OK)) {
        tell_trouble(worker, message);
    }
}

/* --- ends ---------------------------------------------------------------- */

/* False: not now. */
static bool send_kill(struct worker *worker, uint32_t number)
{
    const struct control_message message = {
        .kind = CONTROL_KILL,
        .state = {.worker = number},
    };
    return worker->process.control < 0 ||
           control_send(worker->process.control, &message, -1) != HF_E_OVERLOAD;
}

/* A worker ends when its link is closed, but one that cannot be trusted may not
 * do so, and its supervisor sees nothing but a heart that beats. It is told at
 * kill_ms; a worker that is gone by then is nothing to it. */
static void expect_end(struct worker *worker, uint32_t number, int64_t kill_ms)
{
    struct worker_end *place = &worker->ends[0];
    for (size_t i = 0; i < WORKER_ENDS_MAX; i++) {
        struct worker_end *one = &worker->ends[i];
        place = one->kill_ms < place->kill_ms ? one : place; /* free: 0 */
    }
    if (place->number != 0) {
        (void)send_kill(worker, place->number); /* sixteen were not read */
    }
    *place = (struct worker_end){number, kill_ms};
}

static void look_at_ends(struct worker *worker, int64_t now_ms)
{
    for (size_t i = 0; i < WORKER_ENDS_MAX; i++) {
        struct worker_end *one = &worker->ends[i];
        if (one->number != 0 && now_ms >= one->kill_ms &&
            send_kill(worker, one->number)) {
            *one = (struct worker_end){.number = 0};
        }
    }
}

/* --- links --------------------------------------------------------------- */

/* No user is left, and no new one can come. */
static void retire(struct worker *worker, struct worker_place *place)
{
    struct token_counters last;
    bool lost = worker_link_is_lost(place->link);
    expect_end(worker, place->number,
               worker_now_ms() + (lost ? LOST_END_MS : DRAINED_END_MS));
    pthread_mutex_lock(&worker->lock);
    place->lost = true;
    if (worker->newest == place) {
        worker->newest = NULL;
    }
    while (place->users > 0) {
        pthread_cond_wait(&worker->unused, &worker->lock);
    }
    struct worker_link *link = place->link;
    worker_link_counters(link, &last);
    worker->past.data_ops += last.data_ops;
    worker->past.root_ops += last.root_ops;
    worker->past.unwraps += last.unwraps;
    worker->past.refused += last.refused;
    *place = (struct worker_place){.link = NULL};
    pthread_mutex_unlock(&worker->lock);
    worker_link_free(link);
}

/* Nothing is left in it, and nobody is on his way there, whose request would be
 * answered HF_E_CANCELLED. Lock held. */
static bool is_drained(const struct worker_place *place)
{
    return place->users == 0 && worker_link_outstanding(place->link) == 0 &&
           worker_link_objects(place->link) == 0;
}

/* Lost, or drained; nobody comes to it any more. */
static bool is_over(struct worker *worker, struct worker_place *place,
                    int64_t now_ms)
{
    pthread_mutex_lock(&worker->lock);
    int64_t until_ms = place->drain_until_ms;
    if (until_ms > 0 && (now_ms >= until_ms || is_drained(place))) {
        place->lost = true;
    }
    bool over = place->lost;
    pthread_mutex_unlock(&worker->lock);
    return over;
}

/* Its heart beats, and nobody serves in it. What it has is answered when its
 * link breaks. */
static void look_for_stuck(struct worker *worker, struct worker_place *place,
                           int64_t now_ms)
{
    if (place->stuck || !worker_link_is_stuck(place->link)) {
        return;
    }
    place->stuck = true;
    log_event(LOG_ERROR, "worker.stuck",
              LOG_TEXT("name", worker->settings.name),
              LOG_NUMBER("worker", place->number),
              LOG_TEXT("why", "it answers nothing any more, not even that its "
                              "token is late; its end is asked for"));
    expect_end(worker, place->number, now_ms);
}

static void look_at_links(struct worker *worker, int64_t now_ms)
{
    for (size_t i = 0; i < WORKER_PLACES_MAX; i++) {
        struct worker_place *place = &worker->places[i];
        if (place->link == NULL) {
            continue;
        }
        if (is_over(worker, place, now_ms)) {
            retire(worker, place);
        } else {
            look_for_stuck(worker, place, now_ms);
        }
    }
}

/* A free place; if there is none, that which has been draining longest. Those
 * that were lost go first: a supervisor may bring workers, and take them away,
 * faster than anybody else looks. */
static struct worker_place *find_place(struct worker *worker)
{
    struct worker_place *oldest = NULL;
    look_at_links(worker, worker_now_ms());
    for (size_t i = 0; i < WORKER_PLACES_MAX; i++) {
        struct worker_place *place = &worker->places[i];
        if (place->link == NULL) {
            return place;
        }
        if (place->drain_until_ms > 0 &&
            (oldest == NULL ||
             place->drain_until_ms < oldest->drain_until_ms)) {
            oldest = place;
        }
    }
    CHECK(oldest != NULL); /* one at most does not drain */
    retire(worker, oldest);
    return oldest;
}

static void install(struct worker *worker, struct worker_link *link,
                    uint32_t number)
{
    struct worker_place *place = find_place(worker);
    int64_t now_ms = worker_now_ms();
    pthread_mutex_lock(&worker->lock);
    *place = (struct worker_place){.link = link, .number = number};
    if (worker->newest != NULL) {
        worker->newest->drain_until_ms = now_ms + DRAIN_MS;
    }
    worker->newest = place;
    worker->lost_ms = 0;
    worker->failure = HF_OK;
    worker->tried = true;
    worker_link_profile(link, &worker->profile);
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    if (worker_link_is_lost(link)) { /* before anybody could be told so */
        worker_lost(worker, link);
    }
}

/* Who listens at a socket may have been started for another token. */
static bool is_the_one(const struct worker *worker, struct worker_link *link)
{
    const struct worker_settings *settings = &worker->settings;
    bool any = settings->serial == NULL || settings->serial[0] == '\0';
    struct token_profile profile;
    worker_link_profile(link, &profile);
    return strcmp(profile.label, settings->label) == 0 &&
           (any || strcmp(profile.serial, settings->serial) == 0);
}

static void take_worker(struct worker *worker, uint32_t number, int socket)
{
    struct worker_process *process = &worker->process;
    const struct worker_link_settings settings = {
        .hello_ms = HELLO_MS,
        .queue_max = worker->settings.queue_max,
        .clock = worker->settings.clock,
    };
    const struct worker_link_owner owner = {.lost = worker_lost,
                                            .self = worker};
    struct worker_link *link = NULL;
    struct worker_refusal refusal = {.text = ""};
    if (number < process->next_worker) {
        close(socket); /* a number used before could reach another's keys */
        expect_end(worker, number, worker_now_ms() + LOST_END_MS);
        log_event(LOG_ERROR, "worker.no_link",
                  LOG_TEXT("name", worker->settings.name),
                  LOG_NUMBER("worker", number),
                  LOG_TEXT("why", "its number was used before: has the clock "
                                  "of this machine been put back?"));
        return;
    }
    process->next_worker = number + 1;
    enum hf_status status =
        worker_link_new(socket, number, &settings, &owner, &link, &refusal);
    if (status == HF_OK && !is_the_one(worker, link)) {
        worker_link_free(link);
        snprintf(refusal.text, sizeof refusal.text, "it has another token");
        status = HF_E_NOT_FOUND;
    }
    if (status != HF_OK) {
        bool sound = status == HF_E_NOT_FOUND; /* and ends by itself */
        expect_end(worker, number, worker_now_ms() + (sound ? LOST_END_MS : 0));
        log_event(LOG_ERROR, "worker.no_link",
                  LOG_TEXT("name", worker->settings.name),
                  LOG_NUMBER("worker", number),
                  LOG_TEXT("status", hf_status_name(status)),
                  LOG_TEXT("why", refusal.text));
        return;
    }
    install(worker, link, number);
    process->failures = 0;
    log_event(LOG_INFO, "token.open", LOG_TEXT("label", worker->settings.label),
              LOG_TEXT("name", worker->settings.name),
              LOG_NUMBER("worker", number));
}

/* --- the supervisor ------------------------------------------------------ */

/* At once, if it had got as far as a worker; else when the pause is over. */
static void begin_again(struct worker *worker)
{
    log_event(LOG_ERROR, "worker.supervisor_lost",
              LOG_TEXT("name", worker->settings.name));
    process_end(&worker->process, 0);
    memset(worker->ends, 0, sizeof worker->ends); /* they were its workers */
    pthread_mutex_lock(&worker->lock);
    worker->past_restarts += worker->state.restarts + 1;
    worker->state.restarts = 0;
    pthread_mutex_unlock(&worker->lock);
    if (worker->process.failures == 0) {
        worker->process.next_start_ms = 0;
    }
}

/* False: the other end is gone, or says what cannot be. */
static bool listen_to(struct worker *worker)
{
    for (;;) {
        struct control_message message;
        int descriptor = -1;
        enum hf_status status =
            control_receive(worker->process.control, &message, &descriptor);
        if (status != HF_OK) {
            return status == HF_E_OVERLOAD;
        }
        switch (message.kind) {
        case CONTROL_STATE:
            take_state(worker, &message);
            break;
        case CONTROL_WORKER:
            take_worker(worker, message.state.worker, descriptor);
            break;
        case CONTROL_LOOK:
        case CONTROL_KILL:
            return false;
        }
    }
}

static void begin(struct worker *worker, int64_t now_ms)
{
    struct control_message failed = {
        .kind = CONTROL_STATE,
        .state = {.condition = TOKEN_UNAVAILABLE},
        .refused_pin = worker->process.refused_pin,
    };
    failed.status = process_start(&worker->process, now_ms, failed.state.why);
    if (failed.status != HF_OK) {
        take_state(worker, &failed);
    }
}

static void look_at_process(struct worker *worker, int64_t now_ms)
{
    struct worker_process *process = &worker->process;
    if (process->control >= 0 && !process_lives(process)) {
        begin_again(worker);
    }
    if (process->control < 0 && now_ms >= process->next_start_ms) {
        begin(worker, now_ms);
    }
}

static void pass_on(struct worker *worker)
{
    const struct control_message message = {.kind = CONTROL_LOOK};
    pthread_mutex_lock(&worker->lock);
    bool look = worker->look;
    worker->look = false;
    pthread_mutex_unlock(&worker->lock);
    if (look && worker->process.control >= 0) {
        HF_IGNORE(control_send(worker->process.control, &message, -1),
                  "it looks by itself, a little later");
    }
}

static int patience(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    bool busy = worker->waiting_count > 0 || worker->process.control < 0;
    pthread_mutex_unlock(&worker->lock);
    return busy ? BUSY_MS : IDLE_MS;
}

/* False: the token is being closed. */
static bool wait_for_something(struct worker *worker)
{
    struct pollfd fds[] = {
        {.fd = worker->wake,            .events = POLLIN},
        {.fd = worker->process.control, .events = POLLIN},
    };
    uint64_t count = 0;
    int ready = poll(fds, HF_COUNT(fds), patience(worker));
    if (ready > 0 && fds[0].revents != 0) {
        ssize_t len = read(worker->wake, &count, sizeof count);
        (void)len; /* how often does not matter */
    }
    if (ready > 0 && fds[1].revents != 0 && !listen_to(worker)) {
        begin_again(worker);
    }
    pthread_mutex_lock(&worker->lock);
    bool closing = worker->closing;
    pthread_mutex_unlock(&worker->lock);
    return !closing;
}

void *worker_main(void *argument)
{
    struct worker *worker = argument;
    bool go_on = true;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    while (go_on) {
        int64_t now_ms = worker_now_ms();
        look_at_process(worker, now_ms);
        look_at_links(worker, now_ms);
        look_at_ends(worker, now_ms);
        pass_on(worker);
        worker_flush(worker, now_ms);
        go_on = wait_for_something(worker);
    }
    for (size_t i = 0; i < WORKER_PLACES_MAX; i++) {
        if (worker->places[i].link != NULL) {
            retire(worker, &worker->places[i]);
        }
    }
    worker_flush(worker, worker_now_ms());
    process_end(&worker->process, END_MS);
    return NULL;
}
