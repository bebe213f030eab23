#include "server/service/leases.h"

#include "hsm/base/check.h"

#include "server/service/aead.h"

#include <stdlib.h>
#include <time.h>

static void forgotten(struct token_request *request)
{
    /* a session object that could not be destroyed dies with its session */
    free(request);
}

/* No lock is held: the token is called. The count comes last: a service that
 * stops waits for it (leases_wait_for_all), and is gone then. */
static void lease_free(struct lease *lease)
{
    struct service *service = lease->service;
    if (lease->token != NULL) {
        struct token_request *request = calloc(1, sizeof *request);
        if (request != NULL) {
            request->op = TOKEN_OP_FORGET;
            request->u.forget = lease->object;
            request->done = forgotten;
            token_submit(lease->token, &request, 1);
        }
    }
    secret_free(lease->key);
    free(lease);
    atomic_fetch_sub(&service->leases, 1);
}

void leases_wait_for_all(struct service *service)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    while (atomic_load(&service->leases) > 0) {
        nanosleep(&pause, NULL);
    }
}

/* --- under the generation's lock ---------------------------------------- */

static void add_dying(struct lease *lease)
{
    lease->dead = true;
    lease->next_dying = lease->generation->dying;
    lease->generation->dying = lease;
}

static void remove_dying(struct lease *lease)
{
    struct lease **link = &lease->generation->dying;
    while (*link != lease) {
        CHECK(*link != NULL);
        link = &(*link)->next_dying;
    }
    *link = lease->next_dying;
    lease->next_dying = NULL;
    lease->dead = false;
    pthread_cond_broadcast(&lease->generation->drained);
}

static struct lease **place_of(const struct lease *lease)
{
    return lease->source == LEASE_BY_AVAILABILITY_KEY
               ? &lease->generation->ak_lease
               : &lease->generation->lease;
}

/* Gives the lease to free (outside the lock) when nobody uses it. */
static struct lease *kill(struct lease **place)
{
    struct lease *lease = *place;
    *place = NULL;
    if (lease == NULL || lease->users == 0) {
        return lease;
    }
    add_dying(lease);
    return NULL;
}

/* Dead for everybody, and the caller its user; NULL: there is none. */
static struct lease *detach_ak(struct generation_entry *generation)
{
    struct lease *lease = generation->ak_lease;
    if (lease != NULL) {
        lease->users++;
        CHECK(kill(&generation->ak_lease) == NULL);
    }
    return lease;
}

/* ------------------------------------------------------------------------ */

HF_STATUS lease_new(struct service *service,
                    struct generation_entry *generation,
                    const struct lease_opened *opened, struct lease **out_lease)
{
    struct lease *lease = calloc(1, sizeof *lease);
    if (lease == NULL) {
        return HF_E_NO_MEMORY;
    }
    lease->service = service;
    lease->generation = generation;
    lease->source = opened->source;
    lease->slot = opened->slot;
    lease->token = opened->token;
    lease->object = opened->object;
    lease->key = opened->key;
    lease->opened_ms = opened->opened_ms;
    lease->users = 1;
    atomic_fetch_add(&service->leases, 1);
    pthread_mutex_lock(&generation->lock);
    lease->revision = generation->revision;
    add_dying(lease);
    pthread_mutex_unlock(&generation->lock);
    *out_lease = lease;
    return HF_OK;
}

uint64_t generation_revision(struct generation_entry *generation)
{
    pthread_mutex_lock(&generation->lock);
    uint64_t revision = generation->revision;
    pthread_mutex_unlock(&generation->lock);
    return revision;
}

struct lease_times lease_times_of(const struct lease *lease)
{
    return (struct lease_times){
        .source = lease->source,
        .opened_ms = lease->opened_ms,
        .expires_ms = lease->expires_ms,
        .last_used_ms = atomic_load(&lease->used_ms),
    };
}

HF_STATUS lease_publish(struct lease *lease, int64_t key_lease_ms,
                        uint64_t revision)
{
    int64_t life_ms = lease_life_ms(lease->source, key_lease_ms,
                                    lease->service->settings.ak_lease_ms);
    struct generation_entry *generation = lease->generation;
    struct lease *before = NULL;
    pthread_mutex_lock(&generation->lock);
    bool current = generation->revision == revision;
    if (current && life_ms > 0) {
        before = kill(place_of(lease));
        lease->expires_ms = lease->opened_ms + life_ms;
        /* unused by anyone until somebody takes it: a renewal is no use */
        atomic_store(&lease->used_ms, lease->opened_ms - 1);
        remove_dying(lease);
        *place_of(lease) = lease;
    }
    pthread_mutex_unlock(&generation->lock);
    if (before != NULL) {
        lease_free(before);
    }
    return current ? HF_OK : HF_E_CONFLICT;
}

