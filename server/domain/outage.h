/* outage: how long the availability key serves users of a DEP, and what the
 * tenant is told of it meanwhile.
 *
 *            first use by the AK            a customer key answers again
 *   (none) ------------------------> on -------------------------------->
 * (none) BEGAN                   |    ENDED
 *                                     +--> GOES_ON       hourly, while it is
 * used
 *                                     +--> LIMIT_REACHED once for each limit
 *
 * An outage is one of both customer keys: a revocation is none, and does not
 * end one. Times are those of the wall clock: an outage may outlast the
 * process. One that was set back counts as standing still.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How long users may be served; 0 is no limit. None so short that the tenant
 * might not have been told. */
#define FALLBACK_LIMIT_MIN_MS 60000LL
#define FALLBACK_LIMIT_MAX_MS (30LL * 24 * 3600 * 1000)
#define NOTICE_EVERY_MS       3600000LL

/* fallback_limit_is_valid: 0, or FALLBACK_LIMIT_MIN_MS to _MAX_MS. */
bool fallback_limit_is_valid(int64_t limit_ms);

enum notice_event {
    NOTICE_NONE = 0,
    NOTICE_BEGAN = 1,
    NOTICE_GOES_ON = 2,
    NOTICE_LIMIT_REACHED = 3,
    NOTICE_ENDED = 4,
};

/* One outage of a DEP; all zero: there is none. */
struct outage {
    int64_t since_ms;      /* the first use of the availability key in it */
    int64_t used_ms;       /* the last one that is known */
    int64_t told_ms;       /* the last notice */
    int64_t told_limit_ms; /* the limit that was told of as reached; 0: none */
};

/* outage_lasts_ms: how long it has lasted; 0 for none. */
int64_t outage_lasts_ms(const struct outage *outage, int64_t now_ms);
/* outage_limit_reached: users are served no longer. Of no outage: never. */
bool outage_limit_reached(int64_t lasts_ms, int64_t limit_ms);

/* outage_due: what the tenant is to be told now; NOTICE_NONE: nothing. BEGAN
 * is told with the first use itself, and so is never due.
 *
 * Takes     over: a customer key answered since, or the DEP's keys are gone. */
enum notice_event outage_due(const struct outage *outage, bool over,
                             int64_t limit_ms, int64_t now_ms);
/* outage_told: the outage after this notice of it at now_ms; of BEGAN: a new
 * one. */
void outage_told(struct outage *outage, enum notice_event event,
                 int64_t limit_ms, int64_t now_ms);

const char *notice_event_text(enum notice_event event);
