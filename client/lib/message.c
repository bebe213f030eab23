#include "client/lib/message.h"

#include "hsm/base/check.h"

#include "hsm/sys/secret.h"

#include "client/lib/holdfast.h"

#include <stdalign.h>
#include <stdlib.h>

/* In front of each block: how much there is to wipe. */
struct block {
    alignas(max_align_t) size_t len;
    unsigned char bytes[];
};

struct budget {
    size_t left;
};

void *wiped_alloc(size_t len)
{
    if (len > SIZE_MAX - sizeof(struct block)) {
        return NULL;
    }
    struct block *block = malloc(sizeof *block + len);
    if (block == NULL) {
        return NULL;
    }
    block->len = len;
    return block->bytes;
}

void wiped_free(void *data)
{
    if (data == NULL) {
        return;
    }
    struct block *block =
        (struct block *)((unsigned char *)data - offsetof(struct block, bytes));
    size_t total = sizeof *block + block->len;
    wipe(block, total);
    free(block);
}

static void *budget_alloc(void *self, size_t len)
{
    struct budget *budget = self;
    CHECK(budget != NULL); /* freeing never allocates */
    if (len > budget->left) {
        return NULL;
    }
    budget->left -= len;
    return wiped_alloc(len);
}

static void budget_free(void *self, void *data)
{
    (void)self; /* blocks know their own size */
    wiped_free(data);
}

HF_STATUS message_unpack(const ProtobufCMessageDescriptor *descriptor,
                         const uint8_t *data, size_t len,
                         ProtobufCMessage **out_message)
{
    struct budget budget = {.left = MESSAGE_UNPACKED_MAX_BYTES};
    ProtobufCAllocator allocator = {
        .alloc = budget_alloc,
        .free = budget_free,
        .allocator_data = &budget,
    };
    ProtobufCMessage *message =
        protobuf_c_message_unpack(descriptor, &allocator, len, data);
    if (message == NULL) {
        return HF_E_CORRUPT;
    }
    *out_message = message;
    return HF_OK;
}

void hf_message_free(ProtobufCMessage *message)
{
    ProtobufCAllocator allocator = {
        .alloc = budget_alloc,
        .free = budget_free,
    };
    if (message != NULL) {
        protobuf_c_message_free_unpacked(message, &allocator);
    }
}

HF_STATUS message_pack(const ProtobufCMessage *message, uint8_t **out_data,
                       size_t *out_len)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    if (len > MESSAGE_MAX_BYTES) {
        return HF_E_LIMIT;
    }
    uint8_t *data = wiped_alloc(len);
    if (data == NULL) {
        return HF_E_NO_MEMORY;
    }
    *out_len = protobuf_c_message_pack(message, data);
    *out_data = data;
    return HF_OK;
}
