/* service: the use cases. Load, decide, do, record.
 *
 * One file per capability (tenants, tokens, customer_keys, deps, mailboxes,
 * keys, audit), all on one struct service. It sees ports, never adapters.
 *
 * Administrative functions block (store, tokens, at most some seconds) and are
 * for the worker pool; the data plane (keys.h) is asynchronous and may be
 * called from a polling thread.
 */
#pragma once

#include "hsm/sys/clock.h"
#include "hsm/sys/rng.h"

#include "hsm/token/token.h"

#include "server/domain/access.h"

#include "server/service/problem.h"
#include "server/service/verifier.h"
#include "server/store/spool.h"
#include "server/store/store.h"

/* Who calls: bound to the connection by the edge, roles by the configuration.
 * Never from request metadata. */
struct caller {
    char identity[HF_URI_MAX_BYTES + 1]; /* SPIFFE URI */
    char tenant[HF_NAME_MAX_BYTES + 1];  /* "": the service's own people */
    uint32_t roles;
};

/* A customers' token of the configuration. All pointers borrowed for the life
 * of the service. */
struct configured_token {
    const char *name;
    const struct token *token; /* open */
    const char *custody_domain;
    const char *custodian_key_pem; /* verifies enrolments */
};

/* A mirror of the tokens of availability keys, as configured_token. */
struct configured_ak_token {
    const char *name;
    bool sharepoint; /* of those of geos */
    const struct token *token;
    uint64_t capacity_objects; /* 0: not known */
};

struct service_settings {
    const struct store *store;
    const struct spool *spool; /* of routine use; NULL: none */
    const struct clock *clock;
    const struct rng *rng;
    const struct token *service_token; /* record MAC key, epoch */
    const struct token *ak_token;
    /* SharePoint's availability keys, apart from the others; NULL: no
     * geo can be registered */
    const struct token *sharepoint_ak_token;
    bool sharepoint_ak_shared;    /* one for all geos: PER_DEPLOYMENT */
    int64_t tik_offset_ms;        /* 0: 50 */
    uint64_t ak_capacity_objects; /* 0: not known */
    const char *ak_token_name;    /* NULL: "ak" */
    const char *sharepoint_ak_token_name; /* NULL: "sharepoint-ak" */
    const struct configured_ak_token *ak_mirrors;
    size_t ak_mirror_count;
    const struct configured_token *tokens;
    size_t token_count;
    uint32_t slow_threads;   /* of the slow lane; 0: 8 */
    uint32_t slow_queue_max; /* 0: 1024 */
    uint32_t row_cache_max;  /* verified resource rows; 0: 65536 */
    int64_t ak_lease_ms;     /* R-15.4a: 0 to HF_AK_LEASE_MAX_MS */
    int64_t attempt_ms;      /* 0: HF_TOKEN_ROOT_DEADLINE_MS */
    int64_t scrub_ms;        /* between looks at all stored copies; 0: none */
    bool checkpoints;        /* of the audit chains are signed */
    int64_t ak_roll_ms;      /* between rolls of availability keys; 0: none */
    int64_t probe_ms;        /* 0: 300000; INT64_MAX: by no time */
    /* NULL: no purge is executed */
    const struct verifier *verifier;
    int64_t purge_hold_ms;         /* from the approval on; 0: none */
    int64_t encryption_overdue_ms; /* 0: 7 days */
};

struct service;

/* service_start: checks the epoch and every sealed record,
 * loads what the hot lane needs, starts the slow lane and the scheduler.
 *
 * Gives     *out_service, ended by service_stop; *problem on failure.
 * Returns   HF_OK; HF_E_CORRUPT the store was changed or rolled back behind the
 *           service's back (which record, or why); HF_E_NOT_FOUND the service's
 *           token lacks its keys (holdfast-hsm service init);
 *           HF_E_UNREACHABLE; HF_E_RESOURCES.
 */
HF_STATUS service_start(const struct service_settings *settings,
                        struct service **out_service, struct problem *problem);

/* service_stop: answers what is queued UNAVAILABLE, ends every lease, joins
 * every thread, frees. NULL-safe. */
void service_stop(struct service *service);

struct service_counters {
    uint64_t store_writes;
    uint64_t root_ops; /* UNWRAP and DECRYPT at customers' tokens */
    uint64_t ak_uses;
    uint64_t hot_calls; /* served by the hot lane */
    uint64_t slow_calls;
    uint64_t overloaded;  /* refused by admission */
    uint64_t leases;      /* live now */
    uint64_t checkpoints; /* signed and recorded */
};
void service_counters_get(struct service *service,
                          struct service_counters *out);

/* etag: the version of a record as text. */
#define ETAG_BYTES 24

/* Whether the client is gone: asked before every side effect, from any thread.
 * All zero: it is not. */
struct cancellation {
    bool (*asked)(void *self);
    void *self;
};

/* What every mutating request carries (R-13 conventions). */
struct mutation {
    char request_id[HF_ID_TEXT]; /* UUID; "": not idempotent */
    /* SHA-256 of the request as it came, so that an id used again for other
     * content is told from a repeat */
    uint8_t content[HF_SHA256_BYTES];
    char etag[ETAG_BYTES]; /* "": not compared */
    bool validate_only;
    struct cancellation cancellation;
};

/* Pages: token "" from the start; next "" at the end. */
#define PAGE_TOKEN_BYTES 200
struct page_request {
    uint32_t size; /* 0: 100; at most 1000 */
    char token[PAGE_TOKEN_BYTES];
};

/* service_pool_run: runs work(argument) on the slow lane, for the edge's
 * administrative calls; false when the queue or the tenant's share of it is
 * full (answer OVERLOADED). tenant may be "". */
typedef void service_work_fn(void *argument);
bool service_pool_run(struct service *service, const char *tenant,
                      service_work_fn *work, void *argument);
