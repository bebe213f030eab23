/* denials: what was refused by right stands in the chain.
 *
 *   note --> pending, by (identity, verb, object, reason), counted --(a second
 *   after the first)--> written by the slow lane, one record each
 *
 * A flood of refusals must not fill the store, the memory or the time of who
 * refuses. So the same one is one record a second with a count; of one identity
 * only DENIALS_OF_ONE different ones a second have a record of their own, and
 * the rest of it is one record more; and what has no room at all is one record
 * for everybody. Nothing is lost count of.
 *
 * A record is filed under the caller's tenant, whose people must know; of a
 * caller without one, under the tenant it asked about.
 */
#pragma once

#include "hsm/base/status.h"

#include "server/domain/access.h"

#define DENIALS_ACTIVITY    "Refusal"
#define DENIALS_MAX         512
#define DENIALS_OF_ONE      4
#define DENIALS_COALESCE_MS 1000

struct caller;
struct service;
struct denials;

HF_STATUS denials_new(struct denials **out_denials);
void denials_free(struct denials *denials);

struct denial {
    const struct caller *caller;
    enum verb verb;
    const char *tenant; /* of the request; "": none */
    const char *object; /* resource name */
    enum reason reason;
};

/* denials_note: an answer that was not OK; nothing for one that is no denial
 * (access_is_denial). Threads: any, the polling thread too; never blocks on the
 * store. */
void denials_note(struct service *service, const struct denial *denial);

/* denials_round: has what is due written by the slow lane; by the scheduler.
 * denials_flush: writes all that is pending, due or not, on this thread; for
 * the end. */
void denials_round(struct service *service, int64_t now_ms);
void denials_flush(struct service *service);
