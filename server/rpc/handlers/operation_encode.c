#include "server/rpc/handlers/operation_encode.h"

#include "server/rpc/codec.h"

#include <holdfast/v1/operation_service.pb-c.h>

/* The resource name of what it is about. */
static char *object_of(struct rpc_arena *arena,
                       const struct operation_view *from)
{
    const struct operation_record *record = &from->record;
    if (id_is_nil(&record->object)) {
        return rpc_arena_text(arena, "tenants/%s", from->tenant);
    }
    switch (record->kind) {
    case OPERATION_ROLL_SERVICE_MANAGED: /* its DEP is not addressed */
        return rpc_arena_text(arena, "tenants/%s", from->tenant);
    case OPERATION_REWRAP:
    case OPERATION_REFRESH:
    case OPERATION_REPLACE:
    case OPERATION_ASSIGN_TENANT:
    case OPERATION_OFFBOARD_TENANT:
    case OPERATION_ROLL_AVAILABILITY_KEY:
        return codec_put_dep_name(arena, from->tenant, &record->object);
    case OPERATION_PURGE:
    case OPERATION_DELETE_TENANT: {
        char id[HF_ID_TEXT];
        id_format(&record->object, id);
        return codec_put_name(arena, from->tenant, "purges", id);
    }
    case OPERATION_REGISTER_GEO:
    case OPERATION_ROLL_GEO:
    case OPERATION_RESTORE_GEO: {
        char id[HF_ID_TEXT]; /* a geo is found by it, as by its name */
        id_format(&record->object, id);
        return codec_put_name(arena, from->tenant, "geos", id);
    }
    }
    return NULL;
}

ProtobufCMessage *operation_put_message(struct rpc_arena *arena,
                                        const struct operation_view *from)
{
    const struct operation_record *record = &from->record;
    Holdfast__V1__Operation *out =
        codec_new(arena, Holdfast__V1__Operation, holdfast__v1__operation);
    if (out == NULL) {
        return NULL;
    }
    if (!id_is_nil(&record->id)) {
        char id[HF_ID_TEXT];
        id_format(&record->id, id);
        out->name = codec_put_name(arena, from->tenant, "operations", id);
    }
    out->kind = rpc_arena_text(arena, "%s", operation_kind_text(record->kind));
    out->object = object_of(arena, from);
    /* the numbers are the same, see OPERATION_* */
    out->state = (Holdfast__V1__OperationState)record->state;
    out->done = record->state != OPERATION_RUNNING;
    out->percent = record->percent;
    out->done_count = record->done;
    out->total_count = record->total;
    out->waiting_count = record->failed;
    out->error = rpc_arena_text(arena, "%s", record->error);
    out->requester = rpc_arena_text(arena, "%s", record->requester);
    out->create_time = codec_put_timestamp(arena, record->created_ms);
    out->update_time = codec_put_timestamp(arena, record->updated_ms);
    out->end_time = codec_put_timestamp(arena, record->ended_ms);
    out->revision = from->revision;
    return &out->base;
}
