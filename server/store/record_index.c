/* Indexes: names to ids, and the resources of a DEP. */
#include "hsm/base/bytes.h"

#include "server/store/codec.h"
#include "server/store/record.h"

#include <string.h>

#define NAME_FORMAT 1

static bool scope_is_known(int scope)
{
    return scope >= NAME_TENANT && scope <= NAME_GEO;
}

HF_STATUS name_encode(enum name_scope scope, const struct hf_id *owner,
                      const char *folded_name, const struct hf_id *id,
                      struct record *out)
{
    struct hf_id fields = *id;
    struct codec codec;
    codec_to_write(&codec, NAME_FORMAT);
    code_own_id(&codec, &fields);
    code_refuse_unless(&codec, scope_is_known((int)scope));
    struct record_key key = key_of_name(scope, owner, folded_name);
    return codec_written(&codec, RECORD_NAME, &key, out);
}

HF_STATUS name_decode(const struct record *in, struct hf_id *out_id)
{
    struct hf_id fields = {{0}};
    struct codec codec;
    codec_to_read(&codec, RECORD_NAME, NAME_FORMAT, in);
    code_own_id(&codec, &fields);
    /* the name is in the key alone: only its shape can be checked */
    bool key_ok = in->key_len > 1 + HF_ID_BYTES &&
                  in->key_len <= RECORD_KEY_MAX_BYTES &&
                  scope_is_known(in->key[0]);
    code_refuse_unless(&codec, key_ok);
    struct record_key key = {.len = key_ok ? in->key_len : 0};
    memcpy(key.bytes, in->key, key.len);
    HF_TRY(codec_read(&codec, in, &key));
    *out_id = fields;
    return HF_OK;
}

static HF_STATUS of_dep_encode(enum record_kind kind, const struct hf_id *dep,
                               const struct resource_record *resource,
                               struct record *out)
{
    struct record full;
    if (id_is_nil(dep)) {
        return HF_E_INVALID;
    }
    HF_TRY(resource_encode(resource, &full));
    memcpy(out->key, dep->bytes, HF_ID_BYTES);
    memcpy(out->key + HF_ID_BYTES, full.key, full.key_len);
    out->key_len = HF_ID_BYTES + full.key_len;
    out->kind = kind;
    out->body_len = 0;
    return HF_OK;
}

HF_STATUS assigned_encode(const struct hf_id *dep,
                          const struct resource_record *resource,
                          struct record *out)
{
    return of_dep_encode(RECORD_ASSIGNED, dep, resource, out);
}

HF_STATUS encrypted_encode(const struct hf_id *dep,
                           const struct resource_record *resource,
                           struct record *out)
{
    return of_dep_encode(RECORD_ENCRYPTED, dep, resource, out);
}

static HF_STATUS line_encode(enum record_kind kind, const struct dep_ref *under,
                             const struct resource_record *resource,
                             struct record *out)
{
    struct record full;
    struct record_key prefix = key_of_numbered(&under->dep, under->generation);
    if (id_is_nil(&under->dep)) {
        return HF_E_INVALID;
    }
    HF_TRY(resource_encode(resource, &full));
    memcpy(out->key, prefix.bytes, prefix.len);
    memcpy(out->key + prefix.len, full.key, full.key_len);
    out->key_len = prefix.len + full.key_len;
    out->kind = kind;
    out->body_len = 0;
    return HF_OK;
}

HF_STATUS wrapped_encode(const struct dep_ref *under,
                         const struct resource_record *resource,
                         struct record *out)
{
    return line_encode(RECORD_WRAPPED, under, resource, out);
}

HF_STATUS held_encode(const struct dep_ref *under,
                      const struct resource_record *resource,
                      struct record *out)
{
    return line_encode(RECORD_HELD, under, resource, out);
}

void index_encode(enum index_word index, struct record *out)
{
    out->kind = RECORD_INDEX;
    out->key[0] = (uint8_t)index;
    out->key_len = 1;
    out->body_len = 0;
}

