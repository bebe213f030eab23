/* What no key can say: grants, DEPs and customer keys, by the last audit record
 * that tells of them; tenants, approvers, purges and what has no check of its
 * own, for people to read. */
#include "hsm/base/check.h"

#include "hsm/sys/clock.h"

#include "server/service/ak_tokens.h"
#include "server/service/purge_book.h"
#include "server/service/reseal_inside.h"
#include "server/store/hash.h"

#include <stdio.h>
#include <string.h>

static uint64_t index_of(const json_t *said)
{
    return (uint64_t)json_integer_value(json_object_get(said, "index"));
}

/* --- grants --------------------------------------------------------------- */

static json_t *permissions(uint8_t granted)
{
    return json_pack("{s:b, s:b, s:b}", "get", (granted & PERMISSION_GET) != 0,
                     "wrap", (granted & PERMISSION_WRAP) != 0, "unwrap",
                     (granted & PERMISSION_UNWRAP) != 0);
}

static bool says(const json_t *after, const char *field, bool value)
{
    return json_is_true(json_object_get(after, field)) == value;
}

static HF_STATUS look_at_grant(struct reseal *reseal,
                               const struct key_entry *key,
                               const struct grant_record *grant)
{
    char name[RESEAL_NAME_BYTES];
    snprintf(name, sizeof name, "tenants/%s/customerKeys/%s/grants/%s",
             key->tenant->record.name, key->record.name, grant->identity);
    const json_t *said = json_object_get(reseal->grants, name);
    const json_t *after = json_object_get(said, "after");
    if (said == NULL) {
        return reseal_bad(reseal, name, "no audit record tells of this grant");
    }
    if (!says(after, "get", (grant->granted & PERMISSION_GET) != 0) ||
        !says(after, "wrap", (grant->granted & PERMISSION_WRAP) != 0) ||
        !says(after, "unwrap", (grant->granted & PERMISSION_UNWRAP) != 0)) {
        return reseal_bad(reseal, name,
                          "the audit chain tells of other permissions");
    }
    return index_of(said) <= reseal->signed_until
               ? reseal_verified(reseal, "grants as the audit chain tells")
               : reseal_declared(reseal, "grant", name,
                                 permissions(grant->granted));
}

static HF_STATUS look_at_grants(struct reseal *reseal)
{
    for (const struct key_entry *key = reseal->service->catalogue.keys;
         key != NULL; key = key->next) {
        for (size_t i = 0; i < key->grant_count; i++) {
            HF_TRY(look_at_grant(reseal, key, &key->grants[i]->record));
        }
    }
    return HF_OK;
}

/* --- DEPs ----------------------------------------------------------------- */

static bool text_is(const json_t *after, const char *field, const char *value)
{
    const char *text = json_string_value(json_object_get(after, field));
    return text == NULL || strcmp(text, value) == 0;
}

static bool number_is(const json_t *after, const char *field, int64_t value)
{
    const json_t *number = json_object_get(after, field);
    return number == NULL || json_integer_value(number) == value;
}

static const char *residency_word(enum residency residency)
{
    return residency == RESIDENCY_MEMORY ? "MEMORY" : "TOKEN";
}

static HF_STATUS look_at_dep(struct reseal *reseal, const struct dep_entry *dep)
{
    const struct dep_record *record = &dep->record;
    char name[RESEAL_NAME_BYTES];
    char id[HF_ID_TEXT];
    id_format(&record->id, id);
    snprintf(name, sizeof name, "tenants/%s/deps/%s", dep->tenant->record.name,
             id);
    const json_t *said = json_object_get(reseal->deps, name);
    const json_t *after = json_object_get(said, "after");
    bool told = record->type != DEP_TYPE_SERVICE_MANAGED;
    if (told && said == NULL) {
        return reseal_bad(reseal, name, "no audit record tells of this DEP");
    }
    if (told &&
        (!text_is(after, "name", record->name) ||
         !text_is(after, "residency", residency_word(record->residency)) ||
         !number_is(after, "keyLeaseMs", record->key_lease_ms) ||
         !number_is(after, "fallbackLimitMs", record->fallback_limit_ms))) {
        return reseal_bad(reseal, name,
                          "the audit chain tells of another name, residency, "
                          "lease or limit");
    }
    bool is_signed = told && index_of(said) <= reseal->signed_until;
    if (is_signed) {
        HF_TRY(reseal_verified(reseal, "DEPs as the audit chain tells"));
    }
    return reseal_declared(reseal, "DEP", name,
                           json_pack("{s:s, s:s, s:s, s:s, s:i}", "audit",
                                     is_signed ? "signed" : "unsigned",
                                     "called", record->name, "state",
                                     dep_state_text(record->state), "residency",
                                     residency_word(record->residency),
                                     "generation", (int)record->generation));
}

