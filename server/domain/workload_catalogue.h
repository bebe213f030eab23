/* workload_catalogue: what a multi-workload DEP covers, and what it does not
 * (R-5.1 to R-5.4, R-12.4, R-12.5, R-15.20).
 *
 * Data, not code: a new workload is one more row. A row's number is
 * stored and bound into the wraps of its key: never reuse one.
 */
#pragma once

#include "server/domain/access.h"
#include "server/domain/types.h"

/* What a multi-workload DEP does for it. */
enum workload_coverage {
    WORKLOAD_COVERED = 1,     /* one key of its own */
    WORKLOAD_BY_MAILBOX = 2,  /* covered; its keys are those of mailboxes */
    WORKLOAD_NOT_COVERED = 3, /* assigning and wrapping for it are refused */
};

/* what becomes of data from before an assignment. */
enum existing_data_policy {
    EXISTING_DATA_NONE = 0, /* not covered */
    /* it stays under the key it has; new data gets a new key */
    EXISTING_DATA_NEW_ONLY = 1,
    EXISTING_DATA_EXISTING_AND_NEW = 2, /* its key is rewrapped */
};

/* comes under an assigned DEP by itself, or after a switch. */
enum workload_activation {
    ACTIVATION_AUTOMATIC = 1,
    ACTIVATION_EXPLICIT = 2,
};

struct workload_row {
    uint16_t number;
    const char *word;  /* as in resource names */
    const char *title; /* for people */
    enum workload_coverage coverage;
    enum existing_data_policy existing;
    enum workload_activation activation;
    uint32_t batch_max;       /* items per run of an explicit one; 0: no runs */
    enum role identity;       /* its workload's role */
    enum dep_type covered_by; /* of one not covered; 0: none does */
};

/* workload_at: every row, from 0; NULL behind the last. workload_by_word:
 * NULL: there is no such workload. */
const struct workload_row *workload_at(size_t index);
const struct workload_row *workload_by_word(const char *word);

/* workload_is_under: does an assigned multi-workload DEP apply to it, given
 * whether it was switched on. */
bool workload_is_under(const struct workload_row *row, bool switched_on);

/* workload_renews: a key that is under the service-managed root when the DEP
 * comes is replaced by a new one, not moved. */
bool workload_renews(const struct workload_row *row);

/* How many items one run may take in: HF_OK; HF_E_INVALID. */
HF_STATUS workload_check_items(const struct workload_row *row, uint64_t items);

const char *existing_data_text(enum existing_data_policy policy);
