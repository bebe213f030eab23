#include "server/store/codec.h"

#include "hsm/base/check.h"

#include <string.h>

static void code_u8(struct codec *codec, uint8_t *value)
{
    if (codec->writing) {
        put_u8(&codec->writer, *value);
    } else {
        *value = get_u8(&codec->reader);
    }
}

#define FORMAT_FIRST 1

static void code_format(struct codec *codec, uint8_t newest)
{
    codec->format = newest;
    code_u8(codec, &codec->format);
    code_refuse_unless(codec, codec->format >= FORMAT_FIRST &&
                                  codec->format <= newest);
}

void codec_to_write(struct codec *codec, uint8_t format)
{
    codec->writing = true;
    codec->refused = false;
    codec->writer = byte_writer_on(codec->scratch, sizeof codec->scratch);
    code_format(codec, format);
}

void codec_to_read(struct codec *codec, enum record_kind kind, uint8_t newest,
                   const struct record *from)
{
    bool possible = from->kind == kind &&
                    from->body_len <= RECORD_BODY_MAX_BYTES &&
                    from->key_len <= RECORD_KEY_MAX_BYTES;
    codec->writing = false;
    codec->refused = !possible;
    codec->reader = byte_reader_on(
        (struct bytes){from->body, possible ? from->body_len : 0});
    code_format(codec, newest);
}

HF_STATUS codec_written(const struct codec *codec, enum record_kind kind,
                        const struct record_key *key, struct record *out)
{
    CHECK(codec->writing);
    if (codec->refused || codec->writer.overrun || key->len == 0) {
        return HF_E_INVALID;
    }
    out->kind = kind;
    memcpy(out->key, key->bytes, key->len);
    out->key_len = key->len;
    memcpy(out->body, codec->scratch, codec->writer.len);
    out->body_len = codec->writer.len;
    return HF_OK;
}

HF_STATUS codec_read(const struct codec *codec, const struct record *from,
                     const struct record_key *key)
{
    CHECK(!codec->writing);
    if (codec->refused) {
        return HF_E_CORRUPT;
    }
    HF_TRY(byte_reader_done(&codec->reader));
    bool is_its_key = bytes_equal(record_key_view(key),
                                  (struct bytes){from->key, from->key_len});
    return is_its_key ? HF_OK : HF_E_CORRUPT;
}

void code_refuse_unless(struct codec *codec, bool holds)
{
    if (!holds) {
        codec->refused = true;
    }
}

void code_u32(struct codec *codec, uint32_t *value)
{
    if (codec->writing) {
        put_u32(&codec->writer, *value);
    } else {
        *value = get_u32(&codec->reader);
    }
}

void code_u64(struct codec *codec, uint64_t *value)
{
    if (codec->writing) {
        put_u64(&codec->writer, *value);
    } else {
        *value = get_u64(&codec->reader);
    }
}

void code_time(struct codec *codec, int64_t *value_ms)
{
    uint64_t value = (uint64_t)*value_ms;
    code_u64(codec, &value);
    code_refuse_unless(codec, value <= (uint64_t)INT64_MAX);
    *value_ms = (int64_t)(value & (uint64_t)INT64_MAX);
}

void code_bool(struct codec *codec, bool *value)
{
    *value = code_choice(codec, *value ? 1 : 0, 0, 1) == 1;
}

int code_choice(struct codec *codec, int value, int first, int last)
{
    CHECK(first >= 0 && last <= UINT8_MAX);
    if (codec->writing) {
        code_refuse_unless(codec, value >= first && value <= last);
        put_u8(&codec->writer, (uint8_t)value);
        return value;
    }
    int found = get_u8(&codec->reader);
    if (found < first || found > last) {
        codec->refused = true;
        return first;
    }
    return found;
}

void code_raw(struct codec *codec, void *data, size_t len)
{
    if (codec->writing) {
        put_raw(&codec->writer, data, len);
    } else {
        get_raw(&codec->reader, data, len);
    }
}

void code_id(struct codec *codec, struct hf_id *id)
{
    code_raw(codec, id->bytes, HF_ID_BYTES);
}

void code_own_id(struct codec *codec, struct hf_id *id)
{
    code_id(codec, id);
    code_refuse_unless(codec, !id_is_nil(id));
}

void code_suite(struct codec *codec, uint8_t *suite)
{
    *suite = (uint8_t)code_choice(codec, *suite, 0, RECORD_SUITE_LAST);
}

void code_text(struct codec *codec, char *text, size_t cap)
{
    if (!codec->writing) {
        get_text(&codec->reader, text, cap);
        return;
    }
    size_t len = strnlen(text, cap);
    code_refuse_unless(codec, len < cap);
    put_lp(&codec->writer, text, len);
}

void code_bytes(struct codec *codec, uint8_t *data, size_t *len, size_t cap)
{
    if (codec->writing) {
        if (*len > cap) {
            codec->refused = true;
            return;
        }
        put_lp(&codec->writer, data, *len);
        return;
    }
    struct bytes found = get_lp(&codec->reader);
    if (found.len > cap) {
        codec->refused = true;
        return;
    }
    if (found.len > 0) {
        memcpy(data, found.data, found.len);
    }
    *len = found.len;
}

void code_dep_ref(struct codec *codec, struct dep_ref *ref)
{
    code_id(codec, &ref->dep);
    code_u32(codec, &ref->generation);
}
