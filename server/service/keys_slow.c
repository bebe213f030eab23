#include "server/service/keys_slow.h"

#include "hsm/base/check.h"

#include "hsm/sys/log.h"

#include "server/service/opening.h"
#include "server/service/resources.h"
#include "server/service/rows.h"
#include "server/service/seal_budget.h"
#include "server/store/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A lease that went stale between being taken and being used. */
#define STALE_MAX 3

/* One call on the slow lane. */
struct slow {
    struct service *service;
    struct key_call *call;
    struct resource_view view;
};

/* What became of a step: go on, or the call is no longer ours: it was answered,
 * or parked and will come back from the start. */
enum step { STEP_ON, STEP_OVER };

static enum step refuse(struct slow *slow, enum reason reason, const char *text)
{
    key_call_refuse(slow->call, reason, text);
    return STEP_OVER;
}

static enum step fail(struct slow *slow, enum hf_status status)
{
    key_call_finish(slow->call,
                    problem_of_status(&slow->call->problem, status));
    return STEP_OVER;
}

static bool is_cancelled(const struct slow *slow)
{
    struct key_call *call = slow->call;
    return call->cancelled != NULL && call->cancelled(call);
}

static void object_name(const struct slow *slow, char *out, size_t cap)
{
    snprintf(out, cap, "tenants/%s/mailboxes/%s", slow->call->tenant,
             slow->call->resource);
}
#define OBJECT_NAME_BYTES (HF_NAME_MAX_BYTES + HF_RESOURCE_ID_MAX_BYTES + 32)

/* --- opening and sealing ------------------------------------------------ */

static void fill_context(const struct slow *slow,
                         const struct generation_entry *generation,
                         uint8_t out[CONTEXT_BYTES])
{
    struct context context = {
        .tenant = generation->record.tenant,
        .dep = generation->record.dep,
        .generation = generation->record.generation,
        .workload = WORKLOAD_EXCHANGE,
        .resource_type = RESOURCE_MAILBOX,
        .purpose = PURPOSE_RESOURCE_KEY,
    };
    resource_hash(slow->view.record.id, context.resource_hash);
    context_encode(&context, out);
}

