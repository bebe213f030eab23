/* message: protobuf-c messages whose memory is wiped.
 *
 * A message may hold key bytes, so everything unpacked here comes from an
 * allocator that remembers each size, wipes on free, and stops at a cap: a
 * small body can otherwise unpack to many times its size.
 */
#pragma once

#include "hsm/base/own.h"
#include "hsm/base/status.h"

#include <protobuf-c/protobuf-c.h>

#include <stddef.h>
#include <stdint.h>

#define MESSAGE_MAX_BYTES          (4u << 20)
#define MESSAGE_UNPACKED_MAX_BYTES (32u << 20)

/* wiped_alloc: len bytes that wiped_free overwrites; NULL without memory. */
void *wiped_alloc(size_t len);
void wiped_free(void *data); /* NULL-safe */

static inline void wiped_freep(uint8_t **data)
{
    wiped_free(*data);
    *data = NULL;
}

/* message_unpack: freed with hf_message_free.
 *
 * Returns   HF_OK; HF_E_CORRUPT for bytes that are no such message, or that
 *           need more than MESSAGE_UNPACKED_MAX_BYTES.
 */
HF_STATUS message_unpack(const ProtobufCMessageDescriptor *descriptor,
                         const uint8_t *data, size_t len,
                         ProtobufCMessage **out_message);

/* message_pack: into memory for wiped_free.
 *
 * Returns   HF_OK; HF_E_LIMIT over MESSAGE_MAX_BYTES; HF_E_NO_MEMORY.
 */
HF_STATUS message_pack(const ProtobufCMessage *message, uint8_t **out_data,
                       size_t *out_len);
