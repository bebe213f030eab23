/* catalogue: the sealed records in memory, checked when they were read, and
 * what is known of them while the service runs (health, leases).
 *
 *   tenant --< token
 *          --< customer key --< version, grant
 *          --< DEP --< generation --- lease, AK lease
 *
 * Entries are made once and live as long as the service: a pointer to one may
 * be kept. Their records change in place, under catalogue->lock for writing,
 * after the ledger has committed; administration holds it just for that.
 * Readers copy what they need under the lock for reading; the hot lane takes it
 * once per batch. What has a lock of its own says so.
 */
#pragma once

#include "server/domain/breaker.h"
#include "server/domain/customer_key.h"
#include "server/domain/dep.h"
#include "server/domain/key_health.h"
#include "server/domain/outage.h"
#include "server/domain/tik.h"

#include "server/service/ledger.h"
#include "server/service/service.h"
#include "server/service/table.h"
#include "server/store/record.h"

#include <pthread.h>
#include <stdatomic.h>

struct onboarding_entry;

struct tenant_entry {
    struct tenant_record record;
    char folded[HF_NAME_MAX_BYTES + 1];
    struct stamp stamp;
    struct dep_entry *multi_workload; /* new keys go under it; NULL: none */
    struct tenant_assignment_record assignment; /* UNASSIGNED from the start */
    struct stamp assignment_stamp;              /* version 0: never assigned */
    struct onboarding_entry *onboardings;       /* onboardings.h; in no order */
    bool ended;                /* it is deleted: the hold is over */
    struct tenant_entry *next; /* in order of creation */
};

struct token_entry {
    struct token_record record;
    struct stamp stamp;
    struct tenant_entry *tenant;
    /* by its name; NULL: none. Read through token_entry_configured (core.h) */
    const struct configured_token *configured;
    struct token_entry *next;
};

#define KEY_VERSIONS_MAX 64
#define KEY_GRANTS_MAX   64

/* Each version is an object of its own in the token: what is known of one says
 * nothing of another, and a DEP rests on the version it was made with. */
struct key_version_entry {
    struct key_version_record record;
    struct stamp stamp;
    pthread_mutex_t health_lock; /* of the next five */
    struct key_health health;
    struct breaker breaker;
    enum hf_status missing; /* HF_OK, or how its token said that it is not
                               there: HF_E_NOT_FOUND, HF_E_UNCONFIRMED */
    enum attempt known;     /* what the last attempt came to (R-15.4a) */
    int64_t known_ms;       /* monotonic; 0: none was made */
    int64_t probed_ms;      /* monotonic, when the last probe began */
    atomic_bool probing;
    atomic_int health_recorded; /* in the audit chain (chronicle.h) */
    /* when it last opened something, wall clock; 0: never */
    atomic_int_fast64_t first_used_ms;
    atomic_int_fast64_t last_used_ms;
    atomic_int_fast64_t use_recorded_ms; /* the use that was recorded last */
};

struct grant_entry {
    struct grant_record record;
    struct stamp stamp;
};

struct key_entry {
    struct customer_key_record record;
    struct stamp stamp;
    struct tenant_entry *tenant;
    struct token_entry *token;
    struct key_version_entry *versions[KEY_VERSIONS_MAX]; /* version - 1 */
    struct grant_entry *grants[KEY_GRANTS_MAX];
    size_t grant_count;
    pthread_mutex_t health_lock; /* of the two below */
    struct key_health health;
    struct breaker breaker;
    int64_t probed_ms; /* monotonic, when the last probe began */
    atomic_bool probing;
    atomic_bool retiring; /* its retention is over, and is being ended */
    atomic_int_fast64_t retention_retry_ms; /* monotonic; 0: at once */
    struct key_entry *next;
};

struct lease;
struct key_call;

/* One generation of a DEP's key, and its leases (leases.h). */
struct generation_entry {
    struct generation_record record;
    struct stamp stamp;
    struct dep_entry *dep;
    struct key_entry
        *keys[HF_CUSTOMER_KEYS_PER_DEP]; /* NULL: SERVICE_MANAGED */
    struct key_version_entry *versions[HF_CUSTOMER_KEYS_PER_DEP];

    pthread_mutex_t lock;   /* of all below; nothing is called while held */
    pthread_cond_t drained; /* a dying lease is gone */
    struct lease *lease;
    struct lease *ak_lease;
    struct lease *dying; /* not to be had any more, still used */
    /* raised by every change that narrows: what was opened before it with
     * facts of before it is not used */
    uint64_t revision;
    /* one acquisition at a time per set of keys the caller may use */
    bool acquiring[4];
    struct key_call *parked[4];
    /* when the copy last proved bad, which is no fault of the key; monotonic,
     * 0: never */
    int64_t bad_copy_ms[HF_CUSTOMER_KEYS_PER_DEP];
    atomic_bool renewing;  /* a renewal is under way */
    atomic_bool closed;    /* no lease any more: its root is about to go */
    atomic_bool root_gone; /* retired, and its root destroyed since the start */
    uint64_t seals_next;
    uint64_t seals_end;
    /* in the outage that goes on: monotonic, when the availability key opened
     * it last; 0: not. Under the lock of notices.c */
    int64_t fell_back_ms;
    struct tik_entry tik; /* of a SHAREPOINT_GEO: its lease as a cached TIK */
};

