/* onboardings: a tenant's way to a scenario: every check of on the very
 * keys, then leave to create DEPs of that type.
 *
 * What was asked, and what came of it, can be looked up by id: the request that
 * enabled a scenario for ever, of the others the newest ONBOARDING_RING.
 * Every function here: HF_OK, else *problem says why (see problem.h). */
#pragma once

#include "server/service/admin.h"

struct onboarding_entry {
    struct onboarding_record record;
    struct stamp stamp;
    struct onboarding_entry *next;
};

struct onboarding_submit {
    struct mutation mutation;
    char tenant[HF_NAME_MAX_BYTES + 1];
    enum dep_type scenario;
    enum onboarding_mode mode;
    char keys[HF_CUSTOMER_KEYS_PER_DEP][HF_NAME_MAX_BYTES + 1];
    /* in which the keys' tokens should be; "": not stated */
    char domains[HF_CUSTOMER_KEYS_PER_DEP][HF_NAME_MAX_BYTES + 1];
    char identity[HF_URI_MAX_BYTES + 1];
    enum residency residency;
};

struct onboarding_view {
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct onboarding_record record;
};

/* onboardings_submit: VALIDATE: what the checks say is the answer, whatever
 * they say. ENABLE: VALIDATION_REQUIRED without a fresh passing VALIDATE of the
 * same inputs, and then nothing is recorded; else the checks are run again and
 * the scenario is enabled if they pass. Blocks for up to four attempts at
 * tokens. */
HF_STATUS onboardings_submit(struct service *service,
                             const struct caller *caller,
                             const struct onboarding_submit *request,
                             struct onboarding_view *out,
                             struct problem *problem);
HF_STATUS onboardings_get(struct service *service, const struct caller *caller,
                          const char *tenant, const char *id,
                          struct onboarding_view *out, struct problem *problem);

struct onboarding_list {
    struct onboarding_view *views;
    size_t cap;
    size_t count;
    char next[PAGE_TOKEN_BYTES];
};
/* Newest first. */
HF_STATUS onboardings_list(struct service *service, const struct caller *caller,
                           const char *tenant, const struct page_request *page,
                           struct onboarding_list *out,
                           struct problem *problem);

/* onboarding_check_scenario: may DEPs of this type be created?
 * SCENARIO_NOT_ENABLED. */
HF_STATUS onboarding_check_scenario(const struct admin *admin,
                                    enum dep_type type);

/* onboarding_load: one record at start, for catalogue_load. */
HF_STATUS onboarding_load(struct catalogue *catalogue,
                          const struct record *record,
                          const struct stamp *stamp);
