/* AuditService. */
#include "server/service/audit.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/method.h"
#include "server/service/checkpoints.h"

#include <holdfast/v1/audit_service.pb-c.h>
#include <string.h>

#define PATH "/holdfast.v1.AuditService/"
/* A record has up to 8 KiB: clients take 4 MiB a message. */
#define PAGE_MAX_HERE 200

struct listing {
    struct rpc_arena *arena;
    Holdfast__V1__AuditRecord **items;
    size_t cap;
    size_t count;
};

/* The value of a top-level text member of a flat canonical JSON object, still
 * escaped; "" when it is not there. Only to show the usual columns: json holds
 * the whole record. */
static char *json_text(struct rpc_arena *arena, const char *json,
                       const char *member)
{
    char *key = rpc_arena_text(arena, "\"%s\":\"", member);
    const char *at = strstr(json, key);
    if (key[0] == '\0' || at == NULL) {
        return rpc_arena_text(arena, "%s", "");
    }
    at += strlen(key);
    size_t len = 0;
    while (at[len] != '\0' && at[len] != '"') {
        len += at[len] == '\\' && at[len + 1] != '\0' ? 2 : 1;
    }
    return rpc_arena_text(arena, "%.*s", (int)len, at);
}

static Holdfast__V1__AuditRecord *put_record(struct rpc_arena *arena,
                                             const struct audit_link *link)
{
    Holdfast__V1__AuditRecord *out =
        codec_new(arena, Holdfast__V1__AuditRecord, holdfast__v1__audit_record);
    if (out == NULL) {
        return NULL;
    }
    out->index = link->index;
    out->time = codec_put_timestamp(arena, link->time_ms);
    out->json = rpc_arena_text(arena, "%.*s", (int)link->body_len,
                               (const char *)link->body);
    out->activity = json_text(arena, out->json, "activity");
    out->actor = json_text(arena, out->json, "actor");
    out->object = json_text(arena, out->json, "object");
    out->previous_hash = codec_put_bytes(arena, BYTES_OF(link->previous));
    out->hash = codec_put_bytes(arena, BYTES_OF(link->hash));
    if (!id_is_nil(&link->tenant)) {
        out->tenant_uid = codec_put_id(arena, &link->tenant);
    }
    return out;
}

static HF_STATUS add(void *context, const struct audit_link *link)
{
    struct listing *listing = context;
    if (listing->count == listing->cap) {
        return HF_E_LIMIT;
    }
    Holdfast__V1__AuditRecord *out = put_record(listing->arena, link);
    if (out == NULL) {
        return HF_E_NO_MEMORY;
    }
    listing->items[listing->count++] = out;
    return HF_OK;
}

