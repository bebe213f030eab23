/* link: the near end of one token worker, a process that holds one token.
 *
 *   submit -> lane queue -> packet -> [worker] -> packet -> done
 *                 |                       |
 *                 |                       +-- neither answer nor death:
 *                 |                           HF_E_TIMEOUT; what comes late
 *                 |                           is undone where it can be
 *                 +-- drop_dead passed: HF_E_EXPIRED, not sent
 *
 *   open --(end of file, or a frame that cannot be)--> lost
 *
 * One socket (AF_UNIX, SOCK_SEQPACKET), one thread that receives, sends what
 * did not fit at once, and keeps time. The worker is not trusted: it may be a
 * vendor's module that somebody else has taken over. What it says is checked
 * (frame.h), and the first thing that cannot be ends the link.
 *
 * Time: how long the token may take is kept in the worker, where the work
 * begins. The link waits for that and a grace longer, counted from
 * when the request must have begun: requests of a lane begin in order, so it
 * waits behind those before it, and no longer than its own time once a later
 * one was answered.
 *
 * Session objects carry the worker's number in the upper half of their
 * generation, so that the handle of one worker never addresses a key of
 * another: HF_E_PRECONDITION.
 *
 * A lost link stays lost: it answers HF_E_UNREACHABLE until it is freed.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/clock.h"

#include "hsm/token/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker_link;

struct worker_link_settings {
    int64_t hello_ms; /* how long the worker may take to open its token */
    int64_t grace_ms; /* 0: 1000 */
    size_t queue_max; /* outstanding per lane, sent or not; 0: 1024; never more
                         than the worker says it takes */
    const struct clock *clock; /* for drop_dead_ms; NULL: clock_system() */
};

struct worker_link_owner {
    /* NULL, or called once, on the link's thread, before the requests in flight
     * are answered HF_E_UNREACHABLE; perhaps before worker_link_new returns.
     * Must not block and must not free the link. */
    void (*lost)(void *self, struct worker_link *link);
    void *self;
};

/* Why a worker could not open its token, in words for an operator. */
struct worker_refusal {
    char text[256];
};

/* worker_link_new: waits for the worker's hello.
 *
 * Takes     socket: the link's from now on, whatever is returned; worker: its
 *           number, from 1, never used before.
 * Gives     *out_link, ended by worker_link_free; *out_refusal on failure.
 * Returns   HF_OK; what the worker says why not (pkcs11_open);
 *           HF_E_UNREACHABLE when it ended; HF_E_TIMEOUT; HF_E_CORRUPT for a
 *           hello that cannot be; HF_E_NO_MEMORY; HF_E_RESOURCES.
 * Blocks    up to hello_ms.
 */
HF_STATUS worker_link_new(int socket, uint32_t worker,
                          const struct worker_link_settings *settings,
                          const struct worker_link_owner *owner,
                          struct worker_link **out_link,
                          struct worker_refusal *out_refusal);

/* worker_link_submit: see token_submit, through which the requests have come
 * (it has looked at their form). More than queue_max of a lane outstanding:
 * HF_E_OVERLOAD; a lost link: HF_E_UNREACHABLE.
 *
 * Blocks    never.
 * Threads   safe from any thread.
 */
void worker_link_submit(struct worker_link *link,
                        struct token_request *const *requests, size_t count);

uint32_t worker_link_number(const struct worker_link *link);
bool worker_link_is_lost(struct worker_link *link);
/* worker_link_owns: whether an object of this generation was made there. */
bool worker_link_owns(const struct worker_link *link, uint64_t generation);

/* worker_link_profile:  what the worker said, and what the last HEALTH added.
 * worker_link_counters: the worker's own, as of its last packet, and the
 *                       link's refusals; objects: alive there, 0 once lost.
 * worker_link_outstanding: requests not answered yet, of both lanes.
 * worker_link_late:     requests that the link had to answer HF_E_TIMEOUT
 *                       itself: the worker does not keep its own time.
 * worker_link_is_stuck: there were several of those since it last answered
 *                       anything: its heart may beat, and nobody serves.
 * Threads   safe from any thread. */
void worker_link_profile(struct worker_link *link, struct token_profile *out);
void worker_link_counters(struct worker_link *link, struct token_counters *out);
size_t worker_link_objects(struct worker_link *link);
size_t worker_link_outstanding(struct worker_link *link);
uint64_t worker_link_late(struct worker_link *link);
bool worker_link_is_stuck(struct worker_link *link);

/* worker_link_free: closes the socket (the worker then ends), answers what is
 * still in flight HF_E_CANCELLED. Not on the link's own thread. NULL-safe. */
void worker_link_free(struct worker_link *link);
