/* purge_guard: a token directory restored from before a purge brings
 * availability keys back (N23). At start and once a day those of every purged
 * DEP are looked for, destroyed again and reported.
 */
#include "hsm/sys/log.h"

#include "server/service/ak_objects.h"
#include "server/service/purge_book.h"

#include <stdio.h>

#define GUARD_MS (24LL * 3600 * 1000)

static void report_return(struct service *service, struct purge_entry *purge,
                          size_t found)
{
    char object[PURGE_NAME_BYTES];
    char details[96];
    HF_OWNED(change_freep) struct change *change = NULL;
    purge_name(purge, object);
    snprintf(details, sizeof details, "{\"objects\":%zu}", found);
    const struct audit_entry entry = {
        .activity = "DestroyedKeyCameBack",
        .tenant = purge->record.tenant,
        .object = object,
        .details = details,
    };
    log_event(LOG_ERROR, "purge.key_came_back", LOG_TEXT("purge", object),
              LOG_NUMBER("objects", found));
    enum hf_status status = change_new(&change);
    if (status == HF_OK) {
        status = audit_change(service, change, &entry);
    }
    if (status == HF_OK) {
        status = ledger_commit(service->ledger, change);
    }
    if (status != HF_OK) {
        log_event(LOG_ERROR, "purge.return_not_recorded",
                  LOG_TEXT("status", hf_status_name(status)));
    }
}

/* Whose key was destroyed: beyond the step that does it. */
static bool is_destroyed(enum purge_phase phase)
{
    return phase == PURGE_VERIFYING || phase == PURGE_FORGETTING ||
           phase == PURGE_PURGED;
}

static void look_for(struct service *service, struct purge_entry *purge)
{
    struct dep_entry *dep = NULL;
    while ((dep = purge_next_dep(service, purge, dep)) != NULL) {
        struct ak_destroyed destroyed;
        enum hf_status status = ak_objects_destroy(service, dep, &destroyed);
        if (destroyed.found > 0) {
            report_return(service, purge, destroyed.found);
        }
        if (status != HF_OK) {
            log_event(LOG_ERROR, "purge.guard_failed",
                      LOG_TEXT("token", destroyed.failed),
                      LOG_TEXT("status", hf_status_name(status)));
        }
    }
}

static void guard(void *argument)
{
    struct service *service = argument;
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct purge_entry *purge = service->purges->purges;
    pthread_rwlock_unlock(&service->catalogue.lock);
    while (purge != NULL) {
        if (is_destroyed(purge_state_of(service, purge).phase)) {
            look_for(service, purge);
        }
        pthread_rwlock_rdlock(&service->catalogue.lock);
        purge = purge->next;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
    atomic_store(&service->purges->guarding, false);
}

void purges_round(struct service *service, int64_t now_ms)
{
    struct purge_book *book = service->purges;
    const struct pool_job job = {
        .tenant = "",
        .rank = POOL_BACKGROUND,
        .work = guard,
        .argument = service,
    };
    if ((book->guard_due_ms != 0 && now_ms < book->guard_due_ms) ||
        atomic_exchange(&book->guarding, true)) {
        return;
    }
    if (pool_run(service->pool, &job) != HF_OK) {
        atomic_store(&book->guarding, false); /* the next round tries again */
        return;
    }
    book->guard_due_ms = now_ms + GUARD_MS;
}
