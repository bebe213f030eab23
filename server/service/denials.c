#include "server/service/denials.h"

#include "hsm/sys/log.h"

#include "server/service/change.h"
#include "server/service/core.h"
#include "server/service/resources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One record to be. several: of what this identity was refused besides. */
struct pending {
    uint64_t hash; /* of identity, then all of it: both quick to compare */
    uint64_t identity_hash;
    struct caller caller;
    char tenant[HF_NAME_MAX_BYTES + 1];
    char object[RESOURCE_NAME_BYTES];
    enum verb verb;
    enum reason reason;
    bool several;
    uint64_t count;
};

struct table {
    struct pending rows[DENIALS_MAX];
    size_t count;
    uint64_t without_room;
    int64_t first_ms; /* monotonic, of the first since it was empty */
};

struct denials {
    pthread_mutex_t lock; /* of filling; nothing is called while it is held */
    struct table *filling;
    pthread_mutex_t writing_lock; /* of writing; the slow lane's */
    struct table *writing;
    atomic_bool handed_over;
};

HF_STATUS denials_new(struct denials **out_denials)
{
    struct denials *denials = calloc(1, sizeof *denials);
    if (denials == NULL) {
        return HF_E_NO_MEMORY;
    }
    pthread_mutex_init(&denials->lock, NULL);
    pthread_mutex_init(&denials->writing_lock, NULL);
    atomic_init(&denials->handed_over, false);
    denials->filling = calloc(1, sizeof *denials->filling);
    denials->writing = calloc(1, sizeof *denials->writing);
    if (denials->filling == NULL || denials->writing == NULL) {
        denials_free(denials);
        return HF_E_NO_MEMORY;
    }
    *out_denials = denials;
    return HF_OK;
}

void denials_free(struct denials *denials)
{
    if (denials != NULL) {
        pthread_mutex_destroy(&denials->lock);
        pthread_mutex_destroy(&denials->writing_lock);
        free(denials->filling);
        free(denials->writing);
        free(denials);
    }
}

/* --- noting --------------------------------------------------------------- */

static uint64_t hash_of(uint64_t hash, const char *text)
{
    for (size_t i = 0; text[i] != '\0'; i++) {
        hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    }
    return (hash ^ 0xff) * 1099511628211u;
}

static bool is_same(const struct pending *row, const struct denial *denial,
                    uint64_t hash)
{
    return row->hash == hash && !row->several && row->verb == denial->verb &&
           row->reason == denial->reason &&
           strcmp(row->caller.identity, denial->caller->identity) == 0 &&
           strcmp(row->object, denial->object) == 0;
}

/* Where it is counted, if it is there, and how many rows the identity has. */
static struct pending *find(struct table *table, const struct denial *denial,
                            uint64_t hash, uint64_t identity_hash,
                            size_t *out_of_one)
{
    struct pending *rest = NULL;
    *out_of_one = 0;
    for (size_t i = 0; i < table->count; i++) {
        struct pending *row = &table->rows[i];
        if (row->identity_hash != identity_hash ||
            strcmp(row->caller.identity, denial->caller->identity) != 0) {
            continue;
        }
        if (is_same(row, denial, hash)) {
            return row;
        }
        rest = row->several ? row : rest;
        *out_of_one += row->several ? 0 : 1;
    }
    return *out_of_one >= DENIALS_OF_ONE ? rest : NULL;
}

static void note_locked(struct table *table, const struct denial *denial,
                        int64_t now_ms)
{
    const uint64_t identity_hash =
        hash_of(14695981039346656037u, denial->caller->identity);
    const uint64_t hash = hash_of(identity_hash, denial->object);
    size_t of_one = 0;
    struct pending *row = find(table, denial, hash, identity_hash, &of_one);
    if (table->count == 0 && table->without_room == 0) {
        table->first_ms = now_ms;
    }
    if (row == NULL && table->count == DENIALS_MAX) {
        table->without_room++;
        return;
    }
    if (row == NULL) {
        row = &table->rows[table->count++];
        *row = (struct pending){
            .hash = hash,
            .identity_hash = identity_hash,
            .caller = *denial->caller,
            .verb = denial->verb,
            .reason = denial->reason,
            .several = of_one >= DENIALS_OF_ONE,
        };
        snprintf(row->tenant, sizeof row->tenant, "%s", denial->tenant);
        snprintf(row->object, sizeof row->object, "%s",
                 row->several ? "" : denial->object);
    }
    row->count++;
}

static bool is_of_another_tenant(const struct denial *denial)
{
    char own[HF_NAME_MAX_BYTES + 1];
    char asked[HF_NAME_MAX_BYTES + 1];
    name_fold(denial->caller->tenant, own);
    name_fold(denial->tenant, asked);
    return own[0] != '\0' && denial->tenant[0] != '\0' &&
           strcmp(own, asked) != 0;
}

