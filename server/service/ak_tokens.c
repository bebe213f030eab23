#include "server/service/ak_tokens.h"

#include "hsm/sys/log.h"

#include <stdlib.h>
#include <string.h>

#define PRIMARY_NAME     "ak"
#define GEO_PRIMARY_NAME "sharepoint-ak"
#define AWAY_MS          5000

/* A leaf among the locks: nothing is called while it is held. */
struct ak_tokens {
    pthread_mutex_t lock;
    struct ak_token_entry *entries; /* oldest first; none ever goes */
};

HF_STATUS ak_tokens_new(struct service *service)
{
    service->ak_tokens = calloc(1, sizeof *service->ak_tokens);
    if (service->ak_tokens == NULL) {
        return HF_E_NO_MEMORY;
    }
    pthread_mutex_init(&service->ak_tokens->lock, NULL);
    return HF_OK;
}

void ak_tokens_free(struct service *service)
{
    struct ak_tokens *book = service->ak_tokens;
    if (book == NULL) {
        return;
    }
    while (book->entries != NULL) {
        struct ak_token_entry *entry = book->entries;
        book->entries = entry->next;
        free(entry);
    }
    pthread_mutex_destroy(&book->lock);
    free(book);
    service->ak_tokens = NULL;
}

void ak_token_adopt(struct service *service, struct ak_token_entry *entry)
{
    struct ak_tokens *book = service->ak_tokens;
    pthread_mutex_lock(&book->lock);
    struct ak_token_entry **end = &book->entries;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = entry;
    pthread_mutex_unlock(&book->lock);
}

HF_STATUS ak_tokens_load(void *context, const struct record *record,
                         const struct stamp *stamp)
{
    struct ak_token_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return HF_E_NO_MEMORY;
    }
    entry->stamp = *stamp;
    enum hf_status status = ak_token_decode(record, &entry->record);
    if (status != HF_OK) {
        free(entry);
        return status;
    }
    ak_token_adopt(context, entry);
    return HF_OK;
}

/* --- configuration ------------------------------------------------------ */

const char *ak_token_primary(const struct service *service, bool sharepoint)
{
    const struct service_settings *settings = &service->settings;
    if (sharepoint) {
        const char *name = settings->sharepoint_ak_token_name;
        return settings->sharepoint_ak_token == NULL ? NULL
               : name != NULL                        ? name
                                                     : GEO_PRIMARY_NAME;
    }
    return settings->ak_token_name != NULL ? settings->ak_token_name
                                           : PRIMARY_NAME;
}

static struct ak_token_config primary_of(const struct service *service,
                                         bool sharepoint)
{
    const struct service_settings *settings = &service->settings;
    return (struct ak_token_config){
        .sharepoint = sharepoint,
        .token =
            sharepoint ? settings->sharepoint_ak_token : settings->ak_token,
        .capacity_objects = sharepoint ? 0 : settings->ak_capacity_objects,
    };
}

bool ak_token_configured(const struct service *service, const char *name,
                         struct ak_token_config *out)
{
    const struct service_settings *settings = &service->settings;
    for (int kind = 0; kind < 2; kind++) {
        const char *primary = ak_token_primary(service, kind == 1);
        if (primary != NULL && strcmp(primary, name) == 0) {
            *out = primary_of(service, kind == 1);
            return true;
        }
    }
    for (size_t i = 0; i < settings->ak_mirror_count; i++) {
        const struct configured_ak_token *mirror = &settings->ak_mirrors[i];
        if (strcmp(mirror->name, name) == 0) {
            *out = (struct ak_token_config){
                .sharepoint = mirror->sharepoint,
                .token = mirror->token,
                .capacity_objects = mirror->capacity_objects,
            };
            return true;
        }
    }
    return false;
}

/* Where it stands in the configuration; behind all: nowhere. */
static size_t place_of(const struct service *service, bool sharepoint,
                       const char *name)
{
    const struct service_settings *settings = &service->settings;
    const char *primary = ak_token_primary(service, sharepoint);
    if (primary != NULL && strcmp(primary, name) == 0) {
        return 0;
    }
    size_t i = 0;
    while (i < settings->ak_mirror_count &&
           strcmp(settings->ak_mirrors[i].name, name) != 0) {
        i++;
    }
    return i + 1;
}

/* --- sets --------------------------------------------------------------- */

