#include "server/service/sweep.h"

#include "server/service/rewrap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_MAX         64   /* resources in one step */
#define SWEEP_WAIT_MS     5000 /* before what failed comes again, at first */
#define SWEEP_WAIT_MAX_MS 300000

/* tenant | type: every resource of one type; tenant: of every type. */
struct prefix {
    uint8_t bytes[HF_ID_BYTES + 1];
    size_t len;
};

static struct bytes prefix_view(const struct prefix *prefix)
{
    return (struct bytes){prefix->bytes, prefix->len};
}

static struct prefix prefix_of(const struct hf_id *tenant,
                               enum resource_type type)
{
    struct prefix prefix = {.len = HF_ID_BYTES};
    memcpy(prefix.bytes, tenant->bytes, HF_ID_BYTES);
    if (type != SWEEP_EVERY_TYPE) {
        prefix.bytes[prefix.len++] = (uint8_t)type;
    }
    return prefix;
}

HF_STATUS sweep_count(struct service *service,
                      const struct tenant_entry *tenant,
                      enum resource_type type, uint64_t *out_count)
{
    struct prefix prefix = prefix_of(&tenant->record.id, type);
    HF_OWNED(store_rollbackp) struct store_txn *txn = NULL;
    HF_TRY(store_begin(ledger_store(service->ledger), STORE_READ, &txn));
    return store_count(txn, RECORD_RESOURCE, prefix_view(&prefix), out_count);
}

/* What one step looks at; read first, dealt with afterwards, with no
 * transaction open. */
struct batch {
    struct operation_step *step;
    sweep_wants_fn *is_part; /* NULL: all */
    sweep_wants_fn *wants;
    struct resource_view view;
    struct {
        enum resource_type type;
        char id[HF_RESOURCE_ID_MAX_BYTES + 1];
    } wanted[SWEEP_MAX];
    size_t wanted_count;
    size_t seen;
    size_t counted; /* of those that are part of it */
};

static enum hf_status look(void *context, const struct record *record,
                           const struct stamp *stamp)
{
    struct batch *batch = context;
    struct operation_step *step = batch->step;
    struct resource_view *view = &batch->view;
    if (batch->seen == SWEEP_MAX) {
        return HF_E_LIMIT;
    }
    *view = (struct resource_view){.tenant = step->tenant, .stamp = *stamp};
    HF_TRY(resource_decode(record, &view->record));
    HF_TRY(resource_look_up(step->service, view));
    if (!view->facts.purged && batch->wants(view, &step->record)) {
        batch->wanted[batch->wanted_count].type = view->record.type;
        memcpy(batch->wanted[batch->wanted_count++].id, view->record.id,
               sizeof view->record.id);
    }
    memcpy(step->record.cursor, record->key, record->key_len);
    step->record.cursor_len = record->key_len;
    batch->seen++;
    batch->counted +=
        batch->is_part == NULL || batch->is_part(view, &step->record);
    return HF_OK;
}

static void note_failure(struct operation_step *step, enum resource_type type,
                         const char *id, const struct problem *problem)
{
    char name[RESOURCE_NAME_BYTES];
    resource_name(step->tenant->record.name, type, id, name);
    step->record.failed++;
    snprintf(step->record.error, sizeof step->record.error, "%.120s: %.120s",
             name, problem->text);
}

static void rewrap_wanted(struct batch *batch)
{
    struct operation_step *step = batch->step;
    for (size_t i = 0; i < batch->wanted_count; i++) {
        struct problem problem = {.reason = REASON_NONE};
        enum resource_type type = batch->wanted[i].type;
        const char *id = batch->wanted[i].id;
        if (rewrap_resource(step->service, step->tenant, type, id, &problem) !=
            HF_OK) {
            note_failure(step, type, id, &problem);
        }
    }
}

/* The walk is at its end: done, or once more for what is left. */
static void end_walk(struct operation_step *step)
{
    struct operation_record *record = &step->record;
    if (record->failed == 0) {
        step->finished = true;
        record->error[0] = '\0';
        return;
    }
    record->done =
        record->total > record->failed ? record->total - record->failed : 0;
    record->failed = 0;
    record->cursor_len = 0;
    step->wait_ms =
        operation_pause_ms(service_wall_ms(step->service) - record->created_ms,
                           SWEEP_WAIT_MS, SWEEP_WAIT_MAX_MS);
}

static void run_batch(struct batch *batch, enum resource_type type)
{
    struct operation_step *step = batch->step;
    struct prefix prefix = prefix_of(&step->record.tenant, type);
    uint8_t cursor[RECORD_KEY_MAX_BYTES];
    memcpy(cursor, step->record.cursor, step->record.cursor_len);
    const struct store_page page = {
        .prefix = prefix_view(&prefix),
        .after = {cursor, step->record.cursor_len},
        .max = SIZE_MAX,
    };
    enum hf_status status =
        ledger_each(step->service->ledger, RECORD_RESOURCE, &page, look, batch);
    if (status != HF_OK && status != HF_E_LIMIT) {
        snprintf(step->record.error, sizeof step->record.error, "%s",
                 hf_status_text(status));
        step->wait_ms = SWEEP_WAIT_MS;
        return;
    }
    rewrap_wanted(batch);
    /* later walks look at everything again, but only few were left */
    if (step->record.done + batch->counted <= step->record.total) {
        step->record.done += batch->counted;
    }
    if (status == HF_OK) {
        end_walk(step);
    }
}

void sweep_resources(struct operation_step *step, enum resource_type type,
                     sweep_wants_fn *wants)
{
    sweep_resources_of(step, type, NULL, wants);
}

void sweep_resources_of(struct operation_step *step, enum resource_type type,
                        sweep_wants_fn *is_part, sweep_wants_fn *wants)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        step->wait_ms = SWEEP_WAIT_MS;
        return;
    }
    batch->step = step;
    batch->is_part = is_part;
    batch->wants = wants;
    run_batch(batch, type);
    free(batch);
}
