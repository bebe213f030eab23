#include "server/domain/envelope.h"

static const uint8_t context_magic[] = {'H', 'F', 'C', '1'};
static const uint8_t envelope_magic[] = {'H', 'F', 'E', '1'};

/* The widths below are fixed, so nothing here can overrun. */
_Static_assert(sizeof context_magic + 1 + 2 * HF_ID_BYTES + 4 + 2 + 1 + 1 +
                       HF_SHA256_BYTES ==
                   CONTEXT_BYTES,
               "crypto.md");
_Static_assert(sizeof envelope_magic + 1 + HF_ID_BYTES + 4 + HF_GCM_IV_BYTES ==
                   ENVELOPE_HEAD_BYTES,
               "crypto.md");

/* 0: no suite of ours. */
static size_t head_of(uint8_t suite)
{
    switch (suite) {
    case ENVELOPE_SUITE_AES256_GCM:
        return ENVELOPE_HEAD_BYTES;
    case ENVELOPE_SUITE_CHECKED:
        return ENVELOPE_HEAD_BYTES + KEY_CHECK_BYTES;
    default:
        return 0;
    }
}

void context_encode(const struct context *context, uint8_t suite,
                    uint8_t out[CONTEXT_BYTES])
{
    struct byte_writer writer = byte_writer_on(out, CONTEXT_BYTES);
    put_raw(&writer, context_magic, sizeof context_magic);
    put_u8(&writer, suite);
    put_raw(&writer, context->tenant.bytes, HF_ID_BYTES);
    put_raw(&writer, context->dep.bytes, HF_ID_BYTES);
    put_u32(&writer, context->generation);
    put_u16(&writer, context->workload);
    put_u8(&writer, (uint8_t)context->resource_type);
    put_u8(&writer, (uint8_t)context->purpose);
    put_raw(&writer, context->resource_hash, sizeof context->resource_hash);
}

HF_STATUS envelope_encode(const struct envelope *envelope, uint8_t *out,
                          size_t out_cap, size_t *out_len)
{
    size_t len = envelope->sealed.len;
    size_t head = head_of(envelope->suite);
    if (head == 0 || len > HF_SEALED_MAX_BYTES || head + len > out_cap) {
        return HF_E_INVALID;
    }
    struct byte_writer writer = byte_writer_on(out, out_cap);
    put_raw(&writer, envelope_magic, sizeof envelope_magic);
    put_u8(&writer, envelope->suite);
    put_raw(&writer, envelope->dep.bytes, HF_ID_BYTES);
    put_u32(&writer, envelope->generation);
    put_raw(&writer, envelope->iv, sizeof envelope->iv);
    put_raw(&writer, envelope->check, head - ENVELOPE_HEAD_BYTES);
    put_raw(&writer, envelope->sealed.data, len);
    *out_len = writer.len;
    return HF_OK;
}

HF_STATUS envelope_parse(struct bytes blob, size_t key_len,
                         struct envelope *out)
{
    uint8_t magic[sizeof envelope_magic] = {0};
    struct byte_reader reader = byte_reader_on(blob);
    get_raw(&reader, magic, sizeof magic);
    struct envelope envelope = {.suite = get_u8(&reader)};
    size_t head = reader.bad ? 0 : head_of(envelope.suite);
    size_t around = head + HF_GCM_TAG_BYTES;
    if (head == 0 || blob.len < around || blob.len - around != key_len ||
        !bytes_equal(BYTES_OF(magic), BYTES_OF(envelope_magic))) {
        return HF_E_BAD_BLOB;
    }
    get_raw(&reader, envelope.dep.bytes, HF_ID_BYTES);
    envelope.generation = get_u32(&reader);
    get_raw(&reader, envelope.iv, sizeof envelope.iv);
    get_raw(&reader, envelope.check, head - ENVELOPE_HEAD_BYTES);
    envelope.sealed = (struct bytes){blob.data + head, blob.len - head};
    *out = envelope;
    return HF_OK;
}

void key_binding_of(const struct context *context,
                    const struct envelope *envelope, struct key_binding *out)
{
    struct byte_writer writer = byte_writer_on(out->bytes, sizeof out->bytes);
    context_encode(context, envelope->suite, out->bytes);
    writer.len = CONTEXT_BYTES;
    if (envelope->suite == ENVELOPE_SUITE_CHECKED) {
        put_raw(&writer, envelope->check, sizeof envelope->check);
    }
    out->len = writer.len;
}