static void tell_where(struct key_call *call,
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

static enum step open_failed(struct slow *slow, struct lease *lease,
                             enum hf_status status)
{
    struct key_call *call = slow->call;
    if (status == HF_E_BAD_BLOB) {
        return refuse(slow, REASON_BLOB_INVALID,
                      "the wrapped key does not open");
    }
    if (hf_status_class(status) == HF_CLASS_OURS || ++call->tries > STALE_MAX) {
        return fail(slow, status);
    }
    lease_drop(lease); /* stale: once more from the start */
    keys_submit(slow->service, &call, 1);
    return STEP_OVER;
}

/* Opens an envelope of this resource into *out_key. Every kind of bad envelope
 * is refused alike (N10 to N19). */
static enum step open_envelope(struct slow *slow, struct bytes blob,
                               struct secret **out_key)
{
    struct envelope envelope;
    uint8_t context[CONTEXT_BYTES];
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    HF_OWNED(secret_freep) struct secret *key = NULL;
    struct generation_entry *generation = NULL;
    if (envelope_parse(blob, HF_KEY_BYTES, &envelope) == HF_OK) {
        generation = resource_generation(slow->service, &slow->view,
                                         &envelope.dep, envelope.generation);
    }
    if (generation == NULL) {
        return refuse(slow, REASON_BLOB_INVALID,
                      "the wrapped key does not open");
    }
    if (get_lease(slow, generation, &lease) == STEP_OVER) {
        return STEP_OVER;
    }
    enum hf_status status = secret_new(HF_KEY_BYTES, &key);
    if (status != HF_OK) {
        return fail(slow, status);
    }
    fill_context(slow, generation, context);
    status = lease_open(lease, envelope.iv, BYTES_OF(context), envelope.sealed,
                        secret_writable(key));
    if (status != HF_OK) {
        return open_failed(slow, lease, status);
    }
    tell_where(slow->call, generation);
    *out_key = HF_GIVE(key);
    return STEP_ON;
}

static HF_STATUS seal_key(struct slow *slow,
                          struct generation_entry *generation,
                          const struct lease *lease, const struct secret *key,
                          uint8_t out[ENVELOPE_KEY_BYTES])
{
    uint8_t context[CONTEXT_BYTES];
    uint8_t sealed[HF_KEY_BYTES + HF_GCM_TAG_BYTES];
    size_t len = 0;
    struct envelope envelope = {
        .dep = generation->record.dep,
        .generation = generation->record.generation,
        .sealed = BYTES_OF(sealed),
    };
    HF_TRY(
        rng_fill(slow->service->settings.rng, envelope.iv, sizeof envelope.iv));
    HF_TRY(seal_budget_take(slow->service, generation));
    fill_context(slow, generation, context);
    HF_TRY(lease_seal(lease, envelope.iv, BYTES_OF(context),
                      (struct bytes){secret_bytes(key), HF_KEY_BYTES}, sealed));
    return envelope_encode(&envelope, out, ENVELOPE_KEY_BYTES, &len);
}

/* a DEP that is not enabled takes no new wrap. */
static bool may_wrap(struct slow *slow,
                     const struct generation_entry *generation)
{
    pthread_rwlock_rdlock(&slow->service->catalogue.lock);
    bool may = dep_may_wrap(generation->dep->record.state);
    pthread_rwlock_unlock(&slow->service->catalogue.lock);
    return may;
}

static enum step seal_failed(struct slow *slow, enum hf_status status)
{
    if (status == HF_E_LIMIT) {
        return refuse(slow, REASON_SEALS_EXHAUSTED,
                      "this generation of the DEP key has made as many wraps "
                      "as it may; refresh the DEP");
    }
    return fail(slow, status);
}

/* Seals under the generation the resource should be on. */
static enum step seal_wanted(struct slow *slow, const struct secret *key,
                             uint8_t out[ENVELOPE_KEY_BYTES])
{
    struct generation_entry *wanted = slow->view.wanted;
    HF_OWNED(lease_releasep) struct lease *lease = NULL;
    if (!may_wrap(slow, wanted)) {
        return refuse(slow, REASON_DEP_NOT_ENABLED,
                      "the DEP of this mailbox is not enabled: it opens keys, "
                      "but wraps none");
    }
    if (get_lease(slow, wanted, &lease) == STEP_OVER) {
        return STEP_OVER;
    }
    enum hf_status status = seal_key(slow, wanted, lease, key, out);
    if (status == HF_E_PRECONDITION) {
        return open_failed(slow, lease, status);
    }
    return status == HF_OK ? STEP_ON : seal_failed(slow, status);
}

/* --- recording ---------------------------------------------------------- */

/* The new record of the resource with its audit record, and on success into
 * the cache. */
static HF_STATUS record_resource(struct slow *slow, struct change *change,
                                 const char *activity)
{
    char object[OBJECT_NAME_BYTES];
    char from[HF_ID_TEXT];
    char to[HF_ID_TEXT];
    char details[2 * HF_ID_TEXT + 96];
    struct resource_view *view = &slow->view;
    struct stamp next;
    object_name(slow, object, sizeof object);
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
        .request_id = slow->call->request_id,
    };
    HF_TRY(resource_put(view, change, &next));
    HF_TRY(audit_change(slow->service, change, &entry));
    HF_TRY(ledger_commit(slow->service->ledger, change));
    view->stamp = next;
    rows_put(slow->service, &view->record, &next);
    return HF_OK;
}

static void set_effective(struct slow *slow,
                          const uint8_t envelope[ENVELOPE_KEY_BYTES])
{
    struct resource_record *record = &slow->view.record;
    memcpy(record->envelope, envelope, ENVELOPE_KEY_BYTES);
    record->envelope_len = ENVELOPE_KEY_BYTES;
    record->effective = slow->view.facts.wanted;
    record->effective_ms = service_wall_ms(slow->service);
}

