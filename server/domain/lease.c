#include "server/domain/lease.h"

#include "server/domain/tik.h"

static int64_t at_most(int64_t value_ms, int64_t max_ms)
{
    if (value_ms < 0) {
        return 0;
    }
    return value_ms < max_ms ? value_ms : max_ms;
}

int64_t lease_life_ms(enum lease_source source, int64_t key_lease_ms,
                      int64_t ak_lease_ms)
{
    switch (source) {
    case LEASE_BY_CUSTOMER_KEY:
    case LEASE_BY_SERVICE_ROOT:
        return at_most(key_lease_ms, HF_KEY_LEASE_MAX_MS);
    case LEASE_BY_AVAILABILITY_KEY:
        return at_most(ak_lease_ms, HF_AK_LEASE_MAX_MS);
    case LEASE_AS_TIK:
        return TIK_LIFE_MS;
    case LEASE_FOR_RECOVERY:
        return 0;
    }
    return 0;
}

bool key_lease_is_valid(int64_t key_lease_ms)
{
    return key_lease_ms >= 0 && key_lease_ms <= HF_KEY_LEASE_MAX_MS;
}

bool lease_is_live(const struct lease_times *lease, int64_t now_ms)
{
    return now_ms >= lease->opened_ms && now_ms < lease->expires_ms;
}

int64_t lease_renew_due_ms(const struct lease_times *lease)
{
    bool renewable = lease->source == LEASE_BY_CUSTOMER_KEY ||
                     lease->source == LEASE_BY_SERVICE_ROOT;
    if (!renewable || lease->expires_ms <= lease->opened_ms) {
        return INT64_MAX;
    }
    int64_t life_ms = lease->expires_ms - lease->opened_ms;
    return lease->expires_ms - life_ms / 4;
}

bool lease_renew_due(const struct lease_times *lease, int64_t now_ms)
{
    return lease_is_live(lease, now_ms) &&
           now_ms >= lease_renew_due_ms(lease) &&
           lease->last_used_ms >= lease->opened_ms;
}

bool lease_serves(const struct lease_times *lease, int64_t now_ms,
                  const struct fallback_facts *now_facts)
{
    if (!lease_is_live(lease, now_ms)) {
        return false;
    }
    switch (lease->source) {
    case LEASE_BY_CUSTOMER_KEY:
    case LEASE_BY_SERVICE_ROOT:
    case LEASE_AS_TIK:
        return true;
    case LEASE_FOR_RECOVERY:
        return false;
    case LEASE_BY_AVAILABILITY_KEY:
        return now_facts != NULL && fallback_decide(now_facts).use_ak;
    }
    return false;
}
