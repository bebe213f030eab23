/* rows: a bounded cache of verified resource rows, for the hot lane.
 *
 * A row is put in when the slow lane has read it and its MAC was good, and when
 * it was written. What the hot lane needs of it is ready: where the key is
 * wrapped, by which generations it may be opened, and whether the next access
 * has to move it. Under the catalogue's lock, for reading or writing.
 */
#pragma once

#include "server/service/catalogue.h"

struct rows;

struct row {
    struct record_key key;
    struct stamp stamp;
    uint8_t resource_hash[HF_SHA256_BYTES];
    struct geo_entry *geo;              /* of a site */
    struct dep_entry *assigned;         /* NULL: none */
    struct generation_entry *effective; /* NULL: no key yet */
    struct generation_entry **wraps;    /* may open its envelopes */
    size_t wrap_count;
    uint8_t envelope[ENVELOPE_KEY_BYTES];
    size_t envelope_len;
    bool retired;      /* some of its keys are no more */
    uint16_t workload; /* its wraps are bound to */
    bool covered;      /* a multi-workload DEP applies to it */
    uint32_t place;    /* in the cache's ring */
    atomic_bool used;  /* since the cache last looked for room */
};

HF_STATUS rows_new(uint32_t max, struct rows **out_rows);
void rows_free(struct rows *rows);

/* rows_get: NULL: not here. The lock is held as long as the row is used. */
struct row *rows_get(struct rows *rows, const struct record_key *key);

/* rows_put: takes the lock for writing. A row of an earlier version never
 * replaces a later one. Without memory nothing is kept: only slower. */
void rows_put(struct service *service, const struct resource_record *resource,
              const struct stamp *stamp);
