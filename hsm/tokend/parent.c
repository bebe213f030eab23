#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include "hsm/sys/clock.h"
#include "hsm/sys/log.h"

#include "hsm/tokend/parent_inside.h"

#include <stdio.h>
#include <string.h>

/* How often the PIN file is looked at. */
#define LOOK_MS 1000
/* Between two workers that are opened beside one that serves. */
#define MOVE_PAUSE_MS 10000
/* More than so many that only drain are not made. */
#define DRAINING_MAX 3

static int64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

void parent_note(struct parent *parent, enum hf_status failure, const char *why)
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

void parent_tell(struct parent *parent)
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
            parent_note(parent, status, "a worker process cannot be started");
            parent->failures += parent->state == SUP_MOVING ? 0 : 1;
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

void parent_happen(struct parent *parent, enum supervisor_event event)
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
    parent_tell(parent);
}

/* Of a worker whose time as the newest is over without success. */
static void fail(struct parent *parent, enum hf_status status, const char *why)
{
    bool beside = parent->state == SUP_MOVING;
    pins_undecided(parent->pins);
    caller_tell(&parent->caller, status, why);
    if (beside) {
        log_event(LOG_WARN, "worker.not_replaced",
                  LOG_TEXT("name", parent->options->name),
                  LOG_TEXT("status", hf_status_name(status)),
                  LOG_TEXT("why", why));
    } else {
        parent_note(parent, status, why);
        parent->failures += 1;
    }
    parent_happen(parent, SUP_EV_FAILED);
}

/* The pins know already that it was refused. */
static void refuse_pin(struct parent *parent, enum hf_status status,
                       const char *why)
{
    bool beside = parent->state == SUP_MOVING;
    bool another = pins_may_work_again(parent->pins);
    log_event(LOG_ERROR, "token.pin_refused",
              LOG_TEXT("name", parent->options->name), LOG_TEXT("why", why),
              LOG_TEXT("what", beside    ? "the worker before goes on; another "
                                           "PIN is needed"
                               : another ? "the one before is tried instead"
                                         : "it is not tried again; another "
                                           "PIN is needed"));
    caller_tell(&parent->caller, HF_E_DENIED, why);
    /* the token has not shut us out before the PIN that worked has failed */
    parent_note(parent, another && !beside ? HF_OK : status, why);
    parent_happen(parent, another ? SUP_EV_FAILED : SUP_EV_PIN_BAD);
}

static void refuse(struct parent *parent, const struct beat *beat)
{
    enum hf_status status = (enum hf_status)beat->status;
    if (beat->pin_refused == 0) {
        fail(parent, status, beat->why);
        return;
    }
    pins_refused(parent->pins);
    refuse_pin(parent, status, beat->why);
}

/* The newest has ended without a word. Most deaths say nothing of the PIN; one
 * inside of C_Login may be a try that the token has counted. */
static void bury(struct parent *parent, const struct child *child)
{
    if (child->offered && pins_cut_off(parent->pins)) {
        refuse_pin(parent, HF_E_DENIED,
                   "two worker processes ended while the token was given this "
                   "PIN, which it may have counted as wrong: it is taken for "
                   "refused");
        return;
    }
    fail(parent, HF_E_UNREACHABLE,
         child->offered
             ? "the worker process ended while the token was given its PIN"
             : "the worker process ended before the token was open");
}

static void lose(struct parent *parent, const struct child *child)
{
    bool healthy = now_ms() - child->role_ms >= SUP_HEALTHY_MS;
    parent->failures = healthy ? 0 : parent->failures + 1;
    parent->restarts += 1;
    parent_note(parent, HF_OK, "");
    parent_happen(parent, SUP_EV_LOST);
}

