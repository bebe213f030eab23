/* audit_chain: checks audit records against the chain they claim to be in
 * (specification ), with nothing but the records themselves.
 *
 *   hash = SHA-256("HFA2" | index u64 | previous hash 32 | content hash 32)
 *   content hash = SHA-256(tenant id 16 | time ms u64 |
 *                          length of the body u32 | body), big endian
 *
 * The chain runs through the records of all tenants. In the list of one tenant
 * there are gaps: every record's own hash is checked, and the link to the one
 * before wherever the indexes adjoin. An export has no gaps: of what is not for
 * its reader it holds the content hash. It has the service's signed checkpoints
 * as well, each behind the record that it covers; up to there nothing may be
 * missing, so that what is cut out, or off the end before the last of them, is
 * found. So is all of it by a checkpoint that was kept elsewhere.
 */
#pragma once

#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "client/cli/checkpoint.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

struct audit_chain {
    struct bytes public_key;           /* none: signatures are not looked at */
    const struct checkpoint_set *kept; /* sorted; each must be met, or NULL */
    size_t kept_met;
    struct checkpoint_set *met; /* takes each that is in the file; or NULL */
    uint64_t records;
    uint64_t links;  /* of them, how many were checked against the one before */
    uint64_t others; /* of them, that only their hash is known of */
    uint64_t absent_from; /* the first index that is missing; 0: none */
    uint64_t checkpoints; /* met, in the file or kept elsewhere */
    uint64_t covered;     /* the last index that one covers */
    uint64_t last_index;
    uint8_t last_hash[HF_SHA256_BYTES];
    uint64_t bad_index; /* of the first bad record */
    char problem[160];  /* what is wrong with it */
};

/* audit_chain_add: the next record, or checkpoint, in the JSON of an export.
 * audit_chain_end: there are no more.
 *
 * Returns   HF_OK; HF_E_INVALID for what is no audit record; HF_E_CORRUPT when
 *           it does not fit the chain. Both with chain->problem.
 */
HF_STATUS audit_chain_add(struct audit_chain *chain, const json_t *record);
HF_STATUS audit_chain_end(struct audit_chain *chain);
