#include "server/service/purge_book.h"

#include "hsm/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- finding ------------------------------------------------------------ */

struct officer_entry *purge_book_officer(const struct purge_book *book,
                                         const struct hf_id *tenant,
                                         const char *identity)
{
    struct officer_entry *officer = book->officers;
    while (officer != NULL &&
           !(id_equal(&officer->record.tenant, tenant) &&
             strcmp(officer->record.identity, identity) == 0)) {
        officer = officer->next;
    }
    return officer;
}

struct purge_entry *purge_book_purge(const struct purge_book *book,
                                     const struct hf_id *id)
{
    struct purge_entry *purge = book->purges;
    while (purge != NULL && !id_equal(&purge->record.id, id)) {
        purge = purge->next;
    }
    return purge;
}

struct purge_entry *purge_book_open(const struct purge_book *book,
                                    const struct dep_entry *dep)
{
    struct purge_entry *purge = book->purges;
    while (purge != NULL &&
           !(purge->dep == dep && purge_is_open(purge->record.phase))) {
        purge = purge->next;
    }
    return purge;
}

struct purge_entry *purge_book_running(const struct purge_book *book,
                                       const struct purge_entry *beside)
{
    struct purge_entry *purge = book->purges;
    while (purge != NULL &&
           !(purge != beside && purge->tenant == beside->tenant &&
             purge_is_running(purge->record.phase))) {
        purge = purge->next;
    }
    return purge;
}

bool purge_is_of_tenant(const struct purge_entry *purge)
{
    return purge->dep->record.type == DEP_TYPE_SERVICE_MANAGED;
}

/* The catalogue's lock is held. */
static struct dep_entry *next_dep(const struct purge_entry *purge,
                                  struct dep_entry *dep)
{
    while (dep != NULL && dep->tenant != purge->tenant) {
        dep = dep->next;
    }
    return dep;
}

struct dep_entry *purge_next_dep(struct service *service,
                                 const struct purge_entry *purge,
                                 const struct dep_entry *after)
{
    if (!purge_is_of_tenant(purge)) {
        return after == NULL ? purge->dep : NULL;
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    struct dep_entry *dep =
        next_dep(purge, after == NULL ? service->catalogue.deps : after->next);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return dep;
}

void purge_settle(struct service *service, const struct purge_entry *purge)
{
    struct dep_entry *dep = NULL;
    while ((dep = purge_next_dep(service, purge, dep)) != NULL) {
        leases_settle_for_dep(service, dep);
    }
}

struct purge_state purge_state_of(struct service *service,
                                  const struct purge_entry *purge)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct purge_state state = {
        .id = purge->record.id,
        .phase = purge->record.phase,
        .paused = purge->record.paused,
        .hold_until_ms = purge->record.hold_until_ms,
    };
    pthread_rwlock_unlock(&service->catalogue.lock);
    return state;
}

struct approval_entry *purge_entry_approval(struct purge_entry *purge,
                                            const char *identity)
{
    for (size_t i = 0; i < purge->approval_count; i++) {
        if (strcmp(purge->approvals[i].record.identity, identity) == 0) {
            return &purge->approvals[i];
        }
    }
    return NULL;
}

bool purges_is_tombstoned(const struct service *service,
                          const struct record_key *key)
{
    const struct table *stones = service->purges->tombstones;
    return table_count(stones) > 0 &&
           table_get(stones, record_key_view(key)) != NULL;
}

bool purges_is_tombstoned_locked(const struct service *service,
                                 const struct hf_id *tenant,
                                 enum resource_type type, const char *id)
{
    if (table_count(service->purges->tombstones) == 0) {
        return false;
    }
    struct record_key key = key_of_resource(tenant, type, id);
    return purges_is_tombstoned(service, &key);
}

bool purges_resource_is_tombstoned(struct service *service,
                                   const struct hf_id *tenant,
                                   enum resource_type type, const char *id)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    bool is = purges_is_tombstoned_locked(service, tenant, type, id);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return is;
}

size_t purges_officer_count_locked(const struct service *service,
                                   const struct tenant_entry *tenant)
{
    size_t count = 0;
    for (const struct officer_entry *officer = service->purges->officers;
         officer != NULL; officer = officer->next) {
        count += officer->record.active &&
                 id_equal(&officer->record.tenant, &tenant->record.id);
    }
    return count;
}

