#include "server/service/checkpoints.h"

#include "hsm/base/statement.h"

#include "hsm/sys/log.h"

#include "server/domain/checkpoint.h"

#include "server/service/admin.h"
#include "server/service/chain_end.h"
#include "server/service/change.h"
#include "server/service/sign.h"
#include "server/store/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE "holdfast-checkpoint-v1"

struct checkpoints {
    struct service *service;
    atomic_bool running; /* what follows is the job's */
    struct checkpoint_record last;
    struct stamp stamp; /* where it stands; version 0: there is none */
    /* what the last one covers */
    atomic_uint_fast64_t audit_index;
    atomic_uint_fast64_t spool_records;
    atomic_bool failed;
    /* the scheduler's, monotonic */
    int64_t since_ms;
    int64_t tried_ms;
    bool waiting;
};

/* --- the text ----------------------------------------------------------- */

static void put_hex(struct statement_writer *writer, const char *key,
                    const uint8_t hash[HF_SHA256_BYTES])
{
    char text[2 * HF_SHA256_BYTES + 1];
    hex_encode(hash, HF_SHA256_BYTES, text, sizeof text);
    statement_put_text(writer, key, text, sizeof text);
}

static void put_count(struct statement_writer *writer, const char *key,
                      uint64_t count)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)count);
    statement_put_text(writer, key, text, sizeof text);
}

HF_STATUS checkpoint_text(const struct checkpoint_record *record,
                          uint8_t out[CHECKPOINT_TEXT_BYTES], size_t *out_len)
{
    char spool[HF_ID_TEXT] = "none";
    struct statement_writer writer =
        statement_begin((char *)out, CHECKPOINT_TEXT_BYTES, TITLE);
    if (!id_is_nil(&record->spool)) {
        id_format(&record->spool, spool);
    }
    put_count(&writer, "audit_index", record->audit_index);
    put_hex(&writer, "audit_hash", record->audit_hash);
    statement_put_text(&writer, "spool", spool, sizeof spool);
    put_count(&writer, "spool_records", record->spool_records);
    put_hex(&writer, "spool_hash", record->spool_hash);
    put_hex(&writer, "key", record->key_fingerprint);
    statement_put_time(&writer, "signed_at", record->signed_ms / 1000);
    return statement_end(&writer, out_len);
}

/* --- making one --------------------------------------------------------- */

/* The text names who signs it: with another signer it is another text. */
static HF_STATUS sign_once(struct service *service,
                           struct checkpoint_record *record)
{
    struct signer signer;
    uint8_t text[CHECKPOINT_TEXT_BYTES];
    size_t text_len = 0;
    HF_TRY(sign_find(service, &signer));
    memcpy(record->key_fingerprint, signer.fingerprint,
           sizeof record->key_fingerprint);
    HF_TRY(checkpoint_text(record, text, &text_len));
    _Static_assert(sizeof record->signature >= SIGN_DER_MAX_BYTES, "fits");
    return sign_by(service, &signer, (struct bytes){text, text_len},
                   record->signature, &record->signature_len);
}

static HF_STATUS sign(struct service *service, struct checkpoint_record *record)
{
    enum hf_status status = HF_E_UNREACHABLE;
    for (int i = 0; i < SIGN_TRIES && status != HF_OK; i++) {
        status = sign_once(service, record);
    }
    return status;
}

/* In the place of the one before, when the chain in the store is as long as
 * then: what goes on in the spool alone makes the store no larger. */
static HF_STATUS put(struct checkpoints *checkpoints,
                     const struct checkpoint_record *checkpoint)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    struct record record;
    struct stamp stamp = {.version = 0};
    if (checkpoint->audit_index == checkpoints->last.audit_index) {
        stamp = checkpoints->stamp;
    }
    HF_TRY(checkpoint_encode(checkpoint, &record));
    HF_TRY(change_new(&change));
    HF_TRY(change_put(change, &record, &stamp, &stamp));
    HF_TRY(ledger_commit(checkpoints->service->ledger, change));
    checkpoints->last = *checkpoint;
    checkpoints->stamp = stamp;
    return HF_OK;
}

static HF_STATUS read_end(struct service *service, struct audit_link *out)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(service->settings.store, STORE_READ, &txn));
    return chain_end(txn, out);
}

