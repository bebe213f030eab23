#include "server/service/keys.h"

#include "hsm/base/check.h"

#include "server/service/aead.h"
#include "server/service/blob.h"
#include "server/service/key_check.h"
#include "server/service/keys_slow.h"
#include "server/service/opening.h"
#include "server/service/purges.h"
#include "server/service/resources.h"
#include "server/service/routine.h"
#include "server/service/rows.h"

#include <string.h>

#define BATCH_MAX 64
/* how often a call may come back to the hot lane after its lease went stale */
#define STALE_MAX 3

/* A refusal is not its caller's affair alone. */
static void tell_others(const struct key_call *call)
{
    char object[RESOURCE_NAME_BYTES];
    if (call->problem.reason == REASON_BLOB_INVALID) {
        blob_alert(&call->service->blob_alerts, call,
                   service_monotonic_ms(call->service));
    }
    resource_name(call->tenant, call->type, call->resource, object);
    const struct denial denial = {
        .caller = call->caller,
        .verb = call->verb,
        .tenant = call->tenant,
        .object = object,
        .reason = call->problem.reason,
    };
    denials_note(call->service, &denial);
}

/* Nothing is given out that is not recorded. */
static HF_STATUS record_use(struct key_call *call)
{
    return routine_record(call) == HF_OK
               ? HF_OK
               : problem_set(&call->problem, REASON_SERVICE_UNAVAILABLE,
                             "uses of keys cannot be recorded now; repeat "
                             "later");
}

void key_call_finish(struct key_call *call, enum hf_status status)
{
    if (status == HF_OK) {
        status = record_use(call);
    }
    call->status = status;
    secret_freep(&call->site_key);
    if (status != HF_OK) {
        secret_freep(&call->plaintext);
        call->envelope_len = 0;
        tell_others(call);
    }
    call->done(call);
}

void key_call_refuse(struct key_call *call, enum reason reason,
                     const char *text)
{
    key_call_finish(call, problem_set(&call->problem, reason, "%s", text));
}

/* --- to the slow lane --------------------------------------------------- */

static void to_slow_lane(struct service *service, struct key_call *call)
{
    const struct pool_job job = {
        .tenant = call->tenant,
        .rank = call->initiator == INITIATOR_SYSTEM ? POOL_SYSTEM : POOL_USER,
        .work = keys_slow_run,
        .argument = call,
    };
    enum hf_status status = pool_run(service->pool, &job);
    if (status == HF_OK) {
        atomic_fetch_add(&service->slow_calls, 1);
        return;
    }
    if (status == HF_E_OVERLOAD) {
        atomic_fetch_add(&service->overloaded, 1);
        key_call_refuse(call, REASON_OVERLOADED,
                        "the service is busy; repeat later");
        return;
    }
    key_call_refuse(call, REASON_SERVICE_UNAVAILABLE,
                    "the service is stopping; repeat elsewhere");
}

/* --- the hot lane ------------------------------------------------------- */

/* What a batch came to, under one look at the catalogue. */
enum lane { LANE_HOT, LANE_SLOW, LANE_REFUSED };

static bool may_open(const struct row *row,
                     const struct generation_entry *generation)
{
    for (size_t i = 0; i < row->wrap_count; i++) {
        if (row->wraps[i] == generation) {
            return true;
        }
    }
    return false;
}

/* under the newest generation of the DEP it should be under. */
static bool is_where_it_should_be(struct service *service,
                                  const struct tenant_entry *tenant,
                                  enum resource_type type,
                                  const struct row *row)
{
    const struct resource_place place = {
        .type = type,
        .assigned = row->geo != NULL ? row->geo->dep : row->assigned,
        .covered = row->covered,
    };
    const struct dep_entry *wanted =
        resource_wanted_dep(service, tenant, &place);
    return wanted != NULL && row->effective != NULL &&
           row->effective->dep == wanted &&
           row->effective->record.generation == wanted->record.generation;
}

static void fill_binding(struct key_call *call,
                         const struct generation_entry *generation,
                         const struct row *row, const struct envelope *envelope)
{
    struct context context = {
        .tenant = generation->record.tenant,
        .dep = generation->record.dep,
        .generation = generation->record.generation,
        .workload = row->workload,
        .resource_type = call->type,
        .purpose = resource_purpose(call->type),
    };
    memcpy(context.resource_hash, row->resource_hash,
           sizeof context.resource_hash);
    key_binding_of(&context, envelope, &call->binding);
    call->dep = generation->record.dep;
    call->generation = generation->record.generation;
    call->dep_is_service_managed =
        generation->dep->record.type == DEP_TYPE_SERVICE_MANAGED;
}

static bool names(const struct generation_entry *generation,
                  const struct envelope *envelope)
{
    return envelope->generation == generation->record.generation &&
           id_equal(&envelope->dep, &generation->record.dep);
}