size_t purges_officer_count(struct service *service,
                            const struct tenant_entry *tenant)
{
    pthread_rwlock_rdlock(&service->catalogue.lock);
    size_t count = purges_officer_count_locked(service, tenant);
    pthread_rwlock_unlock(&service->catalogue.lock);
    return count;
}

/* --- adding ------------------------------------------------------------- */

void purge_book_add_officer(struct purge_book *book,
                            struct officer_entry *entry)
{
    *book->officers_end = entry;
    book->officers_end = &entry->next;
}

void purge_book_add_purge(struct purge_book *book, struct purge_entry *entry)
{
    *book->purges_end = entry;
    book->purges_end = &entry->next;
}

HF_STATUS purge_book_add_tombstone(struct purge_book *book,
                                   const struct record_key *key)
{
    if (table_get(book->tombstones, record_key_view(key)) != NULL) {
        return HF_OK;
    }
    struct tombstone_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return HF_E_NO_MEMORY;
    }
    entry->key = *key;
    enum hf_status status =
        table_put(book->tombstones, record_key_view(&entry->key), entry);
    if (status != HF_OK) {
        free(entry);
        return status;
    }
    entry->next = book->stones;
    book->stones = entry;
    return HF_OK;
}

/* --- loading ------------------------------------------------------------ */

static enum hf_status load_officer(void *context, const struct record *record,
                                   const struct stamp *stamp)
{
    struct service *service = context;
    struct officer_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return HF_E_NO_MEMORY;
    }
    entry->stamp = *stamp;
    enum hf_status status = officer_decode(record, &entry->record);
    if (status != HF_OK) {
        free(entry);
        return status;
    }
    purge_book_add_officer(service->purges, entry);
    return HF_OK;
}

/* What a purge in this phase has ended. The catalogue is locked for writing, or
 * nobody else knows it yet. */
static void end_what_goes(struct service *service,
                          const struct purge_entry *purge)
{
    enum purge_phase phase = purge->record.phase;
    if (!purge_is_of_tenant(purge)) {
        purge->dep->closed = purge->dep->closed || purge_is_closed(phase);
        return;
    }
    purge->tenant->ended = purge->tenant->ended || purge_is_ending(phase);
    struct dep_entry *dep = next_dep(purge, service->catalogue.deps);
    for (; dep != NULL && purge_is_closed(phase);
         dep = next_dep(purge, dep->next)) {
        dep->closed = true;
    }
}

static HF_STATUS link_purge(struct service *service, struct purge_entry *entry)
{
    struct catalogue *catalogue = &service->catalogue;
    entry->dep = catalogue_dep_by_id(catalogue, &entry->record.dep);
    entry->tenant = catalogue_tenant_by_id(catalogue, &entry->record.tenant);
    if (entry->dep == NULL || entry->tenant == NULL ||
        entry->dep->tenant != entry->tenant) {
        return HF_E_CORRUPT;
    }
    end_what_goes(service, entry);
    return HF_OK;
}

static enum hf_status load_purge(void *context, const struct record *record,
                                 const struct stamp *stamp)
{
    struct service *service = context;
    struct purge_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return HF_E_NO_MEMORY;
    }
    entry->stamp = *stamp;
    enum hf_status status = purge_decode(record, &entry->record);
    if (status == HF_OK) {
        status = link_purge(service, entry);
    }
    if (status != HF_OK) {
        free(entry);
        return status;
    }
    purge_book_add_purge(service->purges, entry);
    return HF_OK;
}

static enum hf_status load_approval(void *context, const struct record *record,
                                    const struct stamp *stamp)
{
    struct service *service = context;
    struct approval_record approval;
    HF_TRY(approval_decode(record, &approval));
    struct purge_entry *purge =
        purge_book_purge(service->purges, &approval.purge);
    if (purge == NULL || purge->approval_count == OFFICERS_MAX) {
        return HF_E_CORRUPT;
    }
    purge->approvals[purge->approval_count++] =
        (struct approval_entry){approval, *stamp};
    return HF_OK;
}

static enum hf_status load_tombstone(void *context, const struct record *record,
                                     const struct stamp *stamp)
{
    struct service *service = context;
    struct tombstone_record tombstone;
    (void)stamp;
    HF_TRY(tombstone_decode(record, &tombstone));
    if (purge_book_purge(service->purges, &tombstone.purge) == NULL) {
        return HF_E_CORRUPT;
    }
    struct record_key key = {.len = record->key_len};
    memcpy(key.bytes, record->key, record->key_len);
    return purge_book_add_tombstone(service->purges, &key);
}

