/* adapter: what the adapters behind store.h share, and nobody else includes.
 *
 * The port's own file (store.c) checks arguments and results once for all of
 * them, so an adapter may rely on: kinds, keys, versions and lengths in range,
 * writes only in write transactions, nothing but store_get inside a listing,
 * and no call after one that left the transaction unusable.
 */
#pragma once

#include "server/store/store.h"

#include <pthread.h>
#include <stdbool.h>

/* The first member of an adapter's transaction. The adapter leaves it alone:
 * store_begin fills it in after the adapter's begin. */
struct store_txn {
    const struct store_port *port;
    enum store_mode mode;
    pthread_t owner;
    bool listing;          /* inside a callback of a listing               */
    enum hf_status failed; /* trouble that leaves nothing but to roll back */
};

/* How long a begin waits for the writer, or for a free reader. */
#define STORE_BEGIN_WAIT_MS 5000

/* store_key_range: the keys of a page as a half-open range, lower inclusive,
 * upper exclusive. One byte longer than any key, so that "behind key k" and
 * "before every longer key" can both be said. */
#define STORE_BOUND_MAX_BYTES (RECORD_KEY_MAX_BYTES + 1)
struct store_key_range {
    uint8_t lower[STORE_BOUND_MAX_BYTES];
    size_t lower_len;
    uint8_t upper[STORE_BOUND_MAX_BYTES];
    size_t upper_len;
};
struct store_key_range store_key_range(struct bytes prefix, struct bytes after);

/* audit_link_chain: makes link the next one behind (last_index, last_hash);
 * last_index 0: link becomes the first and last_hash is not read.
 *
 * Gives     link->index, previous and hash; untouched on failure.
 * Returns   HF_OK; HF_E_LIMIT when the index is used up; HF_E_NO_MEMORY.
 */
HF_STATUS audit_link_chain(struct audit_link *link, uint64_t last_index,
                           const uint8_t last_hash[HF_SHA256_BYTES]);
