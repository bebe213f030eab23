#include "server/service/acquiring.h"

/* True: this call is the one that acquires. False: it was parked. */
bool acquire_or_park(struct generation_entry *generation, unsigned mask,
                     struct key_call *call)
{
    bool ours = false;
    pthread_mutex_lock(&generation->lock);
    if (!generation->acquiring[mask]) {
        generation->acquiring[mask] = true;
        ours = true;
    } else {
        call->link = generation->parked[mask];
        generation->parked[mask] = call;
    }
    pthread_mutex_unlock(&generation->lock);
    return ours;
}

/* Ends the acquisition; those who waited go on, with its results if it failed:
 * an attempt is theirs as well. */
void acquired(struct service *service, struct generation_entry *generation,
              unsigned mask,
              const enum attempt results[HF_CUSTOMER_KEYS_PER_DEP])
{
    pthread_mutex_lock(&generation->lock);
    struct key_call *parked = generation->parked[mask];
    generation->parked[mask] = NULL;
    generation->acquiring[mask] = false;
    pthread_mutex_unlock(&generation->lock);
    while (parked != NULL) {
        struct key_call *call = parked;
        parked = call->link;
        call->link = NULL;
        if (results != NULL) {
            call->has_results = true;
            call->results[0] = (uint8_t)results[0];
            call->results[1] = (uint8_t)results[1];
            call->results_dep = generation->record.dep;
            call->results_generation = generation->record.generation;
        }
        keys_submit(service, &call, 1);
    }
}
