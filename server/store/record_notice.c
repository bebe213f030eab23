/* What a tenant was told of outages of its customer keys. */
#include "hsm/base/bytes.h"

#include "server/store/codec.h"
#include "server/store/record.h"

#define NOTICE_FORMAT 1

static void notice_fields(struct codec *codec, struct notice_record *notice)
{
    code_own_id(codec, &notice->tenant);
    code_own_id(codec, &notice->dep);
    code_time(codec, &notice->time_ms);
    notice->event = (enum notice_event)code_choice(codec, (int)notice->event,
                                                   NOTICE_BEGAN, NOTICE_ENDED);
    code_u32(codec, &notice->generation);
    code_time(codec, &notice->since_ms);
    code_time(codec, &notice->limit_ms);
    /* one of no outage would end the outage it is read for */
    code_refuse_unless(codec, notice->since_ms > 0);
}

/* The newest first. */
static struct record_key key_of_time(const struct hf_id *tenant,
                                     int64_t time_ms)
{
    struct record_key key = key_of_id(tenant);
    struct byte_writer writer =
        byte_writer_on(key.bytes + key.len, sizeof key.bytes - key.len);
    put_u64(&writer, UINT64_MAX - (uint64_t)time_ms);
    key.len += writer.len;
    return key;
}

struct record_key key_of_notices_until(const struct hf_id *tenant,
                                       int64_t time_ms)
{
    return key_of_time(tenant, time_ms);
}

static struct record_key key_of_notice(const struct notice_record *notice)
{
    struct record_key key = key_of_time(&notice->tenant, notice->time_ms);
    struct byte_writer writer =
        byte_writer_on(key.bytes + key.len, sizeof key.bytes - key.len);
    put_raw(&writer, notice->dep.bytes, HF_ID_BYTES);
    put_u8(&writer, (uint8_t)notice->event);
    key.len += writer.len;
    return key;
}

HF_STATUS notice_encode(const struct notice_record *in, struct record *out)
{
    struct notice_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, NOTICE_FORMAT);
    notice_fields(&codec, &fields);
    struct record_key key = key_of_notice(&fields);
    return codec_written(&codec, RECORD_NOTICE, &key, out);
}

HF_STATUS notice_decode(const struct record *in, struct notice_record *out)
{
    struct notice_record fields = {.since_ms = 0};
    struct codec codec;
    codec_to_read(&codec, RECORD_NOTICE, NOTICE_FORMAT, in);
    notice_fields(&codec, &fields);
    struct record_key key = key_of_notice(&fields);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}
