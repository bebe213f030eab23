#include "server/service/opening.h"

#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "server/domain/attempt_order.h"

#include "server/service/acquiring.h"
#include "server/service/ak_audit.h"
#include "server/service/attempt.h"
#include "server/service/notices.h"
#include "server/service/opening_facts.h"
#include "server/service/opening_inside.h"
#include "server/service/tik_cache.h"

#include <string.h>

/* a call is handed round so often before it is told to come again */
#define TRIES_MAX 8
/* and so often it is opened after facts read anew, when a change overtakes */
#define ROUNDS_MAX 2
/* the slot of acquiring and parked for the availability key: no caller who may
 * use no customer key ever acquires with one */
#define MASK_AK 0

struct lease *opening_untainted(struct lease *lease,
                                const struct key_call *call)
{
    if (lease == NULL || !liars_has(&call->liars, lease->token)) {
        return lease;
    }
    lease_drop(lease);
    lease_release(lease);
    return NULL;
}

static struct lease *take_live(struct service *service,
                               struct generation_entry *generation,
                               const struct opening_facts *facts,
                               const struct key_call *call)
{
    return opening_untainted(
        lease_take(generation, service_monotonic_ms(service), &facts->revision),
        call);
}

struct lease *opening_take(struct service *service,
                           struct generation_entry *generation,
                           const struct key_call *call, int64_t now_ms)
{
    struct opening_facts facts = {.revision = 0};
    opening_facts_locked(service, generation, call->caller, &facts);
    /* a cached TIK outlives a revocation, but is for no stranger */
    bool let_in = facts.gate == GATE_OPEN ||
                  (facts.gate == GATE_WITHDRAWN && is_tik(generation));
    return let_in && dep_may_unwrap(facts.state)
               ? opening_untainted(lease_take(generation, now_ms, NULL), call)
               : NULL;
}

static enum opening refuse(struct key_call *call, enum reason reason,
                           const char *text)
{
    call->status = problem_set(&call->problem, reason, "%s", text);
    return OPENING_REFUSED;
}

/* neither which key, nor why. */
enum opening opening_refuse(struct key_call *call, enum reason reason)
{
    static const struct {
        enum answer_code code;
        const char *text;
    } texts[] = {
        {ANSWER_PERMISSION_DENIED,
         "access to the keys of this resource is refused"                     },
        {ANSWER_DATA_LOSS,           "the wrapped key does not open"          },
        {ANSWER_FAILED_PRECONDITION, "the keys of this resource are destroyed"},
        {ANSWER_RESOURCE_EXHAUSTED,  "the service is busy; repeat later"      },
    };
    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        if (reason_code(reason) == texts[i].code) {
            return refuse(call, reason, texts[i].text);
        }
    }
    return refuse(call, reason,
                  "the keys of this resource cannot be reached just now");
}

static enum opening refuse_changed(struct key_call *call)
{
    return refuse(call, REASON_KEY_UNAVAILABLE,
                  "the keys of this resource changed meanwhile; repeat");
}

/* --- customer keys ------------------------------------------------------ */

static bool breaker_skips(struct key_version_entry *version)
{
    pthread_mutex_lock(&version->health_lock);
    bool skips = breaker_is_open(&version->breaker);
    pthread_mutex_unlock(&version->health_lock);
    return skips;
}

/* It gave this call a wrong key under CKR_OK. */
static bool is_liar(struct service *service,
                    const struct generation_entry *generation, size_t slot,
                    const struct key_call *call)
{
    const struct configured_token *token =
        call == NULL || call->liars.count == 0
            ? NULL
            : token_entry_ask(service, generation->keys[slot]->token);
    return token != NULL && liars_has(&call->liars, token->token);
}

/* call: NULL: it is for no call. */
static enum attempt try_key(struct service *service,
                            struct generation_entry *generation, size_t slot,
                            const struct opening_facts *facts,
                            const struct key_call *call,
                            struct lease **out_lease)
{
    if (!facts->verdicts[slot].allowed) {
        return ATTEMPT_DENIED; /* the token is not asked */
    }
    if (is_liar(service, generation, slot, call)) {
        return ATTEMPT_BAD_BLOB;
    }
    if (breaker_skips(generation->versions[slot])) {
        return ATTEMPT_TRANSIENT; /* R-15.4b */
    }
    return attempt_of(attempt_customer_key(service, generation, slot,
                                           call == NULL ? 0 : call->deadline_ms,
                                           out_lease));
}