/* Sealed by itself: it is there, or the epoch does not fit. */
static enum hf_status load_deletion(void *context, const struct record *record,
                                    const struct stamp *stamp)
{
    struct service *service = context;
    struct deletion_record deletion;
    (void)stamp;
    HF_TRY(deletion_decode(record, &deletion));
    struct record_key key = {.len = record->key_len};
    memcpy(key.bytes, record->key, record->key_len);
    return purge_book_add_tombstone(service->purges, &key);
}

struct sum_walk {
    struct service *service;
    const struct hf_id *purge;
    uint64_t count;
    uint8_t set[HF_SHA256_BYTES];
};

static enum hf_status sum_one(void *context, const struct record *record,
                              const struct stamp *stamp)
{
    struct sum_walk *walk = context;
    struct tombstone_record tombstone;
    (void)stamp;
    HF_TRY(tombstone_decode(record, &tombstone));
    if (!id_equal(&tombstone.purge, walk->purge)) {
        return HF_OK;
    }
    walk->count++;
    return ledger_set_add(walk->service->ledger, walk->set, record);
}

HF_STATUS purge_tombstones_sum(struct service *service,
                               const struct hf_id *purge, uint64_t *out_count,
                               uint8_t out_set[HF_SHA256_BYTES])
{
    const struct store_page all = {.max = SIZE_MAX};
    struct sum_walk walk = {.service = service, .purge = purge};
    HF_TRY(
        ledger_each(service->ledger, RECORD_TOMBSTONE, &all, sum_one, &walk));
    *out_count = walk.count;
    memcpy(out_set, walk.set, sizeof walk.set);
    return HF_OK;
}

/* What a sealed record vouches for is there, whole (N24). */
static HF_STATUS check_tombstones(struct service *service,
                                  struct problem *problem)
{
    for (const struct purge_entry *purge = service->purges->purges;
         purge != NULL; purge = purge->next) {
        const struct purge_record *record = &purge->record;
        uint64_t count = 0;
        uint8_t set[HF_SHA256_BYTES];
        char id[HF_ID_TEXT];
        if (!purge_is_closed(record->phase)) {
            continue; /* still being written: its steps begin again */
        }
        enum hf_status status =
            purge_tombstones_sum(service, &record->id, &count, set);
        if (status != HF_OK) {
            return problem_of_status(problem, status);
        }
        if (count == record->resources &&
            equal_constant_time(set, record->tombstones, sizeof set)) {
            continue;
        }
        id_format(&record->id, id);
        return problem_set(problem, REASON_RECORD_INVALID,
                           "purge %s sealed %llu tombstones, the store holds "
                           "%llu or others: rows were taken out or changed "
                           "behind the service's back",
                           id, (unsigned long long)record->resources,
                           (unsigned long long)count);
    }
    return HF_OK;
}

HF_STATUS purges_new(struct service *service)
{
    struct purge_book *book = calloc(1, sizeof *book);
    if (book == NULL || table_new(&book->tombstones) != HF_OK) {
        free(book);
        return HF_E_NO_MEMORY;
    }
    book->officers_end = &book->officers;
    book->purges_end = &book->purges;
    service->purges = book;
    return HF_OK;
}

enum hf_status purges_load(void *context, const struct record *record,
                           const struct stamp *stamp)
{
    static const struct {
        enum record_kind kind;
        ledger_each_fn *load;
    } kinds[] = {
        {RECORD_OFFICER,  load_officer },
        {RECORD_PURGE,    load_purge   },
        {RECORD_APPROVAL, load_approval},
        {RECORD_DELETION, load_deletion},
    };
    for (size_t i = 0; i < HF_COUNT(kinds); i++) {
        if (kinds[i].kind == record->kind) {
            return kinds[i].load(context, record, stamp);
        }
    }
    return HF_OK; /* a certificate is read when it is asked for */
}

HF_STATUS purges_open(struct service *service, struct problem *problem)
{
    const struct store_page all = {.max = SIZE_MAX};
    enum hf_status status = ledger_each(service->ledger, RECORD_TOMBSTONE, &all,
                                        load_tombstone, service);
    if (status == HF_E_CORRUPT) {
        return problem_set(problem, REASON_RECORD_INVALID,
                           "a tombstone was changed behind the service's back, "
                           "or leads nowhere");
    }
    if (status != HF_OK) {
        return problem_of_status(problem, status);
    }
    return check_tombstones(service, problem);
}

