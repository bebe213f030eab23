/* purge_steps: what an operation of kind PURGE, or DELETE_TENANT, does in each
 * phase; of a tenant with every DEP of it.
 *
 *   HOLDING      waits; then looks that nothing would be lost unasked
 *   TOMBSTONING  marks every resource of the DEP, a few in a transaction
 *   DESTROYING   destroys every availability key of the DEP found in the token
 *   VERIFYING    has a fresh process look and try
 *   FORGETTING   takes the wrapped copies out of the live records, signs
 *
 * The phase is in the purge's sealed record: a step reads it, does its part,
 * and moves it on. Each may be cut anywhere and run again. A step begins only
 * when what was recorded before is safe from a rollback, and the
 * availability key is touched only when every tombstone is sealed.
 */
#include "hsm/sys/log.h"

#include "server/domain/availability.h"

#include "server/service/ak_objects.h"
#include "server/service/purge_book.h"
#include "server/service/purge_verify.h"
#include "server/service/resources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS       5000  /* after what may succeed later */
#define HOLD_LOOK_MS   60000 /* at most between two looks at the clock */
#define PAUSED_LOOK_MS 2000

static void later(struct operation_step *step, int64_t wait_ms,
                  const char *error)
{
    snprintf(step->record.error, sizeof step->record.error, "%s", error);
    step->wait_ms = wait_ms;
}

static void later_status(struct operation_step *step, const char *what,
                         enum hf_status status)
{
    char text[OPERATION_ERROR_MAX_BYTES];
    snprintf(text, sizeof text, "%s: %s", what, hf_status_text(status));
    later(step, RETRY_MS, text);
}

/* A purge waits for every token: for which one, it says. */
static void later_in_token(struct operation_step *step, const char *what,
                           const char *token, enum hf_status status)
{
    char text[OPERATION_ERROR_MAX_BYTES];
    snprintf(text, sizeof text, "%s in the token %s: %s", what, token,
             hf_status_text(status));
    later(step, RETRY_MS, text);
}

/* --- moving on ---------------------------------------------------------- */

/* What a step adds to the record when it moves it on. */
typedef void fill_next_fn(struct purge_record *next, const void *context);

struct advance {
    enum purge_event event;
    struct purge_seen seen;
    bool dep_ends; /* T11 */
    fill_next_fn *fill;
    const void *context;
    const struct certificate_record *certificate; /* or NULL */
    int64_t now_ms;
};

static HF_STATUS put_certificate(const struct certificate_record *certificate,
                                 struct change *change)
{
    const struct stamp none = {.version = 0};
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = certificate_encode(certificate, record);
    if (status == HF_OK) {
        status = change_put(change, record, &none, NULL);
    }
    free(record);
    return status;
}

static HF_STATUS record_phase(struct service *service, struct purge_move *move)
{
    char object[PURGE_NAME_BYTES];
    char details[128];
    purge_name(move->purge, object);
    snprintf(details, sizeof details, "{\"before\":\"%s\",\"after\":\"%s\"}",
             purge_phase_text(move->purge->record.phase),
             purge_phase_text(move->next.phase));
    const struct audit_entry entry = {
        .activity = "PurgeStep",
        .tenant = move->next.tenant,
        .object = object,
        .details = details,
    };
    return audit_change(service, move->change, &entry);
}

static HF_STATUS advance_move(struct service *service, struct purge_move *move,
                              const struct advance *advance)
{
    if (advance->fill != NULL) {
        advance->fill(&move->next, advance->context);
    }
    if (advance->dep_ends && !purge_is_of_tenant(move->purge)) {
        enum reason reason = REASON_NONE;
        HF_TRY(purge_move_dep(move, DEP_EV_PURGED));
        HF_TRY(ak_next(move->dep_next.ak_state, AK_EV_DESTROY,
                       &move->dep_next.ak_state, &reason));
    }
    HF_TRY(purge_move_put(move));
    if (advance->certificate != NULL) {
        HF_TRY(put_certificate(advance->certificate, move->change));
    }
    HF_TRY(record_phase(service, move));
    return purge_move_commit(move);
}

static HF_STATUS advance(struct operation_step *step, struct purge_entry *purge,
                         const struct advance *advance)
{
    struct service *service = step->service;
    struct purge_move move = {.change = NULL};
    enum reason reason = REASON_NONE;
    pthread_mutex_lock(&service->record_lock);
    enum hf_status status = purge_move_begin(service, purge, advance->event,
                                             &advance->seen, &move, &reason);
    if (status == HF_OK) {
        status = advance_move(service, &move, advance);
    }
    purge_move_end(&move);
    pthread_mutex_unlock(&service->record_lock);
    if (admin_is_stored(status)) {
        /* what was served before is over, on every generation */
        purge_settle(service, purge);
    }
    if (status == HF_E_PRECONDITION) {
        later(step, PAUSED_LOOK_MS, reason_word(reason));
    } else if (status != HF_OK) {
        later_status(step, "the purge could not be recorded", status);
    }
    return status;
}

/* --- HOLDING ------------------------------------------------------------ */