/* The stored key under the DEP it should be on (M2, M6, M7). */
static HF_STATUS record_rewrap(struct slow *slow,
                               const uint8_t envelope[ENVELOPE_KEY_BYTES])
{
    HF_OWNED(change_freep) struct change *change = NULL;
    struct resource_record before = slow->view.record;
    HF_TRY(change_new(&change));
    HF_TRY(resource_note_wrap(&slow->view.record, slow->view.wanted));
    set_effective(slow, envelope);
    enum hf_status status = record_resource(slow, change, "RewrapMailboxKey");
    if (status != HF_OK) {
        slow->view.record = before;
    }
    return status;
}

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
    if (!may_wrap(slow, wanted) || is_cancelled(slow)) {
        return STEP_ON;
    }
    enum opening opening = opening_get(slow->service, wanted, call, &lease);
    if (opening == OPENING_PARKED) {
        return STEP_OVER;
    }
    call->status = HF_OK;
    enum hf_status status = opening == OPENING_READY
                                ? seal_key(slow, wanted, lease, key, envelope)
                                : HF_E_UNREACHABLE;
    if (status == HF_OK) {
        status = record_rewrap(slow, envelope);
    }
    if (status == HF_OK) {
        memcpy(call->envelope, envelope, sizeof envelope);
        call->envelope_len = sizeof envelope;
    } else if (hf_status_class(status) != HF_CLASS_CONFLICT) {
        log_event(LOG_WARN, "mailbox.rewrap_failed",
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
        refuse(slow, REASON_STATE_CONFLICT,
               "this mailbox has no key yet: GenerateKey makes one");
        return;
    }
    if (open_envelope(slow, blob, &key) == STEP_OVER) {
        return;
    }
    if (is_stored(slow, blob) && mailbox_needs_rewrap(&slow->view.facts)) {
        if (rewrap_on_access(slow, key) == STEP_OVER) {
            return;
        }
    } else {
        rows_put(slow->service, &slow->view.record, &slow->view.stamp);
    }
    call->plaintext = HF_GIVE(key);
    key_call_finish(call, HF_OK);
}

/* --- GenerateKey -------------------------------------------------------- */

/* The content of a GenerateKey is its verb and mailbox. */
static HF_STATUS generate_mutation(const struct slow *slow,
                                   struct mutation *mutation)
{
    uint8_t input[OBJECT_NAME_BYTES + 16];
    struct byte_writer writer = byte_writer_on(input, sizeof input);
    put_u32(&writer, (uint32_t)slow->call->verb);
    put_raw(&writer, slow->view.record.tenant.bytes, HF_ID_BYTES);
    put_text(&writer, slow->view.record.id);
    CHECK(!writer.overrun);
    memcpy(mutation->request_id, slow->call->request_id,
           sizeof mutation->request_id);
    return sha256((struct bytes){input, writer.len}, mutation->content);
}

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
        return refuse(slow, REASON_ALREADY_REGISTERED,
                      "this mailbox has a key; UnwrapKey opens it");
    }
    const struct bytes stored = {slow->view.record.envelope,
                                 slow->view.record.envelope_len};
    if (open_envelope(slow, stored, &key) == STEP_OVER) {
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
    HF_TRY(resource_note_wrap(&slow->view.record, slow->view.wanted));
    set_effective(slow, envelope);
    HF_TRY(repeat_record(slow->service, repeat, &none, change));
    return record_resource(slow, change, verb_method(VERB_GENERATE_KEY));
}

static void run_generate(struct slow *slow)
{
    struct key_call *call = slow->call;
    struct mutation mutation = {.validate_only = false};
    uint8_t envelope[ENVELOPE_KEY_BYTES];
    HF_OWNED(secret_freep) struct secret *key = NULL;
    enum hf_status status = generate_mutation(slow, &mutation);
    if (status != HF_OK) {
        fail(slow, status);
        return;
    }
    const struct repeat repeat = {
        .caller = call->caller,
        .verb = call->verb,
        .tenant = slow->view.record.tenant,
        .mutation = &mutation,
    };
    if (generate_repeated(slow, &repeat) == STEP_OVER) {
        return;
    }
    status = secret_random(HF_KEY_BYTES, &key);
    if (status != HF_OK) {
        fail(slow, status);
        return;
    }
    if (seal_wanted(slow, key, envelope) == STEP_OVER) {
        return;
    }
    if (is_cancelled(slow)) {
        refuse(slow, REASON_CANCELLED, "cancelled; nothing was done");
        return;
    }
    status = record_generated(slow, &repeat, envelope);
    if (hf_status_class(status) == HF_CLASS_CONFLICT) {
        refuse(slow, REASON_CONFLICT,
               "this mailbox was changed meanwhile; repeat");
        return;
    }
    if (status != HF_OK) {
        fail(slow, status);
        return;
    }
    tell_where(call, slow->view.wanted);
    memcpy(call->envelope, envelope, sizeof envelope);
    call->envelope_len = sizeof envelope;
    call->plaintext = HF_GIVE(key);
    key_call_finish(call, HF_OK);
}

/* --- WrapKey, RewrapKey ------------------------------------------------- */

/* A blob that is handed out opens later only if its generation is among those
 * of the resource: that is written before it is handed out. */
