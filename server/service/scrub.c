#include "server/service/scrub.h"

#include "hsm/sys/log.h"

#include "server/service/attempt.h"

#include <stdio.h>
#include <string.h>

/* One copy: OK, BAD, or a root that says nothing about it. */
enum finding { FINDING_NONE, FINDING_OK, FINDING_BAD, FINDING_UNSEEN };

static const char *finding_text(enum finding finding)
{
    static const char *const texts[] = {"-", "OK", "BAD", "UNSEEN"};
    return texts[finding];
}

static bool has_copy(struct service *service,
                     const struct generation_entry *generation, size_t slot)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool has = generation->record.copies[slot].wrapped_len > 0;
    pthread_rwlock_unlock(&service->catalogue.lock);
    return has;
}

/* A key that was disabled or withdrawn is not asked: its owner said no. */
static bool may_ask(struct service *service,
                    const struct generation_entry *generation, size_t slot)
{
    if (slot == ROOT_AK) {
        return true;
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool may =
        key_serves_anyone(generation->keys[slot], generation->versions[slot],
                          service_wall_ms(service));
    pthread_rwlock_unlock(&service->catalogue.lock);
    return may;
}

static enum finding finding_of(enum hf_status status)
{
    if (status == HF_OK) {
        return FINDING_OK;
    }
    return status == HF_E_BAD_BLOB || status == HF_E_CORRUPT ? FINDING_BAD
                                                             : FINDING_UNSEEN;
}

/* Of the tokens of availability keys each must open its own: what is
 * bad in one is bad, and what one does not show is unseen. */
static enum finding look_at_roots(struct service *service,
                                  struct generation_entry *generation)
{
    struct ak_token_set set;
    enum finding worst = FINDING_OK;
    ak_tokens_of(service, generation->dep->record.type, &set);
    for (size_t i = 0; i < set.count; i++) {
        HF_OWNED(lease_releasep) struct lease *lease = NULL;
        enum finding found = finding_of(
            attempt_root_in(service, generation, &set.at[i], 0, &lease));
        if (worst != FINDING_BAD && found != FINDING_OK) {
            worst = found;
        }
    }
    return worst;
}

static enum finding look_at(struct service *service,
                            struct generation_entry *generation, size_t slot)
{
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    if (!has_copy(service, generation, slot)) {
        return FINDING_NONE;
    }
    if (!may_ask(service, generation, slot)) {
        return FINDING_UNSEEN;
    }
    if (slot == ROOT_AK) {
        return look_at_roots(service, generation);
    }
    return finding_of(
        attempt_customer_key(service, generation, slot, 0, &lease));
}

static HF_STATUS record(struct service *service,
                        const struct generation_entry *generation,
                        const enum finding findings[ROOT_SLOTS])
{
    char object[HF_NAME_MAX_BYTES + HF_ID_TEXT + 32];
    char id[HF_ID_TEXT];
    char details[128];
    id_format(&generation->record.dep, id);
    snprintf(object, sizeof object, "tenants/%s/deps/%s",
             generation->dep->tenant->record.name, id);
    snprintf(details, sizeof details,
             "{\"generation\":%u,\"ck1\":\"%s\",\"ck2\":\"%s\",\"ak\":\"%s\"}",
             generation->record.generation, finding_text(findings[ROOT_CK1]),
             finding_text(findings[ROOT_CK2]), finding_text(findings[ROOT_AK]));
    const struct audit_entry entry = {
        .activity = "Scrub",
        .tenant = generation->record.tenant,
        .object = object,
        .details = details,
    };
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    HF_TRY(audit_change(service, change, &entry));
    return ledger_commit(service->ledger, change);
}

static void tell_bad(const struct generation_entry *generation, size_t slot)
{
    static const char *const slots[ROOT_SLOTS] = {"ck1", "ck2", "ak"};
    char id[HF_ID_TEXT];
    id_format(&generation->record.dep, id);
    log_event(LOG_ERROR, "scrub.bad_copy", LOG_TEXT("dep", id),
              LOG_NUMBER("generation", generation->record.generation),
              LOG_TEXT("copy", slots[slot]));
}

static void scrub_one(struct service *service,
                      struct generation_entry *generation,
                      struct scrub_result *out)
{
    enum finding findings[ROOT_SLOTS] = {FINDING_NONE};
    bool any = false;
    for (size_t slot = 0; slot < ROOT_SLOTS; slot++) {
        findings[slot] = look_at(service, generation, slot);
        any = any || findings[slot] != FINDING_NONE;
        out->copies += findings[slot] == FINDING_OK ? 1 : 0;
        out->unseen += findings[slot] == FINDING_UNSEEN ? 1 : 0;
        if (findings[slot] == FINDING_BAD) {
            out->bad++;
            tell_bad(generation, slot);
        }
    }
    if (!any) {
        return; /* retired */
    }
    out->generations++;
    enum hf_status status = record(service, generation, findings);
    if (status != HF_OK) {
        log_event(LOG_ERROR, "scrub.not_recorded",
                  LOG_TEXT("status", hf_status_name(status)));
    }
}

void scrub_run(struct service *service, struct scrub_result *out)
{
    *out = (struct scrub_result){.bad = 0};
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_entry *dep = service->catalogue.deps;
    pthread_rwlock_unlock(&service->catalogue.lock);
    while (dep != NULL) {
        for (uint32_t number = 1; number <= DEP_GENERATIONS_MAX; number++) {
            pthread_rwlock_rdlock(&service->catalogue.lock);
            struct generation_entry *generation =
                catalogue_generation(dep, number);
            bool ended = dep->closed || dep->record.ak_state == AK_DESTROYED;
            pthread_rwlock_unlock(&service->catalogue.lock);
            if (generation == NULL || ended ||
                atomic_load(&service->stopping)) {
                break;
            }
            scrub_one(service, generation, out);
        }
        pthread_rwlock_rdlock(&service->catalogue.lock);
        dep = dep->next;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    log_event(out->bad > 0 ? LOG_ERROR : LOG_INFO, "scrub.done",
              LOG_NUMBER("generations", out->generations),
              LOG_NUMBER("copies", out->copies), LOG_NUMBER("bad", out->bad),
              LOG_NUMBER("unseen", out->unseen));
}
