/* Indexes: names to ids, and the resources of a DEP. */
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

HF_STATUS assigned_encode(const struct hf_id *dep,
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
    out->kind = RECORD_ASSIGNED;
    out->body_len = 0;
    return HF_OK;
}

HF_STATUS wrapped_encode(const struct dep_ref *under,
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
    out->kind = RECORD_WRAPPED;
    out->body_len = 0;
    return HF_OK;
}

void index_encode(enum index_word index, struct record *out)
{
    out->kind = RECORD_INDEX;
    out->key[0] = (uint8_t)index;
    out->key_len = 1;
    out->body_len = 0;
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