static void note_strays(struct operation_step *step,
                        const struct purge_census *census)
{
    char text[OPERATION_ERROR_MAX_BYTES];
    step->record.failed = census->strays;
    snprintf(text, sizeof text,
             "%llu mailboxes wrapped under the DEP are assigned elsewhere, "
             "%.80s among them: rewrap them",
             (unsigned long long)census->strays, census->stray);
    later(step, RETRY_MS, text);
}

/* A census that may go on: nothing would be lost unasked. */
static struct purge_census *take_census(struct operation_step *step,
                                        const struct purge_entry *purge)
{
    struct purge_census *census = calloc(1, sizeof *census);
    enum hf_status status =
        census == NULL ? HF_E_NO_MEMORY
                       : purge_census_take(step->service, purge->tenant,
                                           purge->dep, census);
    if (status != HF_OK) {
        later_status(step, "the mailboxes cannot be read", status);
        free(census);
        return NULL;
    }
    step->record.failed = 0;
    step->record.total = census->marked;
    if (census->strays > 0) {
        note_strays(step, census);
        free(census);
        return NULL;
    }
    return census;
}

static void hold(struct operation_step *step, struct purge_entry *purge)
{
    const struct purge_state state = purge_state_of(step->service, purge);
    int64_t left_ms = state.hold_until_ms - service_wall_ms(step->service);
    if (state.paused || left_ms > 0) {
        int64_t wait_ms = left_ms > HOLD_LOOK_MS ? HOLD_LOOK_MS : left_ms;
        later(step, state.paused ? PAUSED_LOOK_MS : wait_ms, "");
        return;
    }
    struct purge_census *census = take_census(step, purge);
    if (census == NULL) {
        return;
    }
    free(census);
    const struct advance over = {.event = PURGE_EV_HOLD_OVER};
    HF_IGNORE(advance(step, purge, &over), "the step says what it met");
}

/* --- TOMBSTONING -------------------------------------------------------- */

/* What is sealed: how many there are, which, and what stays of them. */
struct sealed_marks {
    uint64_t count;
    uint8_t set[HF_SHA256_BYTES];
    const struct purge_census *census;
    int64_t now_ms;
};

static void fill_marks(struct purge_record *next, const void *context)
{
    const struct sealed_marks *marks = context;
    next->resources = marks->count;
    memcpy(next->tombstones, marks->set, sizeof next->tombstones);
    next->tombstoned_ms = marks->now_ms;
    next->residual_count = marks->census->earlier_count;
    memcpy(next->residual, marks->census->earlier, sizeof next->residual);
}

/* Calls that were let in before a tombstone was there are over. */
static void drain_tenant(struct service *service,
                         const struct tenant_entry *tenant)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_entry *dep = service->catalogue.deps;
    pthread_rwlock_unlock(&service->catalogue.lock);
    while (dep != NULL) {
        if (dep->tenant == tenant) {
            pthread_mutex_lock(&service->record_lock);
            leases_narrow_for_dep(service, dep);
            pthread_mutex_unlock(&service->record_lock);
            leases_settle_for_dep(service, dep);
        }
        pthread_rwlock_rdlock(&service->catalogue.lock);
        dep = dep->next;
        pthread_rwlock_unlock(&service->catalogue.lock);
    }
}

static void seal_marks(struct operation_step *step, struct purge_entry *purge,
                       const struct purge_census *census)
{
    struct sealed_marks marks = {
        .census = census,
        .now_ms = service_wall_ms(step->service),
    };
    enum hf_status status = purge_tombstones_sum(
        step->service, &purge->record.id, &marks.count, marks.set);
    if (status != HF_OK) {
        later_status(step, "the tombstones cannot be read", status);
        return;
    }
    /* some of a tenant's were purged or deleted before */
    bool fewer = !purge_is_of_tenant(purge) && marks.count < census->marked;
    if (fewer || census->unmarked > 0) {
        later(step, 0, ""); /* the next look finds them */
        return;
    }
    drain_tenant(step->service, purge->tenant);
    const struct advance tombstoned = {
        .event = PURGE_EV_TOMBSTONED,
        .fill = fill_marks,
        .context = &marks,
    };
    HF_IGNORE(advance(step, purge, &tombstoned), "the step says what it met");
}

static void tombstone(struct operation_step *step, struct purge_entry *purge)
{
    uint64_t marked = 0;
    bool none = false;
    enum hf_status status =
        purge_tombstones_mark(step->service, purge, &marked, &none);
    step->record.done += marked;
    if (status != HF_OK && hf_status_class(status) != HF_CLASS_CONFLICT) {
        later_status(step, "the mailboxes cannot be marked", status);
    }
    if (!none) {
        return;
    }
    struct purge_census *census = take_census(step, purge);
    if (census != NULL) {
        step->record.done = census->marked;
        seal_marks(step, purge, census);
    }
    free(census);
}

/* --- DESTROYING, VERIFYING ---------------------------------------------- */

static void fill_destroyed(struct purge_record *next, const void *context)
{
    next->destroyed_ms = *(const int64_t *)context;
}

