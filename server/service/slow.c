#include "server/service/slow.h"

#include "hsm/base/check.h"

#include "server/service/key_check.h"
#include "server/service/mac.h"
#include "server/service/opening.h"
#include "server/service/purges.h"
#include "server/service/rows.h"
#include "server/service/seal_budget.h"
#include "server/store/hash.h"

#include <stdio.h>
#include <string.h>

/* A lease that went stale between being taken and being used. */
#define STALE_MAX 3

enum step slow_refuse(struct slow *slow, enum reason reason, const char *text)
{
    key_call_refuse(slow->call, reason, text);
    return STEP_OVER;
}

enum step slow_fail(struct slow *slow, enum hf_status status)
{
    if (status == HF_E_LIMIT) { /* resource_note_wrap */
        return slow_refuse(slow, REASON_GENERATION_LIMIT,
                           "this key has been under as many generations as "
                           "can be kept in mind");
    }
    key_call_finish(slow->call,
                    problem_of_status(&slow->call->problem, status));
    return STEP_OVER;
}

void slow_hold(struct slow *slow, struct lease *lease)
{
    CHECK(slow->held_count < SLOW_LEASES_MAX);
    slow->held[slow->held_count++] = lease;
}

void slow_let_go(struct slow *slow)
{
    while (slow->held_count > 0) {
        lease_release(slow->held[--slow->held_count]);
    }
}

bool slow_is_cancelled(const struct slow *slow)
{
    struct key_call *call = slow->call;
    return call->cancelled != NULL && call->cancelled(call);
}

bool slow_is_tombstoned(const struct slow *slow)
{
    return purges_resource_is_tombstoned(
        slow->service, &slow->view.record.tenant, slow->view.record.type,
        slow->view.record.id);
}

enum step slow_refuse_keyless(struct slow *slow)
{
    slow->call->keyless = true;
    return slow_refuse(
        slow, REASON_STATE_CONFLICT,
        slow->call->type == RESOURCE_SITE
            ? "this site has no key yet: CreateSiteKey makes one"
            : "this resource has no key yet: GenerateKey makes one");
}

HF_STATUS slow_repeat(const struct slow *slow, struct mutation *mutation,
                      struct repeat *out)
{
    const struct key_call *call = slow->call;
    uint8_t input[HF_RESOURCE_ID_MAX_BYTES + HF_ID_BYTES + 16];
    struct byte_writer writer = byte_writer_on(input, sizeof input);
    put_u32(&writer, (uint32_t)call->verb);
    put_raw(&writer, slow->view.record.tenant.bytes, HF_ID_BYTES);
    put_text(&writer, slow->view.record.id);
    CHECK(!writer.overrun);
    memcpy(mutation->request_id, call->request_id, sizeof mutation->request_id);
    *out = (struct repeat){
        .caller = call->caller,
        .verb = call->verb,
        .tenant = slow->view.record.tenant,
        .mutation = mutation,
    };
    return sha256((struct bytes){input, writer.len}, mutation->content);
}

/* --- retired keys ------------------------------------------------------- */

HF_STATUS slow_mark(const struct secret *key, uint8_t out[HF_SHA256_BYTES])
{
    return mac_compute(key, bytes_of_text("holdfast: which key this is"), out);
}

static HF_STATUS is_retired(const struct slow *slow, const struct secret *key,
                            bool *out_retired)
{
    const struct resource_record *record = &slow->view.record;
    uint8_t mark[HF_SHA256_BYTES];
    *out_retired = false;
    if (record->retired_count == 0) {
        return HF_OK;
    }
    HF_TRY(slow_mark(key, mark));
    for (size_t i = 0; i < record->retired_count; i++) {
        if (equal_constant_time(mark, record->retired[i].mark, sizeof mark)) {
            *out_retired = true;
        }
    }
    return HF_OK;
}

/* --- opening and sealing ------------------------------------------------ */

static struct context context_of(const struct slow *slow,
                                 const struct generation_entry *generation)
{
    struct context context = {
        .tenant = generation->record.tenant,
        .dep = generation->record.dep,
        .generation = generation->record.generation,
        .workload =
            resource_workload(slow->view.record.type, slow->view.record.id),
        .resource_type = slow->view.record.type,
        .purpose = resource_purpose(slow->view.record.type),
    };
    resource_hash(slow->view.record.id, context.resource_hash);
    return context;
}

