/* blob_alert: a wrapped key that does not open where the key is fine was
 * damaged, cut, or moved from another place: a person must look (appendix B,
 * 14). One line of the log for each, at most so many a second, with how many
 * were left out.
 */
#pragma once

#include "server/service/keys.h"

#include <pthread.h>

#define BLOB_ALERTS_A_SECOND 10

struct blob_alerts {
    pthread_mutex_t lock;
    int64_t second; /* monotonic */
    uint32_t written;
    uint64_t left_out; /* since the last line */
};

/* blob_alerts_may_write: one line more; *left_out are the ones before it that
 * were not written. */
bool blob_alerts_may_write(struct blob_alerts *alerts, int64_t now_ms,
                           uint64_t *left_out);

/* blob_alert: the call ends with BLOB_INVALID. Threads: any; blocks no longer
 * than a line of the log takes. */
void blob_alert(struct blob_alerts *alerts, const struct key_call *call,
                int64_t now_ms);
