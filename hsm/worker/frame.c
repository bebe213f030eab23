#include "hsm/worker/frame.h"

#include "hsm/base/check.h"

#define COUNT_AT 2
/* of an entry: the number stands before it */
#define OP_AT 8

struct frame_writer frame_begin(uint8_t *buffer, enum frame_kind kind)
{
    struct frame_writer writer = {.bytes =
                                      byte_writer_on(buffer, FRAME_PACKET_MAX)};
    put_u8(&writer.bytes, FRAME_VERSION);
    put_u8(&writer.bytes, (uint8_t)kind);
    put_u16(&writer.bytes, 0);
    return writer;
}

size_t frame_end(struct frame_writer *writer)
{
    CHECK(!writer->bytes.overrun && writer->count > 0 &&
          writer->count <= TOKEN_BATCH_MAX);
    writer->bytes.data[COUNT_AT] = (uint8_t)(writer->count >> 8);
    writer->bytes.data[COUNT_AT + 1] = (uint8_t)writer->count;
    return writer->bytes.len;
}

HF_STATUS frame_open(struct bytes packet, enum frame_kind kind,
                     struct frame_reader *out)
{
    *out = (struct frame_reader){.bytes = byte_reader_on(packet)};
    uint8_t version = get_u8(&out->bytes);
    uint8_t said = get_u8(&out->bytes);
    out->left = get_u16(&out->bytes);
    return out->bytes.bad || version != FRAME_VERSION || said != kind ||
                   out->left == 0 || out->left > TOKEN_BATCH_MAX
               ? HF_E_CORRUPT
               : HF_OK;
}

HF_STATUS frame_close(const struct frame_reader *reader)
{
    return reader->left == 0 ? byte_reader_done(&reader->bytes) : HF_E_CORRUPT;
}

HF_STATUS frame_peek_op(const struct frame_reader *reader, enum token_op *op)
{
    const struct byte_reader *bytes = &reader->bytes;
    if (bytes->bad || bytes->len - bytes->at <= OP_AT ||
        bytes->data[bytes->at + OP_AT] > TOKEN_OP_HEALTH) {
        return HF_E_CORRUPT;
    }
    *op = (enum token_op)bytes->data[bytes->at + OP_AT];
    return HF_OK;
}

void frame_counters_put(struct frame_writer *writer,
                        const struct token_counters *counters)
{
    put_u64(&writer->bytes, counters->data_ops);
    put_u64(&writer->bytes, counters->root_ops);
    put_u64(&writer->bytes, counters->unwraps);
    put_u64(&writer->bytes, counters->refused);
    put_u64(&writer->bytes, counters->objects);
}

void frame_counters_get(struct frame_reader *reader,
                        struct token_counters *counters)
{
    counters->data_ops = get_u64(&reader->bytes);
    counters->root_ops = get_u64(&reader->bytes);
    counters->unwraps = get_u64(&reader->bytes);
    counters->refused = get_u64(&reader->bytes);
    counters->objects = get_u64(&reader->bytes);
}