void slow_tell_where(struct key_call *call,
                     const struct generation_entry *generation)
{
    call->dep = generation->record.dep;
    call->generation = generation->record.generation;
    call->dep_is_service_managed =
        generation->dep->record.type == DEP_TYPE_SERVICE_MANAGED;
}

/* A lease for this generation, or the call is over. */
static enum step get_lease(struct slow *slow,
                           struct generation_entry *generation,
                           struct lease **out_lease)
{
    switch (opening_get(slow->service, generation, slow->call, out_lease)) {
    case OPENING_READY:
        return STEP_ON;
    case OPENING_PARKED:
        return STEP_OVER;
    case OPENING_REFUSED:
        key_call_finish(slow->call, slow->call->status);
        return STEP_OVER;
    }
    return STEP_OVER;
}

/* A stale one: nobody is to get it any more. */
static void leave_lease(struct slow *slow, struct lease *lease)
{
    if (lease->source == LEASE_BY_AVAILABILITY_KEY) {
        opening_close_ak(slow->service, lease->generation, INT64_MAX);
    } else {
        lease_drop(lease);
    }
}

static enum step open_failed(struct slow *slow, struct lease *lease,
                             enum hf_status status)
{
    struct key_call *call = slow->call;
    if (status == HF_E_BAD_BLOB) {
        return slow_refuse(slow, REASON_BLOB_INVALID,
                           "the wrapped key does not open");
    }
    if (lease_survives(status) || ++call->tries > STALE_MAX) {
        return slow_fail(slow, status);
    }
    leave_lease(slow, lease); /* once more from the start */
    keys_submit(slow->service, &call, 1);
    return STEP_OVER;
}

/* A wrong key under CKR_OK: nobody gets it, and once more from the start,
 * without that token. */
static enum step open_lied(struct slow *slow, struct lease *lease)
{
    struct key_call *call = slow->call;
    bool others = liars_note(&call->liars, lease);
    leave_lease(slow, lease);
    if (!others) {
        return slow_refuse(slow, REASON_BLOB_INVALID,
                           "the wrapped key does not open");
    }
    keys_submit(slow->service, &call, 1);
    return STEP_OVER;
}

/* The key that went in, or the call is over. */
static enum step open_under(struct slow *slow, struct lease *lease,
                            const struct envelope *envelope, struct secret *key)
{
    const struct context context = context_of(slow, lease->generation);
    struct key_binding binding;
    key_binding_of(&context, envelope, &binding);
    enum hf_status status =
        lease_open(lease, envelope->iv, key_binding_view(&binding),
                   envelope->sealed, secret_writable(key));
    if (status != HF_OK) {
        return open_failed(slow, lease, status);
    }
    status = key_check_look(&binding, key);
    if (status == HF_E_BAD_BLOB && lease->token != NULL) {
        return open_lied(slow, lease);
    }
    return status == HF_OK ? STEP_ON : open_failed(slow, lease, status);
}

/* A good envelope of a key that is no more. */
enum step slow_check_retired(struct slow *slow, const struct secret *key)
{
    bool retired = false;
    enum hf_status status = is_retired(slow, key, &retired);
    if (status != HF_OK) {
        return slow_fail(slow, status);
    }
    return retired ? slow_refuse(slow, REASON_KEY_RETIRED,
                                 "this key was retired when the key of its "
                                 "resource was renewed")
                   : STEP_ON;
}

/* Opens an envelope of this resource into *out_key. Every kind of bad envelope
 * is refused alike (N10 to N19). */
