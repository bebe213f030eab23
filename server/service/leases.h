/* leases: an unwrapped DEP key, usable for a bounded time.
 *
 *   open --> live --(renewed: another takes its place)--> dead --> forgotten
 *              |                                            ^
 *              +-- expired, revoked, disabled, stale -------+
 *
 * A lease is used between lease_take and lease_release. One that died while it
 * was used is forgotten by its last user: the session object is destroyed, the
 * secret wiped. Ending a lease waits for its users, so that when a revocation
 * is acknowledged no call of before is still being served by it.
 */
#pragma once

#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include "server/domain/lease.h"

#include "server/service/core.h"

struct lease {
    struct service *service;
    struct generation_entry *generation;
    enum lease_source source;
    size_t slot;               /* enum root_slot: of the root that opened it */
    const struct token *token; /* holds the object; NULL: key is in memory */
    struct token_object object;
    struct secret *key;
    int64_t opened_ms; /* monotonic */
    int64_t expires_ms;
    atomic_int_fast64_t used_ms;
    atomic_uint_fast64_t served;
    uint32_t users;    /* this and the next: under generation->lock */
    bool dead;         /* in generation->dying */
    uint64_t revision; /* of the generation when it was opened */
    struct lease *next_dying;
};

/* lease_new: with one user, the caller; not published, so dead when released
 * unless lease_publish was called. Takes over the object or the secret. */
struct lease_opened {
    enum lease_source source;
    size_t slot;
    const struct token *token;
    struct token_object object;
    struct secret *key;
    int64_t opened_ms; /* read before the token was asked (lease.h) */
};
HF_STATUS lease_new(struct service *service,
                    struct generation_entry *generation,
                    const struct lease_opened *opened,
                    struct lease **out_lease);

/* generation_revision: to be read before the facts an opening rests on. */
uint64_t generation_revision(struct generation_entry *generation);

/* lease_publish: others may take it, for the life its source gives it
 * (lease_life_ms) from when it was opened; the one before is dead.
 * Returns   HF_OK; HF_E_CONFLICT when the generation's revision is another:
 *           something was narrowed meanwhile, and the lease must not be used.
 *           With a life of 0 only that is looked at. */
HF_STATUS lease_publish(struct lease *lease, int64_t key_lease_ms,
                        uint64_t revision);

/* lease_take: the live lease, one user more; NULL when there is none, or when
 * the generation's revision is not *revision: the caller's facts are older than
 * a change that narrows. revision NULL: the catalogue's lock is held since the
 * facts were read. */
struct lease *lease_take(struct generation_entry *generation, int64_t now_ms,
                         const uint64_t *revision);
/* lease_take_ak: the same for a lease of the availability key, if it serves a
 * call of these facts (lease_serves). */
struct lease *lease_take_ak(struct generation_entry *generation, int64_t now_ms,
                            const uint64_t *revision,
                            const struct fallback_facts *facts);
/* lease_times_of: what the rules of lease.h look at. generation->lock. */
struct lease_times lease_times_of(const struct lease *lease);
void lease_release(struct lease *lease);
static inline void lease_releasep(struct lease **lease)
{
    if (*lease != NULL) {
        lease_release(*lease);
        *lease = NULL;
    }
}

/* leases_wait_for_all: until every lease of the service is freed. The last user
 * of one may be a token's thread that has answered its call and still has the
 * lease to give back. For the service's stop: nothing opens any more. */
void leases_wait_for_all(struct service *service);

/* lease_drop: this one is stale (its object is gone); dead for everybody. */
void lease_drop(struct lease *lease);
/* lease_survives: an operation that failed so says nothing against the lease:
 * the data is bad, or the token was not asked at all (a queue was full, the
 * call's time was over). Whatever else it is, even our own trouble at that
 * token (no memory there, no descriptors, R-15.12), is no reason to fail a call
 * that another customer key can serve. */
bool lease_survives(enum hf_status failed);
/* leases_narrow: raises the revision; every lease of the generation is dead.
 * Gives the AK lease there was, the caller as a user, for its closing record;
 * one that is published later rests on the narrower facts and lives on.
 * leases_settle: returns when no lease of before the last narrowing is used any
 * more. Blocks until the calls that use them are done. */
struct lease *leases_narrow(struct generation_entry *generation);
void leases_settle(struct generation_entry *generation);
/* lease_detach_ak: takes an AK lease out whose time is over at now_ms, and adds
 * the caller as a user, for its closing record; NULL when there is none.
 * INT64_MAX: whatever time it has left. */
struct lease *lease_detach_ak(struct generation_entry *generation,
                              int64_t now_ms);

/* One operation under a lease, on a thread that may block. in of lease_open is
 * ciphertext and tag. Returns as the token port. */
HF_STATUS lease_seal(const struct lease *lease,
                     const uint8_t iv[HF_GCM_IV_BYTES], struct bytes aad,
                     struct bytes in, uint8_t *out);
HF_STATUS lease_open(const struct lease *lease,
                     const uint8_t iv[HF_GCM_IV_BYTES], struct bytes aad,
                     struct bytes in, uint8_t *out);
