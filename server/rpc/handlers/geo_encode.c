#include "server/rpc/handlers/geo_encode.h"

#include "server/rpc/codec.h"
#include "server/rpc/handlers/dep_parts.h"

static Holdfast__V1__GeoRecovery *put_recovery(struct rpc_arena *arena,
                                               const struct geo_record *record)
{
    Holdfast__V1__GeoRecovery *out =
        codec_new(arena, Holdfast__V1__GeoRecovery, holdfast__v1__geo_recovery);
    if (out == NULL) {
        return NULL;
    }
    /* the numbers are the same, see GEO_RECOVERY_* */
    out->state = (Holdfast__V1__GeoRecoveryState)record->recovery;
    out->recovery_enabled = record->recovery == GEO_RECOVERY_OPEN;
    out->requester = rpc_arena_text(arena, "%s", record->requested_by);
    out->enabler = rpc_arena_text(arena, "%s", record->enabled_by);
    out->confirmer = rpc_arena_text(arena, "%s", record->confirmed_by);
    out->ticket = rpc_arena_text(arena, "%s", record->ticket);
    out->request_time = codec_put_timestamp(arena, record->requested_ms);
    out->expire_time = codec_put_timestamp(arena, record->until_ms);
    return out;
}

/* What a registered geo has besides. */
static void put_keys(struct rpc_arena *arena, const struct geo_view *view,
                     Holdfast__V1__Geo *out)
{
    char operation[HF_ID_TEXT];
    if (view->record.state == GEO_UNREGISTERED) {
        return;
    }
    out->primary = dep_put_key(arena, view->tenant, &view->keys[ROOT_CK1]);
    out->secondary = dep_put_key(arena, view->tenant, &view->keys[ROOT_CK2]);
    out->dep = codec_put_dep_name(arena, view->tenant, &view->dep.id);
    out->tik_version = view->dep.generation;
    out->availability_key = dep_put_ak(arena, &view->dep);
    id_format(&view->record.operation, operation);
    out->operation =
        codec_put_name(arena, view->tenant, "operations", operation);
    out->tik_expire_time = codec_put_timestamp(arena, view->tik_expires_ms);
    out->tik_refresh_failing = view->tik_refresh_failing;
}

Holdfast__V1__Geo *geo_put_message(struct rpc_arena *arena,
                                   const struct geo_view *view)
{
    const struct geo_record *record = &view->record;
    Holdfast__V1__Geo *out =
        codec_new(arena, Holdfast__V1__Geo, holdfast__v1__geo);
    if (out == NULL) {
        return NULL;
    }
    out->name = codec_put_name(arena, view->tenant, "geos", record->name);
    out->uid = codec_put_id(arena, &record->id);
    /* the numbers are the same, see GEO_* */
    out->state = (Holdfast__V1__GeoState)record->state;
    out->percent = view->percent;
    out->site_count = view->site_count;
    put_keys(arena, view, out);
    out->recovery = put_recovery(arena, record);
    out->evict_on_denied = record->evict_on_denied;
    out->create_time = codec_put_timestamp(arena, record->created_ms);
    out->update_time = codec_put_timestamp(arena, record->updated_ms);
    out->etag = rpc_arena_text(arena, "%s", view->etag);
    out->revision = codec_put_revision(view->etag);
    return out;
}

Holdfast__V1__Site *site_put_message(struct rpc_arena *arena,
                                     const struct site_view *view)
{
    const struct resource_record *record = &view->record;
    static const struct hf_id nil;
    Holdfast__V1__Site *out =
        codec_new(arena, Holdfast__V1__Site, holdfast__v1__site);
    if (out == NULL) {
        return NULL;
    }
    bool own = !view->effective_is_service_managed &&
               !id_is_nil(&record->effective.dep);
    out->name = codec_put_name(arena, view->tenant, "sites", record->id);
    out->geo = codec_put_name(arena, view->tenant, "geos", view->geo);
    /* the numbers are the same, see MAILBOX_* */
    out->state = (Holdfast__V1__SiteState)view->state;
    out->is_encrypted = own;
    out->effective_dep = codec_put_dep_name(
        arena, view->tenant, own ? &record->effective.dep : &nil);
    out->effective_generation = record->effective.generation;
    out->effective_time = codec_put_timestamp(arena, record->effective_ms);
    out->create_time = codec_put_timestamp(arena, record->created_ms);
    out->etag = rpc_arena_text(arena, "%s", view->etag);
    out->revision = codec_put_revision(view->etag);
    return out;
}
