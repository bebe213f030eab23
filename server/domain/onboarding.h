/* onboarding: when a scenario may be enabled for a tenant, and what a tenant
 * may create without it.
 *
 * A scenario is a type of DEP. VALIDATE runs every check of and changes
 * nothing but that its result can be looked up; ENABLE runs them again and
 * enables the scenario if they pass, and is refused unless the newest VALIDATE
 * of the very same inputs passed within 24 hours.
 *
 * Production tenants need a scenario enabled before they create DEPs of its
 * type; other tenants may onboard, and need not: what enabling protects,
 * customers' data, they do not have. Whoever leaves the test flag behind needs
 * it from then on; DEPs that exist stay. SHAREPOINT_GEO is not onboarded here
 * registering a geo runs all checks and demands TOKEN_PROTECTED.
 */
#pragma once

#include "server/domain/reason.h"
#include "server/domain/types.h"

enum onboarding_mode { ONBOARDING_VALIDATE = 1, ONBOARDING_ENABLE = 2 };

/* What became of an ENABLE. */
enum enablement {
    ENABLEMENT_NOT_ASKED = 0, /* a VALIDATE */
    ENABLEMENT_ENABLED = 1,
    ENABLEMENT_REFUSED = 2, /* the checks failed when they were run again */
};

#define ONBOARDING_FRESH_MS (24ll * 60 * 60 * 1000) /* */

/* The newest VALIDATE of the same inputs. */
struct onboarding_facts {
    enum onboarding_mode mode;
    bool validated; /* there is one */
    bool passed;
    int64_t validated_ms;
    int64_t now_ms;
};

bool onboarding_has_scenario(enum dep_type type);
/* onboarding_may_run: REASON_NONE, or VALIDATION_REQUIRED. */
enum reason onboarding_may_run(const struct onboarding_facts *facts);
/* onboarding_outcome: of the mode and of what the checks said. */
enum enablement onboarding_outcome(enum onboarding_mode mode, bool passed);
/* onboarding_may_create: REASON_NONE, or SCENARIO_NOT_ENABLED. */
enum reason onboarding_may_create(enum dep_type type, bool production,
                                  bool enabled);
