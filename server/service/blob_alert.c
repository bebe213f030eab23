#include "server/service/blob_alert.h"

#include "hsm/sys/log.h"

#include "server/service/resources.h"

bool blob_alerts_may_write(struct blob_alerts *alerts, int64_t now_ms,
                           uint64_t *left_out)
{
    pthread_mutex_lock(&alerts->lock);
    if (alerts->second != now_ms / 1000) {
        alerts->second = now_ms / 1000;
        alerts->written = 0;
    }
    bool may = alerts->written < BLOB_ALERTS_A_SECOND;
    if (may) {
        alerts->written++;
        *left_out = alerts->left_out;
        alerts->left_out = 0;
    } else {
        alerts->left_out++;
    }
    pthread_mutex_unlock(&alerts->lock);
    return may;
}

void blob_alert(struct blob_alerts *alerts, const struct key_call *call,
                int64_t now_ms)
{
    char resource[RESOURCE_NAME_BYTES];
    uint64_t left_out = 0;
    if (!blob_alerts_may_write(alerts, now_ms, &left_out)) {
        return;
    }
    resource_name(call->tenant, call->type, call->resource, resource);
    log_event(LOG_ERROR, "blob.alert", LOG_TEXT("tenant", call->tenant),
              LOG_TEXT("resource", resource),
              LOG_TEXT("caller", call->caller->identity),
              LOG_TEXT("method", verb_method(call->verb)),
              LOG_NUMBER("lines_left_out", left_out));
}
