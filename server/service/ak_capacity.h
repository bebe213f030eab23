/* ak_capacity: is there room in the token of the availability keys? */
#pragma once

#include "server/service/core.h"

/* ak_capacity_check: HF_OK; AK_TOKEN_FULL. The token is asked for its figures,
 * and what it comes to is logged when it is low or full. */
HF_STATUS ak_capacity_check(struct service *service, struct problem *problem);
/* ak_capacity_log: the same line, whatever it comes to: at start. */
void ak_capacity_log(struct service *service);
