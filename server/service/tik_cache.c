#include "server/service/tik_cache.h"

#include "hsm/sys/log.h"

#include "server/service/acquiring.h"
#include "server/service/tik_race.h"

#include <stdio.h>
#include <string.h>

#define ALERT "TIK_REFRESH_FAILING"

/* What the geo says of this TIK, at one moment. */
struct geo_says {
    bool evict_on_denied;
    bool recovering;
    bool newest; /* the TIK that site keys are brought under */
    char tenant[HF_NAME_MAX_BYTES + 1];
    char geo[HF_NAME_MAX_BYTES + 1];
};

static bool is_newest(const struct generation_entry *generation)
{
    const struct geo_entry *geo = generation->dep->geo;
    return geo != NULL && geo->dep == generation->dep &&
           generation->record.generation == generation->dep->record.generation;
}

static struct geo_says ask_geo(struct service *service,
                               const struct generation_entry *generation)
{
    struct geo_says says = {.newest = false};
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct geo_entry *geo = generation->dep->geo;
    if (geo != NULL) {
        says.evict_on_denied = geo->record.evict_on_denied;
        says.recovering = geo->record.state == GEO_RECOVERING;
        says.newest = is_newest(generation);
        memcpy(says.tenant, geo->tenant->record.name, sizeof says.tenant);
        memcpy(says.geo, geo->record.name, sizeof says.geo);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return says;
}

/* A new life, unless the cache was flushed meanwhile. */
static HF_STATUS keep(struct lease *lease, uint64_t revision)
{
    struct generation_entry *generation = lease->generation;
    HF_TRY(lease_publish(lease, 0, revision));
    pthread_mutex_lock(&generation->lock);
    tik_open(&generation->tik, lease->opened_ms, TIK_LIFE_MS);
    pthread_mutex_unlock(&generation->lock);
    return HF_OK;
}

/* --- for a call --------------------------------------------------------- */

/* The recovery job: the service's own rewrap of what is under an earlier DEP of
 * a geo that is RECOVERING. */
static bool is_recovery_job(const struct key_call *call,
                            const struct geo_says *says)
{
    return says->recovering && !says->newest &&
           call->caller == &service_itself &&
           call->initiator == INITIATOR_SYSTEM &&
           call->purpose == SYSTEM_PURPOSE_REWRAP;
}

static enum opening decide(struct service *service,
                           struct generation_entry *generation,
                           const struct opening_facts *facts,
                           struct key_call *call, const enum attempt *results,
                           struct lease **out_lease)
{
    struct geo_says says = ask_geo(service, generation);
    const struct tik_facts asked = {
        .cache = TIK_NONE,
        .asked = true,
        .results = {results[0], results[1]},
        .initiator = call->initiator,
        .ak_state = facts->ak_state,
        .recovery_job = is_recovery_job(call, &says),
        .evict_on_denied = says.evict_on_denied,
    };
    struct tik_verdict verdict = tik_decide(&asked);
    if (verdict.alert) {
        log_event(LOG_ERROR, "tik.alert", LOG_TEXT("geo", says.geo),
                  LOG_TEXT("ck1", attempt_text(results[0])),
                  LOG_TEXT("ck2", attempt_text(results[1])));
    }
    if (verdict.use_ak) {
        return opening_by_ak(service, generation, facts, call, results,
                             out_lease);
    }
    return opening_refuse(call, verdict.reason);
}

/* One race for each set of keys at a time; the others wait for it. */
static enum opening ask_keys(struct service *service,
                             struct generation_entry *generation,
                             const struct opening_facts *facts,
                             struct key_call *call, struct lease **out_lease)
{
    enum attempt results[HF_CUSTOMER_KEYS_PER_DEP] = {ATTEMPT_OURS,
                                                      ATTEMPT_OURS};
    const struct tik_race_rules rules = {
        .allowed = {facts->verdicts[0].allowed, facts->verdicts[1].allowed},
        .drop_dead_ms = call->deadline_ms,
        .liars = &call->liars,
    };
    if (!acquire_or_park(generation, facts->mask, call)) {
        return OPENING_PARKED;
    }
    const struct key_call *failed = NULL;
    HF_OWNED(lease_releasep)
    struct lease *lease = opening_untainted(
        lease_take(generation, service_monotonic_ms(service), NULL), call);
    enum hf_status status = HF_OK;
    if (lease == NULL) {
        status = tik_race(service, generation, &rules, results, &lease);
        if (status == HF_OK) {
            status = keep(lease, facts->revision);
        }
    }
    if (status == HF_E_UNREACHABLE) {
        key_call_keep_results(call, generation, facts->revision, results);
        failed = call->has_results ? call : NULL;
    }
    acquired(service, generation, facts->mask, failed);
    if (status == HF_OK) {
        atomic_store(&lease->used_ms, service_monotonic_ms(service));
        *out_lease = HF_GIVE(lease);
        return OPENING_READY;
    }
    if (status == HF_E_CONFLICT) {
        return opening_refuse(call, REASON_KEY_UNAVAILABLE); /* flushed */
    }
    return decide(service, generation, facts, call, results, out_lease);
}

enum opening tik_get(struct service *service,
                     struct generation_entry *generation,
                     const struct opening_facts *facts, struct key_call *call,
                     struct lease **out_lease)
{
    enum attempt results[HF_CUSTOMER_KEYS_PER_DEP] = {ATTEMPT_DENIED,
                                                      ATTEMPT_DENIED};
    *out_lease = opening_untainted(
        lease_take(generation, service_monotonic_ms(service), NULL), call);
    if (*out_lease != NULL) {
        return OPENING_READY;
    }
    if (facts->gate == GATE_OPEN &&
        !opening_shared_results(generation, facts, call, results)) {
        return ask_keys(service, generation, facts, call, out_lease);
    }
    return decide(service, generation, facts, call, results, out_lease);
}

/* --- ahead of expiry ---------------------------------------------------- */

/* Something may still ask for it: it is the newest, or somebody did. */
static bool is_wanted(const struct generation_entry *generation)
{
    const struct lease *lease = generation->lease;
    return is_newest(generation) ||
           (lease != NULL && atomic_load(&lease->used_ms) >= lease->opened_ms);
}

bool tik_is_due(const struct generation_entry *generation, int64_t now_ms)
{
    struct tik_actions actions;
    if (generation->lease == NULL) {
        return false;
    }
    tik_plan(&generation->tik, now_ms, is_wanted(generation), &actions);
    return actions.refresh || actions.alert || actions.alert_last;
}

static void plan_now(struct service *service,
                     struct generation_entry *generation,
                     struct tik_actions *out)
{
    int64_t now_ms = service_monotonic_ms(service);
    pthread_rwlock_rdlock(&service->catalogue.lock);
    pthread_mutex_lock(&generation->lock);
    tik_plan(&generation->tik, now_ms, is_wanted(generation), out);
    pthread_mutex_unlock(&generation->lock);
    pthread_rwlock_unlock(&service->catalogue.lock);
}

/* told to whoever watches the log, and to the tenant. */
static void tell(struct service *service, struct generation_entry *generation,
                 const struct tik_actions *actions)
{
    char object[2 * HF_NAME_MAX_BYTES + 32];
    char details[160];
    struct geo_says says = ask_geo(service, generation);
    if (!actions->alert && !actions->alert_last) {
        return;
    }
    pthread_mutex_lock(&generation->lock);
    tik_told(&generation->tik, actions);
    struct tik_entry entry = generation->tik;
    pthread_mutex_unlock(&generation->lock);
    int64_t left_ms = entry.expires_ms - service_monotonic_ms(service);
    log_event(LOG_ERROR, "tik.refresh_failing", LOG_TEXT("geo", says.geo),
              LOG_TEXT("tenant", says.tenant),
              LOG_NUMBER("failures", entry.failures),
              LOG_NUMBER("left_ms", left_ms < 0 ? 0 : (uint64_t)left_ms));
    snprintf(object, sizeof object, "tenants/%s/geos/%s", says.tenant,
             says.geo);
    snprintf(details, sizeof details,
             "{\"generation\":%u,\"failures\":%u,\"minutesLeft\":%lld}",
             generation->record.generation, entry.failures,
             (long long)(left_ms / 60000));
    const struct audit_entry record = {
        .activity = ALERT,
        .tenant = generation->record.tenant,
        .object = object,
        .details = details,
    };
    HF_OWNED(change_freep) struct change *change = NULL;
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = audit_change(service, change, &record);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (status != HF_OK) {
        log_event(LOG_ERROR, "tik.alert_not_recorded",
                  LOG_TEXT("status", hf_status_name(status)));
    }
}

static void note_failure(struct service *service,
                         struct generation_entry *generation,
                         const enum attempt *results)
{
    struct geo_says says = ask_geo(service, generation);
    uint8_t random = 0;
    HF_IGNORE(rng_fill(service->settings.rng, &random, sizeof random),
              "then there is no jitter");
    int64_t now_ms = service_monotonic_ms(service);
    pthread_mutex_lock(&generation->lock);
    const struct tik_facts facts = {
        .cache = tik_cache_of(&generation->tik, now_ms),
        .asked = true,
        .results = {results[0], results[1]},
 /* what is missing, and not surely so, is no refusal */
        .initiator = INITIATOR_SYSTEM,
        .ak_state = generation->dep->record.ak_state,
        .evict_on_denied = says.evict_on_denied,
    };
    struct tik_verdict verdict = tik_decide(&facts);
    if (verdict.count_failure) {
        tik_fail(&generation->tik, now_ms, random);
    }
    pthread_mutex_unlock(&generation->lock);
    if (verdict.evict) {
        opening_narrow(service, generation);
        leases_settle(generation);
    }
}

static void try_again(struct service *service,
                      struct generation_entry *generation)
{
    struct opening_facts facts;
    enum attempt results[HF_CUSTOMER_KEYS_PER_DEP];
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    opening_facts(service, generation, &service_itself, &facts);
    const struct tik_race_rules rules = {
        .allowed = {facts.verdicts[0].allowed, facts.verdicts[1].allowed},
    };
    enum hf_status status =
        tik_race(service, generation, &rules, results, &lease);
    if (status == HF_OK) {
        HF_IGNORE(keep(lease, facts.revision),
                  "flushed meanwhile: the next call opens it anew");
    } else if (status == HF_E_UNREACHABLE) {
        note_failure(service, generation, results);
    }
}

void tik_refresh(struct service *service, struct generation_entry *generation)
{
    struct tik_actions actions;
    plan_now(service, generation, &actions);
    if (actions.refresh) {
        try_again(service, generation);
        plan_now(service, generation, &actions);
    }
    tell(service, generation, &actions);
}

void tik_narrowed(struct service *service, struct generation_entry *generation)
{
    if (ask_geo(service, generation).evict_on_denied) {
        opening_narrow(service, generation);
    }
}