enum step slow_open_envelope(struct slow *slow, struct bytes blob,
                             struct secret **out_key)
{
    struct envelope envelope;
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    HF_OWNED(secret_freep) struct secret *key = NULL;
    struct generation_entry *generation = NULL;
    if (envelope_parse(blob, HF_KEY_BYTES, &envelope) == HF_OK) {
        generation = resource_generation(slow->service, &slow->view,
                                         &envelope.dep, envelope.generation);
    }
    if (generation == NULL) {
        return slow_refuse(slow, REASON_BLOB_INVALID,
                           "the wrapped key does not open");
    }
    if (get_lease(slow, generation, &lease) == STEP_OVER) {
        return STEP_OVER;
    }
    /* a purge waits for whoever holds a lease: asked again under it */
    if (slow_is_tombstoned(slow)) {
        return slow_refuse(slow, REASON_KEY_DESTROYED,
                           "the keys of this resource are destroyed");
    }
    enum hf_status status = secret_new(HF_KEY_BYTES, &key);
    if (status != HF_OK) {
        return slow_fail(slow, status);
    }
    if (open_under(slow, lease, &envelope, key) == STEP_OVER) {
        return STEP_OVER;
    }
    if (slow_check_retired(slow, key) == STEP_OVER) {
        return STEP_OVER;
    }
    slow_tell_where(slow->call, generation);
    slow_hold(slow, HF_GIVE(lease));
    *out_key = HF_GIVE(key);
    return STEP_ON;
}

/* *out_stale: it is the lease that failed. */
static HF_STATUS seal(struct slow *slow, struct generation_entry *generation,
                      const struct lease *lease, const struct secret *key,
                      uint8_t out[ENVELOPE_KEY_BYTES], bool *out_stale)
{
    const struct context context = context_of(slow, generation);
    struct key_binding binding;
    uint8_t sealed[HF_KEY_BYTES + HF_GCM_TAG_BYTES];
    size_t len = 0;
    struct envelope envelope = {
        .suite = ENVELOPE_SUITE_CHECKED,
        .dep = generation->record.dep,
        .generation = generation->record.generation,
        .sealed = BYTES_OF(sealed),
    };
    /* asked again under the lease, which a change of the DEP waits for: what
     * is sealed was allowed when it is recorded */
    if (!slow_may_wrap(slow, generation)) {
        return HF_E_PRECONDITION;
    }
    HF_TRY(
        rng_fill(slow->service->settings.rng, envelope.iv, sizeof envelope.iv));
    HF_TRY(seal_budget_take(slow->service, generation));
    HF_TRY(key_check_make(&context, key, envelope.check));
    key_binding_of(&context, &envelope, &binding);
    enum hf_status status =
        lease_seal(lease, envelope.iv, key_binding_view(&binding),
                   (struct bytes){secret_bytes(key), HF_KEY_BYTES}, sealed);
    *out_stale = status != HF_OK && !lease_survives(status);
    HF_TRY(status);
    return envelope_encode(&envelope, out, ENVELOPE_KEY_BYTES, &len);
}

HF_STATUS slow_seal_key(struct slow *slow, struct generation_entry *generation,
                        struct lease *lease, const struct secret *key,
                        uint8_t out[ENVELOPE_KEY_BYTES])
{
    bool stale = false;
    enum hf_status status = seal(slow, generation, lease, key, out, &stale);
    if (stale) {
        leave_lease(slow, lease);
    }
    return status;
}

/* a DEP that is not enabled takes no new wrap. */
bool slow_may_wrap(struct slow *slow, const struct generation_entry *generation)
{
    pthread_rwlock_rdlock(&slow->service->catalogue.lock);
    bool may = dep_may_wrap(generation->dep->record.state);
    pthread_rwlock_unlock(&slow->service->catalogue.lock);
    return may;
}

static enum step seal_failed(struct slow *slow, enum hf_status status)
{
    if (status == HF_E_LIMIT) {
        return slow_refuse(
            slow, REASON_SEALS_EXHAUSTED,
            "this generation of the DEP key has made as many wraps "
            "as it may; refresh the DEP");
    }
    return slow_fail(slow, status);
}

/* Seals under the generation the resource should be on. */
enum step slow_seal_wanted(struct slow *slow, const struct secret *key,
                           uint8_t out[ENVELOPE_KEY_BYTES])
{
    struct generation_entry *wanted = slow->view.wanted;
    bool stale = false;
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    if (!slow_may_wrap(slow, wanted)) {
        return slow_refuse(
            slow, REASON_DEP_NOT_ENABLED,
            "the DEP of this resource is not enabled: it opens keys, "
            "but wraps none");
    }
    if (get_lease(slow, wanted, &lease) == STEP_OVER) {
        return STEP_OVER;
    }
    enum hf_status status = seal(slow, wanted, lease, key, out, &stale);
    if (stale) {
        return open_failed(slow, lease, status);
    }
    if (status != HF_OK) {
        return seal_failed(slow, status);
    }
    slow_hold(slow, HF_GIVE(lease));
    return STEP_ON;
}

