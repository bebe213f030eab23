#include "server/rpc/handlers/earlier_keys.h"

#include "server/rpc/codec.h"

static Holdfast__V1__EarlierKey *encode(struct rpc_arena *arena,
                                        const struct earlier_keys *keys,
                                        const struct earlier_key *earlier)
{
    static const struct hf_id nil;
    Holdfast__V1__EarlierKey *out =
        codec_new(arena, Holdfast__V1__EarlierKey, holdfast__v1__earlier_key);
    if (out == NULL) {
        return NULL;
    }
    out->wrapped_key = codec_put_bytes(
        arena, (struct bytes){earlier->envelope, earlier->envelope_len});
    out->dep = codec_put_dep_name(
        arena, keys->tenant,
        id_equal(&earlier->by.dep, keys->service_managed) ? &nil
                                                          : &earlier->by.dep);
    out->generation = earlier->by.generation;
    out->replace_time = codec_put_timestamp(arena, earlier->replaced_ms);
    return out;
}

Holdfast__V1__EarlierKey **earlier_keys_encode(struct rpc_arena *arena,
                                               const struct earlier_keys *keys,
                                               size_t *out_count)
{
    const struct resource_record *record = keys->record;
    *out_count = 0;
    if (record->earlier_count == 0) {
        return NULL;
    }
    Holdfast__V1__EarlierKey **out =
        rpc_arena_alloc(arena, RESOURCE_EARLIER_MAX * sizeof(void *));
    if (out == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < record->earlier_count; i++) {
        out[i] = encode(arena, keys, &record->earlier[i]);
        if (out[i] == NULL) {
            return NULL;
        }
    }
    *out_count = record->earlier_count;
    return out;
}
