/* Sealing anew: all in one transaction of the store, then the epoch in the new
 * token.
 *
 *   killed before the commit   nothing happened
 *   killed after it            the store is under the new keys, the token holds
 *                              no epoch yet, and no service starts: the same
 *                              order again puts it there, and nothing else
 */
#include "hsm/base/check.h"

#include "hsm/sys/signature.h"

#include "server/service/chain_end.h"
#include "server/service/epoch.h"
#include "server/service/reseal_inside.h"
#include "server/store/hash.h"
#include "server/store/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE        32
#define HEX_BYTES      (2 * HF_SHA256_BYTES + 1)
#define PURGES_AT_ONCE 64

/* What the tombstones of one purge come to under the new set key. */
struct stones {
    struct hf_id purge;
    struct root set;
};

struct sealing {
    const struct reseal_settings *settings;
    struct seals seals;
    struct store_txn *txn;
    struct record *records; /* AT_ONCE */
    size_t count;
    struct root root;
    struct stones *stones;
    size_t stone_count;
    size_t stone_cap;
    struct purge_record purge;
    uint64_t sealed;
    char report[HEX_BYTES]; /* SHA-256 */
    const struct reseal_signature *signatures;
};

/* --- is it in order ------------------------------------------------------- */

static HF_STATUS check_signers(struct bytes report,
                               const struct reseal_signature *signatures,
                               size_t count, struct problem *problem)
{
    bool good = count == RESEAL_SIGNERS &&
                strcmp(signatures[0].custody_domain,
                       signatures[1].custody_domain) != 0 &&
                strcmp(signatures[0].public_key, signatures[1].public_key) != 0;
    if (!good) {
        return problem_set(problem, REASON_APPROVAL_INVALID,
                           "the report must be signed by the custodians of two "
                           "custody domains of the configuration");
    }
    for (size_t i = 0; i < count; i++) {
        if (signature_verify(bytes_of_text(signatures[i].public_key), report,
                             signatures[i].signature) != HF_OK) {
            return problem_set(problem, REASON_APPROVAL_INVALID,
                               "the custodian of %s has not signed this report",
                               signatures[i].custody_domain);
        }
    }
    return HF_OK;
}

static bool member_is(const json_t *report, const char *of, const char *member,
                      const uint8_t wanted[HF_SHA256_BYTES])
{
    char text[HEX_BYTES];
    const char *found =
        json_string_value(json_object_get(json_object_get(report, of), member));
    hex_encode(wanted, HF_SHA256_BYTES, text, sizeof text);
    return found != NULL && strcmp(found, text) == 0;
}

static bool is_whole(const json_t *report)
{
    const char *format = json_string_value(json_object_get(report, "format"));
    const json_t *left = json_object_get(report, "left");
    const json_t *bad = json_object_get(report, "not_verified");
    size_t i = 0;
    const json_t *entry = NULL;
    bool whole = format != NULL && strcmp(format, RESEAL_FORMAT) == 0 &&
                 json_is_integer(left) && json_integer_value(left) == 0 &&
                 json_is_array(bad);
    json_array_foreach(bad, i, entry)
    {
        whole = whole && json_is_true(json_object_get(entry, "accepted"));
    }
    return whole;
}

static HF_STATUS check_report(const struct sealing *sealing,
                              const json_t *report, struct problem *problem)
{
    uint8_t answer[HF_SHA256_BYTES];
    HF_TRY(problem_of_status(
        problem, reseal_token_answer(sealing->seals.token, answer)));
    if (!is_whole(report)) {
        return problem_set(problem, REASON_APPROVAL_INVALID,
                           "the report is none, or names something that does "
                           "not verify and was not accepted");
    }
    return member_is(report, "service_token", "answer", answer)
               ? HF_OK
               : problem_set(problem, REASON_APPROVAL_INVALID,
                             "the report is about another token of the "
                             "service than the configuration names");
}

static HF_STATUS check_content(const struct sealing *sealing,
                               const json_t *report, struct problem *problem)
{
    struct reseal_content content;
    HF_TRY(problem_of_status(
        problem,
        reseal_content_of(sealing->settings->service.store, &content)));
    return member_is(report, "store", "sha256", content.digest)
               ? HF_OK
               : problem_set(problem, REASON_APPROVAL_INVALID,
                             "the store is not as it was when the report was "
                             "written: inspect it again");
}