void parent_happened(void *self, struct child *child, enum child_event event,
                     const struct beat *beat, const char *why)
{
    struct parent *parent = self;
    switch (event) {
    case CHILD_OPENED:
        pins_proved(parent->pins);
        parent_note(parent, HF_OK, "");
        caller_tell(&parent->caller, HF_OK, "");
        parent_happen(parent, SUP_EV_OPENED);
        return;
    case CHILD_REFUSED:
        refuse(parent, beat);
        return;
    case CHILD_GONE:
        if (child->role == CHILD_NEWEST) {
            bury(parent, child);
        } else if (child->role == CHILD_SERVING) {
            lose(parent, child);
        }
        return;
    case CHILD_WORN:
        parent->worn = why;
        return;
    }
}

/* One that was given away, and may have ended since. */
void parent_kill(struct parent *parent, uint32_t worker)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        struct child *child = &parent->children.at[i];
        bool given =
            child->role == CHILD_SERVING || child->role == CHILD_DRAINING;
        if (given && child->number == worker && child->link < 0) {
            children_kill(&parent->children, child,
                          "holdfastd cannot work with it, or has let go of it "
                          "and it goes on");
        }
    }
}

/* --- the PIN ------------------------------------------------------------- */

void parent_look(struct parent *parent, bool at_once)
{
    char why[TOKEN_WHY_BYTES];
    enum hf_status status = pins_look(parent->pins, at_once);
    parent->next_look_ms = now_ms() + LOOK_MS;
    bool pad = parent->options->pin_source == PIN_FROM_PAD;
    if (pad && at_once && parent->state == SUP_PIN_REFUSED) {
        /* mistyped there; asked for again when somebody says so */
        parent_happen(parent, SUP_EV_PIN);
    }
    if (status == HF_OK || parent->state != SUP_LOCKED) {
        return;
    }
    snprintf(why, sizeof why,
             "the PIN file %.120s: %s; it must be owner-only and hold one line",
             parent->options->pin_file, hf_status_text(status));
    if (parent->failure != HF_E_MISUSE || strcmp(parent->why, why) != 0) {
        parent_note(parent, HF_E_MISUSE, why);
        parent_tell(parent);
    }
}

/* Somebody has brought one. */
void parent_take_pin(struct parent *parent)
{
    struct secret *pin = NULL;
    if (caller_hear(&parent->caller, &pin) != HF_OK) {
        return;
    }
    enum hf_status status = pins_offer(parent->pins, pin);
    bool open = parent->state == SUP_SERVING || parent->state == SUP_MOVING;
    if (status == HF_E_DENIED) {
        caller_tell(&parent->caller, status,
                    "this PIN was refused before and is not tried again");
    } else if (status == HF_E_EXISTS && open) {
        caller_tell(&parent->caller, status, "the token is open, by this PIN");
    } else if (status == HF_E_EXISTS) {
        caller_tell(&parent->caller, HF_E_UNREACHABLE,
                    "this PIN has opened the token before, and is tried again");
    } else if (status != HF_OK) {
        caller_tell(&parent->caller, status,
                    "another PIN is being tried just now");
    }
    parent->next_move_ms = 0; /* he waits */
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
void parent_turn(struct parent *parent, int64_t now)
{
    if (now >= parent->next_look_ms) {
        parent_look(parent, false);
    }
    bool may_move =
        now >= parent->next_move_ms && count_draining(parent) < DRAINING_MAX;
    /* a pause is for everything but a PIN that was just brought */
    bool pin = parent->state == SUP_SERVING
                   ? may_move && pins_is_new(parent->pins)
                   : pins_is_untried(parent->pins);
    if (pin) {
        parent_happen(parent, SUP_EV_PIN);
    } else if (parent->state == SUP_PAUSED && now >= parent->pause_until_ms) {
        parent_happen(parent, SUP_EV_PAUSE_OVER);
    } else if (may_move && parent->worn != NULL &&
               parent->state == SUP_SERVING) {
        log_event(LOG_INFO, "worker.worn",
                  LOG_TEXT("name", parent->options->name),
                  LOG_TEXT("why", parent->worn));
        parent_happen(parent, SUP_EV_RENEW);
    }
    parent->worn = NULL;
}
