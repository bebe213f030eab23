/* spool: the port to the record of routine use: each use of a key is
 * appended before it is answered, and on the disk 100 ms later. It has a chain
 * of its own, of which the service signs the head.
 *
 * A spool that takes nothing more (disk full, or stuck for 2 s) is not ready:
 * nothing is opened or wrapped meanwhile, for what nobody could know of would
 * be worse than an outage. It goes on by itself.
 *
 * May not: decide, know a key.
 */
#pragma once

#include "hsm/sys/spool_file.h"

struct spool_head {
    struct hf_id spool;
    uint64_t records;
    uint8_t hash[HF_SHA256_BYTES];
};

struct spool_port {
    bool (*ready)(void *self);
    HF_STATUS (*append)(void *self, struct spool_record *record);
    uint64_t (*records)(void *self);
    HF_STATUS (*head)(void *self, struct spool_head *out);
    void (*close)(void *self);
};

struct spool {
    const struct spool_port *port;
    void *self;
};

/* spool_ready: would an append be taken now. Threads   safe from any. */
bool spool_ready(const struct spool *spool);
/* spool_append: fills record->number. It survives this process when it returns.
 *
 * Returns   HF_OK; HF_E_RESOURCES when it is not ready; HF_E_INVALID for a
 *           record that is too long.
 * Blocks    not on the disk.
 * Threads   safe from any.
 */
HF_STATUS spool_append(const struct spool *spool, struct spool_record *record);
/* spool_records: how many it has had. Threads   safe from any. */
uint64_t spool_records(const struct spool *spool);
/* spool_head: where it was when this was called, and that is on the disk.
 * Returns   HF_OK; HF_E_UNREACHABLE when the disk does not answer.
 * Blocks    up to 2 s. */
HF_STATUS spool_head(const struct spool *spool, struct spool_head *out);
void spool_close(struct spool *spool);