/* --- customer keys -------------------------------------------------------- */

static bool time_is(const json_t *after, const char *field, int64_t ms)
{
    char text[CLOCK_UTC_TEXT];
    const char *told = json_string_value(json_object_get(after, field));
    if (ms == 0 || told == NULL) {
        return ms == 0 && told == NULL;
    }
    clock_format_utc(ms, text);
    return strcmp(told, text) == 0;
}

static bool version_is(const json_t *after,
                       const struct key_version_record *version)
{
    char fingerprint[2 * HF_SHA256_BYTES + 1];
    hex_encode(version->fingerprint, sizeof version->fingerprint, fingerprint,
               sizeof fingerprint);
    return text_is(after, "fingerprint", fingerprint) &&
           says(after, "enabled", version->enabled) &&
           time_is(after, "notBefore", version->not_before_ms) &&
           time_is(after, "expires", version->expires_ms);
}

static HF_STATUS look_at_version(struct reseal *reseal,
                                 const struct key_entry *key,
                                 const struct key_version_record *version,
                                 bool key_is_signed)
{
    char name[RESEAL_NAME_BYTES];
    snprintf(name, sizeof name, "tenants/%s/customerKeys/%s/versions/%u",
             key->tenant->record.name, key->record.name, version->version);
    const json_t *said = json_object_get(reseal->keys, name);
    if (said == NULL) {
        return reseal_bad(reseal, name,
                          "no audit record tells of this version");
    }
    if (!version_is(json_object_get(said, "after"), version)) {
        return reseal_bad(reseal, name,
                          "the audit chain tells of another key or time, or "
                          "tells otherwise whether it is enabled");
    }
    if (key_is_signed && index_of(said) <= reseal->signed_until) {
        return reseal_verified(reseal, "customer key versions as the audit "
                                       "chain tells");
    }
    return reseal_declared(
        reseal, "customer key version", name,
        json_pack("{s:b, s:I, s:I, s:s}", "enabled", (int)version->enabled,
                  "not_before_ms", (json_int_t)version->not_before_ms,
                  "expires_ms", (json_int_t)version->expires_ms, "state",
                  key_state_text(key->record.state)));
}

/* A key that is gone serves nobody, and its name may be another's. */
static HF_STATUS look_at_key(struct reseal *reseal, const struct key_entry *key)
{
    char name[RESEAL_NAME_BYTES];
    snprintf(name, sizeof name, "tenants/%s/customerKeys/%s",
             key->tenant->record.name, key->record.name);
    const json_t *said = json_object_get(reseal->keys, name);
    const json_t *after = json_object_get(said, "after");
    const char *state = json_string_value(json_object_get(after, "state"));
    if (key->record.state == KEY_GONE) {
        return HF_OK;
    }
    if (strcmp(state != NULL ? state : key_state_text(KEY_ACTIVE),
               key_state_text(key->record.state)) != 0 ||
        !time_is(after, "purgeTime", key->record.purge_ms)) {
        HF_TRY(reseal_bad(reseal, name,
                          "the audit chain tells of another state or another "
                          "end of its retention"));
    }
    for (uint32_t i = 0; i < key->record.current_version; i++) {
        HF_TRY(look_at_version(reseal, key, &key->versions[i]->record,
                               index_of(said) <= reseal->signed_until));
    }
    return HF_OK;
}

static HF_STATUS look_at_keys(struct reseal *reseal)
{
    for (const struct key_entry *key = reseal->service->catalogue.keys;
         key != NULL; key = key->next) {
        HF_TRY(look_at_key(reseal, key));
    }
    return HF_OK;
}

/* --- for people ----------------------------------------------------------- */

