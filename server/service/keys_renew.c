#include "server/service/keys_renew.h"

#include "server/service/wrapped.h"

#include <string.h>

static struct bytes stored_of(const struct slow *slow)
{
    return (struct bytes){slow->view.record.envelope,
                          slow->view.record.envelope_len};
}

static void record_failed(struct slow *slow, enum hf_status status)
{
    if (hf_status_class(status) == HF_CLASS_CONFLICT) {
        slow_refuse(slow, REASON_CONFLICT,
                    "this resource was changed meanwhile; repeat");
    } else {
        slow_fail(slow, status);
    }
}

/* --- RenewKey ------------------------------------------------------------ */

/* What a repeat is known by: the beginning of the mark of the key it made. */
static HF_STATUS name_of_key(const struct secret *key, struct hf_id *out)
{
    uint8_t mark[HF_SHA256_BYTES];
    HF_TRY(slow_mark(key, mark));
    memcpy(out->bytes, mark, sizeof out->bytes);
    return HF_OK;
}

static void hand_out(struct slow *slow, struct secret **key)
{
    struct key_call *call = slow->call;
    const struct resource_record *record = &slow->view.record;
    const struct earlier_key *replaced =
        &record->earlier[record->earlier_count - 1];
    memcpy(call->envelope, record->envelope, record->envelope_len);
    call->envelope_len = record->envelope_len;
    memcpy(call->replaced, replaced->envelope, replaced->envelope_len);
    call->replaced_len = replaced->envelope_len;
    call->plaintext = HF_GIVE(*key);
    key_call_finish(call, HF_OK);
}

/* The stored key was made by this very request, or the time for that is over.
 */
static void answer_repeat(struct slow *slow, struct secret **stored,
                          const struct hf_id *made)
{
    struct hf_id name;
    enum hf_status status = name_of_key(*stored, &name);
    if (status != HF_OK) {
        slow_fail(slow, status);
    } else if (!id_equal(&name, made) || slow->view.record.earlier_count == 0) {
        slow_refuse(slow, REASON_STATE_CONFLICT,
                    "this request was done, and what it made was renewed or "
                    "its earlier keys retired since");
    } else {
        hand_out(slow, stored);
    }
}

static HF_STATUS record_renewed(struct slow *slow, const struct repeat *repeat,
                                const struct secret *key, struct new_key *made)
{
    struct hf_id name;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    HF_TRY(name_of_key(key, &name));
    HF_TRY(repeat_record(slow->service, repeat, &name, change));
    made->change = change;
    return slow_record_new_key(slow, made);
}

static void make_key(struct slow *slow, const struct repeat *repeat,
                     const struct secret *replaced)
{
    uint8_t envelope[ENVELOPE_KEY_BYTES];
    HF_OWNED(secret_freep) struct secret *key = NULL;
    struct new_key made = {
        .envelope = envelope,
        .replaced = replaced,
        .activity = verb_method(slow->call->verb),
    };
    enum hf_status status = secret_random(HF_KEY_BYTES, &key);
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
    status = record_renewed(slow, repeat, key, &made);
    if (status != HF_OK) {
        record_failed(slow, status);
        return;
    }
    slow_tell_where(slow->call, slow->view.wanted);
    hand_out(slow, &key);
}

/* The stored key is opened first: who cannot could not encrypt again. */
void keys_renew(struct slow *slow)
{
    bool seen = false;
    struct hf_id made;
    struct repeat repeat;
    struct mutation mutation = {.validate_only = false};
    HF_OWNED(secret_freep) struct secret *stored = NULL;
    if (stored_of(slow).len == 0) {
        slow_refuse_keyless(slow);
        return;
    }
    enum hf_status status = slow_repeat(slow, &mutation, &repeat);
    if (status != HF_OK) {
        slow_fail(slow, status);
        return;
    }
    status = repeat_check(slow->service, &repeat, &seen, &made,
                          &slow->call->problem);
    if (status != HF_OK) {
        key_call_finish(slow->call, status);
        return;
    }
    if (slow_open_envelope(slow, stored_of(slow), &stored) == STEP_OVER) {
        return;
    }
    if (seen) {
        answer_repeat(slow, &stored, &made);
    } else if (slow->view.record.earlier_count == RESOURCE_EARLIER_MAX) {
        slow_refuse(slow, REASON_STATE_CONFLICT,
                    "as many earlier keys as may be are kept: encrypt again "
                    "and retire them (RetireEarlierKeys) first");
    } else {
        make_key(slow, &repeat, stored);
    }
}

