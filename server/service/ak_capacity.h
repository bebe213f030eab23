/* ak_capacity: the tokens of the availability keys as an operator sees them,
 * and whether there is room in them. */
#pragma once

#include "server/domain/capacity.h"

#include "server/service/ak_tokens.h"

/* ak_capacity_check: HF_OK; AK_TOKEN_FULL: one of the tokens of mailbox and
 * multi-workload DEPs is. Each is asked for its figures, and what it comes to
 * is logged when it is low or full. */
HF_STATUS ak_capacity_check(struct service *service, struct problem *problem);
/* ak_capacity_log: the same line, whatever it comes to: at start. */
void ak_capacity_log(struct service *service);

/* ak_capacity_get: the same of each token that holds availability keys, asked
 * for its figures now; the retired ones for the record. HF_OK, else *problem
 * says why. */
#define AK_VIEWS_MAX 32
struct ak_token_view {
    char name[HF_NAME_MAX_BYTES + 1];
    char label[33];
    char serial[17];
    enum ak_token_state state;
    bool sharepoint;
    bool mirrored;  /* it has a record: else it is the only one of its kind */
    bool reachable; /* else the bytes are those of before */
    struct capacity_facts facts;
    struct capacity capacity;
    /* of those it is to hold (ENROLLING: it is on its way) */
    uint64_t copies;
    uint64_t copies_wanted;
    enum hf_status met; /* the last failure of its enrolment */
    /* of its retirement, asked for or done */
    char disposal[DISPOSAL_MAX_BYTES + 1];
    char requested_by[HF_URI_MAX_BYTES + 1];
    uint32_t approvals;
    int64_t retired_ms; /* 0: it is not */
};
struct ak_token_views {
    struct ak_token_view views[AK_VIEWS_MAX];
    size_t count;
};
HF_STATUS ak_capacity_get(struct service *service, const struct caller *caller,
                          struct ak_token_views *out, struct problem *problem);
/* ak_capacity_show: one that has a record. */
void ak_capacity_show(struct service *service,
                      const struct ak_token_entry *entry,
                      struct ak_token_view *out);
