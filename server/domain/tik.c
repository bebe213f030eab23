#include "server/domain/tik.h"

enum tik_cache tik_cache_of(const struct tik_entry *entry, int64_t now_ms)
{
    if (now_ms < entry->opened_ms || now_ms >= entry->expires_ms) {
        return TIK_NONE;
    }
    return now_ms >= entry->expires_ms - TIK_WINDOW_MS ? TIK_IN_WINDOW
                                                       : TIK_FRESH;
}

void tik_open(struct tik_entry *entry, int64_t now_ms, int64_t life_ms)
{
    *entry = (struct tik_entry){
        .opened_ms = now_ms,
        .expires_ms = now_ms + life_ms,
    };
}

void tik_fail(struct tik_entry *entry, int64_t now_ms, uint8_t random)
{
    if (entry->failures == 0) {
        entry->failing_ms = now_ms;
    }
    entry->failures++;
    entry->next_try_ms =
        now_ms + TIK_RETRY_MS + TIK_JITTER_MS * random / UINT8_MAX;
}

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

/* When each alert is due; INT64_MAX: it is not, or was given. */
static int64_t alert_due_ms(const struct tik_entry *entry)
{
    if (entry->failures == 0 || entry->alerted) {
        return INT64_MAX;
    }
    return entry->failures >= TIK_ALERT_COUNT
               ? entry->failing_ms
               : entry->failing_ms + TIK_ALERT_MS;
}

static int64_t last_alert_due_ms(const struct tik_entry *entry)
{
    return entry->failures == 0 || entry->alerted_last
               ? INT64_MAX
               : entry->expires_ms - TIK_LAST_ALERT_MS;
}

void tik_plan(const struct tik_entry *entry, int64_t now_ms, bool wanted,
              struct tik_actions *out)
{
    *out = (struct tik_actions){.next_due_ms = INT64_MAX};
    if (!wanted || tik_cache_of(entry, now_ms) == TIK_NONE) {
        return;
    }
    int64_t refresh_ms = entry->failures == 0
                             ? entry->expires_ms - TIK_WINDOW_MS
                             : entry->next_try_ms;
    int64_t alert_ms = alert_due_ms(entry);
    int64_t last_ms = last_alert_due_ms(entry);
    out->refresh = now_ms >= refresh_ms;
    out->alert = now_ms >= alert_ms;
    out->alert_last = now_ms >= last_ms;
    if (out->refresh || out->alert || out->alert_last) {
        out->next_due_ms = now_ms;
        return;
    }
    out->next_due_ms = earlier(refresh_ms, earlier(alert_ms, last_ms));
}

void tik_told(struct tik_entry *entry, const struct tik_actions *actions)
{
    if (actions->alert) {
        entry->alerted = true;
    }
    if (actions->alert_last) {
        entry->alerted_last = true;
    }
}

/* --- table 6-C ---------------------------------------------------------- */

/* missing, and not surely so. */
static enum attempt as_seen(enum attempt attempt, enum initiator initiator)
{
    if (attempt != ATTEMPT_MISSING) {
        return attempt;
    }
    return initiator == INITIATOR_SYSTEM ? ATTEMPT_TRANSIENT : ATTEMPT_DENIED;
}

static bool any(const enum attempt results[2], enum attempt what)
{
    return results[0] == what || results[1] == what;
}

static bool both(const enum attempt results[2], enum attempt what)
{
    return results[0] == what && results[1] == what;
}

/* What no entry and two failures come to. */
static enum reason reason_for(const enum attempt results[2],
                              enum ak_state ak_state)
{
    if (any(results, ATTEMPT_OURS)) {
        return REASON_SERVICE_UNAVAILABLE; /* above all others */
    }
    if (ak_state == AK_DESTROYED) {
        return REASON_KEY_DESTROYED;
    }
    if (any(results, ATTEMPT_DENIED)) {
        return REASON_KEY_ACCESS_DENIED;
    }
    return both(results, ATTEMPT_BAD_BLOB) ? REASON_BLOB_INVALID
                                           : REASON_KEY_UNAVAILABLE;
}

static struct tik_verdict not_asked(const struct tik_facts *facts)
{
    if (facts->cache != TIK_NONE) {
        return (struct tik_verdict){.serve = true};
    }
    return (struct tik_verdict){.reason = REASON_KEY_UNAVAILABLE};
}

struct tik_verdict tik_decide(const struct tik_facts *facts)
{
    if (!facts->asked) {
        return not_asked(facts);
    }
    const enum attempt results[2] = {
        as_seen(facts->results[0], facts->initiator),
        as_seen(facts->results[1], facts->initiator),
    };
    if (any(results, ATTEMPT_OK)) {
        return (struct tik_verdict){.serve = true, .create = true};
    }
    struct tik_verdict verdict = {
        .alert = any(results, ATTEMPT_BAD_BLOB) || any(results, ATTEMPT_OURS),
        .reason = REASON_NONE,
    };
    if (facts->cache != TIK_NONE) {
        verdict.count_failure = true;
        verdict.evict = facts->evict_on_denied && both(results, ATTEMPT_DENIED);
        verdict.serve = !verdict.evict;
        verdict.reason = verdict.evict ? REASON_KEY_ACCESS_DENIED : REASON_NONE;
        return verdict;
    }
    bool has_ak = facts->ak_state == AK_ACTIVE || facts->ak_state == AK_ROLLING;
    verdict.use_ak =
        facts->recovery_job && has_ak && !any(results, ATTEMPT_OURS);
    if (!verdict.use_ak) {
        verdict.reason = reason_for(results, facts->ak_state);
    }
    return verdict;
}