void index_encode_since(enum index_word index, int64_t since_ms,
                        struct record *out)
{
    struct byte_writer writer = byte_writer_on(out->body, sizeof out->body);
    index_encode(index, out);
    put_u64(&writer, (uint64_t)since_ms);
    out->body_len = writer.len;
}

HF_STATUS index_decode_since(const struct record *in, int64_t *out_since_ms)
{
    struct byte_reader reader =
        byte_reader_on((struct bytes){in->body, in->body_len});
    int64_t since_ms = (int64_t)get_u64(&reader);
    if (in->kind != RECORD_INDEX || in->body_len != 8 || since_ms < 0) {
        return HF_E_CORRUPT;
    }
    *out_since_ms = since_ms;
    return HF_OK;
}

struct move_line move_line_of(const struct resource_record *resource)
{
    bool queued = resource->move == MOVE_QUEUED;
    return (struct move_line){
        .move = resource->move,
        .priority = queued ? (uint8_t)resource->priority : 0,
        .at_ms = queued ? resource->queued_ms : resource->claim_ends_ms,
    };
}

struct record_key key_of_move_lines(const struct hf_id *tenant,
                                    enum mailbox_move move)
{
    struct record_key key = key_of_id(tenant);
    key.bytes[key.len++] = (uint8_t)move;
    return key;
}

HF_STATUS move_line_encode(const struct move_line *line,
                           const struct resource_record *resource,
                           struct record *out)
{
    struct record full;
    if (line->move != MOVE_QUEUED && line->move != MOVE_MOVING) {
        return HF_E_INVALID;
    }
    HF_TRY(resource_encode(resource, &full));
    struct record_key prefix = key_of_move_lines(&resource->tenant, line->move);
    struct byte_writer writer = byte_writer_on(out->key, sizeof out->key);
    put_raw(&writer, prefix.bytes, prefix.len);
    put_u8(&writer, line->priority);
    put_u64(&writer, (uint64_t)line->at_ms);
    put_raw(&writer, full.key, full.key_len);
    if (writer.overrun) {
        return HF_E_INVALID;
    }
    out->key_len = writer.len;
    out->kind = RECORD_MOVE;
    out->body_len = 0;
    return HF_OK;
}

#define MOVE_LINE_HEAD_BYTES (HF_ID_BYTES + 1 + 1 + 8)

HF_STATUS move_line_decode(const struct record *in, struct move_line *out,
                           struct bytes *out_key)
{
    if (in->kind != RECORD_MOVE || in->key_len <= MOVE_LINE_HEAD_BYTES ||
        in->key_len > sizeof in->key || in->body_len != 0) {
        return HF_E_CORRUPT;
    }
    struct byte_reader reader = byte_reader_on((struct bytes){
        in->key + HF_ID_BYTES, MOVE_LINE_HEAD_BYTES - HF_ID_BYTES});
    struct move_line line = {.move = (enum mailbox_move)get_u8(&reader)};
    line.priority = get_u8(&reader);
    uint64_t at = get_u64(&reader);
    if ((line.move != MOVE_QUEUED && line.move != MOVE_MOVING) ||
        at > INT64_MAX) {
        return HF_E_CORRUPT;
    }
    line.at_ms = (int64_t)at;
    *out = line;
    *out_key = (struct bytes){in->key + MOVE_LINE_HEAD_BYTES,
                              in->key_len - MOVE_LINE_HEAD_BYTES};
    return HF_OK;
}

HF_STATUS assigned_resource(const struct record *in, struct bytes *out_key)
{
    if (in->kind != RECORD_ASSIGNED || in->key_len <= HF_ID_BYTES ||
        in->key_len > sizeof in->key || in->body_len != 0) {
        return HF_E_CORRUPT;
    }
    *out_key = (struct bytes){in->key + HF_ID_BYTES, in->key_len - HF_ID_BYTES};
    return HF_OK;
}
