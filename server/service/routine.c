#include "server/service/routine.h"

#include "hsm/sys/log.h"

#include "server/service/change.h"
#include "server/service/checkpoints.h"
#include "server/service/resources.h"

#include <stdio.h>
#include <string.h>

#define ACTIVITY_LOST "RoutineRecordsLost"

bool routine_is_ready(const struct service *service)
{
    return service->settings.spool == NULL ||
           spool_ready(service->settings.spool);
}

HF_STATUS routine_record(const struct key_call *call)
{
    const struct spool *spool = call->service->settings.spool;
    char object[RESOURCE_NAME_BYTES];
    if (spool == NULL) {
        return HF_OK;
    }
    resource_name(call->tenant, call->type, call->resource, object);
    struct spool_record record = {
        .method = verb_method(call->verb),
        .object = object,
        .blob = call->blob,
        .actor = call->caller->identity,
        .request_id = call->request_id,
        .initiator = (uint8_t)call->initiator,
        .purpose = (uint8_t)call->purpose,
        .dep = call->dep,
        .generation = call->generation,
    };
    return spool_append(spool, &record);
}

static HF_STATUS record_loss(struct service *service,
                             const struct checkpoint_record *last,
                             uint64_t found)
{
    char spool[HF_ID_TEXT];
    char details[192];
    id_format(&last->spool, spool);
    snprintf(details, sizeof details,
             "{\"spool\":\"%s\",\"signed\":%llu,\"found\":%llu}", spool,
             (unsigned long long)last->spool_records,
             (unsigned long long)found);
    const struct audit_entry entry = {
        .activity = ACTIVITY_LOST,
        .object = "spool",
        .details = details,
    };
    log_event(LOG_ERROR, "spool.records_lost", LOG_TEXT("spool", spool),
              LOG_NUMBER("signed", last->spool_records),
              LOG_NUMBER("found", found));
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    HF_TRY(audit_change(service, change, &entry));
    return ledger_commit(service->ledger, change);
}

HF_STATUS routine_hold(struct service *service)
{
    const struct checkpoint_record *last = checkpoints_last(service);
    struct spool_head head;
    if (service->settings.spool == NULL || id_is_nil(&last->spool)) {
        return HF_OK;
    }
    HF_TRY(spool_head(service->settings.spool, &head));
    uint64_t found = id_equal(&head.spool, &last->spool) ? head.records : 0;
    return found >= last->spool_records ? HF_OK
                                        : record_loss(service, last, found);
}
