/* children: the worker processes of one token.
 *
 *   NEWEST --> SERVING --> DRAINING       and from each, once it is killed or
 *                                         has ended: ENDING, until it is reaped
 *
 * Each says by its heart that it lives (beat.h). One that is silent, stopped,
 * late with its opening, that has lost a lane, or drains for too long is killed
 * by its process id. One that has grown, or in which a call does not return,
 * is worn: it serves until another can take its place.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include "hsm/tokend/beat.h"
#include "hsm/tokend/options.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum child_role {
    CHILD_NONE, /* a free place */
    CHILD_NEWEST,
    CHILD_SERVING,
    CHILD_DRAINING,
    CHILD_ENDING,
};

struct child {
    enum child_role role;
    pid_t pid;
    uint32_t number;
    int beat; /* -1: closed */
    int link; /* its near end; -1: given away */
    int64_t started_ms;
    int64_t role_ms; /* since when it has its role */
    int64_t beat_ms; /* the last one; 0: none yet */
    bool offered;    /* the token has its PIN, and has not answered */
    int64_t lost_ms; /* since when a call in it does not return; 0: none */
    int64_t weighed_ms;
    uint64_t first_kb; /* resident when it had been opened; 0: not looked at */
};

enum child_event {
    CHILD_OPENED,
    CHILD_REFUSED, /* with what it says */
    CHILD_GONE,    /* it ended or was killed; told once, before ENDING */
    CHILD_WORN,    /* it serves, and should be replaced */
};

struct children_owner {
    /* why: of WORN; beat: of OPENED and REFUSED */
    void (*happened)(void *self, struct child *child, enum child_event event,
                     const struct beat *beat, const char *why);
    void *self;
};

#define CHILDREN_MAX 8

struct children {
    const struct tokend_options *options;
    int argc;
    char **argv;
    struct children_owner owner;
    uint32_t next_number;
    struct child at[CHILDREN_MAX];
};

void children_set_up(struct children *children,
                     const struct tokend_options *options, int argc,
                     char **argv, const struct children_owner *owner);

/* children_start: a NEWEST; there is none. pin NULL: the token has a pad.
 * HF_OK; HF_E_RESOURCES; HF_E_LIMIT: too many have not ended. */
HF_STATUS children_start(struct children *children, const struct secret *pin,
                         int64_t now_ms);

/* children_promote: the newest serves, the one that did drains. */
void children_promote(struct children *children, int64_t now_ms);

/* children_find: the one with this role, or NULL. */
struct child *children_find(struct children *children, enum child_role role);

void children_kill(struct children *children, struct child *child,
                   const char *why);
/* children_kill_all: without a word to the owner. */
void children_kill_all(struct children *children);
bool children_are_gone(const struct children *children);

/* children_reap: after SIGCHLD. children_hear: what came from one's heart.
 * children_watch: what is late at now_ms, having last looked at before_ms: a
 * parent that was not let run does not take silence for death. */
void children_reap(struct children *children);
void children_hear(struct children *children, struct child *child,
                   int64_t now_ms);
void children_watch(struct children *children, int64_t before_ms,
                    int64_t now_ms);