struct dep_entry {
    struct dep_record record;
    struct stamp stamp;
    struct tenant_entry *tenant;
    struct generation_entry *generations[DEP_GENERATIONS_MAX]; /* gen - 1 */
    bool closed; /* its keys are being destroyed, or are: they serve nobody */
    atomic_uint assigned_count;
    atomic_int health;          /* enum dep_health last told to the watcher */
    atomic_int health_recorded; /* in the audit chain (chronicle.h) */
    struct outage outage;  /* of its customer keys: notices.h, as the next */
    int64_t notice_ms;     /* the time of its newest notice; 0: none */
    struct geo_entry *geo; /* SHAREPOINT_GEO: whose it is */
    struct dep_entry *next;
};

struct geo_entry {
    struct geo_record record;
    struct stamp stamp;
    struct tenant_entry *tenant;
    struct dep_entry *dep; /* NULL: UNREGISTERED */
    struct geo_entry *next;
};

struct catalogue {
    pthread_rwlock_t lock;
    struct table *tenants_by_name; /* folded */
    struct table *tenants_by_id;
    struct table *tokens_by_id;
    struct table *keys_by_id;
    struct table *deps_by_id;
    struct table *geos_by_id;
    struct tenant_entry *tenants; /* lists: oldest first */
    struct token_entry *tokens;
    struct key_entry *keys;
    struct dep_entry *deps;
    struct geo_entry *geos;
};

/* catalogue_load: every sealed record of the ledger, linked together.
 * Returns   HF_OK; HF_E_CORRUPT with *problem naming the record that leads
 *           nowhere; HF_E_NO_MEMORY; the store's failures. */
HF_STATUS catalogue_load(struct service *service, struct problem *problem);
void catalogue_free(struct catalogue *catalogue);

/* Finding: under the lock for reading (or writing). NULL: not there. */
struct tenant_entry *catalogue_tenant(struct catalogue *catalogue,
                                      const char *name);
struct tenant_entry *catalogue_tenant_by_id(struct catalogue *catalogue,
                                            const struct hf_id *id);
struct token_entry *catalogue_token(struct catalogue *catalogue,
                                    const struct tenant_entry *tenant,
                                    const char *name);
/* catalogue_key: an active one: a soft-deleted key is invisible.
 * catalogue_deleted_key: a soft-deleted one; at most one of a name is either.
 */
struct key_entry *catalogue_key(struct catalogue *catalogue,
                                const struct tenant_entry *tenant,
                                const char *name);
struct key_entry *catalogue_deleted_key(struct catalogue *catalogue,
                                        const struct tenant_entry *tenant,
                                        const char *name);
/* type 0: any; of a name that DEPs of several types have, the one of the lowest
 * type: the mailbox DEP. */
struct dep_entry *catalogue_dep(struct catalogue *catalogue,
                                const struct tenant_entry *tenant,
                                const char *id_or_name, enum dep_type type);
struct dep_entry *catalogue_dep_by_id(struct catalogue *catalogue,
                                      const struct hf_id *id);
struct generation_entry *catalogue_generation(const struct dep_entry *dep,
                                              uint32_t generation);
struct grant_entry *key_entry_grant(const struct key_entry *key,
                                    const char *identity);

/* Adding, after the commit: takes the lock for writing itself. The entry's
 * record and stamp are filled; links are made here. What is nothing without
 * another (a key without a version, a DEP without a generation) is added with
 * it, so that nobody ever sees one without the other.
 * Returns   HF_OK or HF_E_NO_MEMORY (the entry is then still the caller's). */
HF_STATUS catalogue_add_tenant(struct service *service,
                               struct tenant_entry *entry);
HF_STATUS catalogue_add_token(struct service *service,
                              struct token_entry *entry);
HF_STATUS catalogue_add_key(struct service *service, struct key_entry *entry,
                            struct key_version_entry *first);
HF_STATUS catalogue_add_key_version(struct service *service,
                                    struct key_version_entry *entry);
HF_STATUS catalogue_add_grant(struct service *service,
                              struct grant_entry *entry);
/* catalogue_set_assignment: what the tenant's assignment has become, after the
 * commit. The lock for writing is held. HF_OK; HF_E_CORRUPT: it names what is
 * no multi-workload DEP of the tenant. */
HF_STATUS
catalogue_set_assignment(struct catalogue *catalogue,
                         const struct tenant_assignment_record *assignment,
                         const struct stamp *stamp);
HF_STATUS catalogue_add_dep(struct service *service, struct dep_entry *entry,
                            struct generation_entry *first);
/* One more generation, and what the DEP's record says since: nobody sees the
 * one without the other. */
HF_STATUS catalogue_add_generation(struct service *service,
                                   struct generation_entry *entry,
                                   const struct dep_record *dep,
                                   const struct stamp *stamp);
/* New empty entries, with locks made. NULL: no memory. */
struct key_version_entry *key_version_entry_new(void);
void key_version_entry_free(struct key_version_entry *version);
struct generation_entry *generation_entry_new(void);
void generation_entry_free(struct generation_entry *generation);

/* key_verdict: may identity use this version for that, now. Under the
 * lock. */
struct customer_key_verdict key_verdict(const struct key_entry *key,
                                        const struct key_version_entry *version,
                                        const char *identity,
                                        enum customer_key_use use,
                                        int64_t wall_ms);
