/* checkpoint: what the service signed of its audit chains, read from
 * the JSON of "audit checkpoints --lines" or of an export. */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/ids.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

struct checkpoint {
    uint64_t audit_index;
    uint8_t audit_hash[HF_SHA256_BYTES];
    struct hf_id spool; /* nil: there was none */
    uint64_t spool_records;
    uint8_t spool_hash[HF_SHA256_BYTES];
};

/* checkpoint_is_one: whether a line of JSON is a checkpoint at all. */
bool checkpoint_is_one(const json_t *line);
/* checkpoint_read: public_keys DER, or PEM of one or more; of no bytes: the
 * signature is not looked at.
 *
 * Returns   HF_OK; HF_E_INVALID for what is none; HF_E_DENIED when none of the
 *           keys signed it; HF_E_NO_MEMORY.
 */
HF_STATUS checkpoint_read(const json_t *line, struct bytes public_keys,
                          struct checkpoint *out);

/* Those that something must fit, each once, by audit_index. */
struct checkpoint_set {
    struct checkpoint *items;
    size_t count;
    size_t cap;
};
HF_STATUS checkpoint_set_add(struct checkpoint_set *set,
                             const struct checkpoint *checkpoint);
void checkpoint_set_sort(struct checkpoint_set *set);
void checkpoint_set_clear(struct checkpoint_set *set);