/* one at random, then the other. */
static HF_STATUS try_both(struct service *service,
                          struct generation_entry *generation,
                          const struct opening_facts *facts,
                          const struct key_call *call,
                          enum attempt results[HF_CUSTOMER_KEYS_PER_DEP],
                          struct lease **out_lease)
{
    uint8_t random = 0;
    HF_TRY(rng_fill(service->settings.rng, &random, sizeof random));
    size_t first = first_attempt_slot(random);
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        size_t slot = i == 0 ? first : 1 - first;
        results[slot] =
            try_key(service, generation, slot, facts, call, out_lease);
        if (results[slot] == ATTEMPT_OK) {
            return HF_OK;
        }
    }
    return HF_E_UNREACHABLE;
}

/* --- the availability key ----------------------------------------------- */

static struct fallback_facts
fallback_facts_of(struct service *service, struct generation_entry *generation,
                  const struct opening_facts *facts,
                  const struct key_call *call, const enum attempt *results)
{
    return (struct fallback_facts){
        .results = {results[0], results[1]},
        .initiator = call->initiator,
        .dep_type = facts->type,
        .ak_state = facts->ak_state,
        .purge_requested =
            facts->state == DEP_PURGE_REQUESTED || facts->state == DEP_PURGING,
        .limit_ms = facts->limit_ms,
        .outage_ms = notices_lasts_ms(service, generation->dep),
    };
}

/* Opens with the availability key; the record first, then the result
 * no record, no AK). */
enum opening opening_by_ak(struct service *service,
                           struct generation_entry *generation,
                           const struct opening_facts *facts,
                           struct key_call *call, const enum attempt *results,
                           struct lease **out_lease)
{
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    if (call->cancelled != NULL && call->cancelled(call)) {
        return refuse(call, REASON_CANCELLED, "cancelled");
    }
    enum hf_status status = attempt_service_root(
        service, generation, call->deadline_ms, &call->liars, &lease);
    if (status != HF_OK) {
        log_event(LOG_ERROR, "availability_key.failed",
                  LOG_TEXT("status", hf_status_name(status)));
        return opening_refuse(call, fallback_on_ak_failure(status));
    }
    atomic_fetch_add(&service->ak_uses, 1);
    const struct fallback_facts fallback =
        fallback_facts_of(service, generation, facts, call, results);
    status = fallback_decide(&fallback).outage
                 ? notices_record_use(service, generation, call, results)
                 : ak_audit_use(service, generation, call, results);
    if (status != HF_OK) {
        log_event(LOG_ERROR, "availability_key.not_recorded",
                  LOG_TEXT("status", hf_status_name(status)));
        return refuse(call, REASON_SERVICE_UNAVAILABLE,
                      "the use of the availability key could not be recorded");
    }
    atomic_fetch_add(&lease->served, 1);
    if (lease_publish(lease, facts->key_lease_ms, facts->revision) != HF_OK) {
        return refuse_changed(call);
    }
    *out_lease = HF_GIVE(lease);
    return OPENING_READY;
}

static enum opening by_availability_key(struct service *service,
                                        struct generation_entry *generation,
                                        const struct opening_facts *facts,
                                        struct key_call *call,
                                        const enum attempt *results,
                                        struct lease **out_lease)
{
    bool shared = service->settings.ak_lease_ms > 0;
    const struct fallback_facts fallback =
        fallback_facts_of(service, generation, facts, call, results);
    int64_t now_ms = service_monotonic_ms(service);
    struct lease *lease =
        lease_take_ak(generation, now_ms, &facts->revision, &fallback);
    bool lied = lease != NULL && liars_has(&call->liars, lease->token);
    if (lease != NULL && !lied) {
        atomic_fetch_add(&lease->served, 1);
        *out_lease = lease;
        return OPENING_READY;
    }
    opening_close_ak(service, generation, lied ? INT64_MAX : now_ms);
    if (lied) {
        lease_release(lease);
    }
    if (shared && !acquire_or_park(generation, MASK_AK, call)) {
        return OPENING_PARKED;
    }
    enum opening opening =
        opening_by_ak(service, generation, facts, call, results, out_lease);
    if (shared) {
        acquired(service, generation, MASK_AK, NULL);
    }
    return opening;
}

static enum opening
fall_back(struct service *service, struct generation_entry *generation,
          const struct opening_facts *facts, struct key_call *call,
          const enum attempt *results, struct lease **out_lease)
{
    const struct fallback_facts fallback =
        fallback_facts_of(service, generation, facts, call, results);
    struct fallback_verdict verdict = fallback_decide(&fallback);
    if (verdict.alert) {
        char dep[HF_ID_TEXT];
        id_format(&generation->record.dep, dep);
        log_event(LOG_ERROR, "dep_key.alert", LOG_TEXT("dep", dep),
                  LOG_TEXT("ck1", attempt_text(results[0])),
                  LOG_TEXT("ck2", attempt_text(results[1])));
    }
    if (!verdict.use_ak) {
        return opening_refuse(call, verdict.reason);
    }
    if (verdict.outage) {
        notices_note_use(service, generation);
    }
    return by_availability_key(service, generation, facts, call, results,
                               out_lease);
}

