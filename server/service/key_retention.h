/* key_retention: soft-deleted customer keys whose time is over: they
 * go by themselves, and with them the hold on their names. */
#pragma once

#include "server/service/core.h"

/* key_retention_round: looks at every soft-deleted key by the service's clock
 * and hands what is due to the pool; a key is never with it twice. What fails
 * is tried again after a minute. now_ms is monotonic. */
void key_retention_round(struct service *service, int64_t now_ms);
