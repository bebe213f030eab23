/* scheduler: what is done without being asked: leases renewed ahead of expiry
 * AK leases closed (R-15.4a), customer keys probed (R-6.26, R-15.4b).
 * One thread that looks; the work itself runs on the slow lane, behind
 * everything a caller waits for, and never twice at once. */
#pragma once

#include "server/service/core.h"

HF_STATUS scheduler_start(struct service *service,
                          struct scheduler **out_scheduler);
void scheduler_stop(struct scheduler *scheduler); /* NULL-safe */