/* --- one record ----------------------------------------------------------- */

static enum hf_status keep_record(void *context, const struct record *record)
{
    struct sealing *sealing = context;
    sealing->records[sealing->count++] = *record;
    return HF_OK;
}

static struct stones *stones_of(struct sealing *sealing,
                                const struct hf_id *purge)
{
    for (size_t i = 0; i < sealing->stone_count; i++) {
        if (id_equal(&sealing->stones[i].purge, purge)) {
            return &sealing->stones[i];
        }
    }
    if (sealing->stone_count == sealing->stone_cap) {
        size_t cap = sealing->stone_cap + PURGES_AT_ONCE;
        struct stones *more =
            reallocarray(sealing->stones, cap, sizeof *sealing->stones);
        if (more == NULL) {
            return NULL;
        }
        sealing->stones = more;
        sealing->stone_cap = cap;
    }
    struct stones *fresh = &sealing->stones[sealing->stone_count++];
    *fresh = (struct stones){.purge = *purge};
    return fresh;
}

static HF_STATUS note_tombstone(struct sealing *sealing,
                                const struct record *record)
{
    struct tombstone_record tombstone;
    HF_TRY(tombstone_decode(record, &tombstone));
    struct stones *stones = stones_of(sealing, &tombstone.purge);
    return stones == NULL ? HF_E_NO_MEMORY
                          : root_add(&sealing->seals, &stones->set, record);
}

/* A purge vouches for its tombstones by a hash under the lost set key. */
static HF_STATUS renew_purge(struct sealing *sealing, struct record *record)
{
    static const uint8_t none[HF_SHA256_BYTES];
    struct record fields = *record;
    HF_TRY(purge_decode(record, &sealing->purge));
    if (bytes_equal(BYTES_OF(sealing->purge.tombstones), BYTES_OF(none)) &&
        !purge_is_closed(sealing->purge.phase)) {
        return HF_OK; /* it has not come so far */
    }
    const struct stones *stones = stones_of(sealing, &sealing->purge.id);
    if (stones == NULL) {
        return HF_E_NO_MEMORY;
    }
    memcpy(sealing->purge.tombstones, stones->set.bytes,
           sizeof sealing->purge.tombstones);
    HF_TRY(purge_encode(&sealing->purge, &fields));
    memcpy(record->body, fields.body, fields.body_len);
    record->body_len = fields.body_len;
    return HF_OK;
}

/* The version after the one that the lost token vouched for. */
static HF_STATUS seal_record(struct sealing *sealing, struct record *record)
{
    if (record->kind == RECORD_PURGE) {
        HF_TRY(renew_purge(sealing, record));
    }
    memcpy(record->previous_mac, record->mac, sizeof record->previous_mac);
    record->version++;
    HF_TRY(seals_make(&sealing->seals, record));
    HF_TRY(store_put(sealing->txn, record));
    if (record->kind == RECORD_TOMBSTONE) {
        HF_TRY(note_tombstone(sealing, record));
    }
    sealing->sealed++;
    return record_kind_is_sealed(record->kind)
               ? root_add(&sealing->seals, &sealing->root, record)
               : HF_OK;
}

static HF_STATUS seal_kind(struct sealing *sealing, enum record_kind kind)
{
    struct record_key last = {.len = 0};
    do {
        const struct store_page page = {
            .after = record_key_view(&last),
            .max = AT_ONCE,
        };
        sealing->count = 0;
        HF_TRY(store_list(sealing->txn, kind, &page, keep_record, sealing));
        for (size_t i = 0; i < sealing->count; i++) {
            struct record *record = &sealing->records[i];
            last.len = record->key_len;
            memcpy(last.bytes, record->key, record->key_len);
            HF_TRY(seal_record(sealing, record));
        }
    } while (sealing->count == AT_ONCE);
    return HF_OK;
}

/* --- all of it ------------------------------------------------------------ */

