#include "server/domain/onboarding.h"

bool onboarding_has_scenario(enum dep_type type)
{
    switch (type) {
    case DEP_TYPE_EXCHANGE_MAILBOX:
    case DEP_TYPE_MULTI_WORKLOAD:
        return true;
    case DEP_TYPE_SHAREPOINT_GEO:
    case DEP_TYPE_SERVICE_MANAGED:
        return false;
    }
    return false;
}

/* A validation from the future, after the clock was set back, is not fresh. */
static bool is_fresh(const struct onboarding_facts *facts)
{
    return facts->validated_ms <= facts->now_ms &&
           facts->now_ms - facts->validated_ms <= ONBOARDING_FRESH_MS;
}

enum reason onboarding_may_run(const struct onboarding_facts *facts)
{
    if (facts->mode == ONBOARDING_VALIDATE) {
        return REASON_NONE;
    }
    return facts->validated && facts->passed && is_fresh(facts)
               ? REASON_NONE
               : REASON_VALIDATION_REQUIRED;
}

enum enablement onboarding_outcome(enum onboarding_mode mode, bool passed)
{
    if (mode == ONBOARDING_VALIDATE) {
        return ENABLEMENT_NOT_ASKED;
    }
    return passed ? ENABLEMENT_ENABLED : ENABLEMENT_REFUSED;
}

enum reason onboarding_may_create(enum dep_type type, bool production,
                                  bool enabled)
{
    return !production || enabled || !onboarding_has_scenario(type)
               ? REASON_NONE
               : REASON_SCENARIO_NOT_ENABLED;
}