HF_STATUS checkpoints_make(struct service *service)
{
    struct checkpoints *checkpoints = service->checkpoints;
    const struct checkpoint_record *last = &checkpoints->last;
    struct audit_link end;
    struct spool_head spool = {.records = 0};
    if (service->settings.spool != NULL) {
        HF_TRY(spool_head(service->settings.spool, &spool));
    }
    HF_TRY(read_end(service, &end));
    if (end.index == last->audit_index &&
        (spool.records == 0 || (spool.records == last->spool_records &&
                                id_equal(&spool.spool, &last->spool)))) {
        return HF_OK;
    }
    struct checkpoint_record checkpoint = {
        .audit_index = end.index,
        .spool = spool.spool,
        .spool_records = spool.records,
        .signed_ms = service_wall_ms(service),
    };
    memcpy(checkpoint.audit_hash, end.hash, sizeof checkpoint.audit_hash);
    memcpy(checkpoint.spool_hash, spool.hash, sizeof checkpoint.spool_hash);
    HF_TRY(sign(service, &checkpoint));
    HF_TRY(put(checkpoints, &checkpoint));
    atomic_store(&checkpoints->audit_index, checkpoint.audit_index);
    atomic_store(&checkpoints->spool_records, checkpoint.spool_records);
    atomic_fetch_add(&service->checkpoint_count, 1);
    return HF_OK;
}

/* --- when --------------------------------------------------------------- */

static void run(void *argument)
{
    struct checkpoints *checkpoints = argument;
    enum hf_status status = checkpoints_make(checkpoints->service);
    bool failed_before = atomic_exchange(&checkpoints->failed, status != HF_OK);
    if (status != HF_OK) {
        log_event(LOG_ERROR, "checkpoint.failed",
                  LOG_TEXT("status", hf_status_name(status)),
                  LOG_NUMBER("last_index", checkpoints->last.audit_index));
    } else if (failed_before) {
        log_event(LOG_INFO, "checkpoint.resumed",
                  LOG_NUMBER("last_index", checkpoints->last.audit_index));
    }
    atomic_store(&checkpoints->running, false);
}

void checkpoints_end(struct service *service)
{
    if (service->settings.checkpoints && service->checkpoints != NULL &&
        service->pool != NULL) {
        run(service->checkpoints);
    }
}

void checkpoints_round(struct service *service, int64_t now_ms)
{
    struct checkpoints *checkpoints = service->checkpoints;
    if (!service->settings.checkpoints || atomic_load(&checkpoints->running)) {
        return;
    }
    struct checkpoint_facts facts = {
        .records = ledger_last_index(service->ledger) -
                   atomic_load(&checkpoints->audit_index),
        .routine = service->settings.spool != NULL &&
                   spool_records(service->settings.spool) !=
                       atomic_load(&checkpoints->spool_records),
        .failed = atomic_load(&checkpoints->failed),
        .tried_ms = checkpoints->tried_ms,
    };
    if (facts.records == 0 && !facts.routine) {
        checkpoints->waiting = false;
        return;
    }
    if (!checkpoints->waiting) {
        checkpoints->waiting = true;
        checkpoints->since_ms = now_ms;
    }
    facts.since_ms = checkpoints->since_ms;
    if (!checkpoint_is_due(&facts, now_ms)) {
        return;
    }
    const struct pool_job job = {
        .tenant = "",
        .rank = POOL_SYSTEM,
        .work = run,
        .argument = checkpoints,
    };
    atomic_store(&checkpoints->running, true);
    if (pool_run(service->pool, &job) == HF_OK) {
        checkpoints->tried_ms = now_ms;
        checkpoints->waiting = false;
    } else {
        atomic_store(&checkpoints->running, false); /* it stays due */
    }
}

/* --- at the start ------------------------------------------------------- */

static enum hf_status take_newest(void *context, const struct record *record,
                                  const struct stamp *stamp)
{
    struct checkpoints *checkpoints = context;
    HF_TRY(checkpoint_decode(record, &checkpoints->last));
    checkpoints->stamp = *stamp;
    return HF_OK;
}

struct held {
    const struct checkpoint_record *against;
    bool fits;
};

static enum hf_status hold(void *context, const struct audit_link *link)
{
    struct held *held = context;
    held->fits =
        link->index == held->against->audit_index &&
        bytes_equal(BYTES_OF(link->hash), BYTES_OF(held->against->audit_hash));
    return HF_OK;
}

static HF_STATUS check_chain(struct service *service,
                             const struct checkpoint_record *last,
                             struct problem *problem)
{
    struct held held = {.against = last, .fits = last->audit_index == 0};
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    enum hf_status status =
        store_begin(service->settings.store, STORE_READ, &txn);
    if (status == HF_OK && last->audit_index > 0) {
        status = store_audit_list(txn, NULL, last->audit_index, 1, hold, &held);
    }
    if (status != HF_OK) {
        return problem_of_status(problem, status);
    }
    return held.fits
               ? HF_OK
               : problem_set(problem, REASON_RECORD_INVALID,
                             "the audit chain was cut or changed behind the "
                             "service's back: record %llu is not the one that "
                             "was signed",
                             (unsigned long long)last->audit_index);
}

