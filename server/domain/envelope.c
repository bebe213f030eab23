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

void context_encode(const struct context *context, uint8_t out[CONTEXT_BYTES])
{
    struct byte_writer writer = byte_writer_on(out, CONTEXT_BYTES);
    put_raw(&writer, context_magic, sizeof context_magic);
    put_u8(&writer, ENVELOPE_SUITE_AES256_GCM);
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
    if (len > HF_SEALED_MAX_BYTES || ENVELOPE_HEAD_BYTES + len > out_cap) {
        return HF_E_INVALID;
    }
    struct byte_writer writer = byte_writer_on(out, out_cap);
    put_raw(&writer, envelope_magic, sizeof envelope_magic);
    put_u8(&writer, ENVELOPE_SUITE_AES256_GCM);
    put_raw(&writer, envelope->dep.bytes, HF_ID_BYTES);
    put_u32(&writer, envelope->generation);
    put_raw(&writer, envelope->iv, sizeof envelope->iv);
    put_raw(&writer, envelope->sealed.data, len);
    *out_len = writer.len;
    return HF_OK;
}

HF_STATUS envelope_parse(struct bytes blob, size_t key_len,
                         struct envelope *out)
{
    uint8_t magic[sizeof envelope_magic] = {0};
    const size_t around = ENVELOPE_HEAD_BYTES + HF_GCM_TAG_BYTES;
    if (blob.len < around || blob.len - around != key_len) {
        return HF_E_BAD_BLOB;
    }
    struct byte_reader reader = byte_reader_on(blob);
    get_raw(&reader, magic, sizeof magic);
    uint8_t suite = get_u8(&reader);
    if (!bytes_equal(BYTES_OF(magic), BYTES_OF(envelope_magic)) ||
        suite != ENVELOPE_SUITE_AES256_GCM) {
        return HF_E_BAD_BLOB;
    }
    struct envelope envelope = {
        .sealed = {blob.data + ENVELOPE_HEAD_BYTES,
                   blob.len - ENVELOPE_HEAD_BYTES},
    };
    get_raw(&reader, envelope.dep.bytes, HF_ID_BYTES);
    envelope.generation = get_u32(&reader);
    get_raw(&reader, envelope.iv, sizeof envelope.iv);
    *out = envelope;
    return HF_OK;
}