/* What is known now of one customer key, by whatever attempt: another DEP's, a
 * test's, a probe's; and of this generation's copy. False: not since since_ms,
 * or the key answers again and is to be asked. The generation's lock is held.
 */
static bool known_of(const struct generation_entry *generation, size_t slot,
                     int64_t since_ms, enum attempt *out)
{
    struct key_version_entry *version = generation->versions[slot];
    int64_t bad_copy_ms = generation->bad_copy_ms[slot];
    pthread_mutex_lock(&version->health_lock);
    int64_t known_ms = version->known_ms;
    *out = version->known;
    pthread_mutex_unlock(&version->health_lock);
    if (*out == ATTEMPT_OK && bad_copy_ms >= known_ms) {
        *out = ATTEMPT_BAD_BLOB;
    }
    return known_ms > 0 && known_ms >= since_ms && *out != ATTEMPT_OK;
}

/* R-15.4a: what is known now, if it is fresh for both keys and an AK lease
 * lives; then nobody needs to ask the tokens again. */
static bool known_results(struct service *service,
                          struct generation_entry *generation,
                          const struct opening_facts *facts,
                          enum attempt results[HF_CUSTOMER_KEYS_PER_DEP])
{
    int64_t now_ms = service_monotonic_ms(service);
    bool known = false;
    pthread_mutex_lock(&generation->lock);
    const struct lease *lease = generation->ak_lease;
    if (lease != NULL) {
        struct lease_times times = lease_times_of(lease);
        known = lease_is_live(&times, now_ms);
    }
    for (size_t slot = 0; known && slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        if (!facts->verdicts[slot].allowed) {
            results[slot] = ATTEMPT_DENIED;
            continue;
        }
        known = known_of(generation, slot,
                         lease->opened_ms - HF_AK_LEASE_MAX_MS, &results[slot]);
    }
    pthread_mutex_unlock(&generation->lock);
    return known;
}

bool opening_shared_results(const struct generation_entry *generation,
                            const struct opening_facts *facts,
                            const struct key_call *call,
                            enum attempt results[HF_CUSTOMER_KEYS_PER_DEP])
{
    if (!call->has_results || call->results_revision != facts->revision ||
        !id_equal(&call->results_dep, &generation->record.dep) ||
        call->results_generation != generation->record.generation) {
        return false;
    }
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        results[slot] = facts->verdicts[slot].allowed
                            ? (enum attempt)call->results[slot]
                            : ATTEMPT_DENIED;
    }
    return true;
}

/* --- all together ------------------------------------------------------- */

static enum opening acquire(struct service *service,
                            struct generation_entry *generation,
                            const struct opening_facts *facts,
                            struct key_call *call, struct lease **out_lease)
{
    enum attempt results[HF_CUSTOMER_KEYS_PER_DEP] = {ATTEMPT_OURS,
                                                      ATTEMPT_OURS};
    /* with no lease to share, every call makes its own attempt */
    bool shared = facts->key_lease_ms > 0;
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    if (shared && !acquire_or_park(generation, facts->mask, call)) {
        return OPENING_PARKED;
    }
    /* another set of keys may have brought one meanwhile */
    lease = take_live(service, generation, facts, call);
    enum hf_status status = HF_OK;
    if (lease == NULL) {
        status = try_both(service, generation, facts, call, results, &lease);
        if (status == HF_OK) {
            status = lease_publish(lease, facts->key_lease_ms, facts->revision);
        }
    }
    const struct key_call *failed = NULL;
    if (status == HF_E_UNREACHABLE) {
        key_call_keep_results(call, generation, facts->revision, results);
        failed = call->has_results ? call : NULL;
    }
    if (shared) {
        acquired(service, generation, facts->mask, failed);
    }
    if (status == HF_OK) {
        /* the call that opened it is its first use */
        atomic_store(&lease->used_ms, service_monotonic_ms(service));
        *out_lease = HF_GIVE(lease);
        return OPENING_READY;
    }
    if (status == HF_E_CONFLICT) {
        return refuse_changed(call);
    }
    return fall_back(service, generation, facts, call, results, out_lease);
}

