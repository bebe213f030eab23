/* assignment_change: what the use cases and the steps of a tenant's assignment
 * have in common. */
#pragma once

#include "server/service/admin.h"

/* tenants/{tenant}/assignment, and what changed, for the audit record. */
#define ASSIGNMENT_NAME_BYTES (HF_NAME_MAX_BYTES + 32)
void assignment_object(const char *tenant, char out[ASSIGNMENT_NAME_BYTES]);
HF_STATUS assignment_details(const struct tenant_assignment_record *before,
                             const struct tenant_assignment_record *after,
                             struct details **out_details);

HF_STATUS assignment_put(struct change *change,
                         const struct tenant_assignment_record *assignment,
                         const struct stamp *current, struct stamp *out_next);
/* assignment_follow: the catalogue after the commit. */
void assignment_follow(struct service *service,
                       const struct tenant_assignment_record *assignment,
                       const struct stamp *stamp);
/* The DEP in force or being left; NULL: none. */
struct dep_entry *assignment_dep(struct service *service,
                                 const struct tenant_entry *tenant);

/* dep_try_keys: asks both customer keys of the newest generation now, so that
 * their health is fresh. dep_has_denied_key: one refuses: by its last answer,
 * or because nobody may use it. */
void dep_try_keys(struct service *service, struct dep_entry *dep);
bool dep_has_denied_key(struct service *service, const struct dep_entry *dep);