HF_STATUS checkpoints_open(struct service *service, struct problem *problem)
{
    struct checkpoints *checkpoints = calloc(1, sizeof *checkpoints);
    const struct store_page newest = {.max = 1};
    if (checkpoints == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    checkpoints->service = service;
    service->checkpoints = checkpoints;
    HF_TRY(problem_of_status(problem,
                             ledger_each(service->ledger, RECORD_CHECKPOINT,
                                         &newest, take_newest, checkpoints)));
    HF_TRY(check_chain(service, &checkpoints->last, problem));
    atomic_store(&checkpoints->audit_index, checkpoints->last.audit_index);
    atomic_store(&checkpoints->spool_records, checkpoints->last.spool_records);
    return HF_OK;
}

const struct checkpoint_record *checkpoints_last(const struct service *service)
{
    return &service->checkpoints->last;
}

void checkpoints_close(struct checkpoints *checkpoints)
{
    free(checkpoints);
}

/* --- listing ------------------------------------------------------------ */

struct list_walk {
    struct checkpoint_list *out;
    size_t size;
    struct record_key last;
    bool more;
};

static enum hf_status list_step(void *context, const struct record *record,
                                const struct stamp *stamp)
{
    struct list_walk *walk = context;
    (void)stamp;
    if (walk->out->count == walk->size) {
        walk->more = true;
        return HF_E_LIMIT;
    }
    struct checkpoint_view *view = &walk->out->views[walk->out->count];
    HF_TRY(checkpoint_decode(record, &view->record));
    HF_TRY(checkpoint_text(&view->record, view->text, &view->text_len));
    walk->last = key_of_checkpoint(view->record.audit_index);
    walk->out->count++;
    return HF_OK;
}

static void add_key(struct checkpoint_list *out, const struct signer *signer)
{
    for (size_t i = 0; i < out->key_count; i++) {
        if (bytes_equal(BYTES_OF(out->keys[i].fingerprint),
                        BYTES_OF(signer->fingerprint))) {
            return;
        }
    }
    if (out->key_count < CHECKPOINT_KEYS_MAX) {
        out->keys[out->key_count++] = *signer;
    }
}

/* First the one that signed the newest, then the others that signed, then the
 * one that would now. A key whose token is away or lost cannot be shown. */
static HF_STATUS find_keys(struct service *service, struct checkpoint_list *out)
{
    struct signer signer;
    out->key_count = 0;
    for (size_t i = 0; i < out->count; i++) {
        const uint8_t *wanted = out->views[i].record.key_fingerprint;
        bool known = false;
        for (size_t j = 0; j < i && !known; j++) {
            known = bytes_equal((struct bytes){wanted, HF_SHA256_BYTES},
                                BYTES_OF(out->views[j].record.key_fingerprint));
        }
        if (!known && sign_find_by(service, wanted, &signer) == HF_OK) {
            add_key(out, &signer);
        }
    }
    HF_TRY(sign_find(service, &signer));
    add_key(out, &signer);
    return HF_OK;
}

HF_STATUS checkpoints_list(struct service *service, const struct caller *caller,
                           const char *tenant, const struct page_request *page,
                           struct checkpoint_list *out, struct problem *problem)
{
    struct list_walk walk = {.out = out};
    struct page_walk sizes;
    uint8_t after[sizeof(uint64_t)];
    size_t after_len = 0;
    const struct page_request size = {.size = page->size};
    out->count = 0;
    out->next[0] = '\0';
    HF_TRY(service_admit(service, caller, VERB_LIST_CHECKPOINTS, tenant, NULL,
                         problem));
    HF_TRY(page_begin(&size, out->cap, &sizes, problem));
    if (hex_decode(page->token, after, sizeof after, &after_len) != HF_OK) {
        return problem_field(problem, "page_token",
                             "is not one that was returned here");
    }
    walk.size = sizes.size;
    const struct store_page behind = {
        .after = {after, after_len},
        .max = SIZE_MAX,
    };
    enum hf_status status = ledger_each(service->ledger, RECORD_CHECKPOINT,
                                        &behind, list_step, &walk);
    if (status == HF_E_LIMIT && walk.more) {
        status = HF_OK;
        hex_encode(walk.last.bytes, walk.last.len, out->next, sizeof out->next);
    }
    if (status == HF_OK) {
        status = find_keys(service, out);
    }
    return problem_of_status(problem, status);
}
