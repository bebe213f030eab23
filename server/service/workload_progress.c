#include "server/service/workload_progress.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t number_of(struct service *service,
                          const struct tenant_entry *tenant)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    uint32_t number = tenant->assignment.number;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return number;
}

HF_STATUS progress_get(struct service *service,
                       const struct tenant_entry *tenant, uint16_t workload,
                       struct workload_progress_record *out,
                       struct stamp *out_stamp)
{
    uint32_t number = number_of(service, tenant);
    struct record_key key = key_of_numbered(&tenant->record.id, workload);
    struct record *record = malloc(sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status =
        ledger_get(service->ledger, RECORD_WORKLOAD_PROGRESS,
                   record_key_view(&key), record, out_stamp);
    if (status == HF_OK) {
        status = workload_progress_decode(record, out);
    }
    free(record);
    if (status == HF_E_NOT_FOUND) {
        *out_stamp = (struct stamp){.version = 0};
    } else if (status != HF_OK || out->assignment == number) {
        return status;
    }
    /* nothing, or what was reported for an earlier assignment */
    *out = (struct workload_progress_record){
        .tenant = tenant->record.id,
        .workload = workload,
        .assignment = number,
    };
    return HF_OK;
}

HF_STATUS progress_put(struct change *change,
                       const struct workload_progress_record *progress,
                       const struct stamp *current)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = workload_progress_encode(progress, record);
    if (status == HF_OK) {
        status = change_put(change, record, current, NULL);
    }
    free(record);
    return status;
}

bool workload_progress_is_waited_for(struct service *service,
                                     const struct tenant_entry *tenant,
                                     char why[OPERATION_ERROR_MAX_BYTES + 1])
{
    for (size_t i = 0; workload_at(i) != NULL; i++) {
        const struct workload_row *row = workload_at(i);
        struct workload_progress_record progress;
        struct stamp stamp;
        enum hf_status status =
            progress_get(service, tenant, row->number, &progress, &stamp);
        if (status != HF_OK) {
            snprintf(why, OPERATION_ERROR_MAX_BYTES + 1, "%s",
                     hf_status_text(status));
            return true;
        }
        if (progress.done < progress.total) {
            snprintf(why, OPERATION_ERROR_MAX_BYTES + 1,
                     "%s reported %llu of %llu", row->word,
                     (unsigned long long)progress.done,
                     (unsigned long long)progress.total);
            return true;
        }
    }
    return false;
}
