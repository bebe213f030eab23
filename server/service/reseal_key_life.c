/* Customer keys as the audit chain tells of them: what their owner withdrew
 * stays withdrawn, whatever who can write to the store puts back. */
#include "hsm/sys/clock.h"

#include "server/service/reseal_inside.h"

#include <stdio.h>
#include <string.h>

static const json_t *told(const json_t *of, const char *name)
{
    return json_object_get(json_object_get(of, name), "after");
}

static bool is_text(const json_t *after, const char *field, const char *value)
{
    const char *text = json_string_value(json_object_get(after, field));
    return text != NULL && strcmp(text, value) == 0;
}

/* As details.h writes it. */
static bool is_time(const json_t *after, const char *field, int64_t ms)
{
    const json_t *time = json_object_get(after, field);
    char text[CLOCK_UTC_TEXT];
    if (ms == 0) {
        return time == NULL || json_is_null(time);
    }
    clock_format_utc(ms, text);
    return is_text(after, field, text);
}

static HF_STATUS look_at_version(struct reseal *reseal,
                                 const struct key_entry *key,
                                 const struct key_version_record *version)
{
    char name[RESEAL_NAME_BYTES];
    char fingerprint[2 * HF_SHA256_BYTES + 1];
    hex_encode(version->fingerprint, sizeof version->fingerprint, fingerprint,
               sizeof fingerprint);
    snprintf(name, sizeof name, "tenants/%s/customerKeys/%s/versions/%u",
             key->tenant->record.name, key->record.name, version->version);
    const json_t *after = told(reseal->keys, name);
    if (after == NULL) {
        return reseal_bad(reseal, name,
                          "no audit record tells of this version");
    }
    return is_text(after, "fingerprint", fingerprint) &&
                   json_is_true(json_object_get(after, "enabled")) ==
                       version->enabled &&
                   is_time(after, "notBefore", version->not_before_ms) &&
                   is_time(after, "expires", version->expires_ms)
               ? reseal_verified(reseal, "key versions as the audit chain "
                                         "tells")
               : reseal_bad(reseal, name,
                            "the audit chain tells of another key, or that "
                            "it is enabled, begins or expires otherwise");
}

/* One that is gone serves nobody, and its name may be another's. */
static HF_STATUS look_at_key(struct reseal *reseal, const struct key_entry *key)
{
    const struct customer_key_record *record = &key->record;
    char name[RESEAL_NAME_BYTES];
    snprintf(name, sizeof name, "tenants/%s/customerKeys/%s",
             key->tenant->record.name, record->name);
    if (record->state == KEY_GONE) {
        return reseal_declared(reseal, "customer key that is gone", name, NULL);
    }
    const json_t *after = told(reseal->keys, name);
    const bool is_changed = json_object_get(after, "state") != NULL;
    if (is_changed ? !is_text(after, "state", key_state_text(record->state))
                   : record->state != KEY_ACTIVE) {
        HF_TRY(
            reseal_bad(reseal, name, "the audit chain tells of another state"));
    } else if (!is_time(after, "purgeTime", record->purge_ms)) {
        HF_TRY(reseal_bad(reseal, name,
                          "the audit chain tells of another end of its "
                          "retention"));
    }
    for (uint32_t i = 0; i < record->current_version; i++) {
        HF_TRY(look_at_version(reseal, key, &key->versions[i]->record));
    }
    return HF_OK;
}

HF_STATUS reseal_key_life(struct reseal *reseal)
{
    for (const struct key_entry *key = reseal->service->catalogue.keys;
         key != NULL; key = key->next) {
        HF_TRY(look_at_key(reseal, key));
    }
    return HF_OK;
}