void denials_note(struct service *service, const struct denial *denial)
{
    struct denials *denials = service->denials;
    if (!access_is_denial(denial->reason, is_of_another_tenant(denial))) {
        return;
    }
    int64_t now_ms = service_monotonic_ms(service);
    pthread_mutex_lock(&denials->lock);
    note_locked(denials->filling, denial, now_ms);
    pthread_mutex_unlock(&denials->lock);
}

/* --- writing -------------------------------------------------------------- */

static struct hf_id tenant_id(struct service *service,
                              const struct pending *row)
{
    const char *name =
        row->caller.tenant[0] != '\0' ? row->caller.tenant : row->tenant;
    struct hf_id id = {{0}};
    pthread_rwlock_rdlock(&service->catalogue.lock);
    const struct tenant_entry *tenant =
        catalogue_tenant(&service->catalogue, name);
    if (tenant != NULL) {
        id = tenant->record.id;
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    return id;
}

static HF_STATUS put_row(struct service *service, const struct pending *row,
                         struct change *change)
{
    char details[128];
    if (row->several) {
        snprintf(details, sizeof details, "{\"several\":true,\"count\":%llu}",
                 (unsigned long long)row->count);
    } else {
        snprintf(details, sizeof details,
                 "{\"method\":\"%s\",\"reason\":\"%s\",\"count\":%llu}",
                 verb_method(row->verb), reason_word(row->reason),
                 (unsigned long long)row->count);
    }
    const struct audit_entry entry = {
        .caller = &row->caller,
        .activity = DENIALS_ACTIVITY,
        .tenant = tenant_id(service, row),
        .object = row->object,
        .details = details,
    };
    return audit_change(service, change, &entry);
}

static HF_STATUS put_rest(struct service *service, uint64_t count,
                          struct change *change)
{
    char details[64];
    snprintf(details, sizeof details, "{\"several\":true,\"count\":%llu}",
             (unsigned long long)count);
    const struct audit_entry entry = {
        .activity = DENIALS_ACTIVITY,
        .details = details,
    };
    return audit_change(service, change, &entry);
}

/* As many rows from the given one on as one transaction takes. */
static HF_STATUS write_some(struct service *service, const struct table *table,
                            size_t from, size_t count)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    for (size_t i = from; i < from + count; i++) {
        HF_TRY(put_row(service, &table->rows[i], change));
    }
    return ledger_commit(service->ledger, change);
}

static HF_STATUS write_rest(struct service *service, uint64_t count)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    HF_TRY(put_rest(service, count, change));
    return ledger_commit(service->ledger, change);
}

/* The refusals were given long ago: what cannot be written is said in the log,
 * where each of them stands too. */
static void write_table(struct service *service, struct table *table)
{
    uint64_t lost = 0;
    for (size_t from = 0; from < table->count; from += CHANGE_AUDITS_MAX) {
        size_t count = table->count - from < CHANGE_AUDITS_MAX
                           ? table->count - from
                           : CHANGE_AUDITS_MAX;
        if (write_some(service, table, from, count) != HF_OK) {
            lost += count;
        }
    }
    if (table->without_room > 0 &&
        write_rest(service, table->without_room) != HF_OK) {
        lost++;
    }
    if (lost > 0) {
        log_event(LOG_ERROR, "denials.not_recorded",
                  LOG_NUMBER("records", lost));
    }
    table->count = 0;
    table->without_room = 0;
}

void denials_flush(struct service *service)
{
    struct denials *denials = service->denials;
    if (denials == NULL) {
        return;
    }
    pthread_mutex_lock(&denials->writing_lock);
    pthread_mutex_lock(&denials->lock);
    struct table *full = denials->filling;
    denials->filling = denials->writing;
    denials->writing = full;
    pthread_mutex_unlock(&denials->lock);
    write_table(service, full);
    pthread_mutex_unlock(&denials->writing_lock);
}

static void run_flush(void *argument)
{
    struct service *service = argument;
    denials_flush(service);
    atomic_store(&service->denials->handed_over, false);
}

void denials_round(struct service *service, int64_t now_ms)
{
    struct denials *denials = service->denials;
    pthread_mutex_lock(&denials->lock);
    const struct table *table = denials->filling;
    bool due = (table->count > 0 || table->without_room > 0) &&
               now_ms - table->first_ms >= DENIALS_COALESCE_MS;
    pthread_mutex_unlock(&denials->lock);
    if (!due || atomic_exchange(&denials->handed_over, true)) {
        return;
    }
    const struct pool_job job = {
        .tenant = "",
        .rank = POOL_USER,
        .work = run_flush,
        .argument = service,
    };
    if (pool_run(service->pool, &job) != HF_OK) {
        atomic_store(&denials->handed_over, false); /* it stays due */
    }
}