static void destroy(struct operation_step *step, struct purge_entry *purge)
{
    struct ak_destroyed destroyed = {.found = 0};
    int64_t now_ms = service_wall_ms(step->service);
    enum hf_status status = HF_OK;
    struct dep_entry *dep = NULL;
    while (status == HF_OK &&
           (dep = purge_next_dep(step->service, purge, dep)) != NULL) {
        status = ak_objects_destroy(step->service, dep, &destroyed);
    }
    if (status != HF_OK) {
        later_in_token(step, "the availability key cannot be destroyed",
                       destroyed.failed, status);
        log_event(LOG_ERROR, "purge.destroy_failed",
                  LOG_TEXT("token", destroyed.failed),
                  LOG_TEXT("status", hf_status_name(status)));
        return;
    }
    const struct advance done = {
        .event = PURGE_EV_DESTROYED,
        .fill = fill_destroyed,
        .context = &now_ms,
    };
    HF_IGNORE(advance(step, purge, &done), "the step says what it met");
}

static void fill_verified(struct purge_record *next, const void *context)
{
    const struct purge_verified *verified = context;
    next->verified_ms = verified->now_ms;
    memcpy(next->evidence, verified->evidence, sizeof next->evidence);
}

static void verify(struct operation_step *step, struct purge_entry *purge)
{
    struct purge_verified verified = {.now_ms = service_wall_ms(step->service)};
    enum hf_status status = purge_verify(step->service, purge, &verified);
    if (status != HF_OK) {
        later_in_token(step, "the destruction cannot be verified",
                       verified.failed, status);
        return;
    }
    struct advance seen = {
        .event = PURGE_EV_VERIFIED,
        .fill = fill_verified,
        .context = &verified,
    };
    if (purge_is_left(&verified.answer)) {
        log_event(LOG_ERROR, "purge.left",
                  LOG_NUMBER("objects", verified.answer.left));
        seen = (struct advance){.event = PURGE_EV_LEFT};
        if (advance(step, purge, &seen) == HF_OK) {
            later(step, RETRY_MS,
                  "a fresh process still found the availability key");
        }
        return;
    }
    HF_IGNORE(advance(step, purge, &seen), "the step says what it met");
}

/* --- FORGETTING --------------------------------------------------------- */

/* True when no copy is left. */
static bool forget(struct operation_step *step, const struct purge_entry *purge)
{
    bool none = false;
    enum hf_status status = purge_forget_copies(step->service, purge, &none);
    if (status != HF_OK) {
        later_status(step, "the wrapped copies", status);
    }
    return none;
}

static void fill_purged(struct purge_record *next, const void *context)
{
    next->purged_ms = *(const int64_t *)context;
}

static void finish(struct operation_step *step, struct purge_entry *purge)
{
    int64_t now_ms = service_wall_ms(step->service);
    struct purge_record done = purge->record;
    struct certificate_record *certificate = calloc(1, sizeof *certificate);
    fill_purged(&done, &now_ms);
    enum hf_status status =
        certificate == NULL
            ? HF_E_NO_MEMORY
            : purge_write_certificate(step->service, purge, &done, certificate);
    if (status != HF_OK) {
        later_status(step, "the certificate cannot be signed", status);
        free(certificate);
        return;
    }
    const struct advance purged = {
        .event = PURGE_EV_FORGOTTEN,
        .fill = fill_purged,
        .context = &now_ms,
        .dep_ends = true,
        .certificate = certificate,
    };
    if (advance(step, purge, &purged) == HF_OK) {
        health_refresh(step->service);
    }
    free(certificate);
}

/* ------------------------------------------------------------------------ */

void purge_step(struct operation_step *step)
{
    struct service *service = step->service;
    enum hf_status status = ledger_settle(service->ledger);
    if (status != HF_OK) {
        later_status(step, "the service's token", status);
        return;
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct purge_entry *purge =
        purge_book_purge(service->purges, &step->record.object);
    pthread_rwlock_unlock(&service->catalogue.lock);
    step->record.error[0] = '\0';
    if (purge == NULL) {
        step->gave_up = true;
        snprintf(step->record.error, sizeof step->record.error,
                 "there is no such purge");
        return;
    }
    enum purge_phase phase = purge_state_of(service, purge).phase;
    switch (phase) {
    case PURGE_HOLDING:
        hold(step, purge);
        return;
    case PURGE_TOMBSTONING:
        tombstone(step, purge);
        return;
    case PURGE_DESTROYING:
        destroy(step, purge);
        return;
    case PURGE_VERIFYING:
        verify(step, purge);
        return;
    case PURGE_FORGETTING:
        if (forget(step, purge)) {
            finish(step, purge);
        }
        return;
    case PURGE_PURGED:
        step->record.done = step->record.total;
        step->finished = true;
        return;
    case PURGE_REQUESTED:
    case PURGE_APPROVED:
    case PURGE_CANCELLED:
        break;
    }
    step->gave_up = true;
    snprintf(step->record.error, sizeof step->record.error,
             "a purge that is %s has no steps", purge_phase_text(phase));
}
