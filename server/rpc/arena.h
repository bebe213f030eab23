/* arena: the memory of one request, handed out in order, wiped all at once.
 *
 * protobuf-c allocates through it (facts: a small body can ask for fifty times
 * its size), so it has a cap, and what went through it is overwritten before
 * it is given back. The first bytes come from the arena itself: a data-plane
 * request needs no allocation.
 *
 * Threads   one at a time.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RPC_ARENA_INLINE_BYTES 2048

struct arena_chunk;

struct rpc_arena {
    ProtobufCAllocator allocator; /* for protobuf-c; free does nothing */
    struct arena_chunk *chunks;
    size_t used;      /* of inline_bytes */
    size_t total;     /* handed out since the last reset */
    size_t cap_bytes; /* over it: refused */
    bool refused;     /* some request did not fit under the cap */
    _Alignas(max_align_t) uint8_t inline_bytes[RPC_ARENA_INLINE_BYTES];
};

/* rpc_arena_init: empty. The arena must not move afterwards. */
void rpc_arena_init(struct rpc_arena *arena, size_t cap_bytes);
/* rpc_arena_alloc: zeroed memory until the next reset; NULL over the cap (then
 * refused is set) and when the process is out of memory. */
void *rpc_arena_alloc(struct rpc_arena *arena, size_t len);
/* rpc_arena_text: a formatted copy; "" when there is no memory (refused). */
__attribute__((format(printf, 2, 3))) char *
rpc_arena_text(struct rpc_arena *arena, const char *format, ...);
/* rpc_arena_reset: wipes and gives back everything. */
void rpc_arena_reset(struct rpc_arena *arena, size_t cap_bytes);