static enum step note_wrap(struct slow *slow)
{
    HF_OWNED(change_freep) struct change *change = NULL;
    size_t before = slow->view.record.wrap_count;
    enum hf_status status =
        resource_note_wrap(&slow->view.record, slow->view.wanted);
    if (status == HF_OK && slow->view.record.wrap_count == before) {
        return STEP_ON;
    }
    if (status == HF_OK) {
        status = change_new(&change);
    }
    if (status == HF_OK) {
        status = record_resource(slow, change, verb_method(slow->call->verb));
    }
    if (hf_status_class(status) == HF_CLASS_CONFLICT) {
        return refuse(slow, REASON_CONFLICT,
                      "this mailbox was changed meanwhile; repeat");
    }
    return status == HF_OK ? STEP_ON : fail(slow, status);
}

static void hand_out(struct slow *slow,
                     const uint8_t envelope[ENVELOPE_KEY_BYTES])
{
    struct key_call *call = slow->call;
    tell_where(call, slow->view.wanted);
    memcpy(call->envelope, envelope, ENVELOPE_KEY_BYTES);
    call->envelope_len = ENVELOPE_KEY_BYTES;
    secret_freep(&call->plaintext);
    key_call_finish(call, HF_OK);
}

static void run_wrap(struct slow *slow)
{
    uint8_t envelope[ENVELOPE_KEY_BYTES];
    const struct secret *key = slow->call->plaintext;
    if (key == NULL || secret_len(key) != HF_KEY_BYTES) {
        refuse(slow, REASON_FIELD_INVALID, "plaintext_key must have 32 bytes");
        return;
    }
    if (seal_wanted(slow, key, envelope) == STEP_OVER ||
        note_wrap(slow) == STEP_OVER) {
        return;
    }
    hand_out(slow, envelope);
}

static void run_rewrap(struct slow *slow)
{
    uint8_t envelope[ENVELOPE_KEY_BYTES];
    struct bytes blob = blob_of(slow);
    bool stored = is_stored(slow, blob);
    HF_OWNED(secret_freep) struct secret *key = NULL;
    if (blob.len == 0) {
        refuse(slow, REASON_STATE_CONFLICT,
               "this mailbox has no key yet: GenerateKey makes one");
        return;
    }
    if (stored && !mailbox_needs_rewrap(&slow->view.facts)) {
        memcpy(envelope, blob.data, sizeof envelope);
        hand_out(slow, envelope);
        return;
    }
    if (open_envelope(slow, blob, &key) == STEP_OVER ||
        seal_wanted(slow, key, envelope) == STEP_OVER) {
        return;
    }
    if (is_cancelled(slow)) {
        refuse(slow, REASON_CANCELLED, "cancelled; nothing was done");
        return;
    }
    if (!stored) {
        if (note_wrap(slow) == STEP_ON) {
            hand_out(slow, envelope);
        }
        return;
    }
    enum hf_status status = record_rewrap(slow, envelope);
    if (hf_status_class(status) == HF_CLASS_CONFLICT) {
        refuse(slow, REASON_CONFLICT,
               "this mailbox was changed meanwhile; repeat");
    } else if (status != HF_OK) {
        fail(slow, status);
    } else {
        hand_out(slow, envelope);
    }
}

/* ------------------------------------------------------------------------ */

static HF_STATUS load(struct slow *slow)
{
    struct key_call *call = slow->call;
    struct tenant_entry *tenant = NULL;
    pthread_rwlock_rdlock(&slow->service->catalogue.lock);
    enum hf_status status =
        service_admit_call(slow->service, call, &tenant, &call->problem);
    pthread_rwlock_unlock(&slow->service->catalogue.lock);
    HF_TRY(status);
    status = resource_load(slow->service, tenant, call->resource, &slow->view);
    if (status == HF_E_NOT_FOUND) {
        return problem_set(&call->problem, REASON_NOT_FOUND, "no such mailbox");
    }
    return problem_of_status(&call->problem, status);
}

static void run_verb(struct slow *slow)
{
    enum verb verb = slow->call->verb;
    if (verb == VERB_UNWRAP_KEY) {
        run_unwrap(slow);
    } else if (verb == VERB_GENERATE_KEY) {
        run_generate(slow);
    } else if (verb == VERB_WRAP_KEY) {
        run_wrap(slow);
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
        refuse(slow, REASON_DEADLINE_PASSED,
               "the deadline passed while the call waited");
    } else if (is_cancelled(slow)) {
        refuse(slow, REASON_CANCELLED, "cancelled; nothing was done");
    } else {
        enum hf_status status = load(slow);
        if (status != HF_OK) {
            key_call_finish(call, status);
        } else {
            run_verb(slow);
        }
    }
    free(slow);
}
