#include "server/service/seal_budget.h"

#include "hsm/sys/log.h"

#include <stdlib.h>

#define BLOCK     4096
#define RACES_MAX 8

static bool take_reserved(struct generation_entry *generation)
{
    pthread_mutex_lock(&generation->lock);
    bool taken = generation->seals_next < generation->seals_end;
    if (taken) {
        generation->seals_next++;
    }
    pthread_mutex_unlock(&generation->lock);
    return taken;
}

static HF_STATUS reserve(struct service *service,
                         struct generation_entry *generation,
                         struct record *record)
{
    const struct generation_record *of = &generation->record;
    struct record_key key = key_of_numbered(&of->dep, of->generation);
    struct seals_record seals = {.dep = of->dep, .generation = of->generation};
    struct stamp stamp = {.version = 0};
    HF_OWNED(change_freep) struct change *change = NULL;
    enum hf_status status = ledger_get(service->ledger, RECORD_SEALS,
                                       record_key_view(&key), record, &stamp);
    if (status == HF_OK) {
        status = seals_decode(record, &seals);
    } else if (status == HF_E_NOT_FOUND) {
        status = HF_OK;
    }
    HF_TRY(status);
    if (seals.reserved + BLOCK > HF_SEALS_MAX) {
        return HF_E_LIMIT;
    }
    if (seals.reserved < HF_SEALS_WARN &&
        seals.reserved + BLOCK >= HF_SEALS_WARN) {
        char dep[HF_ID_TEXT];
        id_format(&of->dep, dep);
        log_event(LOG_WARN, "dep_key.many_seals", LOG_TEXT("dep", dep),
                  LOG_NUMBER("generation", of->generation),
                  LOG_NUMBER("seals", seals.reserved + BLOCK));
    }
    seals.reserved += BLOCK;
    HF_TRY(change_new(&change));
    HF_TRY(seals_encode(&seals, record));
    HF_TRY(change_put(change, record, &stamp, NULL));
    HF_TRY(ledger_commit(service->ledger, change));
    pthread_mutex_lock(&generation->lock);
    generation->seals_next = seals.reserved - BLOCK;
    generation->seals_end = seals.reserved;
    pthread_mutex_unlock(&generation->lock);
    return HF_OK;
}

HF_STATUS seal_budget_take(struct service *service,
                           struct generation_entry *generation)
{
    struct record *record = NULL;
    enum hf_status status = HF_OK;
    for (int race = 0; race < RACES_MAX; race++) {
        if (take_reserved(generation)) {
            free(record);
            return HF_OK;
        }
        if (record == NULL) {
            record = malloc(sizeof *record);
        }
        status = record == NULL ? HF_E_NO_MEMORY
                                : reserve(service, generation, record);
        if (status != HF_OK && hf_status_class(status) != HF_CLASS_CONFLICT) {
            free(record);
            return status;
        }
    }
    free(record);
    return HF_E_CONFLICT;
}