static HF_STATUS look_at_tenant(struct reseal *reseal,
                                const struct tenant_entry *tenant)
{
    char name[RESEAL_NAME_BYTES];
    snprintf(name, sizeof name, "tenants/%s", tenant->record.name);
    return reseal_declared(reseal, "tenant", name,
                           json_pack("{s:b, s:b, s:b}", "production",
                                     (int)tenant->record.production, "licensed",
                                     (int)tenant->record.licensed, "ended",
                                     (int)tenant->ended));
}

static const char *tenant_name(struct reseal *reseal, const struct hf_id *id)
{
    const struct tenant_entry *tenant =
        catalogue_tenant_by_id(&reseal->service->catalogue, id);
    return tenant != NULL ? tenant->record.name : "?";
}

static HF_STATUS look_at_officer(struct reseal *reseal,
                                 const struct officer_record *officer)
{
    char name[RESEAL_NAME_BYTES];
    char key[2 * OFFICER_KEY_MAX_BYTES + 1];
    hex_encode(officer->public_key, officer->public_key_len, key, sizeof key);
    snprintf(name, sizeof name, "tenants/%s/purgeApprovers/%s",
             tenant_name(reseal, &officer->tenant), officer->identity);
    return reseal_declared(reseal, "approver", name,
                           json_pack("{s:s, s:b, s:s}", "called", officer->name,
                                     "active", (int)officer->active,
                                     "public_key", key));
}

/* What is tombstoned was counted when it was sealed, and certified. */
static HF_STATUS look_at_purge(struct reseal *reseal,
                               const struct purge_record *purge)
{
    char name[RESEAL_NAME_BYTES];
    char id[HF_ID_TEXT];
    uint64_t count = 0;
    uint8_t set[HF_SHA256_BYTES];
    id_format(&purge->id, id);
    snprintf(name, sizeof name, "tenants/%s/purges/%s",
             tenant_name(reseal, &purge->tenant), id);
    HF_TRY(purge_tombstones_sum(reseal->service, &purge->id, &count, set));
    if (purge_is_closed(purge->phase) && count != purge->resources) {
        return reseal_bad(reseal, name,
                          "not every resource that it purged is marked");
    }
    return reseal_declared(reseal, "purge", name,
                           json_pack("{s:s, s:I}", "phase",
                                     purge_phase_text(purge->phase),
                                     "tombstones", (json_int_t)count));
}

/* --- what has no check of its own ----------------------------------------- */

struct kind_walk {
    struct reseal *reseal;
    const char *what;
};

static enum hf_status declare_record(void *context, const struct record *record,
                                     const struct stamp *stamp)
{
    const struct kind_walk *walk = context;
    char key[2 * RECORD_KEY_MAX_BYTES + 1];
    char name[RESEAL_NAME_BYTES];
    uint8_t digest[HF_SHA256_BYTES];
    char text[2 * HF_SHA256_BYTES + 1];
    (void)stamp;
    HF_TRY(sha256((struct bytes){record->body, record->body_len}, digest));
    hex_encode(digest, sizeof digest, text, sizeof text);
    hex_encode(record->key, record->key_len, key, sizeof key);
    snprintf(name, sizeof name, "%s/%s", walk->what, key);
    return reseal_declared(walk->reseal, walk->what, name,
                           json_pack("{s:s}", "sha256", text));
}

static HF_STATUS declare_others(struct reseal *reseal)
{
    static const struct {
        enum record_kind kind;
        const char *what;
    } kinds[] = {
        {RECORD_TENANT_ASSIGNMENT, "tenant assignment"  },
        {RECORD_GEO,               "geo"                },
        {RECORD_APPROVAL,          "approval"           },
        {RECORD_CERTIFICATE,       "certificate"        },
        {RECORD_DELETION,          "deletion"           },
        {RECORD_ONBOARDING,        "onboarding"         },
        {RECORD_SEALS,             "seals of generation"},
    };
    const struct store_page all = {.max = SIZE_MAX};
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        struct kind_walk walk = {reseal, kinds[i].what};
        HF_TRY(ledger_each(reseal->service->ledger, kinds[i].kind, &all,
                           declare_record, &walk));
    }
    return HF_OK;
}

/* --- what the store should tell of ---------------------------------------- */

