#include "server/service/chain_end.h"

static enum hf_status take(void *context, const struct audit_link *link)
{
    *(struct audit_link *)context = *link;
    return HF_OK;
}

/* Indexes have no gaps, so the last one is found by halving. */
HF_STATUS chain_end(struct store_txn *txn, struct audit_link *out)
{
    struct audit_link there = {.index = 0};
    uint64_t beyond = 1;
    *out = there;
    for (bool found = true; found && beyond < INT64_MAX / 2;) {
        HF_TRY(store_audit_list(txn, NULL, beyond, 1, take, &there));
        found = there.index == beyond;
        if (found) {
            *out = there;
            beyond *= 2;
        }
    }
    while (beyond - out->index > 1) {
        uint64_t middle = out->index + (beyond - out->index) / 2;
        HF_TRY(store_audit_list(txn, NULL, middle, 1, take, &there));
        if (there.index == middle) {
            *out = there;
        } else {
            beyond = middle;
        }
    }
    return HF_OK;
}
