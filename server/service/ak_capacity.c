#include "server/service/ak_capacity.h"

#include "hsm/sys/log.h"

#include "server/service/ak_copies.h"
#include "server/service/ak_enrol.h"

#include <string.h>

/* One object for each DEP of the kind, a tenant's own among them, until it is
 * destroyed; geos may share theirs. */
static uint64_t count_objects(struct service *service, bool sharepoint)
{
    uint64_t count = 0;
    uint64_t shared = 0;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct dep_entry *dep = service->catalogue.deps; dep != NULL;
         dep = dep->next) {
        bool counts = dep->record.ak_state != AK_DESTROYED &&
                      ak_type_is_sharepoint(dep->record.type) == sharepoint;
        if (counts && sharepoint && service->settings.sharepoint_ak_shared) {
            shared = 1;
        } else if (counts) {
            count++;
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return count + shared;
}

/* Every generation of the kind that has copies, and those this token has. */
static void count_copies(struct service *service,
                         const struct ak_token_ref *ref, bool sharepoint,
                         struct ak_token_view *view)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct dep_entry *dep = service->catalogue.deps; dep != NULL;
         dep = dep->next) {
        if (ak_type_is_sharepoint(dep->record.type) != sharepoint) {
            continue;
        }
        for (uint32_t i = 0; i < dep->record.generation; i++) {
            const struct generation_entry *generation = dep->generations[i];
            if (generation != NULL && ak_copy_is_carried(generation)) {
                view->copies_wanted++;
                view->copies += ak_copy_of(&generation->record, ref) != NULL;
            }
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
}

static void read_capacity(struct service *service,
                          const struct ak_token_ref *ref, bool sharepoint,
                          struct ak_token_view *view)
{
    struct token_profile profile = {.label = ""};
    struct token_request health = {.op = TOKEN_OP_HEALTH};
    memcpy(view->name, ref->name, sizeof view->name);
    memcpy(view->label, ref->label, sizeof view->label);
    memcpy(view->serial, ref->serial, sizeof view->serial);
    view->sharepoint = sharepoint;
    view->state = ref->enrolling ? AK_TOKEN_ENROLLING : AK_TOKEN_ACTIVE;
    /* without an answer the figures are those of before */
    if (ref->token != NULL) {
        view->reachable = token_call(ref->token, &health) == HF_OK;
        token_profile_get(ref->token, &profile);
    }
    view->facts = (struct capacity_facts){
        .objects = count_objects(service, sharepoint),
        .objects_max = ref->capacity_objects,
        .free_bytes = profile.free_private_bytes,
        .total_bytes = profile.total_private_bytes,
    };
    view->capacity = capacity_of(&view->facts);
    count_copies(service, ref, sharepoint, view);
}

static const char *level_text(enum capacity_level level)
{
    switch (level) {
    case CAPACITY_UNKNOWN:
        return "unknown";
    case CAPACITY_ENOUGH:
        return "enough";
    case CAPACITY_LOW:
        return "low";
    case CAPACITY_FULL:
        return "full";
    }
    return "unknown";
}

static void log_capacity(const struct ak_token_view *view)
{
    const struct capacity_facts *facts = &view->facts;
    const struct capacity *capacity = &view->capacity;
    bool warn =
        capacity->level == CAPACITY_LOW || capacity->level == CAPACITY_FULL;
    log_event(warn ? LOG_WARN : LOG_INFO, "ak_token.capacity",
              LOG_TEXT("token", view->name),
              LOG_TEXT("level", level_text(capacity->level)),
              LOG_NUMBER("percent", capacity->percent),
              LOG_NUMBER("objects", facts->objects),
              LOG_NUMBER("capacity_objects", facts->objects_max),
              LOG_NUMBER("free_bytes", facts->free_bytes),
              LOG_NUMBER("total_bytes", facts->total_bytes));
}

static HF_STATUS check_one(const struct ak_token_view *view,
                           struct problem *problem)
{
    const struct capacity capacity = view->capacity;
    if (capacity.level == CAPACITY_LOW || capacity.level == CAPACITY_FULL) {
        log_capacity(view);
    }
    if (capacity.level == CAPACITY_FULL) {
        return problem_set(problem, REASON_AK_TOKEN_FULL,
                           "the service's token for availability keys \"%s\" "
                           "is %u %% full; from %d %% on no DEP is made",
                           view->name, capacity.percent,
                           CAPACITY_REFUSE_PERCENT);
    }
    return HF_OK;
}

HF_STATUS ak_capacity_check(struct service *service, struct problem *problem)
{
    struct ak_token_set set;
    ak_tokens_of(service, DEP_TYPE_EXCHANGE_MAILBOX, &set);
    for (size_t i = 0; i < set.count; i++) {
        struct ak_token_view view = {.mirrored = false};
        read_capacity(service, &set.at[i], false, &view);
        HF_TRY(check_one(&view, problem));
    }
    return HF_OK;
}

void ak_capacity_log(struct service *service)
{
    struct ak_token_set set;
    ak_tokens_of(service, DEP_TYPE_EXCHANGE_MAILBOX, &set);
    for (size_t i = 0; i < set.count; i++) {
        struct ak_token_view view = {.mirrored = false};
        read_capacity(service, &set.at[i], false, &view);
        log_capacity(&view);
    }
}

/* --- views -------------------------------------------------------------- */

static void fill_record(const struct ak_token_record *record,
                        struct ak_token_view *view)
{
    view->mirrored = true;
    view->state = record->state;
    view->sharepoint = record->sharepoint;
    view->retired_ms = record->retired_ms;
    memcpy(view->name, record->name, sizeof view->name);
    memcpy(view->label, record->label, sizeof view->label);
    memcpy(view->serial, record->serial, sizeof view->serial);
    memcpy(view->disposal, record->disposal, sizeof view->disposal);
    memcpy(view->requested_by, record->requested_by, sizeof view->requested_by);
    for (size_t i = 0; i < AK_RETIREMENT_APPROVALS; i++) {
        view->approvals += record->approved_by[i][0] != '\0';
    }
}

static void add_live(struct service *service, bool sharepoint,
                     struct ak_token_views *out)
{
    struct ak_token_set set;
    ak_tokens_of(
        service,
        sharepoint ? DEP_TYPE_SHAREPOINT_GEO : DEP_TYPE_EXCHANGE_MAILBOX, &set);
    for (size_t i = 0; i < set.count; i++) {
        struct ak_token_view *view = &out->views[out->count++];
        *view = (struct ak_token_view){.mirrored = false};
        read_capacity(service, &set.at[i], sharepoint, view);
        if (set.at[i].entry != NULL) {
            const struct ak_token_record record =
                ak_token_record_of(service, set.at[i].entry);
            view->met = ak_token_last_met(service, set.at[i].entry);
            fill_record(&record, view);
        }
    }
}

HF_STATUS ak_capacity_get(struct service *service, const struct caller *caller,
                          struct ak_token_views *out, struct problem *problem)
{
    struct ak_token_entry *entry = NULL;
    HF_TRY(service_admit(service, caller, VERB_GET_AVAILABILITY_TOKENS, "",
                         NULL, problem));
    out->count = 0;
    add_live(service, false, out);
    add_live(service, true, out);
    while (out->count < AK_VIEWS_MAX &&
           (entry = ak_token_visit(service, entry)) != NULL) {
        const struct ak_token_record record =
            ak_token_record_of(service, entry);
        if (record.state == AK_TOKEN_RETIRED) {
            struct ak_token_view *view = &out->views[out->count++];
            *view = (struct ak_token_view){.mirrored = true};
            fill_record(&record, view);
        }
    }
    return HF_OK;
}

void ak_capacity_show(struct service *service,
                      const struct ak_token_entry *entry,
                      struct ak_token_view *out)
{
    const struct ak_token_record record = ak_token_record_of(service, entry);
    struct ak_token_set set;
    *out = (struct ak_token_view){.mirrored = true};
    ak_tokens_of(service,
                 record.sharepoint ? DEP_TYPE_SHAREPOINT_GEO
                                   : DEP_TYPE_EXCHANGE_MAILBOX,
                 &set);
    for (size_t i = 0; i < set.count; i++) {
        if (set.at[i].entry == entry) {
            read_capacity(service, &set.at[i], record.sharepoint, out);
        }
    }
    fill_record(&record, out);
}
