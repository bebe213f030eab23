#include "hsm/tokend/parent.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/log.h"

#include "hsm/tokend/children.h"
#include "hsm/tokend/peer.h"
#include "hsm/tokend/pins.h"
#include "hsm/tokend/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* How often the PIN file is looked at. */
#define LOOK_MS 1000
/* Between two workers that are opened beside one that serves. */
#define MOVE_PAUSE_MS 10000
/* More than so many that only drain are not made. */
#define DRAINING_MAX 3
/* What those that end may take for it. */
#define LEAVE_MS 3000

struct parent {
    const struct tokend_options *options;
    enum supervisor_state state;
    struct pins *pins;
    struct children children;
    struct peer peer;
    int signals;
    unsigned failures; /* ends in a row, without a healthy time in between */
    int64_t pause_until_ms;
    int64_t next_move_ms;
    int64_t next_look_ms;
    int64_t leave_ms; /* 0: not yet; else when the rest is killed */
    bool grown;       /* the worker that serves, since the last turn */
    uint32_t restarts;
    enum hf_status failure; /* of the last opening; HF_OK: none, or it worked */
    char why[TOKEN_WHY_BYTES];
};

static int64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

static void note(struct parent *parent, enum hf_status failure, const char *why)
{
    parent->failure = failure;
    snprintf(parent->why, sizeof parent->why, "%s", why);
}

/* --- how it stands ------------------------------------------------------- */

static enum token_condition condition_of(const struct parent *parent)
{
    bool pad = parent->options->pin_source == PIN_FROM_PAD;
    bool by_hand = parent->options->pin_source == PIN_FROM_ACTIVATION;
    switch (parent->state) {
    case SUP_SERVING:
    case SUP_MOVING:
        return TOKEN_OPEN;
    case SUP_LOCKED:
        return by_hand ? TOKEN_AWAITING_ACTIVATION : TOKEN_UNAVAILABLE;
    case SUP_PIN_REFUSED:
        /* whoever has mistyped it is asked again */
        return by_hand && !pins_have_worked(parent->pins)
                   ? TOKEN_AWAITING_ACTIVATION
                   : TOKEN_PIN_REFUSED;
    case SUP_STARTING:
    case SUP_PROVING:
        if (pad) {
            return TOKEN_AWAITING_ACTIVATION;
        }
        break;
    case SUP_PAUSED:
    case SUP_STATE_COUNT:
        break;
    }
    if (parent->failure == HF_OK) {
        return TOKEN_OPENING;
    }
    if (parent->failure == HF_E_UNSUPPORTED) {
        return TOKEN_REFUSED;
    }
    return hf_status_class(parent->failure) == HF_CLASS_DENIED
               ? TOKEN_PIN_REFUSED
               : TOKEN_UNAVAILABLE;
}

static void tell(struct parent *parent)
{
    const struct child *serving =
        children_find(&parent->children, CHILD_SERVING);
    enum token_condition condition = condition_of(parent);
    bool open = condition == TOKEN_OPEN;
    bool waits = condition == TOKEN_AWAITING_ACTIVATION;
    struct control_message message = {
        .kind = CONTROL_STATE,
        .state =
            {
                    .condition = condition,
                    .worker = serving != NULL ? serving->number : 0,
                    .restarts = parent->restarts,
                    },
        .status = open || waits ? HF_OK : parent->failure,
        .refused_pin = pins_refused_file(parent->pins),
    };
    memcpy(message.state.why, parent->why, sizeof message.state.why);
    peer_tell(&parent->peer, &message);
}

/* --- events -------------------------------------------------------------- */

