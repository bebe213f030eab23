/* ak_capacity: is there room in the token of the availability keys? */
#pragma once

#include "server/domain/capacity.h"

#include "server/service/core.h"

/* ak_capacity_check: HF_OK; AK_TOKEN_FULL. The token is asked for its figures,
 * and what it comes to is logged when it is low or full. */
HF_STATUS ak_capacity_check(struct service *service, struct problem *problem);
/* ak_capacity_log: the same line, whatever it comes to: at start. */
void ak_capacity_log(struct service *service);

/* ak_capacity_get: the same of each token that holds availability keys, asked
 * for its figures now. HF_OK, else *problem says why. */
#define AK_TOKENS_MAX 2
struct ak_token_view {
    bool sharepoint;
    bool reachable; /* else the bytes are those of before */
    struct capacity_facts facts;
    struct capacity capacity;
};
struct ak_token_views {
    struct ak_token_view views[AK_TOKENS_MAX];
    size_t count;
};
HF_STATUS ak_capacity_get(struct service *service, const struct caller *caller,
                          struct ak_token_views *out, struct problem *problem);
