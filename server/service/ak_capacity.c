#include "server/service/ak_capacity.h"

#include "hsm/sys/log.h"

#include "server/domain/capacity.h"

/* One object for each DEP, a tenant's own among them, until it is destroyed. */
static uint64_t count_objects(struct service *service)
{
    uint64_t count = 0;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (const struct dep_entry *dep = service->catalogue.deps; dep != NULL;
         dep = dep->next) {
        count += dep->record.ak_state != AK_DESTROYED ? 1 : 0;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return count;
}

static struct capacity_facts read_facts(struct service *service)
{
    const struct token *token = service->settings.ak_token;
    struct token_profile profile;
    struct token_request health = {.op = TOKEN_OP_HEALTH};
    HF_IGNORE(token_call(token, &health),
              "without an answer the figures are those of before");
    token_profile_get(token, &profile);
    return (struct capacity_facts){
        .objects = count_objects(service),
        .objects_max = service->settings.ak_capacity_objects,
        .free_bytes = profile.free_private_bytes,
        .total_bytes = profile.total_private_bytes,
    };
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
    const struct capacity_facts facts = read_facts(service);
    const struct capacity capacity = capacity_of(&facts);
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
    const struct capacity_facts facts = read_facts(service);
    const struct capacity capacity = capacity_of(&facts);
    log_capacity(&facts, &capacity);
}
