#include "server/service/ak_capacity.h"

#include "hsm/sys/log.h"

/* One object for each DEP whose availability key is in this token, a tenant's
 * own among them, until it is destroyed; geos may share theirs. */
static uint64_t count_objects(struct service *service,
                              const struct token *token)
{
    uint64_t count = 0;
    uint64_t shared = 0;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct dep_entry *dep = service->catalogue.deps; dep != NULL;
         dep = dep->next) {
        bool counts = dep->record.ak_state != AK_DESTROYED &&
                      service_ak_token(service, dep->record.type) == token;
        if (counts && dep->record.type == DEP_TYPE_SHAREPOINT_GEO &&
            service->settings.sharepoint_ak_shared) {
            shared = 1;
        } else if (counts) {
            count++;
        }
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return count + shared;
}

static struct ak_token_view read_view(struct service *service, bool sharepoint)
{
    struct ak_token_view view = {.sharepoint = sharepoint};
    const struct token *token = sharepoint
                                    ? service->settings.sharepoint_ak_token
                                    : service->settings.ak_token;
    struct token_profile profile;
    struct token_request health = {.op = TOKEN_OP_HEALTH};
    /* without an answer the figures are those of before */
    view.reachable = token_call(token, &health) == HF_OK;
    token_profile_get(token, &profile);
    view.facts = (struct capacity_facts){
        .objects = count_objects(service, token),
        .objects_max = sharepoint ? 0 : service->settings.ak_capacity_objects,
        .free_bytes = profile.free_private_bytes,
        .total_bytes = profile.total_private_bytes,
    };
    view.capacity = capacity_of(&view.facts);
    return view;
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

static void log_capacity(const struct capacity_facts *facts,
                         const struct capacity *capacity)
{
    bool warn =
        capacity->level == CAPACITY_LOW || capacity->level == CAPACITY_FULL;
    log_event(warn ? LOG_WARN : LOG_INFO, "ak_token.capacity",
              LOG_TEXT("level", level_text(capacity->level)),
              LOG_NUMBER("percent", capacity->percent),
              LOG_NUMBER("objects", facts->objects),
              LOG_NUMBER("capacity_objects", facts->objects_max),
              LOG_NUMBER("free_bytes", facts->free_bytes),
              LOG_NUMBER("total_bytes", facts->total_bytes));
}

HF_STATUS ak_capacity_check(struct service *service, struct problem *problem)
{
    const struct ak_token_view view = read_view(service, false);
    const struct capacity_facts facts = view.facts;
    const struct capacity capacity = view.capacity;
    if (capacity.level == CAPACITY_LOW || capacity.level == CAPACITY_FULL) {
        log_capacity(&facts, &capacity);
    }
    if (capacity.level == CAPACITY_FULL) {
        return problem_set(problem, REASON_AK_TOKEN_FULL,
                           "the service's token for availability keys is %u "
                           "%% full; from %d %% on no DEP is made",
                           capacity.percent, CAPACITY_REFUSE_PERCENT);
    }
    return HF_OK;
}

void ak_capacity_log(struct service *service)
{
    const struct ak_token_view view = read_view(service, false);
    const struct capacity_facts facts = view.facts;
    const struct capacity capacity = view.capacity;
    log_capacity(&facts, &capacity);
}

HF_STATUS ak_capacity_get(struct service *service, const struct caller *caller,
                          struct ak_token_views *out, struct problem *problem)
{
    HF_TRY(service_admit(service, caller, VERB_GET_AVAILABILITY_TOKENS, "",
                         NULL, problem));
    out->count = 0;
    out->views[out->count++] = read_view(service, false);
    if (service->settings.sharepoint_ak_token != NULL) {
        out->views[out->count++] = read_view(service, true);
    }
    return HF_OK;
}
