/* parent_inside: what parent.c (what is to be done) and loop.c (when) share.
 * One thread. */
#pragma once

#include "hsm/tokend/caller.h"
#include "hsm/tokend/children.h"
#include "hsm/tokend/parent.h"
#include "hsm/tokend/peer.h"
#include "hsm/tokend/pins.h"
#include "hsm/tokend/supervisor.h"

struct parent {
    const struct tokend_options *options;
    enum supervisor_state state;
    struct pins *pins;
    struct children children;
    struct peer peer;
    struct caller caller;
    int signals;
    unsigned failures; /* ends in a row, without a healthy time in between */
    int64_t pause_until_ms;
    int64_t next_move_ms;
    int64_t next_look_ms;
    int64_t leave_ms; /* 0: not yet; else when the rest is killed */
    const char *worn; /* why the worker that serves should be replaced */
    uint32_t restarts;
    enum hf_status failure; /* of the last opening; HF_OK: none, or it worked */
    char why[TOKEN_WHY_BYTES];
};

/* parent_note: what became of the last opening. parent_tell: to holdfastd. */
void parent_note(struct parent *parent, enum hf_status failure,
                 const char *why);
void parent_tell(struct parent *parent);

/* What happens: to the supervisor, to a worker, to the PIN file, at the door of
 * those that bring PINs, when holdfastd wants a worker's end, and as time goes
 * by. */
void parent_happen(struct parent *parent, enum supervisor_event event);
void parent_happened(void *self, struct child *child, enum child_event event,
                     const struct beat *beat, const char *why);
void parent_look(struct parent *parent, bool at_once);
void parent_take_pin(struct parent *parent);
void parent_kill(struct parent *parent, uint32_t worker);
void parent_turn(struct parent *parent, int64_t now_ms);