/* What opens a key that is stored: all else is rare, or writes. */
static bool may_be_hot(const struct key_call *call)
{
    return (call->verb == VERB_UNWRAP_KEY ||
            call->verb == VERB_UNWRAP_SITE_KEY || verb_is_blob(call->verb)) &&
           call->tries <= STALE_MAX;
}

/* The envelope that the lease has to open: the caller's, or the stored one; of
 * a blob verb always the site's own. */
static struct bytes envelope_to_open(struct key_call *call)
{
    return verb_is_blob(call->verb)
               ? (struct bytes){call->stored, call->stored_len}
               : (struct bytes){call->wrapped, call->wrapped_len};
}

static void take_stored(struct key_call *call, const struct row *row)
{
    if (verb_is_blob(call->verb)) {
        memcpy(call->stored, row->envelope, row->envelope_len);
        call->stored_len = row->envelope_len;
    } else if (call->wrapped_len == 0) {
        memcpy(call->wrapped, row->envelope, row->envelope_len);
        call->wrapped_len = row->envelope_len;
    }
}

static bool is_stored(struct key_call *call, const struct row *row)
{
    return bytes_equal(envelope_to_open(call),
                       (struct bytes){row->envelope, row->envelope_len});
}

/* The catalogue's lock is held. */
static enum lane look_up(struct service *service, struct key_call *call,
                         int64_t now_ms)
{
    struct tenant_entry *tenant = NULL;
    struct envelope envelope;
    call->status = service_admit_call(service, call, &tenant, &call->problem);
    if (call->status != HF_OK) {
        return LANE_REFUSED;
    }
    if (!may_be_hot(call)) {
        return LANE_SLOW;
    }
    struct record_key key =
        key_of_resource(&tenant->record.id, call->type, call->resource);
    if (purges_is_tombstoned(service, &key)) {
        return LANE_SLOW; /* where it is refused */
    }
    const struct row *row = rows_get(service->rows, &key);
    if (row == NULL || row->effective == NULL ||
        !is_where_it_should_be(service, tenant, call->type, row)) {
        return LANE_SLOW;
    }
    take_stored(call, row);
    if (row->retired && !is_stored(call, row)) {
        return LANE_SLOW; /* where a retired key is known */
    }
    /* only what is wrapped as the stored key is hot; older copies are rare */
    if (envelope_parse(envelope_to_open(call), HF_KEY_BYTES, &envelope) !=
            HF_OK ||
        !names(row->effective, &envelope) || !may_open(row, row->effective)) {
        return LANE_SLOW;
    }
    struct lease *lease = opening_take(service, row->effective, call, now_ms);
    if (lease == NULL) {
        return LANE_SLOW;
    }
    call->lease = lease;
    fill_binding(call, row->effective, row, &envelope);
    if (verb_is_blob(call->verb)) {
        blob_bind(call, &tenant->record.id, row->resource_hash);
    }
    return LANE_HOT;
}

/* The site key is here: the blob's own is opened or wrapped with it. */
static void answer(struct key_call *call)
{
    enum hf_status status = HF_OK;
    if (verb_is_blob(call->verb)) {
        status = blob_run(call, call->site_key);
    }
    if (status == HF_E_BAD_BLOB) {
        key_call_refuse(call, REASON_BLOB_INVALID,
                        "the wrapped key does not open");
    } else if (status != HF_OK) {
        key_call_finish(call, problem_of_status(&call->problem, status));
    } else {
        key_call_finish(call, HF_OK);
    }
}

/* A wrong key under CKR_OK: nobody gets it, and the slow lane asks another
 * token. */
static void lied(struct key_call *call, struct lease *lease)
{
    bool others = liars_note(&call->liars, lease);
    lease_drop(lease);
    lease_release(lease);
    if (others) {
        to_slow_lane(call->service, call);
    } else {
        key_call_refuse(call, REASON_BLOB_INVALID,
                        "the wrapped key does not open");
    }
}

static void opened(struct token_request *request)
{
    struct key_call *call = request->owner;
    struct service *service = call->service;
    struct lease *lease = call->lease;
    enum hf_status status = request->status;
    bool given = status == HF_OK;
    call->lease = NULL;
    if (given) {
        status = key_check_look(&call->binding, verb_is_blob(call->verb)
                                                    ? call->site_key
                                                    : call->plaintext);
    }
    if (status == HF_OK) {
        /* answered first: ending the lease waits for it */
        answer(call);
        lease_release(lease);
        return;
    }
    secret_freep(&call->site_key);
    if (!verb_is_blob(call->verb)) { /* theirs is the caller's own */
        secret_freep(&call->plaintext);
    }
    if (given && status == HF_E_BAD_BLOB && lease->token != NULL) {
        lied(call, lease);
        return;
    }
    if (status == HF_E_BAD_BLOB) {
        lease_release(lease);
        key_call_refuse(call, REASON_BLOB_INVALID,
                        "the wrapped key does not open");
        return;
    }
    if (lease_survives(status)) {
        lease_release(lease);
        key_call_finish(call, problem_of_status(&call->problem, status));
        return;
    }
    /* The session object is gone, or its token does not answer: this lease is
     * over, and the slow lane decides what else may open the key. */
    lease_drop(lease);
    lease_release(lease);
    call->tries++;
    to_slow_lane(service, call);
}

