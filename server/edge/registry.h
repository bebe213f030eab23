/* registry: the names of open connections, and who is behind each.
 *
 * A name is given once and never again: it holds 128 random bits of this
 * registry and a connection id whose upper 48 bits only count up. The lower 16
 * bits are the slot, so that finding is one array access, not a search.
 *
 * The loop's thread adds and removes; any thread finds.
 */
#pragma once

#include "hsm/base/own.h"

#include "hsm/sys/rng.h"

#include "server/edge/edge.h"

#include <sys/socket.h>
#include <sys/un.h>

struct registry;

/* registry_new: room for capacity connections (1 to EDGE_CONNECTIONS_MAX), at
 * most per_identity_max of one URI.
 *
 * Gives     *out_registry, freed with registry_free.
 * Returns   HF_OK; HF_E_NO_MEMORY; HF_E_INTERNAL when rng fails.
 */
HF_STATUS registry_new(size_t capacity, size_t per_identity_max,
                       const struct rng *rng, struct registry **out_registry);
void registry_free(struct registry *registry);
HF_DEFINE_FREEP(struct registry, registry)

/* registry_add: files identity under a new name.
 *
 * Gives     *out_id, which identity's copy in the registry carries too.
 * Returns   HF_OK; HF_E_LIMIT when this URI has per_identity_max already;
 *           HF_E_OVERLOAD when there is no free slot.
 * Threads   the loop's only.
 */
HF_STATUS registry_add(struct registry *registry,
                       const struct edge_identity *identity, uint64_t *out_id);

/* registry_remove: the name is unknown from here on. Threads: the loop's. */
void registry_remove(struct registry *registry, uint64_t id);

/* registry_address: the abstract socket address of a name, to be bound. */
void registry_address(const struct registry *registry, uint64_t id,
                      struct sockaddr_un *out_address, socklen_t *out_len);

/* registry_find, registry_find_id: as edge_lookup and edge_connection. */
HF_STATUS registry_find(struct registry *registry, const char *peer_name,
                        struct edge_identity *out_identity);
HF_STATUS registry_find_id(const struct registry *registry,
                           const char *peer_name, uint64_t *out_id);