static char *audit_text(const struct sealing *sealing, int64_t now_ms)
{
    char time[CLOCK_UTC_TEXT];
    char signatures[RESEAL_SIGNERS][2 * SIGNATURE_MAX_BYTES + 1];
    struct token_profile profile;
    token_profile_get(sealing->seals.token, &profile);
    clock_format_utc(now_ms, time);
    for (size_t i = 0; i < RESEAL_SIGNERS; i++) {
        struct bytes signature = sealing->signatures[i].signature;
        hex_encode(signature.data,
                   signature.len < SIGNATURE_MAX_BYTES ? signature.len
                                                       : SIGNATURE_MAX_BYTES,
                   signatures[i], sizeof signatures[i]);
    }
    json_t *record = json_pack(
        "{s:s, s:s, s:s, s:s, s:{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s}}",
        "time", time, "activity", "StoreResealed", "actor", "holdfast",
        "object", "serviceToken", "details", "report", sealing->report,
        "records", (json_int_t)sealing->sealed, "tokenLabel", profile.label,
        "tokenSerial", profile.serial, "custodian1",
        sealing->signatures[0].custody_domain, "signature1", signatures[0],
        "custodian2", sealing->signatures[1].custody_domain, "signature2",
        signatures[1]);
    char *text = record == NULL
                     ? NULL
                     : json_dumps(record, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(record);
    return text;
}

static HF_STATUS append_audit(struct sealing *sealing, uint64_t *out_index)
{
    struct audit_link *link = calloc(1, sizeof *link);
    int64_t now_ms = clock_wall_ms(sealing->settings->service.clock);
    char *text = audit_text(sealing, now_ms);
    enum hf_status status = HF_E_NO_MEMORY;
    if (link != NULL && text != NULL && strlen(text) <= sizeof link->body) {
        link->time_ms = now_ms;
        link->body_len = strlen(text);
        memcpy(link->body, text, link->body_len);
        status = store_audit_append(sealing->txn, link);
        *out_index = link->index;
    }
    free(text);
    free(link);
    return status;
}

static enum hf_status keep_epoch(void *context, const struct epoch *epoch)
{
    *(struct epoch *)context = *epoch;
    return HF_OK;
}

static HF_STATUS append_epoch(struct sealing *sealing, struct epoch *out)
{
    struct epoch last = {.counter = 0};
    HF_TRY(store_epoch_list(sealing->txn, 1, keep_epoch, &last));
    *out = (struct epoch){.counter = last.counter + 1};
    memcpy(out->root, sealing->root.bytes, sizeof out->root);
    HF_TRY(append_audit(sealing, &out->audit_index));
    HF_TRY(epoch_seal(&sealing->seals, out));
    return store_epoch_append(sealing->txn, out);
}

/* Tombstones come before the purges that vouch for them. */
static HF_STATUS seal_all(struct sealing *sealing, struct epoch *out)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(sealing->settings->service.store, STORE_WRITE, &txn));
    sealing->txn = txn;
    HF_TRY(seal_kind(sealing, RECORD_TOMBSTONE));
    for (size_t i = 0; record_kind_at(i) != 0; i++) {
        if (record_kind_at(i) != RECORD_TOMBSTONE) {
            HF_TRY(seal_kind(sealing, record_kind_at(i)));
        }
    }
    HF_TRY(append_epoch(sealing, out));
    return store_commit(&txn);
}

/* --- was it done ---------------------------------------------------------- */

struct done {
    const struct sealing *sealing;
    bool found;
};

static enum hf_status look_at_link(void *context, const struct audit_link *link)
{
    struct done *done = context;
    const char *report = done->sealing->report;
    done->found =
        memmem(link->body, link->body_len, "StoreResealed",
               sizeof "StoreResealed" - 1) != NULL &&
        memmem(link->body, link->body_len, report, strlen(report)) != NULL;
    return HF_OK;
}

