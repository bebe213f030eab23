/* Signed checkpoints of the audit chains. */
#include "server/store/codec.h"
#include "server/store/record.h"

#define CHECKPOINT_FORMAT 1

static void fields_of(struct codec *codec, struct checkpoint_record *checkpoint)
{
    code_u64(codec, &checkpoint->audit_index);
    code_raw(codec, checkpoint->audit_hash, sizeof checkpoint->audit_hash);
    code_id(codec, &checkpoint->spool);
    code_u64(codec, &checkpoint->spool_records);
    code_raw(codec, checkpoint->spool_hash, sizeof checkpoint->spool_hash);
    code_time(codec, &checkpoint->signed_ms);
    code_raw(codec, checkpoint->key_fingerprint,
             sizeof checkpoint->key_fingerprint);
    code_bytes(codec, checkpoint->signature, &checkpoint->signature_len,
               sizeof checkpoint->signature);
}

HF_STATUS checkpoint_encode(const struct checkpoint_record *in,
                            struct record *out)
{
    struct checkpoint_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, CHECKPOINT_FORMAT);
    fields_of(&codec, &fields);
    struct record_key key = key_of_checkpoint(fields.audit_index);
    return codec_written(&codec, RECORD_CHECKPOINT, &key, out);
}

HF_STATUS checkpoint_decode(const struct record *in,
                            struct checkpoint_record *out)
{
    struct checkpoint_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_CHECKPOINT, CHECKPOINT_FORMAT, in);
    fields_of(&codec, &fields);
    struct record_key key = key_of_checkpoint(fields.audit_index);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}
