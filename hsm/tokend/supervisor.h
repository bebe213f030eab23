/* supervisor: what the parent of a token's workers does next, as a table. No
 * process, no time, no PIN here.
 *
 *    LOCKED --a PIN--> STARTING --opened--> SERVING --renew, a PIN--> MOVING
 *                      ^  ^  | |            ^ |  ^                     |  |
 *    PIN_REFUSED       |  |  | |            | |  +-------opened,-------+  |
 *     | ^              |  |  | |            | |    failed, PIN refused   |
 *     | |              |  |  | |            | |                           |
 *     | +--PIN refused-)--)--+ |            | |                           |lost
 *     +----a PIN-------+  |    |failed      | |lost                       |
 *                         |    v            | |                           v
 *                         +-- PAUSED <------)-+<--failed, PIN refused--PROVING
 *                   a PIN,                  |                             |
 *            pause is over                  +-----------opened------------+
 *
 *   STARTING  the newest worker opens the token; none serves
 *   SERVING   one serves
 *   MOVING    one serves, and another is opened beside it, to take its place:
 *             it has grown too large, or there is another PIN to be proved
 *   PROVING   as STARTING, but a PIN is tried that need not be right, and there
 *             is one before it that was
 *
 * Worker processes that only serve what was begun in them (draining), and
 * those that are ending, have no part in it. No rule means: nothing changes.
 */
#pragma once

enum supervisor_state {
    SUP_LOCKED,
    SUP_PIN_REFUSED,
    SUP_PAUSED,
    SUP_STARTING,
    SUP_SERVING,
    SUP_MOVING,
    SUP_PROVING,
    SUP_STATE_COUNT
};

enum supervisor_event {
    SUP_EV_PIN,     /* a PIN to be tried has come */
    SUP_EV_OPENED,  /* the newest worker has opened the token */
    SUP_EV_PIN_BAD, /* it was refused its PIN, and there is none to try */
    SUP_EV_FAILED,  /* it ended, or was killed, or says why it cannot */
    SUP_EV_PAUSE_OVER,
    SUP_EV_LOST,  /* the worker that serves ended, or was killed */
    SUP_EV_RENEW, /* it should be replaced, and works */
    SUP_EVENT_COUNT
};

enum supervisor_action {
    SUP_DO_NOTHING,
    SUP_DO_START, /* a worker, by the PIN that is to be tried */
    SUP_DO_PAUSE, /* set the time of the next start */
    SUP_DO_SERVE, /* the newest serves; one that did before drains */
};

struct supervisor_step {
    enum supervisor_state next;
    enum supervisor_action action;
};

struct supervisor_step supervisor_step(enum supervisor_state state,
                                       enum supervisor_event event);

/* supervisor_pause_ms: how long to wait before the next start, after so many
 * ends in a row of workers that had not served for SUP_HEALTHY_MS: at once,
 * then 100 ms, doubling to 30 s. */
#define SUP_HEALTHY_MS   2000
#define SUP_PAUSE_MIN_MS 100
#define SUP_PAUSE_MAX_MS 30000
long supervisor_pause_ms(unsigned failures);
