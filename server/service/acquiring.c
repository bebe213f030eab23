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

void key_call_keep_results(struct key_call *call,
                           const struct generation_entry *generation,
                           uint64_t revision,
                           const enum attempt results[HF_CUSTOMER_KEYS_PER_DEP])
{
    call->has_results =
        results[0] != ATTEMPT_OURS && results[1] != ATTEMPT_OURS;
    for (size_t slot = 0; slot < HF_CUSTOMER_KEYS_PER_DEP; slot++) {
        call->results[slot] = (uint8_t)results[slot];
    }
    call->results_dep = generation->record.dep;
    call->results_generation = generation->record.generation;
    call->results_revision = revision;
}

static void copy_results(struct key_call *to, const struct key_call *from)
{
    to->has_results = true;
    to->results[0] = from->results[0];
    to->results[1] = from->results[1];
    to->results_dep = from->results_dep;
    to->results_generation = from->results_generation;
    to->results_revision = from->results_revision;
}

void acquired(struct service *service, struct generation_entry *generation,
              unsigned mask, const struct key_call *failed)
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
        if (failed != NULL) {
            copy_results(call, failed);
        }
        keys_submit(service, &call, 1);
    }
}
