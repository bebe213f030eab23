#include "server/service/assignment_change.h"

#include "hsm/base/check.h"

#include <stdio.h>
#include <stdlib.h>

void assignment_object(const char *tenant, char out[ASSIGNMENT_NAME_BYTES])
{
    snprintf(out, ASSIGNMENT_NAME_BYTES, "tenants/%s/assignment", tenant);
}

HF_STATUS assignment_details(const struct tenant_assignment_record *before,
                             const struct tenant_assignment_record *after,
                             struct details **out_details)
{
    char from[HF_ID_TEXT];
    char to[HF_ID_TEXT];
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(details_new(DETAILS_OF_CHANGE, &details));
    id_format(&before->dep, from);
    id_format(&after->dep, to);
    details_text(details, "state", assignment_state_text(before->state),
                 assignment_state_text(after->state));
    details_text(details, "dep", from, to);
    details_number(details, "number", before->number, after->number);
    details_text(details, "ticket", before->ticket, after->ticket);
    *out_details = HF_GIVE(details);
    return HF_OK;
}

HF_STATUS assignment_put(struct change *change,
                         const struct tenant_assignment_record *assignment,
                         const struct stamp *current, struct stamp *out_next)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = tenant_assignment_encode(assignment, record);
    if (status == HF_OK) {
        status = change_put(change, record, current, out_next);
    }
    free(record);
    return status;
}

void assignment_follow(struct service *service,
                       const struct tenant_assignment_record *assignment,
                       const struct stamp *stamp)
{
    pthread_rwlock_wrlock(&service->catalogue.lock);
    /* it names what the use case found */
    CHECK(catalogue_set_assignment(&service->catalogue, assignment, stamp) ==
          HF_OK);
    pthread_rwlock_unlock(&service->catalogue.lock);
}

struct dep_entry *assignment_dep(struct service *service,
                                 const struct tenant_entry *tenant)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_entry *dep =
        assignment_holds(tenant->assignment.state)
            ? catalogue_dep_by_id(&service->catalogue, &tenant->assignment.dep)
            : NULL;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return dep;
}

/* --- the keys of a DEP ---------------------------------------------------- */

static struct generation_entry *newest(struct service *service,
                                       const struct dep_entry *dep)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct generation_entry *generation =
        catalogue_generation(dep, dep->record.generation);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return generation;
}

void dep_try_keys(struct service *service, struct dep_entry *dep)
{
    struct generation_entry *generation = newest(service, dep);
    for (int slot = ROOT_CK1; slot <= ROOT_CK2; slot++) {
        HF_IGNORE(generation_test(service, generation, (enum root_slot)slot),
                  "what it came to is in the key's health");
    }
}

bool dep_has_denied_key(struct service *service, const struct dep_entry *dep)
{
    const struct generation_entry *generation = newest(service, dep);
    int64_t wall_ms = service_wall_ms(service);
    bool denied = false;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        denied = denied || key_attempt_known(generation->keys[slot],
                                             generation->versions[slot],
                                             wall_ms) == ATTEMPT_DENIED;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return denied;
}
