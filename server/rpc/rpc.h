/* rpc: the gRPC server behind the edge.
 *
 * One polling thread. A call is: who is it (the edge knows), may one more be
 * let in, decode, one service call, encode. The data plane is collected over
 * one turn of the loop and handed to keys_submit in one batch; administration
 * runs on the service's slow lane. It listens on a private Unix socket only,
 * for the edge.
 *
 * May not: know a token, a store, a certificate or a configuration file.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/status.h"

#include "server/edge/edge.h"
#include "server/service/service.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who is behind a connection: in holdfastd edge_connection and edge_lookup. */
struct rpc_peers {
    HF_STATUS(*connection)
    (void *self, const char *peer_name, uint64_t *out_connection_id);
    HF_STATUS(*identity)
    (void *self, const char *peer_name, struct edge_identity *out_identity);
    void *self;
};

/* One line of the identity table. */
struct rpc_identity {
    char uri[HF_URI_MAX_BYTES + 1];     /* SPIFFE */
    char tenant[HF_NAME_MAX_BYTES + 1]; /* "": the service's own people */
    uint32_t roles;                     /* enum role */
};

struct rpc_identities;

/* rpc_identities_new: a copy of the lines.
 * Returns   HF_OK; HF_E_EXISTS when a URI stands there twice; HF_E_NO_MEMORY.
 */
HF_STATUS rpc_identities_new(const struct rpc_identity *lines, size_t count,
                             struct rpc_identities **out_table);
void rpc_identities_free(struct rpc_identities *table);
HF_DEFINE_FREEP(struct rpc_identities, rpc_identities)

/* A method that is no service of Holdfast: the echo of the bench binary.
 * Called on the polling thread for a known identity; must not block. Writes at
 * most reply_cap bytes; false: INTERNAL. */
struct rpc_extra_method {
    const char *path; /* "/package.Service/Method" */
    bool (*answer)(void *context, struct bytes request, uint8_t *reply,
                   size_t reply_cap, size_t *out_len);
    void *context;
};
#define RPC_EXTRA_METHODS_MAX 4
#define RPC_EXTRA_REPLY_BYTES 4096

struct rpc_settings {
    const char *socket_path; /* in a directory of mode 0700 */
    struct service *service;
    struct rpc_peers peers;
    struct rpc_identities *identities; /* taken over in any case */
    struct bytes descriptors; /* FileDescriptorSet, borrowed; empty: the one
                                 that was built in */
    const struct clock *clock;
    /* of which one tenant may have half */
    uint32_t data_calls_max;  /* in flight; 0: 1024 */
    uint32_t admin_calls_max; /* in flight; 0: 128 */
    uint32_t streams_max;     /* open at once; 0: 256 */
    bool log_data_plane;      /* a debug line for every OK of it as well */
    const struct rpc_extra_method *extra;
    size_t extra_count;
};

struct rpc;

/* rpc_start: listens and serves.
 *
 * Gives     *out_rpc, ended by rpc_stop.
 * Returns   HF_OK; HF_E_INVALID for a socket path that is too long or whose
 *           directory others may enter, or for descriptors that cannot be read;
 *           HF_E_RESOURCES when the socket or the thread cannot be made;
 *           HF_E_NO_MEMORY.
 */
HF_STATUS rpc_start(const struct rpc_settings *settings, struct rpc **out_rpc);

/* rpc_identities_set: from the next call on, this table; taken over.
 * Threads   safe from any thread. */
void rpc_identities_set(struct rpc *rpc, struct rpc_identities *table);

/* rpc_drain: calls that come in from now on are answered UNAVAILABLE at once
 * (to be repeated elsewhere), those in flight finish, streams are ended. gRPC's
 * own shutdown would answer late ones CANCELLED, so that comes with rpc_stop,
 * once the edge has closed the connections.
 *
 * Returns   true when nothing is in flight any more; false when grace_ms ran
 *           out first.
 * Blocks    at most grace_ms.
 */
bool rpc_drain(struct rpc *rpc, int64_t grace_ms);

/* rpc_stop: cancels what is left, joins, frees. The service must still run.
 * NULL-safe.
 * Blocks    as long as a use case in work still takes. */
void rpc_stop(struct rpc *rpc);

struct rpc_counters {
    uint64_t calls;      /* taken in, refused ones included */
    uint64_t refused;    /* answered with an error */
    uint64_t overloaded; /* of these, by our own admission */
    uint64_t in_flight;  /* now */
    uint64_t turns;      /* of the polling loop */
    uint64_t batches;    /* handed to keys_submit */
};
void rpc_counters_get(const struct rpc *rpc, struct rpc_counters *out);
