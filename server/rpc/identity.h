/* identity: which identity of a certificate is which caller.
 *
 * The table comes from the configuration and is swapped whole when that is
 * read again. What was found is remembered per connection, by the edge's
 * connection id, so that a call on a known connection costs one look without a
 * lock. Metadata of a call is never looked at (N05).
 */
#pragma once

#include "hsm/base/own.h"

#include "server/rpc/rpc.h"
#include "server/service/service.h"

struct identity_cache;

/* Who calls on one connection. Freed when the last call has let go. */
struct peer {
    struct caller caller;
    uint64_t connection_id;
    uint32_t refs;
};

/* identity_cache_new: takes the table over. */
HF_STATUS identity_cache_new(const struct rpc_peers *peers,
                             struct rpc_identities *table,
                             struct identity_cache **out_cache);
void identity_cache_free(struct identity_cache *cache);

/* identity_cache_swap: from now on this table; owned by the cache.
 * Threads   safe from any thread. */
void identity_cache_swap(struct identity_cache *cache,
                         struct rpc_identities *table);

/* identity_find: who is behind this peer name; *out_peer is given back with
 * identity_release.
 *
 * Returns   HF_OK; HF_E_NOT_FOUND for a connection that is closed, or an
 *           identity that is not in the table; HF_E_NO_MEMORY.
 * Threads   the polling thread alone.
 */
HF_STATUS identity_find(struct identity_cache *cache, const char *peer_name,
                        struct peer **out_peer);
void identity_release(struct peer *peer);
/* identity_took_up: whether a new table was taken up since this was asked last:
 * streams then ask again who they are. */
bool identity_took_up(struct identity_cache *cache);