static struct lease *take(struct generation_entry *generation,
                          struct lease **place, int64_t now_ms,
                          const uint64_t *revision,
                          const struct fallback_facts *facts)
{
    struct lease *expired = NULL;
    pthread_mutex_lock(&generation->lock);
    struct lease *lease = *place;
    if (revision != NULL && *revision != generation->revision) {
        lease = NULL;
    }
    if (lease != NULL) {
        struct lease_times times = lease_times_of(lease);
        /* a caller may have read the clock before another opened it */
        int64_t at_ms = now_ms > times.opened_ms ? now_ms : times.opened_ms;
        bool live = lease_is_live(&times, at_ms);
        /* an AK lease stays for its closing record */
        if (!live && lease->source != LEASE_BY_AVAILABILITY_KEY) {
            expired = kill(place);
        }
        if (!live || !lease_serves(&times, at_ms, facts)) {
            lease = NULL;
        }
    }
    if (lease != NULL) {
        lease->users++;
    }
    pthread_mutex_unlock(&generation->lock);
    if (expired != NULL) {
        lease_free(expired);
    }
    if (lease != NULL) {
        atomic_store_explicit(&lease->used_ms, now_ms, memory_order_relaxed);
    }
    return lease;
}

struct lease *lease_take(struct generation_entry *generation, int64_t now_ms,
                         const uint64_t *revision)
{
    return take(generation, &generation->lease, now_ms, revision, NULL);
}

struct lease *lease_take_ak(struct generation_entry *generation, int64_t now_ms,
                            const uint64_t *revision,
                            const struct fallback_facts *facts)
{
    return take(generation, &generation->ak_lease, now_ms, revision, facts);
}

void lease_release(struct lease *lease)
{
    struct generation_entry *generation = lease->generation;
    pthread_mutex_lock(&generation->lock);
    CHECK(lease->users > 0);
    lease->users--;
    bool last = lease->dead && lease->users == 0;
    if (last) {
        remove_dying(lease);
    }
    pthread_mutex_unlock(&generation->lock);
    if (last) {
        lease_free(lease);
    }
}

bool lease_survives(enum hf_status failed)
{
    return failed == HF_E_BAD_BLOB || failed == HF_E_EXPIRED ||
           failed == HF_E_OVERLOAD || failed == HF_E_CANCELLED;
}

void lease_drop(struct lease *lease)
{
    struct generation_entry *generation = lease->generation;
    pthread_mutex_lock(&generation->lock);
    if (*place_of(lease) == lease) {
        /* the caller is a user, so there is nothing to free here */
        CHECK(kill(place_of(lease)) == NULL);
    }
    pthread_mutex_unlock(&generation->lock);
}

/* Only those of before count: calls admitted since know the narrower facts. */
static bool has_dying_of_before(const struct generation_entry *generation)
{
    for (const struct lease *lease = generation->dying; lease != NULL;
         lease = lease->next_dying) {
        if (lease->revision < generation->revision) {
            return true;
        }
    }
    return false;
}

struct lease *leases_narrow(struct generation_entry *generation)
{
    pthread_mutex_lock(&generation->lock);
    generation->revision++;
    struct lease *lease = kill(&generation->lease);
    struct lease *ak_lease = detach_ak(generation);
    pthread_mutex_unlock(&generation->lock);
    if (lease != NULL) {
        lease_free(lease);
    }
    return ak_lease;
}

void leases_settle(struct generation_entry *generation)
{
    pthread_mutex_lock(&generation->lock);
    while (has_dying_of_before(generation)) {
        pthread_cond_wait(&generation->drained, &generation->lock);
    }
    pthread_mutex_unlock(&generation->lock);
}

struct lease *lease_detach_ak(struct generation_entry *generation,
                              int64_t now_ms)
{
    struct lease *lease = NULL;
    pthread_mutex_lock(&generation->lock);
    if (generation->ak_lease != NULL &&
        now_ms >= generation->ak_lease->expires_ms) {
        lease = detach_ak(generation);
    }
    pthread_mutex_unlock(&generation->lock);
    return lease;
}

static HF_STATUS in_token(const struct lease *lease, enum token_op op,
                          struct token_aead *aead)
{
    struct token_request request = {.op = op, .u.aead = *aead};
    request.u.aead.key = lease->object;
    return token_call(lease->token, &request);
}

HF_STATUS lease_seal(const struct lease *lease,
                     const uint8_t iv[HF_GCM_IV_BYTES], struct bytes aad,
                     struct bytes in, uint8_t *out)
{
    if (lease->token == NULL) {
        return aead_seal(lease->key, iv, aad, in, out);
    }
    struct token_aead aead = {
        .aad = aad,
        .in = in,
        .out = out,
        .out_cap = in.len + HF_GCM_TAG_BYTES,
    };
    for (size_t i = 0; i < HF_GCM_IV_BYTES; i++) {
        aead.iv[i] = iv[i];
    }
    return in_token(lease, TOKEN_OP_SEAL, &aead);
}

HF_STATUS lease_open(const struct lease *lease,
                     const uint8_t iv[HF_GCM_IV_BYTES], struct bytes aad,
                     struct bytes in, uint8_t *out)
{
    if (lease->token == NULL) {
        return aead_open(lease->key, iv, aad, in, out);
    }
    struct token_aead aead = {
        .aad = aad,
        .in = in,
        .out = out,
        .out_cap = in.len - HF_GCM_TAG_BYTES,
    };
    for (size_t i = 0; i < HF_GCM_IV_BYTES; i++) {
        aead.iv[i] = iv[i];
    }
    return in_token(lease, TOKEN_OP_OPEN, &aead);
}