/* --- RetireEarlierKeys ---------------------------------------------------- */

static bool is_effective(const struct resource_record *record,
                         const struct dep_ref *ref)
{
    return ref->generation == record->effective.generation &&
           id_equal(&ref->dep, &record->effective.dep);
}

/* Those of another generation open no more in any case. */
static void drop_old_marks(struct resource_record *record)
{
    size_t kept = 0;
    for (size_t i = 0; i < record->retired_count; i++) {
        if (is_effective(record, &record->retired[i].under)) {
            record->retired[kept++] = record->retired[i];
        }
    }
    record->retired_count = kept;
}

/* HF_E_LIMIT: no room: nothing may be forgotten, so nothing is retired. */
static HF_STATUS keep_marks(struct resource_record *record)
{
    drop_old_marks(record);
    if (record->retired_count + record->earlier_count > RESOURCE_RETIRED_MAX) {
        return HF_E_LIMIT;
    }
    for (size_t i = 0; i < record->earlier_count; i++) {
        struct retired_key *retired = &record->retired[record->retired_count++];
        retired->under = record->effective;
        memcpy(retired->mark, record->earlier[i].mark, sizeof retired->mark);
    }
    return HF_OK;
}

/* From now on what wrapped the earlier keys opens no envelope of the resource,
 * unless it wraps the stored one; there a retired key is known by its mark. */
static HF_STATUS retire(struct slow *slow)
{
    struct resource_record *record = &slow->view.record;
    const struct resource_record before = *record;
    HF_OWNED(change_freep) struct change *change = NULL;
    HF_TRY(change_new(&change));
    HF_TRY(keep_marks(record));
    memset(record->earlier, 0, sizeof record->earlier);
    record->earlier_count = 0;
    record->wraps[0] = record->effective;
    record->wrap_count = 1;
    HF_TRY(wrapped_forget_earlier(change, &before, &record->effective));
    return slow_record_resource(slow, change, verb_method(slow->call->verb));
}

static void finish(struct slow *slow)
{
    slow_tell_where(slow->call, slow->view.effective);
    key_call_finish(slow->call, HF_OK);
}

/* The stored key is opened first: it is what the data is under from now on, and
 * the caller's grants decide. */
void keys_retire(struct slow *slow)
{
    struct key_call *call = slow->call;
    HF_OWNED(secret_freep) struct secret *stored = NULL;
    if (stored_of(slow).len == 0) {
        slow_refuse_keyless(slow);
        return;
    }
    if (!call->confirm && !call->validate_only) {
        key_call_finish(call, problem_field(&call->problem, "confirm",
                                            "must be true: what only an "
                                            "earlier key opens is lost"));
        return;
    }
    if (slow_open_envelope(slow, stored_of(slow), &stored) == STEP_OVER) {
        return;
    }
    call->retired = (uint32_t)slow->view.record.earlier_count;
    if (call->validate_only || call->retired == 0) {
        finish(slow);
        return;
    }
    enum hf_status status = retire(slow);
    if (status == HF_E_LIMIT) {
        slow_refuse(slow, REASON_STATE_CONFLICT,
                    "as many keys as may be were retired under this "
                    "generation of the DEP key: refresh the DEP first");
    } else if (status != HF_OK) {
        record_failed(slow, status);
    } else {
        finish(slow);
    }
}
