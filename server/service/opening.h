/* opening: has the DEP key of a generation usable for one call: by a live
 * lease, by a customer key (first choice at random), or by the availability key
 * where tables 6-A and 6-B say so (specification 6.2).
 */
#pragma once

#include "server/service/core.h"
#include "server/service/keys.h"
#include "server/service/leases.h"

enum opening {
    OPENING_READY,   /* *out_lease, to be released */
    OPENING_PARKED,  /* another call is opening it; this one is handed back to
                        keys_submit when that is done: do not touch it */
    OPENING_REFUSED, /* call->problem says why, call->status is set */
};

/* opening_get: on a thread of the slow lane. */
enum opening opening_get(struct service *service,
                         struct generation_entry *generation,
                         struct key_call *call, struct lease **out_lease);

/* opening_take: what the hot lane may have: a live lease, if the caller's
 * grants allow it. The catalogue's lock is held; never blocks; NULL: ask the
 * slow lane. */
struct lease *opening_take(struct service *service,
                           struct generation_entry *generation,
                           const struct key_call *call, int64_t now_ms);

/* opening_renew: opens it with a customer key ahead of expiry and replaces the
 * lease. A failure changes nothing. */
void opening_renew(struct service *service,
                   struct generation_entry *generation);

/* opening_close_ak: the closing record of an AK lease whose time is over at
 * now_ms (INT64_MAX: whatever is left), with the number of calls it served
 * (R-15.4a). */
void opening_close_ak(struct service *service,
                      struct generation_entry *generation, int64_t now_ms);

/* opening_narrow: after a change that narrows: nothing opened before it is had
 * by anybody any more. Those who have it still use it: leases_settle. */
void opening_narrow(struct service *service,
                    struct generation_entry *generation);