static void fill_ref(const struct ak_token_entry *entry,
                     struct ak_token_ref *out)
{
    const struct ak_token_record *record = &entry->record;
    *out = (struct ak_token_ref){
        .id = record->id,
        .first = record->first,
        .enrolling = record->state == AK_TOKEN_ENROLLING,
        .transport_len = record->transport_len,
        .entry = (struct ak_token_entry *)entry,
    };
    memcpy(out->name, record->name, sizeof out->name);
    memcpy(out->label, record->label, sizeof out->label);
    memcpy(out->serial, record->serial, sizeof out->serial);
    memcpy(out->transport, record->transport, record->transport_len);
}

static void collect(struct service *service, bool sharepoint,
                    struct ak_token_set *out, bool *out_any)
{
    struct ak_tokens *book = service->ak_tokens;
    out->count = 0;
    *out_any = false;
    pthread_mutex_lock(&book->lock);
    for (const struct ak_token_entry *entry = book->entries; entry != NULL;
         entry = entry->next) {
        if (entry->record.sharepoint != sharepoint) {
            continue;
        }
        *out_any = true;
        if (entry->record.state != AK_TOKEN_RETIRED &&
            out->count < AK_TOKENS_MAX) {
            fill_ref(entry, &out->at[out->count++]);
        }
    }
    pthread_mutex_unlock(&book->lock);
}

/* Another token under the name would show no availability key either, and a
 * purge would certify that. One that was not met yet may be another. */
static void reach(const struct service *service, struct ak_token_ref *ref)
{
    struct ak_token_config configured;
    struct token_profile profile;
    if (!ak_token_configured(service, ref->name, &configured)) {
        return;
    }
    ref->capacity_objects = configured.capacity_objects;
    token_profile_get(configured.token, &profile);
    if (token_profile_is_known(&profile) &&
        strcmp(profile.serial, ref->serial) == 0) {
        ref->token = configured.token;
    }
}

static void put_in_place(const struct service *service, bool sharepoint,
                         struct ak_token_set *set)
{
    for (size_t i = 1; i < set->count; i++) {
        struct ak_token_ref moved = set->at[i];
        size_t place = place_of(service, sharepoint, moved.name);
        size_t at = i;
        while (at > 0 &&
               place_of(service, sharepoint, set->at[at - 1].name) > place) {
            set->at[at] = set->at[at - 1];
            at--;
        }
        set->at[at] = moved;
    }
}

/* The only one, as it always was. */
static void fill_single(struct service *service, bool sharepoint,
                        struct ak_token_set *out)
{
    const struct ak_token_config primary = primary_of(service, sharepoint);
    struct token_profile profile;
    const char *name = ak_token_primary(service, sharepoint);
    if (primary.token == NULL) {
        return;
    }
    struct ak_token_ref *ref = &out->at[out->count++];
    *ref = (struct ak_token_ref){
        .first = true,
        .token = primary.token,
        .capacity_objects = primary.capacity_objects,
    };
    token_profile_get(primary.token, &profile);
    memcpy(ref->name, name, strnlen(name, sizeof ref->name - 1));
    memcpy(ref->label, profile.label, sizeof ref->label);
    memcpy(ref->serial, profile.serial, sizeof ref->serial);
}

void ak_tokens_of(struct service *service, enum dep_type type,
                  struct ak_token_set *out)
{
    bool sharepoint = ak_type_is_sharepoint(type);
    bool any = false;
    collect(service, sharepoint, out, &any);
    if (!any) {
        fill_single(service, sharepoint, out);
        return;
    }
    for (size_t i = 0; i < out->count; i++) {
        reach(service, &out->at[i]);
    }
    put_in_place(service, sharepoint, out);
}

HF_STATUS ak_token_open(const struct ak_token_ref *ref)
{
    return ref->token != NULL ? HF_OK : HF_E_UNREACHABLE;
}

void ak_token_note(struct service *service, const struct ak_token_ref *ref,
                   enum hf_status status)
{
    bool away = hf_status_class(status) == HF_CLASS_TRANSIENT;
    if (ref->entry != NULL) {
        atomic_store(&ref->entry->away_until_ms,
                     away ? service_monotonic_ms(service) + AWAY_MS : 0);
    }
}

