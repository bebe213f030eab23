/* DEPs, the wrapped copies of their keys, and the seals spent. */
#include "server/store/codec.h"
#include "server/store/record.h"

#define DEP_FORMAT        3
#define GENERATION_FORMAT 2
#define SEALS_FORMAT      1

static void dep_fields(struct codec *codec, struct dep_record *dep)
{
    code_own_id(codec, &dep->id);
    code_own_id(codec, &dep->tenant);
    dep->type = (enum dep_type)code_choice(codec, (int)dep->type,
                                           DEP_TYPE_EXCHANGE_MAILBOX,
                                           DEP_TYPE_SERVICE_MANAGED);
    code_text(codec, dep->name, sizeof dep->name);
    code_text(codec, dep->description, sizeof dep->description);
    dep->state = (enum dep_state)code_choice(codec, (int)dep->state,
                                             DEP_ENABLED, DEP_PURGED);
    dep->residency = (enum residency)code_choice(
        codec, (int)dep->residency, RESIDENCY_TOKEN, RESIDENCY_MEMORY);
    code_u32(codec, &dep->key_lease_ms);
    code_u32(codec, &dep->generation);
    code_bytes(codec, dep->ak_cka_id, &dep->ak_cka_id_len,
               sizeof dep->ak_cka_id);
    dep->ak_state = (enum ak_state)code_choice(codec, (int)dep->ak_state,
                                               AK_ACTIVE, AK_DESTROYED);
    code_u32(codec, &dep->ak_version);
    code_time(codec, &dep->created_ms);
    code_time(codec, &dep->updated_ms);
    if (codec->format >= 2) {
        dep->key_update = (enum key_update)code_choice(
            codec, (int)dep->key_update, KEY_UPDATE_NONE, KEY_UPDATE_REPLACING);
    }
    if (codec->format >= 3) {
        code_time(codec, &dep->fallback_limit_ms);
        code_refuse_unless(codec,
                           fallback_limit_is_valid(dep->fallback_limit_ms));
    }
}

HF_STATUS dep_encode(const struct dep_record *in, struct record *out)
{
    struct dep_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, DEP_FORMAT);
    dep_fields(&codec, &fields);
    struct record_key key = key_of_pair(&fields.tenant, &fields.id);
    return codec_written(&codec, RECORD_DEP, &key, out);
}

HF_STATUS dep_decode(const struct record *in, struct dep_record *out)
{
    struct dep_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_DEP, DEP_FORMAT, in);
    dep_fields(&codec, &fields);
    struct record_key key = key_of_pair(&fields.tenant, &fields.id);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}

static void copy_fields(struct codec *codec, struct wrapped_copy *copy)
{
    code_suite(codec, &copy->suite);
    code_id(codec, &copy->key);
    code_u32(codec, &copy->key_version);
    code_id(codec, &copy->token);
    code_bytes(codec, copy->wrapped, &copy->wrapped_len, sizeof copy->wrapped);
    /* a suite without a blob, or a blob nobody could open */
    code_refuse_unless(codec, (copy->suite == 0) == (copy->wrapped_len == 0));
}

static void generation_fields(struct codec *codec,
                              struct generation_record *generation)
{
    code_own_id(codec, &generation->tenant);
    code_own_id(codec, &generation->dep);
    code_u32(codec, &generation->generation);
    for (size_t slot = 0; slot < ROOT_SLOTS; slot++) {
        copy_fields(codec, &generation->copies[slot]);
    }
    code_raw(codec, generation->check_iv, sizeof generation->check_iv);
    code_bytes(codec, generation->check_sealed, &generation->check_sealed_len,
               sizeof generation->check_sealed);
    code_time(codec, &generation->created_ms);
    for (size_t i = 0; codec->format >= 2 && i < AK_TOKENS_MAX; i++) {
        copy_fields(codec, &generation->mirrors[i]);
    }
}

HF_STATUS generation_encode(const struct generation_record *in,
                            struct record *out)
{
    struct generation_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, GENERATION_FORMAT);
    generation_fields(&codec, &fields);
    struct record_key key = key_of_numbered(&fields.dep, fields.generation);
    return codec_written(&codec, RECORD_GENERATION, &key, out);
}

HF_STATUS generation_decode(const struct record *in,
                            struct generation_record *out)
{
    struct generation_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_GENERATION, GENERATION_FORMAT, in);
    generation_fields(&codec, &fields);
    struct record_key key = key_of_numbered(&fields.dep, fields.generation);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}

static void seals_fields(struct codec *codec, struct seals_record *seals)
{
    code_own_id(codec, &seals->dep);
    code_u32(codec, &seals->generation);
    code_u64(codec, &seals->reserved);
}

HF_STATUS seals_encode(const struct seals_record *in, struct record *out)
{
    struct seals_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, SEALS_FORMAT);
    seals_fields(&codec, &fields);
    struct record_key key = key_of_numbered(&fields.dep, fields.generation);
    return codec_written(&codec, RECORD_SEALS, &key, out);
}

HF_STATUS seals_decode(const struct record *in, struct seals_record *out)
{
    struct seals_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_SEALS, SEALS_FORMAT, in);
    seals_fields(&codec, &fields);
    struct record_key key = key_of_numbered(&fields.dep, fields.generation);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}