void purges_close(struct purge_book *book)
{
    if (book == NULL) {
        return;
    }
    while (book->officers != NULL) {
        struct officer_entry *officer = book->officers;
        book->officers = officer->next;
        free(officer);
    }
    while (book->purges != NULL) {
        struct purge_entry *purge = book->purges;
        book->purges = purge->next;
        free(purge);
    }
    while (book->stones != NULL) {
        struct tombstone_entry *stone = book->stones;
        book->stones = stone->next;
        free(stone);
    }
    table_free(book->tombstones);
    free(book);
}

void purge_name(const struct purge_entry *purge, char out[PURGE_NAME_BYTES])
{
    char id[HF_ID_TEXT];
    id_format(&purge->record.id, id);
    snprintf(out, PURGE_NAME_BYTES, "tenants/%s/purges/%s",
             purge->tenant->record.name, id);
}

/* --- moving on ---------------------------------------------------------- */

HF_STATUS purge_move_begin(struct service *service, struct purge_entry *purge,
                           enum purge_event event,
                           const struct purge_seen *seen,
                           struct purge_move *out_move, enum reason *out_reason)
{
    struct purge_next next;
    const struct purge_record *record = &purge->record;
    const struct purge_facts facts = {
        .phase = record->phase,
        .paused = record->paused,
        .approvals = seen->approvals,
        .approvals_needed =
            purge_approvals_needed(record->force, purge_is_of_tenant(purge)),
        .earlier_open = seen->earlier_open,
        .has_strays = seen->has_strays,
        .now_ms = service_wall_ms(service),
        .hold_until_ms = record->hold_until_ms,
        .expires_ms = record->expires_ms,
    };
    HF_TRY(purge_step_next(&facts, event, &next, out_reason));
    *out_move = (struct purge_move){
        .service = service,
        .purge = purge,
        .next = *record,
    };
    out_move->next.phase = next.phase;
    out_move->next.paused = next.paused;
    return change_new(&out_move->change);
}

HF_STATUS purge_move_dep(struct purge_move *move, enum dep_event event)
{
    const struct dep_entry *dep = move->purge->dep;
    if (purge_is_of_tenant(move->purge)) {
        return HF_OK;
    }
    struct dep_step step;
    enum reason reason = REASON_NONE;
    const struct dep_facts facts = {
        .type = dep->record.type,
        .state = dep->record.state,
        .key_update = dep->record.key_update,
        .before = move->next.before,
    };
    HF_TRY(dep_next(&facts, event, &step, &reason));
    move->with_dep = true;
    move->dep_next = dep->record;
    move->dep_next.state = step.next;
    move->dep_next.updated_ms = service_wall_ms(move->service);
    return HF_OK;
}

static HF_STATUS put_records(struct purge_move *move, struct record *record)
{
    HF_TRY(purge_encode(&move->next, record));
    HF_TRY(change_put(move->change, record, &move->purge->stamp,
                      &move->purge_stamp));
    if (!move->with_dep) {
        return HF_OK;
    }
    HF_TRY(dep_encode(&move->dep_next, record));
    return change_put(move->change, record, &move->purge->dep->stamp,
                      &move->dep_stamp);
}

HF_STATUS purge_move_put(struct purge_move *move)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = put_records(move, record);
    free(record);
    return status;
}

HF_STATUS purge_move_commit(struct purge_move *move)
{
    struct service *service = move->service;
    struct purge_entry *purge = move->purge;
    enum hf_status status = ledger_commit(service->ledger, move->change);
    if (!admin_is_stored(status)) {
        return status;
    }
    pthread_rwlock_wrlock(&service->catalogue.lock);
    purge->record = move->next;
    purge->stamp = move->purge_stamp;
    if (move->with_dep) {
        purge->dep->record = move->dep_next;
        purge->dep->stamp = move->dep_stamp;
    }
    end_what_goes(service, purge);
    pthread_rwlock_unlock(&service->catalogue.lock);
    struct dep_entry *dep = NULL;
    bool serves =
        purge_is_of_tenant(purge) && !purge_is_ending(purge->record.phase);
    while (!serves && (dep = purge_next_dep(service, purge, dep)) != NULL) {
        leases_narrow_for_dep(service, dep); /* */
    }
    return status;
}

void purge_move_end(struct purge_move *move)
{
    change_free(move->change);
    move->change = NULL;
}
