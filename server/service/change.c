#include "server/service/change.h"

#include "hsm/base/check.h"

#include "server/service/seals.h"

#include <stdlib.h>
#include <string.h>

HF_STATUS change_new(struct change **out_change)
{
    struct change *change = calloc(1, sizeof *change);
    if (change == NULL) {
        return HF_E_NO_MEMORY;
    }
    change->steps = calloc(CHANGE_STEPS_MAX, sizeof *change->steps);
    change->audits = calloc(CHANGE_AUDITS_MAX, sizeof *change->audits);
    if (change->steps == NULL || change->audits == NULL) {
        change_free(change);
        return HF_E_NO_MEMORY;
    }
    *out_change = change;
    return HF_OK;
}

void change_free(struct change *change)
{
    if (change != NULL) {
        free(change->steps);
        free(change->audits);
        free(change);
    }
}

HF_STATUS change_put(struct change *change, const struct record *record,
                     const struct stamp *current, struct stamp *out_next)
{
    CHECK(change->step_count < CHANGE_STEPS_MAX);
    struct change_step *step = &change->steps[change->step_count++];
    step->removing = false;
    step->record = *record;
    step->record.version = current->version + 1;
    memcpy(step->record.previous_mac, current->mac, sizeof current->mac);
    step->current = *current;
    step->out_next = out_next;
    if (record_kind_is_sealed(record->kind)) {
        change->sealed = true;
    }
    return HF_OK;
}

HF_STATUS change_remove(struct change *change, enum record_kind kind,
                        struct bytes key, uint64_t version)
{
    CHECK(change->step_count < CHANGE_STEPS_MAX);
    /* no sealed record ever goes: the root would have to know its MAC */
    CHECK(!record_kind_is_sealed(kind));
    if (key.len > RECORD_KEY_MAX_BYTES) {
        return HF_E_INVALID;
    }
    struct change_step *step = &change->steps[change->step_count++];
    step->removing = true;
    step->record.kind = kind;
    memcpy(step->record.key, key.data, key.len);
    step->record.key_len = key.len;
    step->record.version = version;
    return HF_OK;
}

HF_STATUS change_audit(struct change *change, const struct hf_id *tenant,
                       const char *json)
{
    CHECK(change->audit_count < CHANGE_AUDITS_MAX);
    struct audit_link *link = &change->audits[change->audit_count];
    size_t len = strlen(json);
    if (len > sizeof link->body) {
        return HF_E_INVALID;
    }
    link->tenant = *tenant;
    link->body_len = len;
    memcpy(link->body, json, len);
    change->audit_count++;
    return HF_OK;
}