/* What is left to do after a step; true: it has led to *event. */
static bool act(struct parent *parent, enum supervisor_action action,
                enum supervisor_event *event)
{
    const struct secret *pin = NULL;
    int64_t now = now_ms();
    switch (action) {
    case SUP_DO_NOTHING:
        return false;
    case SUP_DO_START:
        if (pins_to_try(parent->pins, &pin) != HF_OK) {
            *event = SUP_EV_PIN_BAD;
            return true;
        }
        enum hf_status status = children_start(&parent->children, pin, now);
        if (status != HF_OK) {
            pins_undecided(parent->pins);
            note(parent, status, "a worker process cannot be started");
            *event = SUP_EV_FAILED;
        }
        return status != HF_OK;
    case SUP_DO_PAUSE:
        parent->pause_until_ms = now + supervisor_pause_ms(parent->failures);
        return false;
    case SUP_DO_SERVE:
        children_promote(&parent->children, now);
        return false;
    }
    return false;
}

static void happen(struct parent *parent, enum supervisor_event event)
{
    bool more = true;
    while (more) {
        enum supervisor_state before = parent->state;
        struct supervisor_step step = supervisor_step(before, event);
        parent->state = step.next;
        if (before == SUP_MOVING) {
            parent->next_move_ms = now_ms() + MOVE_PAUSE_MS;
        }
        more = act(parent, step.action, &event);
    }
    tell(parent);
}

/* Of a worker whose time as the newest is over without success. */
static void fail(struct parent *parent, enum hf_status status, const char *why)
{
    bool beside = parent->state == SUP_MOVING;
    pins_undecided(parent->pins);
    if (beside) {
        log_event(LOG_WARN, "worker.not_replaced",
                  LOG_TEXT("name", parent->options->name),
                  LOG_TEXT("status", hf_status_name(status)),
                  LOG_TEXT("why", why));
    } else {
        note(parent, status, why);
        parent->failures += 1;
    }
    happen(parent, SUP_EV_FAILED);
}

static void refuse(struct parent *parent, const struct beat *beat)
{
    enum hf_status status = (enum hf_status)beat->status;
    if (beat->pin_refused == 0) {
        fail(parent, status, beat->why);
        return;
    }
    bool beside = parent->state == SUP_MOVING;
    pins_refused(parent->pins);
    log_event(LOG_ERROR, "token.pin_refused",
              LOG_TEXT("name", parent->options->name),
              LOG_TEXT("why", beat->why),
              LOG_TEXT("what", beside ? "the worker before goes on; another "
                                        "PIN is needed"
                                      : "it is not tried again; another PIN "
                                        "is needed"));
    note(parent, status, beat->why);
    happen(parent, SUP_EV_PIN_BAD);
}

static void lose(struct parent *parent, const struct child *child)
{
    bool healthy = now_ms() - child->role_ms >= SUP_HEALTHY_MS;
    parent->failures = healthy ? 0 : parent->failures + 1;
    parent->restarts += 1;
    note(parent, HF_OK, "");
    happen(parent, SUP_EV_LOST);
}

static void happened(void *self, struct child *child, enum child_event event,
                     const struct beat *beat)
{
    struct parent *parent = self;
    switch (event) {
    case CHILD_OPENED:
        pins_proved(parent->pins);
        note(parent, HF_OK, "");
        happen(parent, SUP_EV_OPENED);
        return;
    case CHILD_REFUSED:
        refuse(parent, beat);
        return;
    case CHILD_GONE:
        if (child->role == CHILD_NEWEST) {
            fail(parent, HF_E_UNREACHABLE,
                 "the worker process ended before the token was open");
        } else if (child->role == CHILD_SERVING) {
            lose(parent, child);
        }
        return;
    case CHILD_GROWN:
        parent->grown = true;
        return;
    }
}

/* --- the PIN ------------------------------------------------------------- */

static void look(struct parent *parent, bool at_once)
{
    char why[TOKEN_WHY_BYTES];
    enum hf_status status = pins_look(parent->pins, at_once);
    parent->next_look_ms = now_ms() + LOOK_MS;
    if (status == HF_OK || parent->state != SUP_LOCKED) {
        return;
    }
    snprintf(why, sizeof why,
             "the PIN file %.120s: %s; it must be owner-only and hold one line",
             parent->options->pin_file, hf_status_text(status));
    if (parent->failure != HF_E_MISUSE || strcmp(parent->why, why) != 0) {
        note(parent, HF_E_MISUSE, why);
        tell(parent);
    }
}