static const struct purge_record *purge_called(struct reseal *reseal,
                                               const char *wanted)
{
    const struct purge_entry *purge = reseal->service->purges->purges;
    char name[PURGE_NAME_BYTES];
    for (; purge != NULL; purge = purge->next) {
        purge_name(purge, name);
        if (strcmp(name, wanted) == 0) {
            return &purge->record;
        }
    }
    return NULL;
}

/* Without its record what it purged would serve again. */
static HF_STATUS look_for_purges(struct reseal *reseal)
{
    const char *name = NULL;
    json_t *said = NULL;
    json_object_foreach(reseal->purges, name, said)
    {
        const char *phase = json_string_value(
            json_object_get(json_object_get(said, "after"), "phase"));
        const struct purge_record *purge = purge_called(reseal, name);
        if (purge == NULL) {
            HF_TRY(reseal_bad(reseal, name,
                              "the audit chain tells of this purge; the store "
                              "does not"));
        } else if (phase == NULL ||
                   strcmp(phase, purge_phase_text(purge->phase)) != 0) {
            HF_TRY(reseal_bad(reseal, name,
                              "the audit chain tells of another phase"));
        }
    }
    return HF_OK;
}

static HF_STATUS look_for_deps(struct reseal *reseal)
{
    const char *name = NULL;
    json_t *said = NULL;
    json_object_foreach(reseal->deps, name, said)
    {
        struct hf_id id;
        const char *text = strrchr(name, '/');
        if (text != NULL && id_parse(text + 1, &id) == HF_OK &&
            catalogue_dep_by_id(&reseal->service->catalogue, &id) == NULL) {
            HF_TRY(reseal_bad(reseal, name,
                              "the audit chain tells of this DEP; the store "
                              "does not"));
        }
    }
    return HF_OK;
}

static bool has_ak_token(struct reseal *reseal, const char *name)
{
    const struct ak_token_entry *entry = NULL;
    bool found = false;
    while ((entry = ak_token_visit(reseal->service, entry)) != NULL) {
        found = found || strcmp(entry->record.name, name) == 0;
    }
    return found;
}

/* A name may be taken again by another one when its token was retired. */
static HF_STATUS look_for_ak_token(struct reseal *reseal, const char *object,
                                   const json_t *said)
{
    const char *name = strchr(object, '/') + 1;
    const char *state = json_string_value(
        json_object_get(json_object_get(said, "after"), "state"));
    bool retired = state != NULL &&
                   strcmp(state, ak_token_state_text(AK_TOKEN_RETIRED)) == 0;
    if (!has_ak_token(reseal, name)) {
        return reseal_bad(reseal, object,
                          "the audit chain tells of this token; the store "
                          "does not");
    }
    return (ak_token_named(reseal->service, name) == NULL) == retired
               ? HF_OK
               : reseal_bad(reseal, object,
                            "the audit chain tells otherwise of its "
                            "retirement");
}

static HF_STATUS look_for_ak_tokens(struct reseal *reseal)
{
    const char *object = NULL;
    json_t *said = NULL;
    json_object_foreach(reseal->ak_tokens, object, said)
    {
        HF_TRY(look_for_ak_token(reseal, object, said));
    }
    return HF_OK;
}

HF_STATUS reseal_facts(struct reseal *reseal)
{
    const struct catalogue *catalogue = &reseal->service->catalogue;
    const struct purge_book *book = reseal->service->purges;
    for (const struct tenant_entry *tenant = catalogue->tenants; tenant != NULL;
         tenant = tenant->next) {
        HF_TRY(look_at_tenant(reseal, tenant));
    }
    HF_TRY(look_at_keys(reseal));
    HF_TRY(look_at_grants(reseal));
    for (const struct dep_entry *dep = catalogue->deps; dep != NULL;
         dep = dep->next) {
        HF_TRY(look_at_dep(reseal, dep));
    }
    for (const struct officer_entry *officer = book->officers; officer != NULL;
         officer = officer->next) {
        HF_TRY(look_at_officer(reseal, &officer->record));
    }
    for (const struct purge_entry *purge = book->purges; purge != NULL;
         purge = purge->next) {
        HF_TRY(look_at_purge(reseal, &purge->record));
    }
    HF_TRY(declare_others(reseal));
    HF_TRY(look_for_purges(reseal));
    HF_TRY(look_for_deps(reseal));
    return look_for_ak_tokens(reseal);
}