static HF_STATUS decode_parent(const char *parent, char *out_tenant,
                               struct problem *problem)
{
    out_tenant[0] = '\0';
    /* "": the service's own records */
    return parent[0] == '\0' ? HF_OK
                             : codec_parent(parent, out_tenant, problem);
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListAuditRecordsRequest *in =
        (const Holdfast__V1__ListAuditRecordsRequest *)work->request;
    struct audit_query query = {.tenant = ""};
    HF_TRY(decode_parent(in->parent, query.tenant, work->problem));
    HF_TRY(codec_text("activity", in->activity, query.activity,
                      sizeof query.activity, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE, &query.page,
                      work->problem));
    struct listing listing = {
        .arena = work->arena,
        .items = rpc_arena_alloc(work->arena, query.page.size * sizeof(void *)),
        .cap = query.page.size,
    };
    Holdfast__V1__ListAuditRecordsResponse *out =
        codec_new(work->arena, Holdfast__V1__ListAuditRecordsResponse,
                  holdfast__v1__list_audit_records_response);
    if (listing.items == NULL || out == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(audit_list(work->service, work->caller, &query, add, &listing,
                      work->problem));
    out->records = listing.items;
    out->n_records = listing.count;
    out->next_page_token = rpc_arena_text(work->arena, "%s", query.next);
    work->reply = &out->base;
    return HF_OK;
}

static Holdfast__V1__Checkpoint *
put_checkpoint(struct rpc_arena *arena, const struct checkpoint_view *view)
{
    Holdfast__V1__Checkpoint *out =
        codec_new(arena, Holdfast__V1__Checkpoint, holdfast__v1__checkpoint);
    if (out == NULL) {
        return NULL;
    }
    out->audit_index = view->record.audit_index;
    out->create_time = codec_put_timestamp(arena, view->record.signed_ms);
    out->statement =
        codec_put_bytes(arena, (struct bytes){view->text, view->text_len});
    out->signature =
        codec_put_bytes(arena, (struct bytes){view->record.signature,
                                              view->record.signature_len});
    return out;
}

static HF_STATUS put_checkpoints(struct rpc_arena *arena,
                                 const struct checkpoint_list *list,
                                 Holdfast__V1__ListCheckpointsResponse *out)
{
    out->checkpoints = rpc_arena_alloc(arena, list->count * sizeof(void *));
    for (size_t i = 0; out->checkpoints != NULL && i < list->count; i++) {
        out->checkpoints[i] = put_checkpoint(arena, &list->views[i]);
        if (out->checkpoints[i] == NULL) {
            return HF_E_NO_MEMORY;
        }
        out->n_checkpoints++;
    }
    out->next_page_token = rpc_arena_text(arena, "%s", list->next);
    out->public_keys =
        rpc_arena_alloc(arena, list->key_count * sizeof *out->public_keys);
    for (size_t i = 0; out->public_keys != NULL && i < list->key_count; i++) {
        out->public_keys[out->n_public_keys++] = codec_put_bytes(
            arena, (struct bytes){list->keys[i].public_key,
                                  list->keys[i].public_key_len});
    }
    if (out->n_public_keys != list->key_count) {
        return HF_E_NO_MEMORY;
    }
    if (out->public_keys != NULL && out->n_public_keys > 0) {
        out->public_key = out->public_keys[0];
    }
    return out->n_checkpoints == list->count ? HF_OK : HF_E_NO_MEMORY;
}

static HF_STATUS checkpoints(struct admin_work *work)
{
    const Holdfast__V1__ListCheckpointsRequest *in =
        (const Holdfast__V1__ListCheckpointsRequest *)work->request;
    char tenant[HF_NAME_MAX_BYTES + 1];
    struct page_request page;
    HF_TRY(decode_parent(in->parent, tenant, work->problem));
    HF_TRY(codec_page(in->page_size, in->page_token, PAGE_MAX_HERE, &page,
                      work->problem));
    struct checkpoint_list list = {
        .views = rpc_arena_alloc(work->arena, page.size * sizeof *list.views),
        .cap = page.size,
    };
    Holdfast__V1__ListCheckpointsResponse *out =
        codec_new(work->arena, Holdfast__V1__ListCheckpointsResponse,
                  holdfast__v1__list_checkpoints_response);
    if (list.views == NULL || out == NULL) {
        return HF_E_NO_MEMORY;
    }
    HF_TRY(checkpoints_list(work->service, work->caller, tenant, &page, &list,
                            work->problem));
    HF_TRY(put_checkpoints(work->arena, &list, out));
    work->reply = &out->base;
    return HF_OK;
}

/* --- streams ------------------------------------------------------------ */

static HF_STATUS decode_filter(const Holdfast__V1__AuditFilter *in,
                               struct audit_filter *out,
                               struct problem *problem)
{
    if (in == NULL) {
        return HF_OK;
    }
    HF_TRY(codec_text("filter.activity", in->activity, out->activity,
                      sizeof out->activity, problem));
    HF_TRY(codec_text("filter.actor", in->actor, out->actor, sizeof out->actor,
                      problem));
    HF_TRY(codec_text("filter.object", in->object, out->object,
                      sizeof out->object, problem));
    HF_TRY(codec_timestamp("filter.from_time", in->from_time, &out->from_ms,
                           problem));
    HF_TRY(codec_timestamp("filter.until_time", in->until_time, &out->until_ms,
                           problem));
    if (out->until_ms != 0 && out->until_ms <= out->from_ms) {
        return problem_field(problem, "filter.until_time",
                             "must be after from_time");
    }
    return HF_OK;
}

static HF_STATUS tell(void *context, const struct audit_link *link)
{
    struct stream_work *work = context;
    Holdfast__V1__AuditRecord *out = put_record(work->arena, link);
    if (out == NULL) {
        return HF_E_NO_MEMORY;
    }
    work->messages[work->message_count++] = &out->base;
    return HF_OK;
}

static HF_STATUS tell_digest(void *context, const struct audit_digest *digest)
{
    struct stream_work *work = context;
    Holdfast__V1__AuditRecord *out = codec_new(
        work->arena, Holdfast__V1__AuditRecord, holdfast__v1__audit_record);
    if (out == NULL) {
        return HF_E_NO_MEMORY;
    }
    out->index = digest->index;
    out->content_hash = codec_put_bytes(work->arena, BYTES_OF(digest->content));
    out->previous_hash =
        codec_put_bytes(work->arena, BYTES_OF(digest->previous));
    out->hash = codec_put_bytes(work->arena, BYTES_OF(digest->hash));
    work->messages[work->message_count++] = &out->base;
    return HF_OK;
}

/* position: the index of the last record looked at. */
static HF_STATUS read_on(struct stream_work *work,
                         struct audit_reading *reading)
{
    reading->max = STREAM_MESSAGES_MAX;
    reading->after = work->position;
    HF_TRY(audit_read(work->service, work->caller, reading, tell, work,
                      work->problem));
    work->position = reading->after;
    work->topic = (struct topic){TOPIC_AUDIT, reading->owner};
    return HF_OK;
}

static HF_STATUS query(struct stream_work *work)
{
    const Holdfast__V1__QueryAuditRecordsRequest *in =
        (const Holdfast__V1__QueryAuditRecordsRequest *)work->request;
    struct audit_reading reading = {.verb = VERB_QUERY_AUDIT_RECORDS};
    HF_TRY(decode_parent(in->parent, reading.tenant, work->problem));
    HF_TRY(decode_filter(in->filter, &reading.filter, work->problem));
    if (in->whole_chain && in->filter != NULL) {
        return problem_field(
            work->problem, "filter",
            "goes not with whole_chain, which leaves none out");
    }
    reading.each_digest = in->whole_chain ? tell_digest : NULL;
    HF_TRY(read_on(work, &reading));
    work->next = reading.more ? STREAM_AGAIN : STREAM_END;
    return HF_OK;
}

/* Where a tail begins; until_ms is not zero once that is known. */
static HF_STATUS tail_begin(struct stream_work *work, uint64_t from_index,
                            struct audit_reading *reading)
{
    if (from_index > INT64_MAX) {
        return problem_field(work->problem, "from_index",
                             "is more than any index");
    }
    if (from_index == 0) {
        HF_TRY(audit_end(work->service, work->caller, reading, work->problem));
    }
    work->position = from_index == 0 ? reading->after : from_index - 1;
    work->until_ms = INT64_MAX;
    return HF_OK;
}

static HF_STATUS tail(struct stream_work *work)
{
    const Holdfast__V1__TailAuditRecordsRequest *in =
        (const Holdfast__V1__TailAuditRecordsRequest *)work->request;
    struct audit_reading reading = {.verb = VERB_TAIL_AUDIT_RECORDS};
    HF_TRY(decode_parent(in->parent, reading.tenant, work->problem));
    HF_TRY(decode_filter(in->filter, &reading.filter, work->problem));
    if (work->until_ms == 0) {
        HF_TRY(tail_begin(work, in->from_index, &reading));
    }
    HF_TRY(read_on(work, &reading));
    work->next = reading.more ? STREAM_AGAIN : STREAM_WAIT;
    return HF_OK;
}

static const struct rpc_method methods[] = {
    {
     .path = PATH "QueryAuditRecords",
     .lane = LANE_STREAM,
     .verb = VERB_QUERY_AUDIT_RECORDS,
     .request = &holdfast__v1__query_audit_records_request__descriptor,
     .stream = query,
     },
    {
     .path = PATH "TailAuditRecords",
     .lane = LANE_STREAM,
     .verb = VERB_TAIL_AUDIT_RECORDS,
     .request = &holdfast__v1__tail_audit_records_request__descriptor,
     .stream = tail,
     },
    {
     .path = PATH "ListAuditRecords",
     .lane = LANE_ADMIN,
     .verb = VERB_LIST_AUDIT_RECORDS,
     .request = &holdfast__v1__list_audit_records_request__descriptor,
     .admin = list,
     },
    {
     .path = PATH "ListCheckpoints",
     .lane = LANE_ADMIN,
     .verb = VERB_LIST_CHECKPOINTS,
     .request = &holdfast__v1__list_checkpoints_request__descriptor,
     .admin = checkpoints,
     },
};
const struct method_list audit_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