static enum opening open_service_managed(struct service *service,
                                         struct generation_entry *generation,
                                         const struct opening_facts *facts,
                                         struct key_call *call,
                                         struct lease **out_lease)
{
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    if (!acquire_or_park(generation, MASK_AK, call)) {
        return OPENING_PARKED;
    }
    enum hf_status status = attempt_service_root(
        service, generation, call->deadline_ms, &call->liars, &lease);
    if (status == HF_OK) {
        status = lease_publish(lease, facts->key_lease_ms, facts->revision);
    }
    acquired(service, generation, MASK_AK, NULL);
    if (status == HF_E_CONFLICT) {
        return refuse_changed(call);
    }
    if (status != HF_OK) {
        return opening_refuse(call, fallback_on_ak_failure(status));
    }
    atomic_store(&lease->used_ms, service_monotonic_ms(service));
    *out_lease = HF_GIVE(lease);
    return OPENING_READY;
}

static enum opening open_after(struct service *service,
                               struct generation_entry *generation,
                               const struct opening_facts *facts,
                               struct key_call *call, struct lease **out_lease)
{
    enum attempt results[HF_CUSTOMER_KEYS_PER_DEP] = {ATTEMPT_DENIED,
                                                      ATTEMPT_DENIED};
    if (!dep_may_unwrap(facts->state) || facts->retired) {
        return refuse(call, REASON_KEY_DESTROYED,
                      "the keys of this resource are destroyed");
    }
    if (facts->gate == GATE_STRANGER) {
        return opening_refuse(call, REASON_KEY_ACCESS_DENIED);
    }
    if (facts->type == DEP_TYPE_SHAREPOINT_GEO) {
        return tik_get(service, generation, facts, call, out_lease);
    }
    if (facts->gate == GATE_WITHDRAWN) {
        return fall_back(service, generation, facts, call, results, out_lease);
    }
    *out_lease = take_live(service, generation, facts, call);
    if (*out_lease != NULL) {
        return OPENING_READY;
    }
    if (facts->type == DEP_TYPE_SERVICE_MANAGED) {
        return open_service_managed(service, generation, facts, call,
                                    out_lease);
    }
    if (opening_shared_results(generation, facts, call, results) ||
        known_results(service, generation, facts, results)) {
        return fall_back(service, generation, facts, call, results, out_lease);
    }
    return acquire(service, generation, facts, call, out_lease);
}

/* A grant, a withdrawal or a change of state that comes while the token works
 * makes the answer one of yesterday's facts. It is dropped, with its lease, and
 * the call goes round once by itself: whoever repeats it would have to do just
 * that. Once, so that changes without end keep nobody here. */
enum opening opening_get(struct service *service,
                         struct generation_entry *generation,
                         struct key_call *call, struct lease **out_lease)
{
    enum opening opening = OPENING_REFUSED;
    bool overtaken = true;
    if (++call->tries > TRIES_MAX) {
        return refuse(call, REASON_OVERLOADED,
                      "the service is busy; repeat later");
    }
    for (size_t round = 0; overtaken && round < ROUNDS_MAX; round++) {
        struct opening_facts facts;
        opening_facts(service, generation, call->caller, &facts);
        opening = open_after(service, generation, &facts, call, out_lease);
        overtaken = opening == OPENING_REFUSED &&
                    generation_revision(generation) != facts.revision;
    }
    return opening;
}

/* --- ahead of expiry ---------------------------------------------------- */

void opening_renew(struct service *service, struct generation_entry *generation)
{
    struct opening_facts facts;
    enum attempt results[HF_CUSTOMER_KEYS_PER_DEP];
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    if (is_tik(generation)) {
        tik_refresh(service, generation);
        return;
    }
    opening_facts(service, generation, &service_itself, &facts);
    enum hf_status status =
        facts.type == DEP_TYPE_SERVICE_MANAGED
            ? attempt_service_root(service, generation, 0, NULL, &lease)
            : try_both(service, generation, &facts, NULL, results, &lease);
    if (status == HF_OK) {
        HF_IGNORE(lease_publish(lease, facts.key_lease_ms, facts.revision),
                  "narrowed meanwhile: the next call opens it anew");
    }
}

/* R-15.4a: an AK lease's last word. Takes it over. */
static void record_ak_end(struct service *service, struct lease *ended)
{
    HF_OWNED(lease_releasep) struct lease *lease = ended;
    if (lease == NULL) {
        return;
    }
    enum hf_status status = ak_audit_lease_end(service, lease->generation,
                                               atomic_load(&lease->served));
    if (status != HF_OK) {
        log_event(LOG_ERROR, "availability_key.lease_end_not_recorded",
                  LOG_TEXT("status", hf_status_name(status)));
    }
}

void opening_close_ak(struct service *service,
                      struct generation_entry *generation, int64_t now_ms)
{
    record_ak_end(service, lease_detach_ak(generation, now_ms));
}

void opening_narrow(struct service *service,
                    struct generation_entry *generation)
{
    record_ak_end(service, leases_narrow(generation));
}
