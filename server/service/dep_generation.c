#include "server/service/dep_generation.h"

#include "server/service/ak_copies.h"
#include "server/service/availability_key.h"

#include <stdlib.h>

HF_STATUS generation_make(struct service *service, struct dep_entry *dep,
                          struct key_entry *const *keys,
                          struct key_version_entry *const *versions,
                          struct generation_making *making)
{
    *making = (struct generation_making){
        .dep = dep,
        .fresh = generation_entry_new(),
    };
    if (making->fresh == NULL) {
        return HF_E_NO_MEMORY;
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    making->next = dep->record;
    making->made_from = dep->stamp;
    pthread_rwlock_unlock(&service->catalogue.lock);
    making->next.generation++;
    if (keys == NULL) { /* the built-in DEP: a root of its own for each */
        HF_TRY(ak_generate(service, &making->next, making->next.generation));
        ak_set_version(&making->next, making->next.generation);
        making->next.ak_state = AK_ROLLING;
    }
    struct dep_record under = making->next;
    if (keys != NULL && under.ak_state == AK_ROLLING) {
        ak_set_version(&under, under.ak_version + 1); /* where the roll goes */
    }
    struct dep_key_plan plan = {
        .dep = &under,
        .generation = &making->fresh->record,
    };
    for (size_t slot = 0; keys != NULL && slot < HF_CUSTOMER_KEYS_PER_DEP;
         slot++) {
        plan.keys[slot] = keys[slot];
        plan.versions[slot] = versions[slot];
        /* linked again by generation_adopt; needed until then */
        making->fresh->keys[slot] = keys[slot];
        making->fresh->versions[slot] = versions[slot];
    }
    if (keys != NULL) { /* an enrolment may not have come to this DEP yet */
        HF_TRY(ak_generate_where_enrolling(service, &under, under.ak_version));
    }
    return dep_make_generation(service, &plan);
}

HF_STATUS customer_keys_still_serve(struct key_entry *const *keys,
                                    struct key_version_entry *const *versions)
{
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        if (versions[slot] != NULL &&
            (!versions[slot]->record.enabled ||
             keys[slot]->record.state != KEY_ACTIVE)) {
            return HF_E_CONFLICT;
        }
    }
    return HF_OK;
}

HF_STATUS generation_may_record(struct service *service,
                                const struct generation_making *making)
{
    /* while the availability key rolls, a new copy under its older version
     * could be one that nothing opens any more */
    const struct dep_record *dep = &making->dep->record;
    const struct wrapped_copy *copy = &making->fresh->record.copies[ROOT_AK];
    if (making->dep->stamp.version != making->made_from.version ||
        (dep->ak_state == AK_ROLLING &&
         copy->key_version != dep->ak_version + 1)) {
        return HF_E_CONFLICT;
    }
    HF_TRY(ak_copies_may_record(service, dep->type, &making->fresh->record));
    return customer_keys_still_serve(making->fresh->keys,
                                     making->fresh->versions);
}

HF_STATUS dep_put(const struct dep_record *next, const struct stamp *current,
                  struct change *change, struct stamp *out_next)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = dep_encode(next, record);
    if (status == HF_OK) {
        status = change_put(change, record, current, out_next);
    }
    free(record);
    return status;
}

HF_STATUS generation_put(struct generation_making *making,
                         struct change *change)
{
    const struct stamp none = {.version = 0};
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = generation_encode(&making->fresh->record, record);
    if (status == HF_OK) {
        status = change_put(change, record, &none, &making->fresh->stamp);
    }
    free(record);
    HF_TRY(status);
    return dep_put(&making->next, &making->made_from, change, &making->stamp);
}

HF_STATUS generation_adopt(struct service *service,
                           struct generation_making *making)
{
    HF_TRY(catalogue_add_generation(service, making->fresh, &making->next,
                                    &making->stamp));
    making->fresh = NULL;
    return HF_OK;
}

void generation_drop(struct generation_making *making)
{
    generation_entry_free(making->fresh);
    making->fresh = NULL;
}
