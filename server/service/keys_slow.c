#include "server/service/keys_slow.h"

#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "server/service/blob.h"
#include "server/service/held.h"
#include "server/service/keys_renew.h"
#include "server/service/opening.h"
#include "server/service/purges.h"
#include "server/service/rows.h"
#include "server/service/slow.h"

#include <stdlib.h>
#include <string.h>

/* --- UnwrapKey ---------------------------------------------------------- */

static struct bytes blob_of(const struct slow *slow)
{
    const struct key_call *call = slow->call;
    if (call->wrapped_len > 0) {
        return (struct bytes){call->wrapped, call->wrapped_len};
    }
    return (struct bytes){slow->view.record.envelope,
                          slow->view.record.envelope_len};
}

static bool is_stored(const struct slow *slow, struct bytes blob)
{
    return bytes_equal(blob, (struct bytes){slow->view.record.envelope,
                                            slow->view.record.envelope_len});
}

/* on access. The access succeeds whether or not the move does. */
static enum step rewrap_on_access(struct slow *slow, const struct secret *key)
{
    struct key_call *call = slow->call;
    struct generation_entry *wanted = slow->view.wanted;
    uint8_t envelope[ENVELOPE_KEY_BYTES];
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    if (!slow_may_wrap(slow, wanted) || slow_is_cancelled(slow)) {
        return STEP_ON;
    }
    enum opening opening = opening_get(slow->service, wanted, call, &lease);
    if (opening == OPENING_PARKED) {
        return STEP_OVER;
    }
    call->status = HF_OK;
    enum hf_status status =
        opening == OPENING_READY
            ? slow_seal_key(slow, wanted, lease, key, envelope)
            : HF_E_UNREACHABLE;
    if (lease != NULL) {
        slow_hold(slow, HF_GIVE(lease));
    }
    if (slow_is_cancelled(slow)) {
        return STEP_ON; /* sealing took its time */
    }
    if (status == HF_OK) {
        status = slow_record_rewrap(slow, envelope);
    }
    if (status == HF_OK) {
        memcpy(call->envelope, envelope, sizeof envelope);
        call->envelope_len = sizeof envelope;
    } else if (hf_status_class(status) != HF_CLASS_CONFLICT) {
        log_event(LOG_WARN, "key.rewrap_failed",
                  LOG_TEXT("tenant", call->tenant),
                  LOG_TEXT("status", hf_status_name(status)));
    }
    return STEP_ON;
}

static void run_unwrap(struct slow *slow)
{
    struct key_call *call = slow->call;
    HF_OWNED(secret_freep) struct secret *key = NULL;
    struct bytes blob = blob_of(slow);
    if (blob.len == 0) {
        slow_refuse_keyless(slow);
        return;
    }
    if (slow_open_envelope(slow, blob, &key) == STEP_OVER) {
        return;
    }
    if (is_stored(slow, blob) && mailbox_needs_rewrap(&slow->view.facts) &&
        !resource_renews(&slow->view)) {
        if (rewrap_on_access(slow, key) == STEP_OVER) {
            return;
        }
    } else {
        rows_put(slow->service, &slow->view.record, &slow->view.stamp);
    }
    call->plaintext = HF_GIVE(key);
    key_call_finish(call, HF_OK);
}

/* --- WrapBlobKey, UnwrapBlobKey ------------------------------------------ */

/* An access to the site's key like any other; what it opens stays here. */
static void run_blob(struct slow *slow)
{
    struct key_call *call = slow->call;
    uint8_t hash[HF_SHA256_BYTES];
    HF_OWNED(secret_freep) struct secret *key = NULL;
    const struct bytes stored = {slow->view.record.envelope,
                                 slow->view.record.envelope_len};
    if (stored.len == 0) {
        slow_refuse_keyless(slow);
        return;
    }
    if (slow_open_envelope(slow, stored, &key) == STEP_OVER) {
        return;
    }
    if (mailbox_needs_rewrap(&slow->view.facts)) {
        if (rewrap_on_access(slow, key) == STEP_OVER) {
            return;
        }
        call->envelope_len = 0; /* the site's own: not what was asked for */
    } else {
        rows_put(slow->service, &slow->view.record, &slow->view.stamp);
    }
    resource_hash(slow->view.record.id, hash);
    blob_bind(call, &slow->view.record.tenant, hash);
    enum hf_status status = blob_run(call, key);
    if (status == HF_E_BAD_BLOB) {
        slow_refuse(slow, REASON_BLOB_INVALID, "the wrapped key does not open");
    } else if (status != HF_OK) {
        slow_fail(slow, status);
    } else {
        key_call_finish(call, HF_OK);
    }
}