/* --- recording ---------------------------------------------------------- */

/* The new record of the resource with its audit record, and on success into
 * the cache. */
HF_STATUS slow_record_resource(struct slow *slow, struct change *change,
                               const char *activity)
{
    char object[RESOURCE_NAME_BYTES];
    char from[HF_ID_TEXT];
    char to[HF_ID_TEXT];
    char details[2 * HF_ID_TEXT + 96];
    struct resource_view *view = &slow->view;
    struct stamp next;
    resource_name(slow->call->tenant, view->record.type, view->record.id,
                  object);
    id_format(&view->facts.effective.dep, from);
    id_format(&view->record.effective.dep, to);
    snprintf(details, sizeof details,
             "{\"from\":\"%s\",\"to\":\"%s\",\"generation\":%u}", from, to,
             view->record.effective.generation);
    const struct audit_entry entry = {
        .caller = slow->call->caller,
        .activity = activity,
        .tenant = view->record.tenant,
        .object = object,
        .details = details,
        .request_id = slow->call->audit_id,
    };
    if (!resource_is_settled(slow->service, view)) {
        return HF_E_CONFLICT; /* its tenant or its DEP went on meanwhile */
    }
    HF_TRY(resource_put(view, change, &next));
    HF_TRY(audit_change(slow->service, change, &entry));
    HF_TRY(ledger_commit(slow->service->ledger, change));
    view->stamp = next;
    rows_put(slow->service, &view->record, &next);
    return HF_OK;
}

void slow_set_effective(struct slow *slow,
                        const uint8_t envelope[ENVELOPE_KEY_BYTES])
{
    struct resource_record *record = &slow->view.record;
    memcpy(record->envelope, envelope, ENVELOPE_KEY_BYTES);
    record->envelope_len = ENVELOPE_KEY_BYTES;
    record->effective = slow->view.facts.wanted;
    record->effective_ms = service_wall_ms(slow->service);
}

/* The stored key makes room for another, and stays openable: its generation is
 * among those of the resource. */
static HF_STATUS keep_earlier(struct slow *slow, const struct secret *replaced)
{
    struct resource_record *record = &slow->view.record;
    struct earlier_key *earlier = &record->earlier[record->earlier_count];
    CHECK(record->earlier_count < RESOURCE_EARLIER_MAX);
    HF_TRY(slow_mark(replaced, earlier->mark));
    earlier->by = record->effective;
    earlier->replaced_ms = service_wall_ms(slow->service);
    memcpy(earlier->envelope, record->envelope, record->envelope_len);
    earlier->envelope_len = record->envelope_len;
    record->earlier_count++;
    return HF_OK;
}

/* A new key for new data; on failure the view is as before. */
HF_STATUS slow_record_new_key(struct slow *slow, const struct new_key *made)
{
    struct resource_record before = slow->view.record;
    HF_TRY(resource_note_wrap(slow->service, &slow->view.record,
                              slow->view.wanted));
    enum hf_status status = keep_earlier(slow, made->replaced);
    if (status == HF_OK) {
        slow_set_effective(slow, made->envelope);
        status = slow_record_resource(slow, made->change, made->activity);
    }
    if (status != HF_OK) {
        slow->view.record = before;
    }
    return status;
}

/* The stored key under the DEP it should be on (M2, M6, M7). */
HF_STATUS slow_record_rewrap(struct slow *slow,
                             const uint8_t envelope[ENVELOPE_KEY_BYTES])
{
    HF_OWNED(change_freep) struct change *change = NULL;
    struct resource_record before = slow->view.record;
    HF_TRY(change_new(&change));
    HF_TRY(resource_note_wrap(slow->service, &slow->view.record,
                              slow->view.wanted));
    slow_set_effective(slow, envelope);
    enum hf_status status =
        slow_record_resource(slow, change, verb_method(VERB_REWRAP_KEY));
    if (status != HF_OK) {
        slow->view.record = before;
    }
    return status;
}