/* The result's place, and the request for the token that holds the key. */
static HF_STATUS prepare(struct key_call *call)
{
    const struct lease *lease = call->lease;
    struct secret **place =
        verb_is_blob(call->verb) ? &call->site_key : &call->plaintext;
    struct envelope envelope;
    HF_TRY(envelope_parse(envelope_to_open(call), HF_KEY_BYTES, &envelope));
    HF_TRY(secret_new(HF_KEY_BYTES, place));
    call->token_request = (struct token_request){
        .op = TOKEN_OP_OPEN,
        .drop_dead_ms = call->deadline_ms,
        .done = opened,
        .owner = call,
        .u.aead =
            {
                     .key = lease->object,
                     .aad = key_binding_view(&call->binding),
                     .in = envelope.sealed,
                     .out = secret_writable(*place),
                     .out_cap = HF_KEY_BYTES,
                     },
    };
    memcpy(call->token_request.u.aead.iv, envelope.iv, sizeof envelope.iv);
    return HF_OK;
}

static void open_in_memory(struct key_call *call)
{
    struct token_request *request = &call->token_request;
    const struct lease *lease = call->lease;
    request->status =
        aead_open(lease->key, request->u.aead.iv, request->u.aead.aad,
                  request->u.aead.in, request->u.aead.out);
    opened(request);
}

/* One batch for each token; those whose key is in memory at once. */
static void run_hot(struct service *service, struct key_call **calls,
                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct token_request *batch[BATCH_MAX];
        size_t batch_count = 0;
        if (calls[i] == NULL) {
            continue;
        }
        const struct lease *first = calls[i]->lease;
        const struct token *token = first->token;
        for (size_t j = i; j < count; j++) {
            const struct lease *lease =
                calls[j] == NULL ? NULL : calls[j]->lease;
            if (lease == NULL || lease->token != token) {
                continue;
            }
            if (token == NULL) {
                open_in_memory(calls[j]);
            } else {
                batch[batch_count++] = &calls[j]->token_request;
            }
            calls[j] = NULL;
        }
        if (batch_count > 0) {
            token_submit(token, batch, batch_count);
        }
    }
    atomic_fetch_add(&service->hot_calls, count);
}

/* N41: while uses cannot be recorded, none is begun. */
static void refuse_all(struct service *service, struct key_call *const *calls,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        calls[i]->service = service;
        key_call_refuse(calls[i], REASON_SERVICE_UNAVAILABLE,
                        "uses of keys cannot be recorded now; repeat later");
    }
}

static void submit_batch(struct service *service, struct key_call *const *calls,
                         size_t count)
{
    enum lane lanes[BATCH_MAX];
    struct key_call *hot[BATCH_MAX];
    size_t hot_count = 0;
    int64_t now_ms = service_monotonic_ms(service);
    if (!routine_is_ready(service)) {
        refuse_all(service, calls, count);
        return;
    }
    pthread_rwlock_rdlock(&service->catalogue.lock);
    for (size_t i = 0; i < count; i++) {
        lanes[i] = look_up(service, calls[i], now_ms);
    }
    pthread_rwlock_unlock(&service->catalogue.lock);
    for (size_t i = 0; i < count; i++) {
        calls[i]->service = service;
        if (lanes[i] == LANE_REFUSED) {
            key_call_finish(calls[i], calls[i]->status);
        } else if (lanes[i] == LANE_SLOW) {
            to_slow_lane(service, calls[i]);
        } else if (prepare(calls[i]) != HF_OK) {
            lease_release(calls[i]->lease);
            calls[i]->lease = NULL;
            key_call_refuse(calls[i], REASON_OVERLOADED,
                            "the service is busy; repeat later");
        } else {
            hot[hot_count++] = calls[i];
        }
    }
    run_hot(service, hot, hot_count);
}

void keys_submit(struct service *service, struct key_call *const *calls,
                 size_t count)
{
    for (size_t from = 0; from < count; from += BATCH_MAX) {
        size_t part = count - from < BATCH_MAX ? count - from : BATCH_MAX;
        submit_batch(service, calls + from, part);
    }
}