/* --- GenerateKey -------------------------------------------------------- */

static enum step generate_repeated(struct slow *slow,
                                   const struct repeat *repeat)
{
    bool seen = false;
    struct hf_id object;
    struct key_call *call = slow->call;
    HF_OWNED(secret_freep) struct secret *key = NULL;
    enum hf_status status =
        repeat_check(slow->service, repeat, &seen, &object, &call->problem);
    if (status != HF_OK) {
        key_call_finish(call, status);
        return STEP_OVER;
    }
    if (slow->view.record.envelope_len == 0) {
        return STEP_ON;
    }
    if (!seen) {
        return slow_refuse(slow, REASON_ALREADY_REGISTERED,
                           "this resource has a key; UnwrapKey opens it");
    }
    const struct bytes stored = {slow->view.record.envelope,
                                 slow->view.record.envelope_len};
    if (slow_open_envelope(slow, stored, &key) == STEP_OVER) {
        return STEP_OVER;
    }
    memcpy(call->envelope, stored.data, stored.len);
    call->envelope_len = stored.len;
    call->plaintext = HF_GIVE(key);
    key_call_finish(call, HF_OK);
    return STEP_OVER;
}

static HF_STATUS record_generated(struct slow *slow,
                                  const struct repeat *repeat,
                                  const uint8_t envelope[ENVELOPE_KEY_BYTES])
{
    HF_OWNED(change_freep) struct change *change = NULL;
    const struct hf_id none = {.bytes = {0}};
    HF_TRY(change_new(&change));
    HF_TRY(resource_note_wrap(slow->service, &slow->view.record,
                              slow->view.wanted));
    HF_TRY(mailbox_move_next(slow->view.record.move, MOVE_EV_KEY,
                             &slow->view.record.move));
    slow_set_effective(slow, envelope);
    HF_TRY(repeat_record(slow->service, repeat, &none, change));
    return slow_record_resource(slow, change, verb_method(slow->call->verb));
}

/* what is not encrypted at application level is by its move alone; a
 * mail user on the way is as he arrives (M9). */
static enum step may_have_key(struct slow *slow)
{
    enum mailbox_move next = MOVE_NONE;
    if (mailbox_move_next(slow->view.record.move, MOVE_EV_KEY, &next) !=
        HF_OK) {
        return slow_refuse(slow, REASON_STATE_CONFLICT,
                           "this mailbox is not encrypted: it is by a move "
                           "(AssignMailbox, then ClaimMove)");
    }
    return STEP_ON;
}

static void run_generate(struct slow *slow)
{
    struct key_call *call = slow->call;
    struct mutation mutation = {.validate_only = false};
    uint8_t envelope[ENVELOPE_KEY_BYTES];
    HF_OWNED(secret_freep) struct secret *key = NULL;
    struct repeat repeat;
    enum hf_status status = slow_repeat(slow, &mutation, &repeat);
    if (status != HF_OK) {
        slow_fail(slow, status);
        return;
    }
    if (generate_repeated(slow, &repeat) == STEP_OVER ||
        may_have_key(slow) == STEP_OVER) {
        return;
    }
    status = secret_random(HF_KEY_BYTES, &key);
    if (status != HF_OK) {
        slow_fail(slow, status);
        return;
    }
    if (slow_seal_wanted(slow, key, envelope) == STEP_OVER) {
        return;
    }
    if (slow_is_cancelled(slow)) {
        slow_refuse(slow, REASON_CANCELLED, "cancelled; nothing was done");
        return;
    }
    status = record_generated(slow, &repeat, envelope);
    if (hf_status_class(status) == HF_CLASS_CONFLICT) {
        slow_refuse(slow, REASON_CONFLICT,
                    "this resource was changed meanwhile; repeat");
        return;
    }
    if (status != HF_OK) {
        slow_fail(slow, status);
        return;
    }
    slow_tell_where(call, slow->view.wanted);
    memcpy(call->envelope, envelope, sizeof envelope);
    call->envelope_len = sizeof envelope;
    call->plaintext = HF_GIVE(key);
    key_call_finish(call, HF_OK);
}

/* --- WrapKey, RewrapKey ------------------------------------------------- */

