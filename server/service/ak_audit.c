#include "server/service/ak_audit.h"

#include "server/service/ak_copies.h"
#include "server/service/resources.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>

static const char *purpose_text(enum system_purpose purpose)
{
    switch (purpose) {
    case SYSTEM_PURPOSE_NONE:
        return "none";
    case SYSTEM_PURPOSE_EDISCOVERY:
        return "eDiscovery";
    case SYSTEM_PURPOSE_ANTI_MALWARE:
        return "anti-malware";
    case SYSTEM_PURPOSE_ANTI_SPAM:
        return "anti-spam";
    case SYSTEM_PURPOSE_SEARCH_INDEXING:
        return "search indexing";
    case SYSTEM_PURPOSE_DATA_LOSS_PREVENTION:
        return "data loss prevention";
    case SYSTEM_PURPOSE_MOVE:
        return "move";
    case SYSTEM_PURPOSE_REWRAP:
        return "rewrap";
    }
    return "none";
}

static json_t *common_details(const struct generation_entry *generation)
{
    const struct generation_record *record = &generation->record;
    char dep[HF_ID_TEXT];
    char scope[HF_ID_TEXT + 16];
    id_format(&record->dep, dep);
    snprintf(scope, sizeof scope, "%s/%u", dep, record->generation);
    return json_pack("{s:i, s:s, s:s, s:I, s:I}", "recordType",
                     AK_AUDIT_RECORD_TYPE, "policyId", dep, "scopeKeyVersionId",
                     scope, "generation", (json_int_t)record->generation,
                     "availabilityKeyVersion",
                     (json_int_t)ak_copies_version(record));
}

static HF_STATUS put_details(struct service *service, struct change *change,
                             struct audit_entry *entry, json_t *details)
{
    if (details == NULL) {
        return HF_E_NO_MEMORY;
    }
    char *text = json_dumps(details, JSON_COMPACT);
    json_decref(details);
    if (text == NULL) {
        return HF_E_NO_MEMORY;
    }
    entry->details = text;
    enum hf_status status = audit_change(service, change, entry);
    free(text);
    return status;
}

HF_STATUS ak_audit_put(struct service *service, struct change *change,
                       const struct generation_entry *generation,
                       const struct key_call *call,
                       const enum attempt results[HF_CUSTOMER_KEYS_PER_DEP])
{
    char object[RESOURCE_NAME_BYTES];
    resource_name(call->tenant, call->type, call->resource, object);
    struct audit_entry entry = {
        .caller = call->caller,
        .activity = AK_AUDIT_ACTIVITY,
        .tenant = generation->record.tenant,
        .object = object,
        .request_id = call->audit_id,
    };
    json_t *details = common_details(generation);
    json_t *more =
        json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "initiator",
                  call->initiator == INITIATOR_SYSTEM ? "SYSTEM" : "USER",
                  "purpose", purpose_text(call->purpose), "workload",
                  call->type == RESOURCE_SITE ? "SharePoint" : "Exchange",
                  "method", verb_method(call->verb), "results",
                  attempt_text(results[0]), attempt_text(results[1]));
    if (details != NULL &&
        (more == NULL || json_object_update(details, more))) {
        json_decref(details);
        details = NULL;
    }
    json_decref(more);
    return put_details(service, change, &entry, details);
}

/* One audit record of its own, with nothing else to record. */
HF_STATUS ak_audit_use(struct service *service,
                       const struct generation_entry *generation,
                       const struct key_call *call,
                       const enum attempt results[HF_CUSTOMER_KEYS_PER_DEP])
{
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    HF_TRY(ak_audit_put(service, change, generation, call, results));
    return ledger_commit(service->ledger, change);
}

HF_STATUS ak_audit_lease_end(struct service *service,
                             const struct generation_entry *generation,
                             uint64_t served)
{
    char object[HF_NAME_MAX_BYTES + HF_ID_TEXT + 32];
    char dep[HF_ID_TEXT];
    id_format(&generation->record.dep, dep);
    snprintf(object, sizeof object, "tenants/%s/deps/%s",
             generation->dep->tenant->record.name, dep);
    struct audit_entry entry = {
        .activity = AK_AUDIT_LEASE_END,
        .tenant = generation->record.tenant,
        .object = object,
    };
    json_t *details = common_details(generation);
    if (details != NULL &&
        json_object_set_new(details, "callsServed",
                            json_integer((json_int_t)served)) != 0) {
        json_decref(details);
        details = NULL;
    }
    HF_OWNED(change_freep) struct change *change = NULL;
    enum hf_status status = change_new(&change);
    if (status != HF_OK) {
        json_decref(details);
        return status;
    }
    HF_TRY(put_details(service, change, &entry, details));
    return ledger_commit(service->ledger, change);
}