static size_t count_draining(const struct parent *parent)
{
    size_t count = 0;
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        enum child_role role = parent->children.at[i].role;
        count += role == CHILD_DRAINING || role == CHILD_ENDING ? 1 : 0;
    }
    return count;
}

/* What time has brought, and what was waiting for its time. */
static void turn(struct parent *parent, int64_t now)
{
    if (now >= parent->next_look_ms) {
        look(parent, false);
    }
    bool may_move =
        now >= parent->next_move_ms && count_draining(parent) < DRAINING_MAX;
    bool may = parent->state != SUP_SERVING || may_move;
    if (may && pins_is_new(parent->pins) && parent->state != SUP_MOVING) {
        happen(parent, SUP_EV_PIN);
    } else if (parent->state == SUP_PAUSED && now >= parent->pause_until_ms) {
        happen(parent, SUP_EV_PAUSE_OVER);
    } else if (may_move && parent->grown) {
        log_event(LOG_INFO, "worker.grown",
                  LOG_TEXT("name", parent->options->name));
        happen(parent, SUP_EV_RENEW);
    }
    parent->grown = false;
}

/* --- the loop ------------------------------------------------------------ */

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
            look(parent, true);
            break;
        default:
            leave(parent);
            break;
        }
    }
}

static void hear_peer(struct parent *parent)
{
    switch (peer_read(&parent->peer)) {
    case PEER_NOTHING:
        return;
    case PEER_LOOK:
        look(parent, true);
        return;
    case PEER_GONE:
        if (parent->options->listen == NULL) {
            leave(parent);
        }
        return;
    }
}

static void wait_for_something(struct parent *parent)
{
    struct pollfd fds[3 + CHILDREN_MAX];
    fds[0] = (struct pollfd){.fd = parent->signals, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = parent->peer.control, .events = POLLIN};
    fds[2] = (struct pollfd){.fd = parent->peer.listener, .events = POLLIN};
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        fds[3 + i] = (struct pollfd){.fd = parent->children.at[i].beat,
                                     .events = POLLIN};
    }
    if (poll(fds, HF_COUNT(fds), BEAT_EVERY_MS) <= 0) {
        return;
    }
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        if (fds[3 + i].revents != 0) {
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
        turn(parent, now);
        peer_flush(&parent->peer, &parent->children);
    }
}

static void ignore(void *self, struct child *child, enum child_event event,
                   const struct beat *beat)
{
    (void)self;
    (void)child;
    (void)event;
    (void)beat;
}

/* Those that serve end by themselves when their links are closed. */
static void see_off(struct parent *parent)
{
    peer_close(&parent->peer);
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
    const struct children_owner owner = {happened, &parent};
    if (!catch_signals(&parent) || peer_open(&parent.peer, options) != HF_OK) {
        fprintf(stderr, "holdfast-tokend: %s: %s\n",
                options->listen != NULL ? options->listen : "the socket",
                strerror(errno));
        return 1;
    }
    if (pins_new(options->pin_source, options->pin_file, options->refused_pin,
                 &parent.pins) != HF_OK) {
        fprintf(stderr, "holdfast-tokend: out of memory\n");
        return 1;
    }
    children_set_up(&parent.children, options, argc, argv, &owner);
    tell(&parent);
    look(&parent, true);
    if (!pins_is_new(parent.pins) && pins_refused_file(parent.pins) != 0) {
        parent.state = SUP_PIN_REFUSED;
        note(&parent, HF_E_DENIED,
             "this PIN was refused before and is not tried again");
        tell(&parent);
    }
    if (options->pin_source == PIN_FROM_PAD) {
        happen(&parent, SUP_EV_PIN);
    }
    loop(&parent);
    see_off(&parent);
    pins_free(parent.pins);
    return 0;
}
