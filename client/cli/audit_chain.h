/* audit_chain: checks audit records against the chain they claim to be in
 * (specification ), with nothing but the records themselves.
 *
 *   hash = SHA-256("HFA1" | index u64 | previous hash 32 | tenant id 16 |
 *                  time ms u64 | length of the body u32 | body), big endian
 *
 * The chain runs through the records of all tenants. In the list of one tenant
 * there are gaps: every record's own hash is checked, and the link to the one
 * before wherever the indexes adjoin. A record changed, reordered, doubled or
 * (between neighbours) replaced is found; records cut out between gaps, or off
 * the end, can only be found by whoever sees the whole chain.
 */
#pragma once

#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

struct audit_chain {
    uint64_t records;
    uint64_t links; /* of them, how many were checked against the one before */
    uint64_t last_index;
    uint8_t last_hash[HF_SHA256_BYTES];
    uint64_t bad_index; /* of the first bad record */
    char problem[160];  /* what is wrong with it */
};

/* audit_chain_add: the next record, in the JSON of "audit list".
 *
 * Returns   HF_OK; HF_E_INVALID for what is no audit record; HF_E_CORRUPT when
 *           it does not fit the chain. Both with chain->problem.
 */
HF_STATUS audit_chain_add(struct audit_chain *chain, const json_t *record);
