#include "server/rpc/identity.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Connection ids count up, so that as many open connections as slots do not
 * push each other out. */
#define SLOTS 16384

struct rpc_identities {
    size_t count;
    struct rpc_identity lines[]; /* ordered by uri */
};

struct identity_cache {
    struct rpc_peers peers;
    struct rpc_identities *table; /* the polling thread's */
    _Atomic(struct rpc_identities *) next;
    bool took_up; /* since identity_took_up */
    struct peer *slots[SLOTS];
};

static int order_lines(const void *a, const void *b)
{
    const struct rpc_identity *left = a;
    const struct rpc_identity *right = b;
    return strcmp(left->uri, right->uri);
}

HF_STATUS rpc_identities_new(const struct rpc_identity *lines, size_t count,
                             struct rpc_identities **out_table)
{
    HF_OWNED(rpc_identities_freep)
    struct rpc_identities *table =
        calloc(1, sizeof *table + count * sizeof table->lines[0]);
    if (table == NULL) {
        return HF_E_NO_MEMORY;
    }
    table->count = count;
    if (count > 0) {
        memcpy(table->lines, lines, count * sizeof table->lines[0]);
        qsort(table->lines, count, sizeof table->lines[0], order_lines);
    }
    for (size_t i = 1; i < count; i++) {
        if (order_lines(&table->lines[i - 1], &table->lines[i]) == 0) {
            return HF_E_EXISTS;
        }
    }
    *out_table = HF_GIVE(table);
    return HF_OK;
}

void rpc_identities_free(struct rpc_identities *table)
{
    free(table);
}

static int order_key(const void *key, const void *line)
{
    return strcmp(key, ((const struct rpc_identity *)line)->uri);
}

static const struct rpc_identity *find_line(const struct rpc_identities *table,
                                            const char *uri)
{
    return bsearch(uri, table->lines, table->count, sizeof table->lines[0],
                   order_key);
}

HF_STATUS identity_cache_new(const struct rpc_peers *peers,
                             struct rpc_identities *table,
                             struct identity_cache **out_cache)
{
    struct identity_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        return HF_E_NO_MEMORY;
    }
    cache->peers = *peers;
    cache->table = table;
    atomic_init(&cache->next, NULL);
    *out_cache = cache;
    return HF_OK;
}

static void forget_all(struct identity_cache *cache)
{
    for (size_t i = 0; i < SLOTS; i++) {
        identity_release(cache->slots[i]);
        cache->slots[i] = NULL;
    }
}

void identity_cache_free(struct identity_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    forget_all(cache);
    rpc_identities_free(cache->table);
    rpc_identities_free(atomic_load(&cache->next));
    free(cache);
}

void identity_cache_swap(struct identity_cache *cache,
                         struct rpc_identities *table)
{
    /* one that was never taken up is freed here */
    rpc_identities_free(atomic_exchange(&cache->next, table));
}

void identity_release(struct peer *peer)
{
    if (peer != NULL && --peer->refs == 0) {
        free(peer);
    }
}

static void take_up_table(struct identity_cache *cache)
{
    if (atomic_load_explicit(&cache->next, memory_order_relaxed) == NULL) {
        return;
    }
    rpc_identities_free(cache->table);
    cache->table = atomic_exchange(&cache->next, NULL);
    cache->took_up = true;
    forget_all(cache);
}

bool identity_took_up(struct identity_cache *cache)
{
    take_up_table(cache);
    bool took_up = cache->took_up;
    cache->took_up = false;
    return took_up;
}

static HF_STATUS make_peer(const struct identity_cache *cache,
                           const char *peer_name, struct peer **out_peer)
{
    struct edge_identity identity;
    HF_TRY(cache->peers.identity(cache->peers.self, peer_name, &identity));
    const struct rpc_identity *line = find_line(cache->table, identity.uri);
    if (line == NULL) {
        return HF_E_NOT_FOUND;
    }
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        return HF_E_NO_MEMORY;
    }
    memcpy(peer->caller.identity, line->uri, sizeof peer->caller.identity);
    memcpy(peer->caller.tenant, line->tenant, sizeof peer->caller.tenant);
    peer->caller.roles = line->roles;
    peer->connection_id = identity.connection_id;
    peer->refs = 1;
    *out_peer = peer;
    return HF_OK;
}

HF_STATUS identity_find(struct identity_cache *cache, const char *peer_name,
                        struct peer **out_peer)
{
    take_up_table(cache);
    uint64_t connection_id = 0;
    HF_TRY(
        cache->peers.connection(cache->peers.self, peer_name, &connection_id));
    struct peer **slot = &cache->slots[connection_id % SLOTS];
    if (*slot == NULL || (*slot)->connection_id != connection_id) {
        struct peer *peer = NULL;
        HF_TRY(make_peer(cache, peer_name, &peer));
        identity_release(*slot);
        *slot = peer;
    }
    (*slot)->refs++;
    *out_peer = *slot;
    return HF_OK;
}
