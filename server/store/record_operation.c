/* Long-running operations. */
#include "server/store/codec.h"
#include "server/store/record.h"

#define OPERATION_FORMAT 1

static void operation_fields(struct codec *codec,
                             struct operation_record *operation)
{
    code_own_id(codec, &operation->id);
    code_own_id(codec, &operation->tenant);
    int kind = code_choice(codec, (int)operation->kind, 1, UINT8_MAX);
    code_refuse_unless(codec, operation_kind_is_known(kind));
    operation->kind = (enum operation_kind)kind;
    operation->state = (enum operation_state)code_choice(
        codec, (int)operation->state, OPERATION_RUNNING, OPERATION_CANCELLED);
    code_id(codec, &operation->object);
    code_u32(codec, &operation->number);
    code_bytes(codec, operation->cursor, &operation->cursor_len,
               sizeof operation->cursor);
    code_u64(codec, &operation->done);
    code_u64(codec, &operation->total);
    code_u64(codec, &operation->failed);
    code_u32(codec, &operation->percent);
    code_refuse_unless(codec, operation->percent <= 100);
    code_text(codec, operation->error, sizeof operation->error);
    code_text(codec, operation->requester, sizeof operation->requester);
    code_time(codec, &operation->created_ms);
    code_time(codec, &operation->updated_ms);
    code_time(codec, &operation->ended_ms);
}

HF_STATUS operation_encode(const struct operation_record *in,
                           struct record *out)
{
    struct operation_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, OPERATION_FORMAT);
    operation_fields(&codec, &fields);
    struct record_key key = key_of_pair(&fields.tenant, &fields.id);
    return codec_written(&codec, RECORD_OPERATION, &key, out);
}

HF_STATUS operation_decode(const struct record *in,
                           struct operation_record *out)
{
    struct operation_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_OPERATION, OPERATION_FORMAT, in);
    operation_fields(&codec, &fields);
    struct record_key key = key_of_pair(&fields.tenant, &fields.id);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}