static HF_STATUS record_wrap(struct slow *slow)
{
    bool noted = true;
    struct resource_record *record = &slow->view.record;
    const struct generation_entry *wanted = slow->view.wanted;
    HF_OWNED(change_freep) struct change *change = NULL;
    size_t before = record->wrap_count;
    HF_TRY(resource_note_wrap(slow->service, record, wanted));
    HF_TRY(held_is_noted(slow->service, wanted, record, &noted));
    if (noted && record->wrap_count == before) {
        return HF_OK;
    }
    HF_TRY(change_new(&change));
    if (!noted) {
        HF_TRY(held_note(change, wanted, record));
    }
    return slow_record_resource(slow, change, verb_method(slow->call->verb));
}

/* A blob that is handed out opens later only if its generation is among those
 * of the resource, and there: both are written before it is handed out, under
 * the lease that it was sealed by, which a roll waits for (held.h). */
static enum step note_wrap(struct slow *slow)
{
    enum hf_status status = record_wrap(slow);
    if (hf_status_class(status) == HF_CLASS_CONFLICT) {
        return slow_refuse(slow, REASON_CONFLICT,
                           "this resource was changed meanwhile; repeat");
    }
    return status == HF_OK ? STEP_ON : slow_fail(slow, status);
}

static void hand_out_from(struct slow *slow,
                          const struct generation_entry *generation,
                          struct bytes envelope)
{
    struct key_call *call = slow->call;
    slow_tell_where(call, generation);
    memcpy(call->envelope, envelope.data, envelope.len);
    call->envelope_len = envelope.len;
    secret_freep(&call->plaintext);
    key_call_finish(call, HF_OK);
}

static void hand_out(struct slow *slow,
                     const uint8_t envelope[ENVELOPE_KEY_BYTES])
{
    hand_out_from(slow, slow->view.wanted,
                  (struct bytes){envelope, ENVELOPE_KEY_BYTES});
}

static void run_wrap(struct slow *slow)
{
    uint8_t envelope[ENVELOPE_KEY_BYTES];
    const struct secret *key = slow->call->plaintext;
    if (key == NULL || secret_len(key) != HF_KEY_BYTES) {
        slow_refuse(slow, REASON_FIELD_INVALID,
                    "plaintext_key must have 32 bytes");
        return;
    }
    if (may_have_key(slow) == STEP_OVER ||
        slow_check_retired(slow, key) == STEP_OVER) {
        return; /* not yet, or it would never open */
    }
    if (slow_seal_wanted(slow, key, envelope) == STEP_OVER) {
        return;
    }
    if (slow_is_cancelled(slow)) {
        slow_refuse(slow, REASON_CANCELLED, "cancelled; nothing was done");
        return;
    }
    if (note_wrap(slow) == STEP_ON) {
        hand_out(slow, envelope);
    }
}

static void record_stored(struct slow *slow, enum hf_status status,
                          const uint8_t envelope[ENVELOPE_KEY_BYTES])
{
    if (hf_status_class(status) == HF_CLASS_CONFLICT) {
        slow_refuse(slow, REASON_CONFLICT,
                    "this resource was changed meanwhile; repeat");
    } else if (status != HF_OK) {
        slow_fail(slow, status);
    } else {
        hand_out(slow, envelope);
    }
}

/* only the operation of an assignment makes the new key; whoever else
 * asks gets the key it has, where it is. */
static void run_new_for_new(struct slow *slow, const struct secret *replaced)
{
    uint8_t envelope[ENVELOPE_KEY_BYTES];
    HF_OWNED(secret_freep) struct secret *key = NULL;
    HF_OWNED(change_freep) struct change *change = NULL;
    if (slow->call->caller != &service_itself) {
        hand_out_from(slow, slow->view.effective,
                      (struct bytes){slow->view.record.envelope,
                                     slow->view.record.envelope_len});
        return;
    }
    enum hf_status status = secret_random(HF_KEY_BYTES, &key);
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status != HF_OK) {
        slow_fail(slow, status);
        return;
    }
    if (slow_seal_wanted(slow, key, envelope) == STEP_ON) {
        const struct new_key made = {
            .envelope = envelope,
            .replaced = replaced,
            .activity = "NewWorkloadKey",
            .change = change,
        };
        record_stored(slow, slow_record_new_key(slow, &made), envelope);
    }
}