/* The newest epoch is of the new keys, and of this very report. */
static HF_STATUS look_done(struct sealing *sealing, struct epoch *newest,
                           bool *out_done)
{
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    struct done done = {.sealing = sealing};
    *newest = (struct epoch){.counter = 0};
    *out_done = false;
    HF_TRY(store_begin(sealing->settings->service.store, STORE_READ, &txn));
    HF_TRY(store_epoch_list(txn, 1, keep_epoch, newest));
    if (newest->counter == 0 || epoch_check(&sealing->seals, newest) != HF_OK) {
        return HF_OK;
    }
    HF_TRY(store_audit_list(txn, NULL, newest->audit_index, 1, look_at_link,
                            &done));
    *out_done = done.found;
    return done.found ? HF_OK : HF_E_CONFLICT;
}

static HF_STATUS must_be_new(const struct sealing *sealing,
                             const struct epoch *done, struct problem *problem)
{
    struct epoch held;
    HF_TRY(problem_of_status(problem, epoch_in_token(&sealing->seals, &held)));
    if (held.counter == 0 || held.counter == done->counter) {
        return HF_OK;
    }
    return problem_set(problem, REASON_STATE_CONFLICT,
                       "the token is in use by a service: it holds epoch %llu",
                       (unsigned long long)held.counter);
}

static HF_STATUS carry_out(struct sealing *sealing, const json_t *report,
                           struct reseal_outcome *out, struct problem *problem)
{
    struct epoch epoch;
    enum hf_status status = look_done(sealing, &epoch, &out->repeated);
    if (status == HF_E_CONFLICT) {
        return problem_set(problem, REASON_STATE_CONFLICT,
                           "the store is in use under this token already");
    }
    HF_TRY(problem_of_status(problem, status));
    HF_TRY(must_be_new(sealing,
                       out->repeated ? &epoch : &(struct epoch){.counter = 0},
                       problem));
    if (!out->repeated) {
        HF_TRY(check_content(sealing, report, problem));
        HF_TRY(problem_of_status(problem, seal_all(sealing, &epoch)));
    }
    out->records = sealing->sealed;
    out->epoch = epoch.counter;
    if (epoch_to_token(&sealing->seals, &epoch) != HF_OK) {
        HF_IGNORE(problem_set(problem, REASON_SERVICE_UNAVAILABLE,
                              "the store is sealed anew, and the token did not "
                              "take the epoch: repeat the same order"),
                  "the status tells what it is");
        return HF_E_TIMEOUT;
    }
    return HF_OK;
}

static HF_STATUS begin(struct sealing *sealing, struct bytes report,
                       struct problem *problem)
{
    uint8_t digest[HF_SHA256_BYTES];
    enum hf_status status = sha256(report, digest);
    hex_encode(digest, sizeof digest, sealing->report, sizeof sealing->report);
    sealing->records = calloc(AT_ONCE, sizeof *sealing->records);
    if (status == HF_OK && sealing->records == NULL) {
        status = HF_E_NO_MEMORY;
    }
    if (status == HF_OK) {
        status = seals_open(sealing->settings->service.service_token,
                            &sealing->seals);
    }
    return problem_of_status(problem, status);
}

static HF_STATUS seal_signed(struct sealing *sealing, struct bytes report,
                             struct reseal_outcome *out,
                             struct problem *problem)
{
    HF_TRY(begin(sealing, report, problem));
    json_t *read = json_loadb((const char *)report.data, report.len, 0, NULL);
    enum hf_status status = check_report(sealing, read, problem);
    if (status == HF_OK) {
        status = carry_out(sealing, read, out, problem);
    }
    json_decref(read);
    return status;
}

HF_STATUS reseal_seal(const struct reseal_settings *settings,
                      struct bytes report,
                      const struct reseal_signature *signatures, size_t count,
                      struct reseal_outcome *out, struct problem *problem)
{
    *out = (struct reseal_outcome){.records = 0};
    HF_TRY(check_signers(report, signatures, count, problem));
    struct sealing *sealing = calloc(1, sizeof *sealing);
    if (sealing == NULL) {
        return problem_of_status(problem, HF_E_NO_MEMORY);
    }
    sealing->settings = settings;
    sealing->signatures = signatures;
    enum hf_status status = seal_signed(sealing, report, out, problem);
    seals_close(&sealing->seals);
    free(sealing->records);
    free(sealing->stones);
    free(sealing);
    return status;
}