void ak_tokens_in_order(struct service *service, const struct ak_token_set *set,
                        size_t out[AK_TOKENS_MAX])
{
    int64_t now_ms = service_monotonic_ms(service);
    size_t count = 0;
    for (int away = 0; away < 2; away++) {
        for (size_t i = 0; i < set->count; i++) {
            const struct ak_token_entry *entry = set->at[i].entry;
            bool is_away =
                set->at[i].token == NULL ||
                (entry != NULL && atomic_load(&entry->away_until_ms) > now_ms);
            if (is_away == (away == 1)) {
                out[count++] = i;
            }
        }
    }
}

HF_STATUS ak_tokens_check(struct service *service, enum dep_type type,
                          struct problem *problem)
{
    struct ak_token_set set;
    ak_tokens_of(service, type, &set);
    for (size_t i = 0; i < set.count && set.count > 1; i++) {
        struct token_request health = {.op = TOKEN_OP_HEALTH};
        enum hf_status status = ak_token_open(&set.at[i]);
        if (status == HF_OK) {
            status = token_call(set.at[i].token, &health);
        }
        ak_token_note(service, &set.at[i], status);
        if (status != HF_OK) {
            return problem_set(
                problem, REASON_SERVICE_UNAVAILABLE,
                "the token %s (serial %s) of the availability keys is away, "
                "or another answers in its place: a key is made only when it "
                "is written to every one of them; bring it back, or retire it",
                set.at[i].name, set.at[i].serial);
        }
    }
    return HF_OK;
}

/* --- entries ------------------------------------------------------------ */

struct ak_token_entry *ak_token_visit(struct service *service,
                                      const struct ak_token_entry *after)
{
    pthread_mutex_lock(&service->ak_tokens->lock);
    struct ak_token_entry *entry =
        after == NULL ? service->ak_tokens->entries : after->next;
    pthread_mutex_unlock(&service->ak_tokens->lock);
    return entry;
}

struct ak_token_record ak_token_record_of(struct service *service,
                                          const struct ak_token_entry *entry)
{
    pthread_mutex_lock(&service->ak_tokens->lock);
    struct ak_token_record record = entry->record;
    pthread_mutex_unlock(&service->ak_tokens->lock);
    return record;
}

struct ak_token_entry *ak_token_named(struct service *service, const char *name)
{
    struct ak_token_entry *found = NULL;
    pthread_mutex_lock(&service->ak_tokens->lock);
    for (struct ak_token_entry *entry = service->ak_tokens->entries;
         entry != NULL && found == NULL; entry = entry->next) {
        if (entry->record.state != AK_TOKEN_RETIRED &&
            strcmp(entry->record.name, name) == 0) {
            found = entry;
        }
    }
    pthread_mutex_unlock(&service->ak_tokens->lock);
    return found;
}

struct ak_token_entry *ak_token_by_id(struct service *service,
                                      const struct hf_id *id)
{
    struct ak_token_entry *found = NULL;
    pthread_mutex_lock(&service->ak_tokens->lock);
    for (struct ak_token_entry *entry = service->ak_tokens->entries;
         entry != NULL && found == NULL; entry = entry->next) {
        found = id_equal(&entry->record.id, id) ? entry : NULL;
    }
    pthread_mutex_unlock(&service->ak_tokens->lock);
    return found;
}

bool ak_tokens_have_record(struct service *service, bool sharepoint)
{
    struct ak_token_set set;
    bool any = false;
    collect(service, sharepoint, &set, &any);
    return any;
}

void ak_token_set_record(struct service *service, struct ak_token_entry *entry,
                         const struct ak_token_record *record,
                         const struct stamp *stamp)
{
    pthread_mutex_lock(&service->ak_tokens->lock);
    entry->record = *record;
    entry->stamp = *stamp;
    pthread_mutex_unlock(&service->ak_tokens->lock);
}

void ak_token_met(struct service *service, struct ak_token_entry *entry,
                  enum hf_status met)
{
    pthread_mutex_lock(&service->ak_tokens->lock);
    entry->met = met;
    pthread_mutex_unlock(&service->ak_tokens->lock);
}

enum hf_status ak_token_last_met(struct service *service,
                                 const struct ak_token_entry *entry)
{
    pthread_mutex_lock(&service->ak_tokens->lock);
    enum hf_status met = entry->met;
    pthread_mutex_unlock(&service->ak_tokens->lock);
    return met;
}
