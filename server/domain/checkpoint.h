/* checkpoint: when the heads of the audit chains are signed (R-15.24,
 * crypto.md): after 1,000 records of the chain in the store, or 10 s after the
 * first one of either chain that no checkpoint covers; when nothing happened,
 * never. One that failed is tried again after 10 s, whatever happened since.
 * Times are monotonic milliseconds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CHECKPOINT_RECORDS_MAX 1000
#define CHECKPOINT_MS          10000

/* What no checkpoint covers. */
struct checkpoint_facts {
    uint64_t records; /* of the chain in the store */
    bool routine;     /* some of the spool */
    int64_t since_ms; /* since when there is any; read only if there is */
    bool failed;      /* the last try */
    int64_t tried_ms; /* when that was; read only if it failed */
};

bool checkpoint_is_due(const struct checkpoint_facts *facts, int64_t now_ms);