static void run_rewrap(struct slow *slow)
{
    uint8_t envelope[ENVELOPE_KEY_BYTES];
    struct bytes blob = blob_of(slow);
    bool stored = is_stored(slow, blob);
    HF_OWNED(secret_freep) struct secret *key = NULL;
    if (blob.len == 0) {
        slow_refuse_keyless(slow);
        return;
    }
    /* opened even where nothing moves: the caller's grants decide */
    if (slow_open_envelope(slow, blob, &key) == STEP_OVER) {
        return;
    }
    if (stored && resource_renews(&slow->view)) {
        run_new_for_new(slow, key);
        return;
    }
    if (stored && !mailbox_needs_rewrap(&slow->view.facts)) {
        hand_out_from(slow, slow->view.wanted, blob);
        return;
    }
    if (slow_seal_wanted(slow, key, envelope) == STEP_OVER) {
        return;
    }
    if (slow_is_cancelled(slow)) {
        slow_refuse(slow, REASON_CANCELLED, "cancelled; nothing was done");
        return;
    }
    if (!stored) {
        if (note_wrap(slow) == STEP_ON) {
            hand_out(slow, envelope);
        }
        return;
    }
    record_stored(slow, slow_record_rewrap(slow, envelope), envelope);
}

/* ------------------------------------------------------------------------ */

/* every call has a request id. The hot lane writes no record and needs
 * none. */
static HF_STATUS name_request(const struct service *service,
                              struct key_call *call)
{
    struct hf_id id;
    if (call->audit_id[0] != '\0') {
        return HF_OK; /* it was here before */
    }
    if (call->request_id[0] != '\0') {
        memcpy(call->audit_id, call->request_id, sizeof call->audit_id);
        return HF_OK;
    }
    HF_TRY(rng_id(service->settings.rng, &id));
    id_format(&id, call->audit_id);
    return HF_OK;
}

static HF_STATUS load(struct slow *slow)
{
    struct key_call *call = slow->call;
    struct tenant_entry *tenant = NULL;
    HF_TRY(
        problem_of_status(&call->problem, name_request(slow->service, call)));
    pthread_rwlock_rdlock(&slow->service->catalogue.lock);
    enum hf_status status =
        service_admit_call(slow->service, call, &tenant, &call->problem);
    pthread_rwlock_unlock(&slow->service->catalogue.lock);
    HF_TRY(status);
    status = resource_load(slow->service, tenant, call->type, call->resource,
                           &slow->view);
    if (status == HF_E_NOT_FOUND) {
        return problem_set(&call->problem, REASON_NOT_FOUND, "no such %s",
                           resource_noun(call->type));
    }
    if (status == HF_OK && slow_is_tombstoned(slow)) {
        return problem_set(&call->problem, REASON_KEY_DESTROYED,
                           "the keys of this resource are destroyed");
    }
    return problem_of_status(&call->problem, status);
}

static void run_verb(struct slow *slow)
{
    enum verb verb = slow->call->verb;
    if (verb == VERB_UNWRAP_KEY || verb == VERB_UNWRAP_SITE_KEY) {
        run_unwrap(slow);
    } else if (verb == VERB_GENERATE_KEY || verb == VERB_CREATE_SITE_KEY) {
        run_generate(slow);
    } else if (verb_is_blob(verb)) {
        run_blob(slow);
    } else if (verb == VERB_WRAP_KEY) {
        run_wrap(slow);
    } else if (verb == VERB_RENEW_KEY) {
        keys_renew(slow);
    } else if (verb == VERB_RETIRE_EARLIER_KEYS) {
        keys_retire(slow);
    } else {
        CHECK(verb == VERB_REWRAP_KEY);
        run_rewrap(slow);
    }
}

void keys_slow_run(void *argument)
{
    struct key_call *call = argument;
    struct slow *slow = malloc(sizeof *slow);
    if (slow == NULL) {
        key_call_refuse(call, REASON_SERVICE_UNAVAILABLE, "out of memory");
        return;
    }
    *slow = (struct slow){.service = call->service, .call = call};
    if (call->deadline_ms > 0 &&
        service_monotonic_ms(slow->service) >= call->deadline_ms) {
        slow_refuse(slow, REASON_DEADLINE_PASSED,
                    "the deadline passed while the call waited");
    } else if (slow_is_cancelled(slow)) {
        slow_refuse(slow, REASON_CANCELLED, "cancelled; nothing was done");
    } else {
        enum hf_status status = load(slow);
        if (status != HF_OK) {
            key_call_finish(call, status);
        } else {
            run_verb(slow);
        }
    }
    slow_let_go(slow);
    free(slow);
}
