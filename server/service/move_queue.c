#include "server/service/move_queue.h"

#include <stdlib.h>
#include <string.h>

static bool has_line(const struct move_line *line)
{
    return line->move == MOVE_QUEUED || line->move == MOVE_MOVING;
}

static bool is_same(const struct move_line *a, const struct move_line *b)
{
    return a->move == b->move && a->priority == b->priority &&
           a->at_ms == b->at_ms;
}

static HF_STATUS replace(struct change *change,
                         const struct resource_record *resource,
                         const struct move_line *from,
                         const struct move_line *to, struct record *scratch)
{
    const struct stamp none = {.version = 0};
    if (has_line(from)) {
        HF_TRY(move_line_encode(from, resource, scratch));
        HF_TRY(change_remove(change, RECORD_MOVE,
                             (struct bytes){scratch->key, scratch->key_len},
                             1));
    }
    if (has_line(to)) {
        HF_TRY(move_line_encode(to, resource, scratch));
        HF_TRY(change_put(change, scratch, &none, NULL));
    }
    return HF_OK;
}

HF_STATUS move_queue_put(struct change *change,
                         const struct resource_record *resource,
                         const struct move_line *from)
{
    const struct move_line to = move_line_of(resource);
    if ((!has_line(from) && !has_line(&to)) || is_same(from, &to)) {
        return HF_OK;
    }
    struct record *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) {
        return HF_E_NO_MEMORY;
    }
    enum hf_status status = replace(change, resource, from, &to, scratch);
    free(scratch);
    return status;
}

/* --- looking -------------------------------------------------------------- */

struct found {
    struct move_cursor *cursor;
    bool any;
};

static enum hf_status take_line(void *context, const struct record *record,
                                const struct stamp *stamp)
{
    struct found *found = context;
    struct move_line line;
    struct bytes key;
    (void)stamp;
    HF_TRY(move_line_decode(record, &line, &key));
    memcpy(found->cursor->line.bytes, record->key, record->key_len);
    found->cursor->line.len = record->key_len;
    memcpy(found->cursor->resource.bytes, key.data, key.len);
    found->cursor->resource.len = key.len;
    found->any = true;
    return HF_OK;
}

HF_STATUS move_queue_next(struct service *service, struct bytes prefix,
                          struct move_cursor *cursor)
{
    const struct record_key after = cursor->line;
    struct found found = {.cursor = cursor};
    const struct store_page page = {
        .prefix = prefix,
        .after = after.len > 0 ? record_key_view(&after) : BYTES_NONE,
        .max = 1,
    };
    HF_TRY(ledger_each(service->ledger, RECORD_MOVE, &page, take_line, &found));
    return found.any ? HF_OK : HF_E_NOT_FOUND;
}

HF_STATUS move_queue_load(struct service *service, struct tenant_entry *tenant,
                          const struct move_cursor *cursor,
                          struct resource_view *out)
{
    enum hf_status status = resource_load_by_key(
        service, tenant, record_key_view(&cursor->resource), out);
    return status == HF_E_NOT_FOUND ? HF_E_CORRUPT : status;
}

HF_STATUS move_queue_first(struct service *service, struct tenant_entry *tenant,
                           enum mailbox_move move, struct resource_view *out)
{
    struct move_cursor cursor = {.line = {.len = 0}};
    struct record_key prefix = key_of_move_lines(&tenant->record.id, move);
    HF_TRY(move_queue_next(service, record_key_view(&prefix), &cursor));
    return move_queue_load(service, tenant, &cursor, out);
}

HF_STATUS move_queue_claimed(struct service *service,
                             struct tenant_entry *tenant,
                             const struct hf_id *claim,
                             struct resource_view *out)
{
    struct move_cursor cursor = {.line = {.len = 0}};
    struct record_key prefix =
        key_of_move_lines(&tenant->record.id, MOVE_MOVING);
    do {
        HF_TRY(move_queue_next(service, record_key_view(&prefix), &cursor));
        HF_TRY(move_queue_load(service, tenant, &cursor, out));
    } while (!id_equal(&out->record.claim, claim));
    return HF_OK;
}
