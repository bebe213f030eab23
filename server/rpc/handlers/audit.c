/* AuditService. */
#include "server/service/audit.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "server/rpc/codec.h"
#include "server/rpc/method.h"

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

static HF_STATUS add(void *context, const struct audit_link *link)
{
    struct listing *listing = context;
    struct rpc_arena *arena = listing->arena;
    if (listing->count == listing->cap) {
        return HF_E_LIMIT;
    }
    Holdfast__V1__AuditRecord *out =
        codec_new(arena, Holdfast__V1__AuditRecord, holdfast__v1__audit_record);
    if (out == NULL) {
        return HF_E_NO_MEMORY;
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
    listing->items[listing->count++] = out;
    return HF_OK;
}

static HF_STATUS list(struct admin_work *work)
{
    const Holdfast__V1__ListAuditRecordsRequest *in =
        (const Holdfast__V1__ListAuditRecordsRequest *)work->request;
    struct audit_query query = {.tenant = ""};
    if (in->parent[0] != '\0') { /* "": the service's own records */
        HF_TRY(codec_parent(in->parent, query.tenant, work->problem));
    }
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

static const struct rpc_method methods[] = {
    {
     .path = PATH "ListAuditRecords",
     .lane = LANE_ADMIN,
     .verb = VERB_LIST_AUDIT_RECORDS,
     .request = &holdfast__v1__list_audit_records_request__descriptor,
     .admin = list,
     },
};
const struct method_list audit_methods = {
    .methods = methods,
    .count = HF_COUNT(methods),
};
